from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import bentoml
import pytest
from bentoml._internal.configuration.containers import BentoMLContainer

from service.bundle.manifest import Manifest
from service.bundle.reading import Bundle
from service.bundle.sealing import seal
from service.bundle.store import list_champions, resolve, roll_back, save
from service.errors import BundleError, SettingError
from service.system.locks import file_lock
from trainers.workspace import workspace


@pytest.fixture(autouse=True)
def store(empty_home: Path) -> Path:
    return empty_home / "models"


@pytest.fixture
def other_bundle(staging: Path, manifest: Manifest) -> Bundle:
    return seal(staging, manifest.model_copy(update={"created": "later"}), staging.parent)


@pytest.fixture
def third_bundle(other_bundle: Bundle, manifest: Manifest, tmp_path: Path) -> Bundle:
    staging = Path(shutil.copytree(other_bundle.path, tmp_path / "third"))
    (staging / "manifest.json").unlink()
    return seal(staging, manifest.model_copy(update={"created": "last"}), tmp_path)


def read_tags(*aliases: str) -> list[str]:
    """Return the tags of the bundles that the store has under these aliases of `tiny`."""
    return [Bundle.read(resolve(f"tiny:{alias}")).manifest.tag for alias in aliases]


class Killed(BaseException):
    """Simulates that the process is killed."""


def kill(*_: object) -> None:
    raise Killed


def test_saved_bundle_is_found_by_tag_by_latest_and_by_name(tiny_bundle: Bundle) -> None:
    tag = save(tiny_bundle)
    assert tag == f"tiny:{tiny_bundle.manifest.version}"
    for reference in (tag, "tiny:latest", "tiny"):
        bundle = Bundle.read(resolve(reference))
        assert bundle.manifest == tiny_bundle.manifest
        assert bundle.path != tiny_bundle.path


def test_a_folder_is_resolved_to_itself(
    tiny_bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert resolve(str(tiny_bundle.path)) == tiny_bundle.path
    monkeypatch.chdir(tiny_bundle.path.parent)
    assert resolve(tiny_bundle.path.name) == tiny_bundle.path


def test_latest_is_the_bundle_saved_last(tiny_bundle: Bundle, other_bundle: Bundle) -> None:
    save(tiny_bundle)
    assert Bundle.read(resolve("tiny:latest")).manifest == tiny_bundle.manifest
    save(other_bundle)
    assert Bundle.read(resolve("tiny:latest")).manifest == other_bundle.manifest
    assert Bundle.read(resolve(f"tiny:{tiny_bundle.manifest.version}")).manifest.created < "later"


def test_saving_twice_changes_nothing(tiny_bundle: Bundle, other_bundle: Bundle) -> None:
    tag = save(tiny_bundle)
    save(other_bundle)
    (resolve(tag) / "model.onnx").touch()
    stat_before = (resolve(tag) / "model.onnx").stat()
    assert save(tiny_bundle) == tag
    assert (resolve(tag) / "model.onnx").stat() == stat_before
    assert len(bentoml.models.list("tiny")) == 2


def test_save_repairs_latest_after_a_killed_save(
    tiny_bundle: Bundle, other_bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    save(tiny_bundle)
    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", kill)
        with pytest.raises(Killed):
            save(other_bundle)
    assert Bundle.read(resolve("tiny:latest")).manifest == tiny_bundle.manifest  # never empty
    save(other_bundle)
    assert Bundle.read(resolve("tiny:latest")).manifest == other_bundle.manifest


def test_everything_is_on_the_disk_before_it_is_in_the_store(
    tiny_bundle: Bundle, store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    events: list[str] = []
    fsync = os.fsync

    def record_fsync(descriptor: int) -> None:
        path = Path(f"/proc/self/fd/{descriptor}").resolve()
        events.append(f"{path.name}, {(store / 'tiny/latest').exists()}")
        fsync(descriptor)

    def record_rename(self: Path, target: Path) -> None:
        events.append("rename")
        os.rename(self, target)  # noqa: PTH104  # Path.rename is replaced by this function

    monkeypatch.setattr(os, "fsync", record_fsync)
    monkeypatch.setattr(Path, "rename", record_rename)
    save(tiny_bundle)
    rename_index = events.index("rename")
    copied = {"model.yaml", "golden", tiny_bundle.manifest.version}
    copied |= {path.name for path in tiny_bundle.path.rglob("*") if path.is_file()}
    assert set(events[:rename_index]) == {f"{name}, False" for name in copied}
    assert events[rename_index + 1 :] == [".latest, False", "tiny, True"]


def test_folder_of_a_killed_save_is_removed_by_the_next(tiny_bundle: Bundle, store: Path) -> None:
    abandoned = store.parent / ".graft-store-killed.partial"
    (abandoned / "tiny").mkdir(parents=True)
    (abandoned / "tiny/model.onnx").write_bytes(b"half")
    save(tiny_bundle)
    assert not abandoned.exists()
    assert not list(store.parent.glob(".graft-*.partial"))


def test_the_workspace_of_a_training_run_is_kept(tiny_bundle: Bundle, store: Path) -> None:
    """Output and BENTOML_HOME may be one folder, as on a single volume."""
    with workspace(store.parent) as work:
        save(tiny_bundle)
        assert work.is_dir()


def test_folder_of_a_running_save_is_kept(tiny_bundle: Bundle, store: Path) -> None:
    folder = store.parent / ".graft-store-going-on.partial"
    folder.mkdir(parents=True)
    with ThreadPoolExecutor(1) as threads:
        with file_lock(store.parent / ".graft-store-lock", wait=True):  # held by the other process
            saving = threads.submit(save, tiny_bundle)
            with pytest.raises(TimeoutError):
                saving.result(0.5)
            assert folder.is_dir()
        assert saving.result(30) == f"tiny:{tiny_bundle.manifest.version}"


def test_model_in_the_store_has_labels_and_metadata(tiny_bundle: Bundle) -> None:
    model = bentoml.models.get(save(tiny_bundle))
    assert model.info.labels == {"plugin": "colour-mean"}
    assert model.info.metadata == {
        "trained_on": "unknown",
        "classes": ["red", "green", "blue"],
        "test_accuracy": 1.0,
        "test_n": 3,
    }


def test_failed_save_leaves_nothing_behind(
    tiny_bundle: Bundle, store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fill_the_disk(source: Path, target: str, **_: object) -> None:
        (Path(target) / "model.onnx").write_bytes(b"half")
        raise OSError("no space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("shutil.copytree", fill_the_disk)
        with pytest.raises(OSError, match="no space left"):
            save(tiny_bundle)
    assert bentoml.models.list() == []
    remaining = [path.name for path in store.parent.rglob("*") if path.is_file()]
    assert remaining == [".graft-store-lock"]
    save(tiny_bundle)
    assert resolve("tiny").is_dir()


def test_the_champion_stays_when_another_model_is_saved(
    tiny_bundle: Bundle, other_bundle: Bundle
) -> None:
    champion = save(tiny_bundle, as_champion=True)
    assert read_tags("champion", "latest") == [champion, champion]
    latest = save(other_bundle)
    assert read_tags("champion", "latest") == [champion, latest]
    save(other_bundle, as_champion=True)  # it is in the store already
    assert read_tags("champion", "latest") == [latest, latest]
    assert list_champions("tiny") == [latest, champion]
    assert list_champions("other") == []


def test_two_rollbacks_go_two_champions_back(
    tiny_bundle: Bundle, other_bundle: Bundle, third_bundle: Bundle
) -> None:
    first, second, _ = [
        save(bundle, as_champion=True) for bundle in (tiny_bundle, other_bundle, third_bundle)
    ]
    assert roll_back("tiny") == second
    assert read_tags("champion", "latest") == [second, second]
    assert roll_back("tiny") == first
    with pytest.raises(BundleError, match=f"no champion to return to: {first} is the champion"):
        roll_back("tiny")
    assert read_tags("champion", "latest") == [first, first]


def test_nothing_is_rolled_back_to_a_damaged_model(
    tiny_bundle: Bundle, other_bundle: Bundle
) -> None:
    damaged = save(tiny_bundle, as_champion=True)
    champion = save(other_bundle, as_champion=True)
    (resolve(damaged) / "model.onnx").write_bytes(b"damaged")
    with pytest.raises(BundleError, match="was altered"):
        roll_back("tiny")
    assert read_tags("champion", "latest") == [champion, champion]


def test_without_a_store_there_is_no_champion_to_roll_back(store: Path) -> None:
    with pytest.raises(BundleError, match="nothing to roll back"):
        roll_back("tiny")
    assert not store.parent.exists()


@pytest.mark.parametrize("change", [lambda other: save(other, as_champion=True), roll_back])
def test_a_killed_change_leaves_the_old_champion(
    change: Callable[..., object],
    tiny_bundle: Bundle,
    other_bundle: Bundle,
    third_bundle: Bundle,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    first, second = [save(bundle, as_champion=True) for bundle in (tiny_bundle, other_bundle)]
    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", kill)
        with pytest.raises(Killed):
            change("tiny" if change is roll_back else third_bundle)
    assert list_champions("tiny") == [second, first]
    assert read_tags("champion", "latest") == [second, second]


def test_a_missing_champion_is_an_error_that_says_what_to_do(
    tiny_bundle: Bundle, other_bundle: Bundle
) -> None:
    with pytest.raises(BundleError, match=r"no model 'tiny:champion': it is neither"):
        resolve("tiny:champion")  # no model has this name
    first = save(tiny_bundle)
    with pytest.raises(BundleError, match="no model of the name tiny is the champion yet"):
        resolve("tiny:champion")
    save(tiny_bundle, as_champion=True)
    champion = save(other_bundle, as_champion=True)
    bentoml.models.delete(champion)
    with pytest.raises(BundleError, match=f"is {champion}, which was deleted"):
        resolve("tiny:champion", "GRAFT_MODEL")
    assert roll_back("tiny") == first


def test_an_alias_of_a_bento_comes_before_the_champion(
    tiny_bundle: Bundle, other_bundle: Bundle
) -> None:
    inside = save(tiny_bundle)
    save(other_bundle, as_champion=True)
    with BentoMLContainer.model_aliases.patch({"tiny:champion": inside}):
        assert read_tags("champion") == [inside]


@pytest.mark.slow
def test_bentomls_command_lists_and_exports_the_model(tiny_bundle: Bundle, tmp_path: Path) -> None:
    tag = save(tiny_bundle, as_champion=True)

    def bentoml_models(*arguments: str) -> str:
        command = [sys.executable, "-m", "bentoml", "models", *arguments]
        completed = subprocess.run(
            command, env=os.environ, capture_output=True, text=True, check=True, timeout=120
        )
        return completed.stdout

    assert [model["tag"] for model in json.loads(bentoml_models("list", "-o", "json"))] == [tag]
    bentoml_models("export", tag, str(tmp_path / "tiny.bentomodel"))
    assert (tmp_path / "tiny.bentomodel").stat().st_size > 1000


@pytest.mark.parametrize(
    "reference",
    ["nothing:latest", "nothing", "tiny:0", "a:b:c", ":", "..", "/no/such/folder", "x" * 5000],
)
def test_the_error_for_an_unknown_model_names_the_remedy(reference: str) -> None:
    with pytest.raises(BundleError) as caught:
        resolve(reference, "GRAFT_MODEL")
    message = str(caught.value)
    assert message.startswith(f"no model {reference!r}: it is neither a folder with a manifest")
    assert f"`{sys.executable} -m trainers.run`" in message
    assert "set GRAFT_MODEL to a bundle folder or a tag" in message
    with pytest.raises(BundleError, match="or pass a bundle folder or a tag"):
        resolve(reference)


def test_without_a_home_there_is_no_store(
    tiny_bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """BentoML would create a store in a folder called ~."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BENTOML_HOME", "~/bentoml")
    monkeypatch.setenv("HOME", "")
    # as without an entry in /etc/passwd
    monkeypatch.setattr(os.path, "expanduser", lambda path: path)
    with pytest.raises(SettingError, match="set BENTOML_HOME"):
        save(tiny_bundle)
    with pytest.raises(BundleError, match="set BENTOML_HOME"):
        resolve("tiny:latest")
    assert resolve(str(tiny_bundle.path)) == tiny_bundle.path
    assert list(tmp_path.iterdir()) == []
