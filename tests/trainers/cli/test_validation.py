from __future__ import annotations

from pathlib import Path

import pytest

from trainers.cli.arguments import parse
from trainers.cli.validation import validate
from trainers.config import ConfigError


@pytest.mark.parametrize(
    ("flag", "value"),
    [
        ("--batch-size", "0"),
        ("--fine-tune-epochs", "1000000000000000000000"),
        ("--fine-tune-epochs", "many"),
        ("--image-size", "7"),
        ("--seed", "-1"),
        ("--fine-tune-learning-rate", "0"),
        ("--name", "No Blanks"),
        ("--fine-tune-layers", "0"),
        ("--data", ""),
    ],
)
def test_an_impossible_value_is_refused_with_its_flag(flag: str, value: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse(["--plugin", "vgg", f"{flag}={value}"])
    assert str(caught.value).startswith(f"{flag} (={value!r}): ")


@pytest.mark.parametrize(
    ("device", "suggestion"), [("cuda", "gpu"), ("cuda:1", "gpu:1"), ("GPU", "gpu"), ("0", "gpu:0")]
)
def test_other_names_of_devices_are_refused_with_a_suggestion(device: str, suggestion: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse(["--plugin", "vgg", "--device", device])
    message = f"--device (={device!r}): must be auto, cpu, gpu or gpu:N; did you mean {suggestion}?"
    assert str(caught.value) == message


def test_an_unquoted_no_in_yaml_is_refused(tmp_path: Path) -> None:
    (tmp_path / "run.yaml").write_text("plugin: vgg\nflip: no\n")
    with pytest.raises(ConfigError, match=r"--flip \(=False\): .*add quotes"):
        parse(["--config", str(tmp_path / "run.yaml")])


@pytest.mark.parametrize("value", ["a\0b", "\udcff", "two\nlines"])
def test_text_that_cannot_be_printed_is_refused(value: str) -> None:
    with pytest.raises(ConfigError, match=r"--output \(=.*control characters"):
        parse(["--plugin", "vgg", "--output", value])


def test_a_multi_label_model_has_no_folds() -> None:
    values = {"plugin": "pocket", "task": "multi-label"}
    with pytest.raises(ConfigError, match=r"--task multi-label cannot be combined with --folds"):
        validate({**values, "folds": 5})
    assert validate({**values, "strategy": "fine-tune", "fine_tune_epochs": 3})
