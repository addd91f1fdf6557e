"""Weights from files and downloads, and the errors of those that do not fit."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest

from plugins.registry import resolve
from plugins.weights import WeightsError, keras_home, set_keras_environment

REAL = "mobilenet_v2_weights_tf_dim_ordering_tf_kernels_0.35_224_no_top.h5"


@pytest.fixture(scope="module")
def original() -> keras.Model:
    """A network whose weights differ from those of a new one."""
    keras.utils.set_random_seed(5)
    return resolve("tiny").build(None, 32)


@pytest.mark.parametrize("suffix", [".weights.h5", ".keras", ".h5"])
def test_weights_are_loaded_from_every_kind_of_file(
    original: keras.Model, suffix: str, tmp_path: Path
) -> None:
    path = tmp_path / f"tiny{suffix}"
    if suffix == ".weights.h5":
        original.save_weights(path)
    else:
        original.save(path)
    loaded = resolve("tiny").load(str(path))
    for expected, actual in zip(original.get_weights(), loaded.get_weights(), strict=True):
        np.testing.assert_array_equal(actual, expected)


def test_a_missing_file_is_named() -> None:
    with pytest.raises(
        WeightsError,
        match=r"file nowhere\.h5 does not exist: .* of tiny:s, or `none`",
    ):
        resolve("tiny").load("nowhere.h5")


def test_an_unknown_suffix_is_refused(tmp_path: Path) -> None:
    (tmp_path / "weights.pkl").write_bytes(b"x")
    with pytest.raises(WeightsError, match=r"ends in \.h5 or \.keras"):
        resolve("tiny").load(str(tmp_path / "weights.pkl"))


@pytest.mark.parametrize("suffix", [".weights.h5", ".keras", ".h5"])
def test_a_damaged_file_is_refused(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"garbage{suffix}"
    path.write_bytes(b"not weights at all" * 100)
    with pytest.raises(WeightsError, match="does not fit tiny:s without its top"):
        resolve("tiny").load(str(path))


@pytest.mark.parametrize("suffix", [".weights.h5", ".keras"])
def test_weights_of_another_network_are_refused_with_the_expected_shapes(
    suffix: str, tmp_path: Path
) -> None:
    images = keras.Input((32, 32, 3))
    other = keras.Model(images, keras.layers.Conv2D(7, 3)(images))
    path = tmp_path / f"other{suffix}"
    other.save_weights(path) if suffix == ".weights.h5" else other.save(path)
    with pytest.raises(WeightsError, match=r"18 arrays, from .*kernel \(3, 3, 3, 8\)"):
        resolve("tiny").load(str(path))


def test_a_failed_download_names_the_file_and_its_folder() -> None:
    with pytest.raises(WeightsError) as caught:
        resolve("tiny").load("imagenet")
    message = str(caught.value)
    assert "https://example.org/tiny.h5" in message
    assert str(Path("models", "tiny.h5")) in message
    assert "--weights PATH" in message


def test_the_download_folder_is_defined_without_a_home_folder(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("KERAS_HOME", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert keras_home() == tmp_path / ".keras"
    for home in ("/nowhere", "~"):  # not writable, and the value for a missing home folder
        monkeypatch.setenv("HOME", home)
        assert keras_home() == Path("/tmp/.keras")
    monkeypatch.setenv("KERAS_HOME", "/elsewhere")
    assert keras_home() == Path("/elsewhere")


@pytest.mark.slow
def test_no_library_makes_a_folder_called_tilde(tmp_path: Path) -> None:
    """Without a home folder, TensorFlow's copy of Keras would create one."""
    code = "from trainers.hardware import prepare; prepare(0)"
    environment = {**os.environ, "HOME": "~", "PYTHONPATH": str(Path(__file__).parents[2])}
    environment.pop("KERAS_HOME", None)
    command = [sys.executable, "-c", code]
    subprocess.run(command, check=True, capture_output=True, cwd=tmp_path, env=environment)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_imagenet_without_internet_access_names_the_file_to_fetch(tmp_path: Path) -> None:
    code = "from plugins.registry import resolve; resolve('mobilenet:v2-0.35').load('imagenet')"
    environment = {**os.environ, "KERAS_HOME": str(tmp_path), "https_proxy": "http://127.0.0.1:9"}
    command = [sys.executable, "-c", code]
    completed = subprocess.run(
        command, capture_output=True, text=True, check=False, env=environment
    )
    assert "Fetch  https://storage.googleapis.com/tensorflow/keras-applications" in completed.stderr
    assert str(tmp_path / "models" / REAL) in completed.stderr


@pytest.mark.real
@pytest.mark.slow
def test_imagenet_weights_are_found_in_the_folder_that_the_message_names(
    shared: Path, tmp_path: Path
) -> None:
    """The real file gives the same weights with `imagenet` and with its path."""
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / REAL).symlink_to(shared / "weights" / REAL)
    code = """
import sys
import numpy as np
from plugins.registry import resolve
backbone = resolve("mobilenet:v2-0.35")
cached, named = backbone.load("imagenet").get_weights(), backbone.load(sys.argv[1]).get_weights()
assert all(np.array_equal(a, b) for a, b in zip(cached, named, strict=True))
print(len(named))
"""
    environment = {**os.environ, "KERAS_HOME": str(tmp_path)}
    command = [sys.executable, "-c", code, str(shared / "weights" / REAL)]
    completed = subprocess.run(
        command, capture_output=True, text=True, check=False, env=environment
    )
    assert completed.returncode == 0, completed.stderr
    assert int(completed.stdout) == 260


@pytest.mark.real
def test_real_weights_of_another_width_are_refused(shared: Path) -> None:
    with pytest.raises(WeightsError, match=r"does not fit mobilenet:v2-0\.5"):
        resolve("mobilenet:v2-0.5").load(str(shared / "weights" / REAL), 96)


def test_the_backend_is_tensorflow_and_other_choices_are_kept(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("KERAS_BACKEND", "jax")
    monkeypatch.setenv("KERAS_HOME", "/keras")
    monkeypatch.delenv("TF_CPP_MIN_LOG_LEVEL", raising=False)
    set_keras_environment()
    assert os.environ["KERAS_BACKEND"] == "tensorflow"
    assert os.environ["KERAS_HOME"] == "/keras"
    assert os.environ["TF_CPP_MIN_LOG_LEVEL"] == "2"
