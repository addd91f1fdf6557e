"""Loads networks of KerasHub: with random weights, from a preset of KerasHub, or from a folder."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from plugins.families.kerashub.variants import PresetVariant
from plugins.weights import WeightsError

CONFIG, WEIGHTS = "config.json", "model.weights.h5"
SHAPE_FREE = ("EfficientNetBackbone",)
"""Classes without the argument `image_shape`. Their networks take pictures of any size."""


def build_network(spec: PresetVariant, image_size: int) -> Any:
    """Build the network of a variant with random weights."""
    import keras_hub

    shape = {} if spec.network in SHAPE_FREE else {"image_shape": (image_size, image_size, 3)}
    return getattr(keras_hub.models, spec.network)(**spec.arguments, **shape)


def load_network(spec: PresetVariant, source: str, image_size: int) -> Any:
    """Load a network from a folder, or from KerasHub, which downloads it once.

    Args:
        source: name of a preset of KerasHub, or the path of a folder.
    """
    import keras_hub

    is_resized = spec.is_resizable and spec.network not in SHAPE_FREE
    shape = {"image_shape": (image_size, image_size, 3)} if is_resized else {}
    network = keras_hub.models.Backbone.from_preset(source, **shape)
    return getattr(network, "vision_encoder", network)  # SigLIP also has a text encoder


def load_scaling(source: str) -> tuple[Any, Any] | None:
    """Return (scale, offset) of a preset's pixels 0..255; None if the preset does not say it."""
    import keras_hub

    try:
        converter = keras_hub.layers.ImageConverter.from_preset(source)
    except (ValueError, FileNotFoundError):
        return None
    scale, offset = converter.scale, converter.offset
    return (1.0 if scale is None else scale, 0.0 if offset is None else offset)


def download(preset: str, spec: PresetVariant, name: str) -> None:
    """Download a preset into the cache of kagglehub, where KerasHub looks for it.

    KerasHub itself would report a gated preset as one that does not exist.

    Args:
        name: `family:variant` of the backbone, for the error message.

    Raises:
        WeightsError: the preset cannot be downloaded. The message says what to do.
    """
    import kagglehub
    import keras_hub

    presets = getattr(keras_hub.models, spec.preset_class or spec.network).presets
    handle = str(presets[preset]["kaggle_handle"]).removeprefix("kaggle://")
    page = f"https://www.kaggle.com/models/{handle.replace('/keras/', '/Keras/')}"
    try:
        for file in (CONFIG, WEIGHTS):
            kagglehub.model_download(handle, file)
    except Exception as error:  # errors of requests, kagglehub and kagglesdk
        raise _download_error(name, page, error) from error


def check_folder(spec: PresetVariant, folder: Path, image_size: int, name: str) -> None:
    """Check that a folder has a preset of the variant's class which suits the image size.

    Raises:
        WeightsError: the folder has no such preset, or one of another size. The message says what
            is wrong, and what to do.
    """
    path = folder / CONFIG
    try:
        found, size = _read_config(path, spec, image_size)
    except FileNotFoundError as error:
        raise WeightsError(
            f"{folder} is not a preset of KerasHub, because it has no {CONFIG}: give a folder that "
            f"`save_to_preset` has written, or that Kaggle offers for {name}"
        ) from error
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise WeightsError(
            f"{path} is not a configuration of KerasHub ({type(error).__name__}: {error}): fetch "
            "it again"
        ) from error
    if not any(folder.glob("model*.weights.h5")):
        raise WeightsError(f"{folder} has no weights: the file {WEIGHTS} belongs beside {CONFIG}")
    if found != spec.network:
        raise WeightsError(
            f"{folder} has a {found}, but {name} needs a {spec.network}: give another folder or "
            "another variant"
        )
    if not spec.is_resizable and size != image_size:
        raise WeightsError(
            f"the position embeddings in {folder} are for pictures of {size} pixels, not "
            f"{image_size}: use --image-size {size}"
        )


def _read_config(path: Path, spec: PresetVariant, image_size: int) -> tuple[str, Any]:
    """Return the class of a preset, and the size of its pictures; `image_size` if it has none.

    Raises:
        OSError: the file cannot be opened.
        ValueError, LookupError, TypeError, AttributeError: it is not a configuration of KerasHub.
    """
    config = json.loads(path.read_text(encoding="utf-8"))
    found, arguments = str(config["class_name"]), config["config"]
    if found == spec.preset_class:
        found, arguments = spec.network, arguments["vision_encoder"]["config"]
    return found, arguments.get("image_shape", [image_size])[0]


def _download_error(name: str, page: str, error: Exception) -> WeightsError:
    reason = str(error).strip().splitlines()[0][:300] if str(error).strip() else repr(error)
    if re.search(r"\b40[13] ", reason):
        return WeightsError(
            f"the weights of {name} are gated: Kaggle gives them only to users who have accepted "
            f"their licence ({reason}).\n  Accept it at  {page}\n"
            "  Then set KAGGLE_API_TOKEN to a token of your account (kaggle.com, Settings, API),\n"
            "  or download the files and give their folder with --weights FOLDER."
        )
    return WeightsError(
        f"the weights of {name} cannot be downloaded here ({reason}).\n  Fetch  {page}\n"
        "  on a machine with internet access, and give the folder with config.json and\n"
        "  model.weights.h5 with --weights FOLDER (for trainers.compare: --plugins NAME=FOLDER),\n"
        "  or use the backbone pocket, whose weights are part of Graft."
    )
