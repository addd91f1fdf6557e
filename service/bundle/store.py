"""BentoML's model store as the registry of bundles, by tags `<name>:<version>`.

A stored bundle is an ordinary BentoML model: `bentoml models list`, `export`, `push` and
`bentoml build` work as usual. `latest` is the bundle that was saved last.
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


def save(bundle: Bundle) -> str:
    """Copy a bundle into the store, complete or not at all; return its tag `<name>:<version>`.

    BentoML copies straight to the final place, where a kill would leave half a model. So the copy
    goes to a temporary store beside it and is renamed. `latest` is set even if the bundle is in the
    store already: an earlier save may have been killed just before it.

    Raises:
        SettingError: there is no place for a store.
        NoLocksError: its file system has no file locks.
        OSError: it cannot be written.
    """
    bentoml_home()
    # The only way to the configured store: docs/private_interfaces.md.
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
        fsync(latest)
        latest.replace(root / tag.latest_path())
        fsync(root / tag.name)
    return str(tag)


@contextmanager
def _staging(parent: Path) -> Iterator[Path]:
    """Make an empty folder for one save at a time; remove those of saves that were killed."""
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
        shutil.copytree(bundle.path, model.path, dirs_exist_ok=True)
    copy = Path(store._path) / tag.path()
    for path in (*copy.rglob("*"), copy):
        fsync(path)


def resolve(reference: str) -> Path:
    """Find a bundle: a folder that holds one, or a BentoML tag such as `classifier:latest`.

    Inside a bento the tag is an alias of the model that the bento was built with (bentofile.yaml).

    Returns:
        The folder without symbolic links: one that changes later leads to no other bundle.

    Raises:
        BundleError: neither; the message says where it looked and what to do.
    """
    try:
        folder = Path(reference).resolve()
        if (folder / MANIFEST).is_file():
            return folder
        bentoml_home()
        return Path(bentoml.models.get(reference).path).resolve()
    except Exception as error:  # a damaged model.yaml raises anything
        command = command_lines.python_command("trainers.run")
        raise BundleError(
            f"no model {reference!r}: it is neither a folder with a {MANIFEST} nor in BentoML's "
            f"store ({error}).{_suggestion(reference)} Train one with `{command}`, or name "
            "another: a folder with a bundle, or a tag that `bentoml models list` shows"
        ) from error


def _suggestion(reference: str) -> str:
    """Suggest a bundle inside the folder `reference`, or a tag with a similar name; else ""."""
    with suppress(Exception):  # odd names and damaged stores raise anything; this is only a hint
        bundles = [path.parent for path in Path(reference).glob(f"*/{MANIFEST}")]
        if bundles:
            return f" Did you mean `{max(bundles, key=lambda path: path.stat().st_mtime)}`?"
        name, _, _ = reference.partition(":")
        tags = {model.tag.name: model.tag for model in reversed(bentoml.models.list())}
        match = closest_match(name, tags)
        if match:
            return f" Did you mean `{tags[match] if match == name else f'{match}:latest'}`?"
    return ""
