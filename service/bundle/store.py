"""Save bundles in BentoML's model store, and find a bundle by its folder or its tag.

A stored bundle is an ordinary BentoML model with the tag `<name>:<version>`: `bentoml models list`,
`export`, `push` and `bentoml build` work as usual. The tag `<name>:latest` means the bundle that
was saved last with that name, and `<name>:champion` the one that `trainers.promote` has chosen.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import bentoml

from service.bundle import champion, summary
from service.bundle.files import fsync
from service.bundle.manifest import MANIFEST
from service.bundle.reading import Bundle
from service.cli import command_lines
from service.cli.arguments import closest_match
from service.errors import BundleError
from service.system.folders import bentoml_home
from service.system.interrupts import cleanup_on_signal
from service.system.locks import file_lock

_STAGING = ".graft-store-"


def save(bundle: Bundle, as_champion: bool = False) -> str:
    """Copy a bundle into the store, complete or not at all; return its tag `<name>:<version>`.

    BentoML copies directly to the final folder: a killed process would leave part of a model there.
    This function copies to a temporary store beside BentoML's store, and renames the copy. It sets
    `latest` even if the store already has the bundle: an earlier save may have been killed before
    this step.

    Args:
        bundle: the bundle, which may already be in the store.
        as_champion: also make the bundle the champion of its name.

    Raises:
        SettingError: BENTOML_HOME is empty, or the user has no home folder for the store.
        NoLocksError: the file system of the store does not support file locks.
        OSError: the store cannot be written to.
    """
    store = _model_store()
    root = Path(store._path)
    tag = bentoml.Tag(bundle.manifest.name, bundle.manifest.version)
    root.mkdir(parents=True, exist_ok=True)
    with _staging(root.parent) as staging:
        if not (root / tag.path()).exists():
            _copy(bundle, tag, type(store)(staging))
            (root / tag.name).mkdir(exist_ok=True)
            (staging / tag.path()).rename(root / tag.path())
        if as_champion:
            history = champion.put_first(root / tag.name, bundle.manifest.version)
            _write(root / tag.name / champion.FILE, history, staging)
        _write(root / tag.latest_path(), bundle.manifest.version, staging)
    return str(tag)


def roll_back(name: str) -> str:
    """Make the previous champion of a name the champion again, and the latest; return its tag.

    Champions that were deleted from the store are left out.

    Raises:
        BundleError: there is no previous champion, or it is damaged.
        SettingError, NoLocksError, OSError: as `save`.
    """
    folder = Path(_model_store()._path) / name
    champion.remove_first(folder)  # raises the error if there is no store to lock
    with _staging(folder.parent.parent) as staging:
        history = champion.remove_first(folder)
        version = history.split()[0]
        Bundle.read(folder / version)  # a damaged model must not become the champion
        _write(folder / champion.FILE, history, staging)
        _write(folder / "latest", version, staging)
    return f"{name}:{version}"


def list_champions(name: str) -> list[str]:
    """List the tags of the champion of a name and of those before it, the champion first.

    The list is empty if there is no champion. Models that were deleted from the store are listed.
    """
    versions = champion.read_versions(Path(_model_store()._path) / name)
    return [f"{name}:{version}" for version in versions]


def list_versions(name: str) -> list[str]:
    """List the tags of all models of a name, in any order."""
    folder = Path(_model_store()._path) / name
    return [str(model.tag) for model in bentoml.models.list(name)] if folder.is_dir() else []


def _model_store() -> Any:
    bentoml_home()
    # No public name leads to the configured store: docs/decisions/private-interfaces.md.
    from bentoml._internal.configuration.containers import BentoMLContainer

    return BentoMLContainer.model_store.get()


def _write(path: Path, content: str, staging: Path) -> None:
    """Replace a file of the store, so that a killed process leaves the old or the new content."""
    written = staging / f".{path.name}"  # no folder of a model begins with a dot
    written.write_text(content, encoding="utf-8")
    fsync(written)
    written.replace(path)
    fsync(path.parent)


@contextmanager
def _staging(parent: Path) -> Iterator[Path]:
    """Yield a temporary folder inside `parent`, and hold a lock until the `with` block ends.

    First remove the temporary folders that killed processes left in `parent`.
    """
    with file_lock(parent / f"{_STAGING}lock", wait=True):
        for abandoned in parent.glob(f"{_STAGING}*.partial"):
            shutil.rmtree(abandoned)
        with (
            tempfile.TemporaryDirectory(".partial", _STAGING, parent) as folder,
            cleanup_on_signal(lambda: shutil.rmtree(folder)),
        ):
            yield Path(folder)


def _copy(bundle: Bundle, tag: bentoml.Tag, store: Any) -> None:
    manifest = bundle.manifest
    with bentoml.models.create(
        tag,
        labels={"plugin": manifest.plugin.replace(":", "-")},
        metadata={
            "classes": list(manifest.classes),
            "trained_on": summary.training_data(manifest)["source"],
            **manifest.metrics,
        },
        _model_store=store,
    ) as model:
        try:
            shutil.copytree(bundle.path, model.path, dirs_exist_ok=True)
        except shutil.Error as error:  # a list of (source, target, reason)
            _, target, reason = error.args[0][0]
            raise OSError(f"{target} cannot be written: {reason}") from error
    copy = Path(store._path) / tag.path()
    for path in (*copy.rglob("*"), copy):
        fsync(path)


def resolve(reference: str, option: str = "") -> Path:
    """Find the folder of a bundle.

    Args:
        reference: a bundle folder, or a BentoML tag such as `classifier:latest`. Inside a bento, a
            tag can also be an alias from bentofile.yaml for the model in the bento.
        option: the command-line option or environment variable that contained the reference, for
            error messages; "" = neither.

    Returns:
        The path without symbolic links, so that a link which changes later has no effect.

    Raises:
        BundleError: there is no such folder or tag; the message says what to do.
    """
    try:
        folder = Path(reference).resolve()
        if (folder / MANIFEST).is_file():
            return folder
        return Path(_get(reference).path).resolve()
    except champion.NoChampion:
        raise
    except Exception as error:  # BentoML may raise anything for a damaged model.yaml
        command = command_lines.python_command("trainers.run")
        raise BundleError(
            f"no model {reference!r}: it is neither a folder with a {MANIFEST} nor a tag in "
            f"BentoML's store ({error}).{_suggestion(reference)} Train a model with `{command}`, "
            f"or {f'set {option} to' if option else 'pass'} a bundle folder or a tag that "
            "`bentoml models list` shows"
        ) from error


def _get(reference: str) -> Any:
    store = _model_store()
    try:
        return bentoml.models.get(reference)  # first, because a bento may have an alias of this tag
    except bentoml.exceptions.NotFound:
        name = champion.name_of(reference)
        if not name or not (Path(store._path) / name).is_dir():
            raise
        version = champion.current_version(Path(store._path) / name)
        return bentoml.models.get(f"{name}:{version}")


def _suggestion(reference: str) -> str:
    """Return a hint with the newest bundle in the folder `reference` or a similar tag, or ""."""
    with suppress(Exception):  # a hint must not fail for a strange name or a damaged store
        bundles = [path.parent for path in Path(reference).glob(f"*/{MANIFEST}")]
        if bundles:
            return f" Did you mean `{max(bundles, key=lambda path: path.stat().st_mtime)}`?"
        name, _, _ = reference.partition(":")
        tags = {model.tag.name: model.tag for model in reversed(bentoml.models.list())}
        match = closest_match(name, tags)
        if match:
            return f" Did you mean `{tags[match] if match == name else f'{match}:latest'}`?"
    return ""
