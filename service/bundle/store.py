"""BentoML's model store as the registry of bundles: `<name>:<version>`, saved last = latest.

A stored bundle is an ordinary BentoML model, so `bentoml models list`, `export`, `push` and
`bentoml build` work as their users know them.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import bentoml

from service.bundle import summary
from service.bundle.files import flush
from service.bundle.manifest import MANIFEST, Bundle
from service.cli import next_command
from service.cli.arguments import closest
from service.errors import BundleError
from service.system.interrupts import cleaned
from service.system.locks import locked
from service.system.resources import bentoml_home

_STAGING = ".graft-store-"


def save(bundle: Bundle) -> str:
    """Copy a bundle into the store, complete or not at all; return its tag `<name>:<version>`.

    BentoML copies straight to the final place. A kill in the middle would leave half a model
    there, so the copy goes to a store of its own beside it and is renamed. `latest` is the bundle
    saved last, also when it is there already: a kill may have come just before `latest` was set.

    Raises:
        SettingError, NoLocksError: there is no place for a store, or it has no file locks.
        OSError: it cannot be written.
    """
    bentoml_home()
    # The container is BentoML's documented way to a configured store, if not a typed one.
    from bentoml._internal.configuration.containers import BentoMLContainer

    store = BentoMLContainer.model_store.get()
    root = Path(store._path)
    tag = bentoml.Tag(bundle.manifest.name, bundle.manifest.version)
    root.mkdir(parents=True, exist_ok=True)
    with _staging(root.parent) as staging:
        if not (root / tag.path()).exists():
            _copy(bundle, tag, type(store)(staging))
            (root / tag.name).mkdir(exist_ok=True)
            (staging / tag.path()).rename(root / tag.path())
        latest = staging / ".latest"
        latest.write_text(bundle.manifest.version, encoding="utf-8")
        flush(latest)
        latest.replace(root / tag.latest_path())
        flush(root / tag.name)
    return str(tag)


@contextmanager
def _staging(parent: Path) -> Iterator[Path]:
    """An empty folder for one save at a time; those that killed ones left are removed."""
    with locked(parent / f"{_STAGING}lock", wait=True):
        for abandoned in parent.glob(f"{_STAGING}*.partial"):
            shutil.rmtree(abandoned)
        with (
            tempfile.TemporaryDirectory(".partial", _STAGING, parent) as folder,
            cleaned(lambda: shutil.rmtree(folder)),
        ):
            yield Path(folder)


def _copy(bundle: Bundle, tag: bentoml.Tag, store: Any) -> None:
    manifest = bundle.manifest
    with bentoml.models.create(
        tag,
        labels={"plugin": manifest.plugin.replace(":", "-")},
        metadata={
            "classes": list(manifest.classes),
            "trained_on": summary.data(manifest)["source"],
            **manifest.metrics,
        },
        _model_store=store,
    ) as model:
        shutil.copytree(bundle.path, model.path, dirs_exist_ok=True)
    copy = Path(store._path) / tag.path()
    for path in (*copy.rglob("*"), copy):
        flush(path)


def resolve(reference: str) -> Path:
    """Find a bundle: a folder that holds one, or a BentoML tag such as `classifier:latest`.

    The path has no links left: one that is set anew later leads nobody to another bundle's files.

    Inside a bento that tag is an alias of the model it was built with (see bentofile.yaml).

    Raises:
        BundleError: neither; the message says where was looked and what to do.
    """
    try:
        folder = Path(reference).resolve()
        if (folder / MANIFEST).is_file():
            return folder
        bentoml_home()
        return Path(bentoml.models.get(reference).path).resolve()
    except Exception as error:  # BentoML passes on whatever a damaged model.yaml raises
        command = next_command.python("trainers.run")
        raise BundleError(
            f"no model {reference!r}: it is neither a folder with a {MANIFEST} nor in BentoML's "
            f"store ({error}).{_meant(reference)} Train one with `{command}`, or name "
            "a bundle folder or a tag of `bentoml models list` (by GRAFT_MODEL, or --bundle of "
            "service.predict)"
        ) from error


def _meant(reference: str) -> str:
    """What to type in place of a reference that leads nowhere: a bundle in it, or a like name."""
    with suppress(Exception):  # whatever an odd name or a damaged store raises: it is a hint
        found = [path.parent for path in Path(reference).glob(f"*/{MANIFEST}")]
        if found:
            return f" Did you mean `{max(found, key=lambda path: path.stat().st_mtime)}`?"
        name, _, _ = reference.partition(":")
        known = {model.tag.name: model.tag for model in reversed(bentoml.models.list())}
        close = closest(name, known)
        if close:
            return f" Did you mean `{known[close] if close == name else f'{close}:latest'}`?"
    return ""
