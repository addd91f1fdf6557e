"""The options of a training run.

Each field of `TrainingConfig` is a flag of `python -m trainers.run`. The description of the field
is the help text of the flag. A --config file (YAML or JSON) uses the same names. The values of a
run are recorded in the config.json of its bundle.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator

from service.bundle import model_name
from service.errors import GraftError
from service.system.folders import expand_home

DEMO = "demo"
DEFAULT_FOLDER = Path("data")
MAX_EPOCHS = 1_000_000
"""Largest allowed number of epochs: TensorFlow counts training steps in 32 bits."""
EXPORTS = ("keras", "litert", "openvino")
"""The formats that --export can add to a bundle: the keys of `formats.OPTIONAL_FORMATS`."""


def is_table(group: str) -> bool:
    """Whether the value of --group is the path of a CSV file rather than a regular expression."""
    return group.lower().endswith(".csv")


class ConfigError(GraftError):
    """An option is unknown, missing or invalid, or a file that it names cannot be read."""


class TrainingConfig(BaseModel):
    """The validated options of a training run."""

    model_config: ClassVar[ConfigDict] = ConfigDict(extra="forbid", frozen=True)

    plugin: str = Field(
        description="backbone as FAMILY[:VARIANT], e.g. efficientnet:b3; --list-plugins lists all"
    )
    data: str | None = Field(
        None,
        min_length=1,
        description="folder with one sub-folder per class, or with split folders (train/, val/, "
        "test/) that have such sub-folders; or a table of labels (.csv, .tsv, .json, .jsonl, "
        ".parquet), or the folder that holds it; or a Zip or tar archive of any of these; demo = "
        "generated sample pictures of leaves (default: data/ if it exists, otherwise demo)",
    )
    task: Literal["auto", "single-label", "multi-label"] = Field(
        "auto",
        description="multi-label = a picture of a table may have several labels, or none; auto = "
        "single-label, but a cell that seems to hold several labels is an error",
    )
    weights: str | None = Field(
        None,
        min_length=1,
        description="weights to start from: imagenet, embedded (part of Graft), none (random "
        "weights), a .h5, .weights.h5 or .keras file of the backbone, or a folder with a preset of "
        "KerasHub (default: embedded for pocket, its preset for kerashub, imagenet for all others)",
    )
    output: Path = Field(
        Path("artifacts"),
        description="folder for bundles; the new bundle is its sub-folder NAME-VERSION",
    )
    name: str = Field(
        "classifier",
        pattern=model_name.PATTERN,
        description="name of the model; it may contain lower-case letters, digits, . _ and -",
    )
    image_size: int | None = Field(
        None,
        ge=32,
        le=1024,
        description="side of the model's square input in pixels (default: that of the backbone)",
    )
    batch_size: int = Field(
        32,
        ge=1,
        description="pictures per training step on each device; with several devices, this number "
        "is reduced if an epoch would otherwise have fewer than 20 steps",
    )
    seed: int = Field(
        0,
        ge=0,
        lt=2**32,
        description="seed of all random choices: the split, the initial weights, and the order of "
        "the pictures in training",
    )
    strategy: Literal["auto", "features", "fine-tune"] = Field(
        "auto",
        description="features = train only the head; fine-tune = train the head, then also the "
        "last layers of the backbone; auto = choose by the number of pictures and the accuracy of "
        "the head, and log the reason",
    )
    time_budget: float | None = Field(
        None,
        gt=0,
        allow_inf_nan=False,
        description="time limit in seconds for training, without the export. At the limit, "
        "training stops, and the result so far is exported (at least a head that was trained "
        "without mirrored or zoomed copies of the pictures)",
    )
    group: str | None = Field(
        None,
        min_length=1,
        description="keep all pictures of one source (a video, patient or plant) in the same "
        "split. GROUP is a .csv file with the columns path and group, a column of the table in "
        "--data, or a regular expression for paths, such as 'clip\\d+'. The expression's first "
        "capture group, or its whole match if it has no group, is the name of the source",
    )
    split: str | None = Field(
        None,
        min_length=1,
        description="keep the split of an earlier model, so that both are tested on the same "
        "pictures. SPLIT is the folder of its bundle, or its split.csv. Pictures are recognised by "
        "their content; new ones are split as usual",
    )
    flip: Literal["auto", "none", "horizontal", "all"] = Field(
        "auto",
        description="mirrored copies of the training pictures: none; horizontal = mirrored left to "
        "right; all = also upside down; auto = whichever is best in cross-validation",
    )
    folds: int | None = Field(
        None,
        ge=2,
        le=20,
        description="also cross-validate: train a model on each of N folds with the same options, "
        "and report mean and interval of their test accuracy. Every picture is a test picture "
        "once. Only the usual model is exported",
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
        description="how many of the last layers to fine-tune, not counting BatchNormalization; "
        "a transformer block is fine-tuned as a whole",
    )
    fine_tune_learning_rate: float | None = Field(
        None,
        gt=0,
        allow_inf_nan=False,
        description="initial learning rate of fine-tuning (Adam with cosine decay to 0)",
    )
    precision: Literal["auto", "float32", "bfloat16", "float16"] = Field(
        "auto",
        description="number format of fine-tuning; auto = bfloat16 or float16 on GPUs that support "
        "it, otherwise float32; float32 also turns TensorFloat-32 off",
    )
    device: str = Field(
        "auto",
        pattern=r"^(auto|cpu|gpu(:\d{1,3})?)$",
        description="cpu; gpu = all GPUs; gpu:N = one GPU, counted from 0; auto = all GPUs, or the "
        "CPU if there are none",
    )
    cache_gigabytes: float = Field(
        10.0,
        ge=0,
        allow_inf_nan=False,
        description="largest size of the cache that all runs share, in gigabytes, without unpacked "
        "archives and downloaded pictures; 0 = no cache",
    )
    resume: bool = Field(
        False, description="continue a stopped run that had the same --name and options"
    )
    export: str | None = Field(
        None,
        description="more formats for the bundle, separated by commas. keras: a Keras model; "
        "litert: TensorFlow Lite, for phones and small devices; openvino: for Intel's runtime",
    )
    tensorboard: Path | None = Field(
        None,
        description="write TensorBoard logs of the training of the head and of fine-tuning to this "
        "folder; use a new folder for each run",
    )
    keep_thumbnails: bool = Field(
        False,
        description="store small copies of up to 4,000 training pictures in the bundle, about 4 KB "
        "each, so that explanations show the pictures that are most similar to a new one",
    )
    strict: bool = Field(
        False,
        description="stop if the check of the pictures (see `trainers.check`) finds any problem",
    )

    @field_validator("data", "weights", "output", "tensorboard", "group", "split", mode="before")
    @classmethod
    def _expand_home(cls, value: Any) -> Any:
        """Replace a leading ~ with the home folder, in case no shell has done so."""
        has_tilde = isinstance(value, str) and value.startswith("~")
        return str(expand_home(value, "HOME")) if has_tilde else value

    @property
    def checkpoint(self) -> Path:
        """The file from which fine-tuning is resumed."""
        return self.output / "checkpoints" / self.name / "fine-tuning.npz"

    @field_validator("export", mode="before")
    @classmethod
    def _join_list(cls, value: Any) -> Any:
        """Accept a list of names in a configuration file."""
        return ",".join(map(str, value)) if isinstance(value, list) else value

    @field_validator("export")
    @classmethod
    def _must_be_formats(cls, value: str | None) -> str | None:
        names = {name.strip() for name in (value or "").split(",")} - {""}
        if value is not None and not names:
            raise ValueError(f"is empty; the formats are {', '.join(EXPORTS)}")
        if unknown := sorted(names - set(EXPORTS)):
            raise ValueError(f"unknown: {', '.join(unknown)}; the formats are {', '.join(EXPORTS)}")
        return value

    @property
    def formats(self) -> tuple[str, ...]:
        """The formats that `export` adds to the bundle, without ONNX and SavedModel."""
        names = {name.strip() for name in (self.export or "").split(",")}
        return tuple(name for name in EXPORTS if name in names)

    @field_validator("folds")
    @classmethod
    def _refuse_time_budget(cls, value: int | None, info: ValidationInfo) -> int | None:
        if value and info.data.get("time_budget"):
            raise ValueError(
                "cannot be used with --time-budget: each fold would get a different training time "
                "than the model, so its accuracy would not describe the model"
            )
        return value

    def folder(self) -> Path | None:
        """The folder, archive or table to train on; None means the generated sample pictures."""
        if self.data is None:
            return DEFAULT_FOLDER if DEFAULT_FOLDER.is_dir() else None
        return None if self.data == DEMO else Path(self.data)
