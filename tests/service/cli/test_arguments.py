from __future__ import annotations

import argparse
from pathlib import Path

import pytest

from service.cli.arguments import (
    CommandParser,
    closest_match,
    closest_option,
    non_empty,
    non_empty_path,
)
from service.errors import UsageError
from trainers.config import TrainingConfig

OPTIONS = list(TrainingConfig.model_fields)


@pytest.fixture
def parser() -> CommandParser:
    parser = CommandParser(allow_abbrev=False)
    parser.add_argument("--fine-tune-learning-rate")
    parser.add_argument("--data", required=True)
    return parser


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        *[(name, "fine_tune_learning_rate") for name in ("lr", "--lr", "learningRate")],
        *[(name, "fine_tune_epochs") for name in ("epochs", "epoch", "num-epochs", "n_epochs")],
        *[("batch", "batch_size"), ("BatchSize", "batch_size"), ("bs", "batch_size")],
        *[("img-size", "image_size"), ("imgsz", "image_size"), ("resolution", "image_size")],
        *[("model", "plugin"), ("backbone", "plugin"), ("arch", "plugin"), ("plugins", "plugin")],
        *[("dataset", "data"), ("data-dir", "data"), ("dat", "data")],
        *[("out", "output"), ("output_dir", "output"), ("save-dir", "output")],
        *[("pretrained", "weights"), ("random-seed", "seed"), ("logdir", "tensorboard")],
        *[("finetune-lr", "fine_tune_learning_rate"), ("timeout", "time_budget")],
        ("zoology", None),
    ],
)
def test_names_of_other_tools_lead_to_our_options(typed: str, expected: str | None) -> None:
    assert closest_option(typed, OPTIONS) == expected


def test_the_closest_match_keeps_its_spelling() -> None:
    assert closest_match("leaf-Models", ["flowers", "leaf_model"]) == "leaf_model"
    assert closest_match("xyz", ["flowers"]) is None


@pytest.mark.parametrize(
    ("line", "hint"),
    [
        (["--data", "d", "--lr", "1"], "use --fine-tune-learning-rate instead of --lr"),
        (["--data", "d", "-lr", "1"], "use --fine-tune-learning-rate instead of -lr"),
        (
            ["--data", "d", "--learning_rate=1"],
            "use --fine-tune-learning-rate instead of --learning_rate",
        ),
        (["--dataset", "d"], "use --data instead of --dataset"),
        (["data=d"], "use --data instead of data"),
    ],
)
def test_an_error_suggests_what_to_type(parser: CommandParser, line: list[str], hint: str) -> None:
    with pytest.raises(UsageError) as caught:
        parser.parse_args(line)
    assert f"; {hint}; --help lists all options" in str(caught.value)


def test_a_lone_folder_gets_the_option_data(parser: CommandParser, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=f"use --data {tmp_path}; --help"):
        parser.parse_args([str(tmp_path)])


def test_without_an_unknown_option_there_is_no_hint(parser: CommandParser) -> None:
    with pytest.raises(UsageError, match=r"^unrecognized arguments: x; --help lists all options$"):
        parser.parse_args(["--data", "d", "x"])


def test_empty_values_are_refused(tmp_path: Path) -> None:
    """An unset shell variable must not select the current folder."""
    assert non_empty("a") == "a"
    assert non_empty_path(str(tmp_path)) == tmp_path
    for convert in (non_empty, non_empty_path):
        with pytest.raises(argparse.ArgumentTypeError, match="is empty"):
            convert("")
