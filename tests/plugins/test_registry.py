from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from plugins.base import Backbone, BackboneError, Variant
from plugins.registry import families, format_table, full_names, register, resolve, suggest_name
from plugins.scaling import as_is


def test_well_known_families_are_registered() -> None:
    assert {"efficientnet", "mobilenet", "resnet", "vgg"} <= set(families())


def test_a_family_alone_means_its_default_variant() -> None:
    assert resolve("efficientnet").name == "efficientnet:b0"
    assert resolve("mobilenet").name == "mobilenet:v2-1.0"


def test_every_listed_name_resolves_to_itself() -> None:
    assert all(resolve(name).name == name for name in full_names())


def test_an_unknown_family_is_refused_with_a_suggestion_and_all_names() -> None:
    with pytest.raises(BackboneError, match=r"`eficientnet`\. Did you mean `efficientnet`\?.*vgg"):
        resolve("eficientnet")


def test_an_unknown_variant_is_refused_with_a_suggestion_and_all_names() -> None:
    with pytest.raises(
        BackboneError, match=r"`resnet:510`.*mean `resnet:50`\?.*resnet:50, resnet:101"
    ):
        resolve("resnet:510")


@pytest.mark.parametrize(
    ("name", "suggestion"),
    [
        *[("resnet50", "resnet:50"), ("ResNet-50", "resnet:50"), ("ResNet50V2", "resnet:50-v2")],
        *[("EfficientNetB0", "efficientnet:b0"), ("EfficientNetV2S", "efficientnet:v2-s")],
        *[("efficientnet_b3", "efficientnet:b3"), ("tf_efficientnet_b0", "efficientnet:b0")],
        *[("mobilenetv2", "mobilenet:v2-1.0"), ("MobileNetV1", "mobilenet:v1-1.0")],
        *[("mobilenet_v3_large", "mobilenet:v3-large"), ("mobilenet:0.35", "mobilenet:v2-0.35")],
        *[("vgg-16", "vgg:16"), ("VGG", "vgg"), ("densenet121", "densenet:121")],
        *[("InceptionResNetV2", "inception:resnet-v2"), ("NASNetLarge", "nasnet:large")],
        *[("keras.applications.ConvNeXtTiny", "convnext:tiny"), ("Xception", "xception")],
    ],
)
def test_names_of_keras_and_other_libraries_get_a_suggestion(name: str, suggestion: str) -> None:
    with pytest.raises(BackboneError, match=f"Did you mean `{suggestion}`"):
        resolve(name)
    resolve(suggestion)


def test_the_suggestion_for_a_keras_function_builds_that_network() -> None:
    for backbone in families().values():
        for spec in backbone.variants.values():
            name = spec.application
            if name and name != "MobileNet":  # also the name of a family of Graft
                assert resolve(str(suggest_name(name)))._spec.application == name


def test_a_name_similar_to_none_gets_no_suggestion() -> None:
    with pytest.raises(BackboneError, match=r"^there is no backbone `yolov8`\. Available: "):
        resolve("yolov8")


def test_a_default_that_is_not_among_the_variants_is_refused() -> None:
    class Broken(Backbone):
        family = "broken"
        default_variant = "x"
        variants = {"s": Variant("", 32, 0, as_is)}

    with pytest.raises(BackboneError, match="default_variant `x` is not among its variants"):
        register(Broken)
    assert "broken" not in families()


def test_a_taken_name_is_refused() -> None:
    class Duplicate(Backbone):
        family = "vgg"
        default_variant = "s"
        variants = {"s": Variant("", 32, 0, as_is)}

    with pytest.raises(BackboneError, match=r"already registered by plugins\.families\.vgg"):
        register(Duplicate)
    assert families()["vgg"].__name__ == "VGG"


def test_the_table_has_a_line_for_every_name_and_marks_defaults() -> None:
    lines = format_table().splitlines()
    assert len(lines) == len(list(full_names())) + 2
    assert next(line for line in lines if line.startswith("resnet:50 ")).endswith("224 *")
    assert next(line for line in lines if line.startswith("resnet:101 ")).endswith("224")


@pytest.fixture
def outside_package(tmp_path: Path) -> Path:
    """An installed third-party package: one module and its entry points."""
    (tmp_path / "outsider.py").write_text(
        textwrap.dedent("""
            from plugins.base import Backbone, Variant
            from plugins.registry import register
            from plugins.scaling import as_is

            @register
            class Outsider(Backbone):
                family = "outsider"
                default_variant = "one"
                variants = {"one": Variant("", 32, 5, as_is)}
        """)
    )
    metadata = tmp_path / "outsider-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: outsider\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text(
        "[graft.backbones]\noutsider = outsider\nbroken = nowhere_to_be_found\n"
    )
    return tmp_path


def test_packages_are_found_by_entry_point_and_broken_ones_only_warn(
    outside_package: Path,
) -> None:
    code = f"""
        import sys, warnings
        sys.path.insert(0, {str(outside_package)!r})
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            from plugins.registry import resolve
            print(resolve("outsider:one").name)
            print(caught[0].message)
    """
    command = [sys.executable, "-c", textwrap.dedent(code)]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert printed.splitlines()[0] == "outsider:one"
    assert "backbone plugin `broken` (nowhere_to_be_found) cannot be loaded" in printed


def test_listing_backbones_imports_no_framework() -> None:
    code = (
        "import sys; from plugins.registry import format_table; format_table(); print(*sys.modules)"
    )
    command = [sys.executable, "-c", code]
    modules = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    assert not {"keras", "tensorflow", "bentoml"} & set(modules)
