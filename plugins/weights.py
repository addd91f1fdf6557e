"""Weights from a file or from Keras' download: all of them, or an error that says what to do."""

from __future__ import annotations

import os
import re
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

from plugins.copying import fill

if TYPE_CHECKING:
    import keras

SUFFIXES = (".h5", ".keras")


class WeightsError(ValueError):
    """Weights cannot be had or do not fit; the message says what was expected and what next."""


def require_file(path: Path, name: str) -> None:
    """Raise WeightsError unless there is a file that may hold weights of `name`."""
    if not path.is_file():
        raise WeightsError(
            f"no weights file {path}; name a file of {name}, `none`, or leave --weights out"
        )
    if path.suffix not in SUFFIXES:
        raise WeightsError(f"{path}: weights are read from {' '.join(SUFFIXES)} files")


def fit_file(network: keras.Model, path: Path, name: str) -> None:
    """Fill `network` with the weights in `path`, or raise WeightsError and leave it to be dropped.

    Args:
        path: `.h5` or `.weights.h5` with the weights, or `.keras` with the whole network.
        name: `family:variant`, for the message.
    """
    import keras

    require_file(path, name)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", UserWarning)  # "... retain their initial weights"
            if path.suffix == ".keras":
                saved = keras.saving.load_model(path, compile=False, safe_mode=True)
                fill(network, saved.get_weights())
            else:
                network.load_weights(path)
    except Exception as error:  # Keras and h5py raise whatever type the damage happens to meet
        reason = str(error).strip().splitlines()[0][:300] if str(error).strip() else repr(error)
        raise WeightsError(
            f"{path} does not fit {name} without its top, which has {_shape_summary(network)}. "
            f"Keras says: {reason}"
        ) from error


def unreachable(name: str, error: Exception) -> WeightsError:
    """Explain a failed download: which file, from where, to which folder."""
    found = re.search(r"https?://[^\s:]+(?::\d+)?[^\s:]*", str(error))
    if not found:
        return WeightsError(f"ImageNet weights of {name} cannot be loaded: {error}")
    url = found.group()
    home = Path(os.environ.get("KERAS_HOME", Path.home() / ".keras"))
    cached = home / "models" / url.rsplit("/", 1)[-1]
    return WeightsError(
        f"the ImageNet weights of {name} cannot be downloaded here.\n"
        f"  Fetch  {url}\n"
        f"  on a machine with internet and put it at\n         {cached}\n"
        "  (where Keras looks for it), or pass the file by --weights PATH,\n"
        "  or take --plugin pocket, whose weights lie in the package\n"
        "  (--weights none starts from random ones, which a few hundred pictures seldom bear)."
    )


def _shape_summary(network: keras.Model) -> str:
    weights = network.weights
    first, last = weights[0], weights[-1]
    return (
        f"{len(weights)} arrays, from {first.path} {tuple(first.shape)} "
        f"to {last.path} {tuple(last.shape)}"
    )
