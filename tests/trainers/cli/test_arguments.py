from __future__ import annotations

import subprocess
import sys

import pytest

from trainers.cli.arguments import parse
from trainers.config import ConfigError, TrainingConfig


def test_an_unknown_flag_is_refused_with_a_suggestion() -> None:
    with pytest.raises(
        ConfigError,
        match=r"^unrecognized arguments: --epoch; use --fine-tune-epochs instead of --epoch; ",
    ):
        parse(["--plugin", "vgg", "--epoch"])


def test_list_plugins_prints_the_table(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        parse(["--list-plugins"])
    assert caught.value.code == 0
    assert "mobilenet:v2-0.35" in capsys.readouterr().out


def test_every_option_is_in_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parse(["--help"])
    printed = capsys.readouterr().out
    assert all(f"--{name.replace('_', '-')} " in printed for name in TrainingConfig.model_fields)


def test_fine_tune_as_a_flag_suggests_the_strategy() -> None:
    with pytest.raises(
        ConfigError, match="use --strategy fine-tune instead of --fine-tune; --help"
    ):
        parse(["--plugin", "tiny", "--fine-tune"])


def test_help_imports_no_framework() -> None:
    code = """
import sys
from trainers.run import main
try:
    main(["--help"])
except SystemExit:
    print(*sys.modules)
"""
    command = [sys.executable, "-c", code]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert not {"keras", "tensorflow", "onnxruntime", "bentoml"} & set(printed.split())


@pytest.mark.parametrize("flip", ["auto", "none", "horizontal", "all"])
def test_flip_and_group_are_options(flip: str) -> None:
    flags = ["--plugin", "tiny", "--flip", flip, "--group", r"clip\d+"]
    config = parse(flags).config
    assert (config.flip, config.group) == (flip, r"clip\d+")
    assert parse(["--plugin", "tiny", "--group", "("]).config.group == "("  # perhaps a column
