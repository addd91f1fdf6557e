"""What a training run can be told: one field here is one flag, its help, and a recorded value.

`python -m trainers.run --help` is drawn from this model; a --config file (YAML or JSON) uses the
same names; what was used ends up in the bundle's config.json.
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
from service.system.resources import at_home
from trainers.dataset.folders.filenames import escape, is_printable

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
        description="folder with class sub-folders, or with train/ val/ test/ folders of them, or "
        "a Zip or tar archive of one; `demo` draws sample pictures (default: data/ if it is there, "
        "else demo)",
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
        pattern=model_name.PATTERN,
        description="name of the model: lower-case letters, digits, . _ -",
    )
    image_size: int | None = Field(
        None, ge=32, le=1024, description="side of the input in pixels (default: the backbone's)"
    )
    batch_size: int = Field(
        32, ge=1, description="pictures a step on each device; several keep 20 steps an epoch"
    )
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
    precision: Literal["auto", "float32", "bfloat16", "float16"] = Field(
        "auto",
        description="of fine-tuning; auto = bfloat16 or float16 on GPUs with units for it; "
        "float32 keeps GPUs from multiplying by TensorFloat-32, too",
    )
    device: str = Field(
        "auto", pattern=r"^(auto|cpu|gpu(:\d{1,3})?)$", description="auto, cpu, gpu (all) or gpu:N"
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
        is_there = isinstance(value, str) and value.startswith("~")
        return str(at_home(value, "HOME")) if is_there else value

    @property
    def checkpoint(self) -> Path:
        """The file in which fine-tuning keeps where it stands."""
        return self.output / "checkpoints" / self.name / "fine-tuning.npz"

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
        if isinstance(value, str) and not is_printable(value):
            flag, text = name.replace("_", "-"), escape(value)
            raise ConfigError(f"{where}--{flag} (={text}): control characters, or not in UTF-8")
    try:
        return TrainingConfig.model_validate(values)
    except ValidationError as error:
        problems = [_explain(problem) for problem in error.errors()]
        raise ConfigError(where + "; ".join(problems)) from None


def _explain(problem: Mapping[str, Any]) -> str:
    name = str(problem["loc"][0]) if problem["loc"] else "configuration"
    if problem["type"] == "extra_forbidden":
        return arguments.unknown_option_message(name, list(TrainingConfig.model_fields))
    given, said = problem["input"], problem["msg"].removeprefix("Value error, ")
    if problem["type"] == "string_pattern_mismatch":
        said = model_name.explain(given) if name == "name" else _explain_device(given)
    elif isinstance(given, bool):  # where a word is wanted
        said += "; YAML takes a bare yes, no, on or off for true or false: put it in quotes"
    return f"--{name.replace('_', '-')} (={given!r}): {said}"


def _explain_device(given: str) -> str:
    """What a device may be, and which one is meant by the name that others give it."""
    found = re.fullmatch(r"(?:cuda|gpu)?[: ]?(\d{1,3})?", given.lower())
    number = found and found.group(1)
    meant = arguments.closest_match(given, ("auto", "cpu", "gpu")) if found is None else "gpu"
    close = f"{meant}:{number}" if number else meant
    return "auto, cpu, gpu or gpu:N" + (f"; did you mean {close}?" if close else "")
