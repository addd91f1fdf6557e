"""What a training run can be told: one field here is one flag, its help, and a recorded value.

`python -m trainers.run --help` is drawn from this model; a --config file (YAML or JSON) uses the
same names; what was used ends up in the bundle's config.json.
"""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from service.errors import GraftError

DEMO = "demo"
DEFAULT_FOLDER = Path("data")
MOST_EPOCHS = 1_000_000
"""Beyond any use; TensorFlow counts steps in 32 bits."""


def is_table(group: str) -> bool:
    """Whether a --group names a table, not a regular expression."""
    return group.lower().endswith(".csv")


class ConfigError(GraftError):
    """A flag or a line of a config file that cannot be used."""


class TrainingConfig(BaseModel):
    model_config: ClassVar[ConfigDict] = ConfigDict(extra="forbid", frozen=True)

    plugin: str = Field(
        description="backbone as FAMILY[:VARIANT], e.g. efficientnet:b3; see --list-plugins"
    )
    data: str | None = Field(
        None,
        min_length=1,
        description="folder with class sub-folders, or with train/ val/ test/ folders of them; "
        "`demo` draws sample pictures (default: data/ if it is there, else demo)",
    )
    weights: str | None = Field(
        None,
        min_length=1,
        description="imagenet or embedded, none (random), or a .h5/.weights.h5/.keras file of the "
        "backbone (default: the backbone's own: embedded for pocket, imagenet for all others)",
    )
    output: Path = Field(
        Path("artifacts"), description="folder in which the bundle NAME-VERSION appears"
    )
    name: str = Field(
        "classifier",
        pattern=r"^[a-z0-9]([a-z0-9._-]{0,61}[a-z0-9])?$",
        description="name of the model: lower-case letters, digits, . _ -",
    )
    image_size: int | None = Field(
        None, ge=32, le=1024, description="side of the input in pixels (default: the backbone's)"
    )
    batch_size: int = Field(32, ge=1, description="pictures per training step")
    seed: int = Field(0, ge=0, lt=2**32, description="of the split, the start and the order")
    strategy: Literal["auto", "features", "fine-tune"] = Field(
        "auto",
        description="features = solve the head only, fine-tune = train the last layers, too, "
        "auto = decide by the pictures and say why",
    )
    time_budget: float | None = Field(
        None,
        gt=0,
        allow_inf_nan=False,
        description="seconds for training, at least for one view of each picture; export comes on "
        "top",
    )
    group: str | None = Field(
        None,
        min_length=1,
        description="what keeps pictures of one source (video, patient, plant) in one split: a "
        "regular expression on paths inside the folder, whose first group, or whole match, names "
        "the source, e.g. 'clip\\d+'; or a .csv file with columns path and group",
    )
    flip: Literal["auto", "none", "horizontal", "all"] = Field(
        "auto",
        description="mirrored views to learn from: none, horizontal = left to right, all = upside "
        "down, too; auto = what does best in cross-validation",
    )
    head: Literal["auto", "linear", "hidden"] = Field(
        "auto", description="linear = logistic regression, hidden = a layer of 128 before it"
    )
    epochs: int = Field(
        60, ge=1, le=MOST_EPOCHS, description="at most so many epochs for the hidden layer"
    )
    learning_rate: float = Field(
        3e-4, gt=0, allow_inf_nan=False, description="of the hidden layer (AdamW)"
    )
    fine_tune_epochs: int | None = Field(
        None,
        ge=0,
        le=MOST_EPOCHS,
        description="at most so many epochs of fine-tuning; 0 = only the head",
    )
    fine_tune_layers: int | None = Field(
        None, ge=1, description="fine-tune the last so many layers (BatchNormalization not counted)"
    )
    fine_tune_learning_rate: float | None = Field(
        None,
        gt=0,
        allow_inf_nan=False,
        description="of fine-tuning (Adam), falling to 0 along a cosine",
    )
    precision: Literal["auto", "float32", "bfloat16"] = Field(
        "auto", description="of fine-tuning; auto = bfloat16 on GPUs with units for it"
    )
    cache_gigabytes: float = Field(
        10.0, ge=0, allow_inf_nan=False, description="largest cache kept between runs; 0 = none"
    )
    resume: bool = Field(
        False, description="go on where a run of this name with these options was stopped"
    )
    tensorboard: Path | None = Field(
        None, description="folder for TensorBoard's logs of both phases, a new one for each run"
    )
    strict: bool = Field(
        False, description="stop where the folder has anything that python -m trainers.check finds"
    )

    @field_validator("data", "weights", "output", "tensorboard", "group", mode="before")
    @classmethod
    def _at_home(cls, value: Any) -> Any:
        """~ in a file, and in --output=~/x, which shells pass on, is home: no folder called ~."""
        return os.path.expanduser(value) if isinstance(value, str) else value  # noqa: PTH111

    @field_validator("group")
    @classmethod
    def _is_rule(cls, value: str | None) -> str | None:
        try:
            re.compile("" if value is None or is_table(value) else value)
        except re.error as error:
            raise ValueError(f"no regular expression: {error}") from error
        return value

    def folder(self) -> Path | None:
        """The folder to train on; None for the drawn sample pictures."""
        if self.data is None:
            return DEFAULT_FOLDER if DEFAULT_FOLDER.is_dir() else None
        return None if self.data == DEMO else Path(self.data)


def validate(values: Mapping[str, Any], where: str = "") -> TrainingConfig:
    """A config of these values; a ConfigError, after `where`, says all that cannot be used."""
    for name, value in values.items():
        if isinstance(value, str) and not value.isprintable():
            raise ConfigError(f"{where}--{name.replace('_', '-')} (={value!r}): not printable text")
    try:
        return TrainingConfig.model_validate(values)
    except ValidationError as error:
        problems = [_explain(problem) for problem in error.errors()]
        raise ConfigError(where + "; ".join(problems)) from None


def _explain(problem: Mapping[str, Any]) -> str:
    name = str(problem["loc"][0]) if problem["loc"] else "configuration"
    if problem["type"] == "extra_forbidden":
        known = list(TrainingConfig.model_fields)
        close = difflib.get_close_matches(name, known, n=1)
        hint = f"did you mean `{close[0]}`? " if close else ""
        return f"unknown option `{name}`: {hint}There are: {', '.join(known)}"
    return f"--{name.replace('_', '-')} (={problem['input']!r}): {problem['msg']}"
