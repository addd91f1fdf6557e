from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from trainers.cache import code_identity

FILES = {
    "graft_a/__init__.py": "",
    "graft_a/net.py": "from . import layers\nfrom graft_a.sub.deep import x\nimport numpy",
    "graft_a/layers.py": "def f():\n    import graft_alone",
    "graft_a/sub/__init__.py": "from ..wide import y",
    "graft_a/sub/deep.py": "from .near import z\nx = 1",
    "graft_a/sub/near.py": "z = 1",
    "graft_a/wide.py": "from graft_a import net\ny = 1",
    "graft_a/other.py": "import graft_a.net",
    "graft_alone.py": "raise AssertionError('nothing is imported to be hashed')",
}


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name, text in FILES.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    importlib.invalidate_caches()
    return tmp_path


def identity(*names: str) -> str:
    code_identity.identity.cache_clear()
    return code_identity.identity(*names)


@pytest.mark.parametrize("name", sorted({*FILES} - {"graft_a/other.py"}))
def test_a_change_of_an_imported_module_changes_the_hash(package: Path, name: str) -> None:
    before = identity("graft_a.net")
    assert identity("graft_a.net") == before
    with (package / name).open("a") as file:
        file.write("\n# changed\n")
    assert identity("graft_a.net") != before
    assert not {name for name in sys.modules if name.startswith("graft_a")}


def test_a_change_of_another_module_does_not_change_the_hash(package: Path) -> None:
    before = identity("graft_a.net")
    (package / "graft_a/other.py").write_text("changed = 1")
    assert identity("graft_a.net") == before


def test_the_version_of_another_distribution_changes_the_hash(
    package: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = identity("graft_a.net")
    version = code_identity.version
    changed: Callable[[str], str] = lambda name: "0" if name == "numpy" else version(name)  # noqa: E731
    monkeypatch.setattr(code_identity, "version", changed)
    assert identity("graft_a.net") != before


@pytest.fixture
def _clear_identity_cache() -> Iterator[None]:
    yield
    code_identity.identity.cache_clear()


@pytest.mark.usefixtures("_clear_identity_cache")
@pytest.mark.parametrize(
    ("maker", "module"),
    [
        *(
            ("trainers.features.network", f"trainers.{name}")
            for name in ("features.frozen_features", "features.augmentation", "model.classifier")
        ),
        *(
            ("trainers.features.network", name)
            for name in ("trainers.model.conversion", "service.engine.onnx_session")
        ),
        *(
            ("plugins.families.pocket", f"plugins.{name}")
            for name in ("families.pocket", "base", "scaling")
        ),
        *(
            ("trainers.dataset.duplicates", name)
            for name in ("trainers.dataset.inspection", "service.imaging")
        ),
        *(
            ("trainers.dataset.inspection", f"service.imaging.{name}")
            for name in ("decoding", "readers.jpeg", "readers.png")
        ),
    ],
)
def test_a_change_of_any_module_that_affects_a_record_changes_the_hash(
    maker: str, module: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hash_before, find = identity(maker), code_identity._file

    def find_changed(name: str) -> Path | None:
        path = find(name)
        if name != module or path is None:
            return path
        (tmp_path / path.name).write_bytes(path.read_bytes() + b"\n# changed\n")
        return tmp_path / path.name

    monkeypatch.setattr(code_identity, "_file", find_changed)
    assert identity(maker) != hash_before
