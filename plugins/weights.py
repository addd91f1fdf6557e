"""Loads weights from a file. If that fails, the error explains how to get the weights."""

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
    """Weights cannot be loaded. The message says what was expected and what to do."""


def check_file(path: Path, name: str) -> None:
    """Check that a weights file exists and has one of the suffixes that Keras can load.

    Args:
        name: `family:variant` of the backbone, for the error message.

    Raises:
        WeightsError: the file does not exist, or has another suffix.
    """
    if not path.is_file():
        raise WeightsError(
            f"the weights file {path} does not exist: give the path of a file with weights of "
            f"{name}, or `none` for random weights"
        )
    if path.suffix not in SUFFIXES:
        raise WeightsError(
            f"{path} cannot be loaded: give a weights file whose name ends in "
            f"{' or '.join(SUFFIXES)}"
        )


def load_weights(network: keras.Model, path: Path, name: str) -> None:
    """Load all weights of `network` from a file.

    Args:
        path: a `.h5` or `.weights.h5` file with the weights, or a `.keras` file with the whole
            network.
        name: `family:variant` of the backbone, for the error message.

    Raises:
        WeightsError: the file does not exist, has a suffix that Keras cannot load, or does not fit
            the network. Some of the weights may already have been loaded, so the network must not
            be used.
    """
    import keras

    check_file(path, name)
    try:
        with warnings.catch_warnings():
            # If weights are missing in the file, Keras only warns.
            warnings.simplefilter("error", UserWarning)
            if path.suffix == ".keras":
                saved = keras.saving.load_model(path, compile=False, safe_mode=True)
                assign_weights(network, saved.get_weights())
            else:
                network.load_weights(path)
    except Exception as error:  # Keras and h5py raise errors of many types for damaged files
        reason = str(error).strip().splitlines()[0][:300] if str(error).strip() else repr(error)
        raise WeightsError(
            f"{path} does not fit {name} without its top layers. The file must contain "
            f"{_shape_summary(network)}. Keras reports: {reason}"
        ) from error


def download_error(name: str, error: Exception) -> WeightsError:
    """Return a WeightsError that replaces Keras' download error, and says what to do.

    If Keras' message contains the URL of the file, the new message names this URL, and the path at
    which Keras looks for the file. The user can then copy the file to this path.
    """
    match = re.search(r"https?://[^\s:]+(?::\d+)?[^\s:]*", str(error))
    if not match:
        return WeightsError(
            f"the ImageNet weights of {name} cannot be loaded: {error}. Choose another backbone, "
            "or give the path of a weights file with --weights PATH"
        )
    url = match.group()
    cached = keras_home() / "models" / url.rsplit("/", 1)[-1]
    return WeightsError(
        f"the ImageNet weights of {name} cannot be downloaded here.\n"
        f"  Fetch  {url}\n"
        f"  on a machine with internet access and copy it to\n         {cached}\n"
        "  (where Keras looks for it). Or give the path of the file with --weights PATH\n"
        "  (for trainers.compare: --plugins NAME=PATH), or use the backbone pocket, whose\n"
        "  weights are part of Graft.\n"
        "  (--weights none means random weights, which need more than a few hundred pictures.)"
    )


def set_keras_environment() -> None:
    """Set the variables that TensorFlow and Keras read once, when they are imported."""
    os.environ["KERAS_BACKEND"] = "tensorflow"
    os.environ.setdefault("KERAS_HOME", str(keras_home()))  # Keras's default may be ./~
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")


def keras_home() -> Path:
    """Return the folder that Keras downloads into.

    This is the value of the environment variable KERAS_HOME if that is set. Otherwise it is
    `.keras` in the home folder, or /tmp/.keras if the home folder is not writable.
    """
    home = os.path.expanduser("~")  # noqa: PTH111 - as Keras does it: without a home folder, ~ stays
    default = Path(home if os.access(home, os.W_OK) else "/tmp") / ".keras"
    return Path(os.environ.get("KERAS_HOME", default))


def _shape_summary(network: keras.Model) -> str:
    weights = network.weights
    first, last = weights[0], weights[-1]
    return (
        f"{len(weights)} arrays, from {first.path} {tuple(first.shape)} "
        f"to {last.path} {tuple(last.shape)}"
    )
