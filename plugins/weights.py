"""Loads weights from a file, and explains in errors what to do when they cannot be had."""

from __future__ import annotations

import os
import re
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

from plugins.copying import assign_weights

if TYPE_CHECKING:
    import keras

SUFFIXES = (".h5", ".keras")


class WeightsError(ValueError):
    """Weights cannot be loaded; the message says what was expected and what to do."""


def check_file(path: Path, name: str) -> None:
    """Check that a file exists and has the suffix of a weights file.

    Args:
        name: `family:variant`, for the message.

    Raises:
        WeightsError: it does not.
    """
    if not path.is_file():
        raise WeightsError(
            f"no weights file {path}; name a file of {name}, `none`, or leave --weights out"
        )
    if path.suffix not in SUFFIXES:
        raise WeightsError(f"{path}: weights are read from {' '.join(SUFFIXES)} files")


def load_weights(network: keras.Model, path: Path, name: str) -> None:
    """Load all weights of `network` from a file.

    Args:
        path: `.h5` or `.weights.h5` with the weights, or `.keras` with the whole network.
        name: `family:variant`, for the message.

    Raises:
        WeightsError: the file does not fit. Some weights may have been loaded: drop the network.
    """
    import keras

    check_file(path, name)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", UserWarning)  # "... retain their initial weights"
            if path.suffix == ".keras":
                saved = keras.saving.load_model(path, compile=False, safe_mode=True)
                assign_weights(network, saved.get_weights())
            else:
                network.load_weights(path)
    except Exception as error:  # Keras and h5py raise errors of many types for damaged files
        reason = str(error).strip().splitlines()[0][:300] if str(error).strip() else repr(error)
        raise WeightsError(
            f"{path} does not fit {name} without its top, which has {_shape_summary(network)}. "
            f"Keras says: {reason}"
        ) from error


def download_error(name: str, error: Exception) -> WeightsError:
    """Make an error about a failed download: which file, from where, into which folder."""
    match = re.search(r"https?://[^\s:]+(?::\d+)?[^\s:]*", str(error))
    if not match:
        return WeightsError(f"ImageNet weights of {name} cannot be loaded: {error}")
    url = match.group()
    cached = keras_home() / "models" / url.rsplit("/", 1)[-1]
    return WeightsError(
        f"the ImageNet weights of {name} cannot be downloaded here.\n"
        f"  Fetch  {url}\n"
        f"  on a machine with internet access and put it at\n         {cached}\n"
        "  (where Keras looks for it), or name the file with --weights PATH,\n"
        "  or use --plugin pocket, whose weights are part of Graft.\n"
        "  (--weights none starts from random weights; a few hundred pictures are too few for it.)"
    )


def keras_home() -> Path:
    """Return the folder of Keras' downloads: KERAS_HOME, else .keras in the home folder, else
    /tmp/.keras where the home folder cannot be written to."""
    home = os.path.expanduser("~")  # noqa: PTH111 - stays ~ without a home folder, as in Keras
    default = Path(home if os.access(home, os.W_OK) else "/tmp") / ".keras"
    return Path(os.environ.get("KERAS_HOME", default))


def _shape_summary(network: keras.Model) -> str:
    weights = network.weights
    first, last = weights[0], weights[-1]
    return (
        f"{len(weights)} arrays, from {first.path} {tuple(first.shape)} "
        f"to {last.path} {tuple(last.shape)}"
    )
