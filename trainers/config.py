"""The options of a training run: one field is one flag, its help text and one recorded value.

The flags of `python -m trainers.run` are made from this model. A --config file (YAML or JSON) uses
the same names. The bundle's config.json records the values that were used.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from service.bundle import model_name
from service.cli import arguments
from service.errors import GraftError
from service.system.folders import expand_home
from trainers.dataset.folders.filenames import escape, is_printable

DEMO = "demo"
DEFAULT_FOLDER = Path("data")
MAX_EPOCHS = 1_000_000
"""More than anyone needs; TensorFlow counts steps in 32 bits."""


def is_table(group: str) -> bool:
    """Whether the value of --group is a table, not a regular expression."""
    return group.lower().endswith(".csv")


class ConfigError(GraftError):
    """A flag or a line of a config file cannot be used."""


class TrainingConfig(BaseModel):
    """The validated options of a training run."""

    model_config: ClassVar[ConfigDict] = ConfigDict(extra="forbid", frozen=True)

    plugin: str = Field(
        description="backbone as FAMILY[:VARIANT], e.g. efficientnet:b3; --list-plugins lists all"
    )
    data: str | None = Field(
        None,
        min_length=1,
        description="folder with class sub-folders, or with train/ val/ test/ folders of them, or "
        "a Zip or tar archive of one; `demo` draws sample pictures (default: data/ if it exists, "
        "else demo)",
    )
    weights: str | None = Field(
        None,
        min_length=1,
        description="weights to start from: imagenet, embedded, none (random), or a .h5, "
        ".weights.h5 or .keras file of the backbone (default: embedded for pocket, imagenet for "
        "all others)",
    )
    output: Path = Field(
        Path("artifacts"), description="folder for the bundle, which is called NAME-VERSION"
    )
    name: str = Field(
        "classifier",
        pattern=model_name.PATTERN,
        description="name of the model: lower-case letters, digits, . _ -",
    )
    image_size: int | None = Field(
        None, ge=32, le=1024, description="side of the input in pixels (default: the backbone's)"
    )
    batch_size: int = Field(
        32,
        ge=1,
        description="pictures per step on each device; fewer if several devices would otherwise "
        "leave less than 20 steps per epoch",
    )
    seed: int = Field(
        0, ge=0, lt=2**32, description="seed of the split, the first weights and the order"
    )
    strategy: Literal["auto", "features", "fine-tune"] = Field(
        "auto",
        description="features = train only the head, fine-tune = train the last layers of the "
        "backbone, too, auto = decide by the pictures and say why",
    )
    time_budget: float | None = Field(
        None,
        gt=0,
        allow_inf_nan=False,
        description="seconds for training, not counting the export; a head on one view of each "
        "picture is trained in any case",
    )
    group: str | None = Field(
        None,
        min_length=1,
        description="keeps pictures of one source (video, patient, plant) in one split: a regular "
        "expression for paths inside the folder, whose first group, or whole match, names the "
        "source, e.g. 'clip\\d+'; or a .csv file with columns path and group",
    )
    flip: Literal["auto", "none", "horizontal", "all"] = Field(
        "auto",
        description="mirrored views of the training pictures: none, horizontal = left to right, "
        "all = upside down, too, auto = what does best in cross-validation",
    )
    head: Literal["auto", "linear", "hidden"] = Field(
        "auto",
        description="linear = logistic regression, hidden = a hidden layer of 128 units before it, "
        "auto = linear, or hidden where it is clearly better",
    )
    epochs: int = Field(
        60, ge=1, le=MAX_EPOCHS, description="largest number of epochs of the hidden layer"
    )
    learning_rate: float = Field(
        3e-4, gt=0, allow_inf_nan=False, description="learning rate of the hidden layer (AdamW)"
    )
    fine_tune_epochs: int | None = Field(
        None,
        ge=0,
        le=MAX_EPOCHS,
        description="largest number of epochs of fine-tuning; 0 = train only the head",
    )
    fine_tune_layers: int | None = Field(
        None,
        ge=1,
        description="how many of the last layers to fine-tune (BatchNormalization not counted)",
    )
    fine_tune_learning_rate: float | None = Field(
        None,
        gt=0,
        allow_inf_nan=False,
        description="learning rate of fine-tuning (Adam), which falls to 0 along a cosine",
    )
    precision: Literal["auto", "float32", "bfloat16", "float16"] = Field(
        "auto",
        description="number format of fine-tuning; auto = bfloat16 or float16 on GPUs that have "
        "units for it; float32 turns TensorFloat-32 off, too",
    )
    device: str = Field(
        "auto",
        pattern=r"^(auto|cpu|gpu(:\d{1,3})?)$",
        description="auto = GPUs if there are any, cpu, gpu = all GPUs, or gpu:N",
    )
    cache_gigabytes: float = Field(
        10.0,
        ge=0,
        allow_inf_nan=False,
        description="largest size of the cache between runs; 0 = no cache",
    )
    resume: bool = Field(
        False, description="continue a stopped run that had the same name and options"
    )
    tensorboard: Path | None = Field(
        None, description="folder for TensorBoard logs of both phases; use a new one for each run"
    )
    strict: bool = Field(
        False,
        description="stop if the check of the folder (python -m trainers.check) finds anything",
    )

    @field_validator("data", "weights", "output", "tensorboard", "group", mode="before")
    @classmethod
    def _at_home(cls, value: Any) -> Any:
        """Replace a leading ~ by the home folder, where no shell has done so."""
        has_tilde = isinstance(value, str) and value.startswith("~")
        return str(expand_home(value, "HOME")) if has_tilde else value

    @property
    def checkpoint(self) -> Path:
        """The file from which fine-tuning is resumed."""
        return self.output / "checkpoints" / self.name / "fine-tuning.npz"

    @field_validator("group")
    @classmethod
    def _must_compile(cls, value: str | None) -> str | None:
        try:
            re.compile("" if value is None or is_table(value) else value)
        except re.error as error:
            raise ValueError(f"not a regular expression: {error}") from error
        return value

    def folder(self) -> Path | None:
        """The folder to train on; None for the drawn sample pictures."""
        if self.data is None:
            return DEFAULT_FOLDER if DEFAULT_FOLDER.is_dir() else None
        return None if self.data == DEMO else Path(self.data)


def validate(values: Mapping[str, Any], where: str = "") -> TrainingConfig:
    """Make a config of these values.

    Args:
        where: the config file that the values come from, for the message.

    Raises:
        ConfigError: values cannot be used; the message lists all of them.
    """
    for name, value in values.items():
        if isinstance(value, str) and not is_printable(value):
            flag, text = name.replace("_", "-"), escape(value)
            raise ConfigError(
                f"{where}--{flag} (={text}): it has control characters, or is not in UTF-8"
            )
    try:
        return TrainingConfig.model_validate(values)
    except ValidationError as error:
        problems = [_explain(problem) for problem in error.errors()]
        raise ConfigError(where + "; ".join(problems)) from None


def _explain(problem: Mapping[str, Any]) -> str:
    name = str(problem["loc"][0]) if problem["loc"] else "configuration"
    if problem["type"] == "extra_forbidden":
        return arguments.unknown_option_message(name, list(TrainingConfig.model_fields))
    value, reason = problem["input"], problem["msg"].removeprefix("Value error, ")
    if problem["type"] == "string_pattern_mismatch":
        reason = model_name.explain(value) if name == "name" else _explain_device(value)
    elif isinstance(value, bool):  # where a word is expected
        reason += "; YAML reads a bare yes, no, on or off as true or false: put it in quotes"
    return f"--{name.replace('_', '-')} (={value!r}): {reason}"


def _explain_device(value: str) -> str:
    """What a device may be called, and which one is meant by names such as cuda:1."""
    match = re.fullmatch(r"(?:cuda|gpu)?[: ]?(\d{1,3})?", value.lower())
    number = match and match.group(1)
    name = arguments.closest_match(value, ("auto", "cpu", "gpu")) if match is None else "gpu"
    close = f"{name}:{number}" if number else name
    return "auto, cpu, gpu or gpu:N" + (f"; did you mean {close}?" if close else "")
