"""The kit for outside packages: what is broken is found, and said in plain words."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import keras
import pytest
import tensorflow as tf

from plugins import registry
from plugins.base import Backbone, BackboneError, Variant
from plugins.registry import register, resolve
from plugins.scaling import as_is, to_bgr_minus_mean, to_unit_range
from trainers.conformance import __main__
from trainers.conformance.promises import Finding, examine

ROOT = Path(__file__).parents[3]
EXAMPLE = ROOT / "examples/graft-squeeze"


class Sound(Backbone):
    """Keeps every promise; each subclass breaks one."""

    family = "sound"
    default_variant = "s"
    variants = {"s": Variant("", 32, 768, to_unit_range)}
    pretrained = "none"

    def build(self, weights: str | None, image_size: int) -> Any:
        images = keras.Input((image_size, image_size, 3))
        maps = keras.layers.Conv2D(8, 3, 2, "same", name="first")(images)
        maps = keras.layers.BatchNormalization(name="norm")(maps)
        maps = self.middle(keras.layers.ReLU()(maps))
        return keras.Model(images, keras.layers.Conv2D(8, 3, 2, name="last")(maps[..., :7]))

    def middle(self, maps: Any) -> Any:
        return maps


@pytest.fixture
def tell(tmp_path: Path) -> Callable[..., str]:
    def told(backbone: Backbone, *promises: str) -> str:
        """The last finding for these promises, as it is printed."""
        chosen = {name: __main__.PROMISES[name] for name in promises}
        return str(list(examine(backbone, tmp_path, chosen, 32))[-1])

    return told


def scaled_by(scale: Callable[[Any], Any], application: str = "", parameters: int = 0) -> Backbone:
    class Scaled(Sound):
        variants = {"s": Variant(application, 32, parameters, scale)}

    if application:
        Scaled.build = Backbone.build  # type: ignore[method-assign]
    return Scaled()


def test_a_sound_backbone_keeps_every_promise() -> None:
    findings = list(__main__.check(Sound(), 32))
    assert [str(one) for one in findings if not one.is_kept] == []
    assert [one.promise for one in findings] == ["builds", *__main__.PROMISES]


def test_a_wrong_parameter_count_is_said_with_the_right_one(tell: Callable[..., str]) -> None:
    found = tell(scaled_by(to_unit_range, parameters=7), "parameters")
    assert found == "FAIL parameters: the network has 768 weights, its Variant says 7: write 768"


def test_pixels_that_nothing_scales_are_found(tell: Callable[..., str]) -> None:
    found = tell(scaled_by(as_is), "scaling")
    assert found.startswith("FAIL scaling: first sees ")
    assert "pixels that nothing scales; give the Variant the scale" in found


def test_pixels_scaled_twice_are_found(tell: Callable[..., str]) -> None:
    found = tell(scaled_by(lambda images: images / 255 / 255), "scaling")
    assert found.startswith("FAIL scaling: first sees 3.08e-05 to 0.0039")
    assert "scaled twice" in found


@pytest.mark.parametrize("scale", [to_unit_range, to_bgr_minus_mean, lambda images: images / 255])
def test_usual_scalings_are_accepted(scale: Any, tell: Callable[..., str]) -> None:
    assert tell(scaled_by(scale), "scaling").startswith("ok   scaling: first sees ")


def test_the_wrong_scaling_of_a_keras_network_is_found(tell: Callable[..., str]) -> None:
    found = tell(scaled_by(to_bgr_minus_mean, "MobileNetV2"), "scaling")
    assert "Keras' own preprocess_input of MobileNetV2 it would see -0.98" in found
    assert tell(scaled_by(to_unit_range, "MobileNetV2"), "scaling").startswith("ok")


def test_a_load_that_forgets_the_scaling_is_found(tell: Callable[..., str]) -> None:
    class Forgets(Sound):
        def load(self, weights: str | None = None, image_size: int | None = None) -> Any:
            return self.build(None, image_size or 32)

    assert "pixels that nothing scales" in tell(Forgets(), "scaling")
    assert "override build()" in tell(Forgets(), "smallest size")


def test_a_network_that_begins_with_its_own_normalisation_is_not_judged(
    tell: Callable[..., str],
) -> None:
    class Normalises(Sound):
        variants = {"s": Variant("", 32, 0, as_is)}

        def build(self, weights: str | None, image_size: int) -> Any:
            images = keras.Input((image_size, image_size, 3))
            return keras.Model(images, keras.layers.BatchNormalization()(images))

    assert "normalises by what it has learnt" in tell(Normalises(), "scaling")


def test_a_fixed_batch_is_found(tell: Callable[..., str]) -> None:
    class Fixed(Sound):
        def middle(self, maps: Any) -> Any:
            return keras.ops.reshape(maps, (8, 16, 16, 8))

    found = tell(Fixed())
    assert found.startswith("FAIL builds: the network gives (8, 7, 7, 8) in place of")
    assert "no Reshape with a fixed batch" in found


def test_pooled_features_and_a_wrong_input_are_found(tell: Callable[..., str]) -> None:
    class Pooled(Sound):
        def build(self, weights: str | None, image_size: int) -> Any:
            network = super().build(weights, image_size)
            pooled = keras.layers.GlobalAveragePooling2D()(network.output)
            return keras.Model(network.input, pooled)

    class Stubborn(Sound):
        def load(self, weights: str | None = None, image_size: int | None = None) -> Any:
            return super().load(weights, 48)

    assert "FAIL builds: the network gives (None, 8)" in tell(Pooled())
    assert "load() gave a network for (None, 48, 48, 3)" in tell(Stubborn())


def test_an_error_of_the_backbone_is_a_finding(tell: Callable[..., str]) -> None:
    class Raises(Sound):
        def build(self, weights: str | None, image_size: int) -> Any:
            raise KeyError("widths")

    assert tell(Raises()) == "FAIL builds: KeyError: 'widths'"


def test_a_too_small_smallest_size_is_found(tell: Callable[..., str]) -> None:
    class Large(Sound):
        variants = {"s": Variant("", 32, 768, to_unit_range, min_image_size=2)}

    assert "raise min_image_size" in tell(Large(), "smallest size")


def test_a_layer_that_is_random_at_inference_is_found(tell: Callable[..., str]) -> None:
    class Noise(keras.layers.Layer):
        def call(self, inputs: Any) -> Any:
            return inputs + tf.random.uniform(tf.shape(inputs))

    class Random(Sound):
        def middle(self, maps: Any) -> Any:
            return Noise()(maps)

    assert "a layer is random at inference" in tell(Random(), "answers")
    assert "a layer is random at inference" in tell(Random(), "export", "parity")


def test_pictures_that_depend_on_their_batch_are_found(tell: Callable[..., str]) -> None:
    class Mixes(Sound):
        def middle(self, maps: Any) -> Any:
            return maps - keras.ops.mean(maps, axis=0, keepdims=True)

    assert "a layer mixes the pictures of a batch" in tell(Mixes(), "answers")


def test_thawed_normalisation_is_found(tell: Callable[..., str]) -> None:
    class Thaws(Sound):
        def fine_tune(self, model: Any, layers: int) -> Any:
            model.trainable = True
            return [one for one in model.layers if one.trainable_weights][-layers:]

    found = tell(Thaws(), "fine-tuning")
    assert "FAIL fine-tuning: fine_tune() thaws BatchNormalization (norm)" in found
    found = tell(Thaws(), "fine-tuning", "training")
    assert "FAIL training: training moves the statistics of BatchNormalization (norm/mov" in found


def test_statistics_that_move_behind_a_frozen_flag_are_found(tell: Callable[..., str]) -> None:
    class Sly(keras.layers.BatchNormalization):
        """Counts pictures whatever `trainable` and `training` say."""

        def call(self, inputs: Any, training: Any = None, mask: Any = None) -> Any:
            self.moving_mean.assign(self.moving_mean * 0.9 + 0.1)
            return super().call(inputs, training=training, mask=mask)

    class Counts(Sound):
        def middle(self, maps: Any) -> Any:
            return Sly(name="sly")(maps)

    for promises in (["freezing"], ["fine-tuning", "training"]):
        found = tell(Counts(), *promises)
        assert "training moves the statistics of BatchNormalization (sly/moving_mean)" in found


def test_freezing_and_fine_tuning_of_ones_own_are_compared(tell: Callable[..., str]) -> None:
    class Lazy(Sound):
        def freeze(self, model: Any) -> None:
            pass

    class Few(Sound):
        def fine_tune(self, model: Any, layers: int) -> Any:
            return super().fine_tune(model, 1)

    assert "freeze() leaves first/kernel, " in tell(Lazy(), "freezing")
    assert "the last 5 layers with weights are first, last" in tell(Few(), "fine-tuning")


def test_weights_that_change_the_network_are_found(tell: Callable[..., str]) -> None:
    class Adjusts(Sound):
        def load_file(self, network: Any, path: Path) -> None:
            super().load_file(network, path)
            network.layers[-1].set_weights([w * 2 for w in network.layers[-1].get_weights()])

    assert "loaded from its own weights it answers otherwise" in tell(Adjusts(), "weights file")


def test_an_operation_without_onnx_form_is_named(tell: Callable[..., str]) -> None:
    class Bessel(keras.layers.Layer):
        def call(self, inputs: Any) -> Any:
            return tf.math.bessel_i0e(inputs)

    class Strange(Sound):
        def middle(self, maps: Any) -> Any:
            return Bessel()(maps)

    found = tell(Strange(), "export")
    assert found.startswith("FAIL export: ")
    assert "lacks TensorFlow's BesselI0e" in found


def test_an_export_that_answers_otherwise_is_found(tell: Callable[..., str]) -> None:
    class Drifts(keras.layers.Layer):
        """Other values each time it is traced, as an operation that converts wrongly has."""

        traced = 0

        def call(self, inputs: Any) -> Any:
            Drifts.traced += 1
            return inputs + float(Drifts.traced)

    class Drifting(Sound):
        def middle(self, maps: Any) -> Any:
            return Drifts()(maps)

    assert "FAIL parity: the onnx export differs from Keras by" in tell(
        Drifting(), "export", "parity"
    )


@pytest.fixture
def broken_family() -> Iterator[str]:
    class Broken(Sound):
        family = "broken"
        variants = {"s": Variant("", 32, 1, to_unit_range)}

    register(Broken)
    yield "broken"
    registry._registered.pop("broken")


def test_the_command_line_exits_2_with_what_is_broken(
    broken_family: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(__main__, "PROMISES", {"parameters": __main__.PROMISES["parameters"]})
    assert __main__.main([broken_family, "--image-size", "32"]) == 2
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("ok   builds: ")
    assert lines[1].startswith("FAIL parameters: ")
    assert lines[2] == "broken:s: 1 broken"
    assert __main__.main(["tiny"]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "tiny:s: keeps every promise"


def test_an_unknown_name_exits_2_with_the_closest(capsys: pytest.CaptureFixture[str]) -> None:
    assert __main__.main(["resnett"]) == 2
    assert "Did you mean `resnet`?" in capsys.readouterr().err


@pytest.mark.parametrize("size", ["0", "-3", "99999999", "x"])
def test_a_size_that_no_run_takes_is_refused(size: str) -> None:
    with pytest.raises(SystemExit) as caught:  # by argparse, which names the option
        __main__.main(["pocket", "--image-size", size])
    assert caught.value.code == 2


def test_help_brings_no_framework() -> None:
    code = "import sys; from trainers.conformance import main; sys.argv[1:] = ['--help'];"
    code += "import atexit; atexit.register(lambda: print(*sys.modules)); main()"
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT)
    assert "FAMILY[:VARIANT]" in done.stdout
    assert not {"keras", "tensorflow", "onnx"} & set(done.stdout.split())


def test_a_size_below_the_smallest_is_refused() -> None:
    with pytest.raises(BackboneError, match=r"xception:1 needs pictures of at least 71 pixels a"):
        resolve("xception").load("none", 70)


def test_a_finding_reads_as_a_line() -> None:
    assert str(Finding("scaling", True, "fine")) == "ok   scaling: fine"


@pytest.mark.slow
def test_the_example_package_enters_by_its_entry_point_and_passes(tmp_path: Path) -> None:
    lines = [file.read_text().splitlines() for file in EXAMPLE.glob("*.*")]
    assert sum(map(len, lines)) <= 40
    source = tmp_path / "source"
    source.mkdir()
    for file in EXAMPLE.glob("*.*"):
        (source / file.name).write_text(file.read_text())
    target = tmp_path / "installed"
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation"]
    subprocess.run([*pip, "--no-index", "--target", target, source], check=True)

    def run(module: str, *arguments: str) -> str:
        path = os.pathsep.join([str(target), str(ROOT)])
        environment = {**os.environ, "PYTHONPATH": path}
        command = [sys.executable, "-m", module, *arguments]
        done = subprocess.run(
            command, capture_output=True, text=True, check=False, env=environment, cwd=tmp_path
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    assert "squeeze:1 " in run("trainers.run", "--list-plugins")
    assert (
        run("trainers.conformance", "squeeze").splitlines()[-1] == "squeeze:1: keeps every promise"
    )
