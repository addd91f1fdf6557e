from __future__ import annotations

from pathlib import Path

import pytest

from service.cli.arguments import Parser, closest, closest_option
from service.errors import WrongUse
from trainers.config import TrainingConfig

OPTIONS = list(TrainingConfig.model_fields)


@pytest.fixture
def parser() -> Parser:
    parser = Parser(allow_abbrev=False)
    parser.add_argument("--learning-rate")
    parser.add_argument("--data", required=True)
    return parser


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        *[("lr", "learning_rate"), ("--lr", "learning_rate"), ("learningRate", "learning_rate")],
        *[("epoch", "epochs"), ("num-epochs", "epochs"), ("n_epochs", "epochs")],
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
def test_options_by_the_habits_of_other_tools(typed: str, meant: str | None) -> None:
    assert closest_option(typed, OPTIONS) == meant


def test_the_closest_name_is_given_as_it_is_spelled() -> None:
    assert closest("leaf-Models", ["flowers", "leaf_model"]) == "leaf_model"
    assert closest("xyz", ["flowers"]) is None


@pytest.mark.parametrize(
    ("line", "hint"),
    [
        (["--data", "d", "--lr", "1"], "for --lr type --learning-rate"),
        (["--data", "d", "-lr", "1"], "for -lr type --learning-rate"),
        (["--data", "d", "--learning_rate=1"], "for --learning_rate type --learning-rate"),
        (["--dataset", "d"], "for --dataset type --data"),
        (["data=d"], "for data type --data"),
    ],
)
def test_a_wrong_line_says_what_to_type(parser: Parser, line: list[str], hint: str) -> None:
    with pytest.raises(WrongUse) as caught:
        parser.parse_args(line)
    assert f"; {hint}; --help lists all options" in str(caught.value)


def test_a_folder_alone_gets_its_option(parser: Parser, tmp_path: Path) -> None:
    with pytest.raises(WrongUse, match=f"type --data {tmp_path}; --help"):
        parser.parse_args([str(tmp_path)])


def test_what_is_known_gets_no_hint(parser: Parser) -> None:
    with pytest.raises(WrongUse, match=r"^unrecognized arguments: x; --help lists all options$"):
        parser.parse_args(["--data", "d", "x"])
