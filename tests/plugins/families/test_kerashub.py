"""The family kerashub: without its package, from training to a bundle, and what its maps mean."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from plugins.base import BackboneError
from plugins.families import kerashub
from plugins.registry import format_table, resolve
from service.bundle.reading import Bundle
from tests.plugins.families.kerashub.conftest import build_tiny
from trainers.run import main


def test_without_the_package_the_list_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "cannot be used yet" not in format_table()
    monkeypatch.setattr(kerashub, "find_spec", lambda _: None)
    assert "kerashub:swin-tiny " in format_table()
    assert "kerashub cannot be used yet: it needs the package keras-hub: .venv" in format_table()
    with pytest.raises(
        BackboneError, match=r"kerashub:swin-tiny cannot be used: it needs .* -r req"
    ):
        resolve("kerashub:swin-tiny").load("none")


def test_without_the_package_a_run_ends_with_2(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(kerashub, "find_spec", lambda _: None)
    assert main(["--plugin", "kerashub", "--data", "demo"]) == 2
    assert "requirements/train-kerashub.txt" in capsys.readouterr().err


@pytest.mark.parametrize(("size", "choices"), [(225, "224 or 238"), (43, "42 or 56")])
def test_other_sizes_than_multiples_of_the_patch_size_are_refused(size: int, choices: str) -> None:
    with pytest.raises(BackboneError, match=rf"a multiple of 14, not {size}: choose {choices} \(d"):
        resolve("kerashub:dinov2-small").validate("none", size)


def test_each_variant_has_its_own_weights_and_licence() -> None:
    first, second = resolve("kerashub:dinov2-base"), resolve("kerashub:swin-tiny")
    assert (first.pretrained, first.weights_licence) == ("dinov2_base", "Apache-2.0")
    assert (second.pretrained, second.weights_licence) == (
        "swin_tiny_patch4_window7_224",
        "MIT",
    )


@pytest.mark.long
def test_a_preset_is_trained_fine_tuned_and_exported(
    tmp_path: Path, draw_folder: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    build_tiny("dinov2").save_to_preset(str(tmp_path / "tiny-dinov2"))
    data = draw_folder(tmp_path / "pictures", red=14, green=14, blue=14)
    command = ["--plugin", "kerashub:dinov2-small", "--weights", str(tmp_path / "tiny-dinov2")]
    command += ["--image-size", "56", "--data", str(data), "--output", str(tmp_path / "out")]
    command += ["--strategy", "fine-tune", "--fine-tune-epochs", "1", "--fine-tune-layers", "2"]
    assert main([*command, "--name", "kerashub", "--export", "keras"]) == 0
    bundle = Bundle.read(Path(capsys.readouterr().out.splitlines()[-1]))
    metrics = json.loads(bundle.content("metrics.json"))
    assert metrics["parity"]["max_difference"]["onnx"] < 1e-5
    assert metrics["parity"]["max_difference"]["keras"] < 1e-5
    assert metrics["parity"]["heat_maps"]["difference"] < 1e-3
    shapes = {output.name: output.shape for output in bundle.manifest.outputs}
    assert shapes["embedding"] == ("batch", 32)
    assert bundle.manifest.provenance.weights["source"] == "tiny-dinov2"
    assert np.isfinite(metrics["test"]["accuracy"])
