"""BentoML's model store as the registry of bundles: `<name>:<version>`, newest = latest.

A stored bundle is an ordinary BentoML model, so `bentoml models list`, `export`, `push` and
`bentoml build` work as their users know them.
"""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import bentoml
from bentoml.exceptions import BentoMLException, NotFound

from service.bundle import MANIFEST, Bundle
from service.errors import BundleError


def save(bundle: Bundle) -> str:
    """Copy a bundle into the store, complete or not at all; return its tag `<name>:<version>`.

    BentoML copies straight to the final place. A kill in the middle would leave half a model
    there, so the copy goes to a store of its own beside it and is renamed.
    """
    # The container is BentoML's documented way to a configured store, if not a typed one.
    from bentoml._internal.configuration.containers import BentoMLContainer

    store = BentoMLContainer.model_store.get()
    root = Path(store._path)
    manifest = bundle.manifest
    tag = bentoml.Tag(manifest.name, manifest.version)
    if (root / tag.path()).exists():
        return str(tag)
    root.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=root.parent, prefix=".graft-") as staging:
        with bentoml.models.create(
            tag,
            labels={"plugin": manifest.plugin.replace(":", "-")},
            metadata={"classes": list(manifest.classes), **manifest.metrics},
            _model_store=type(store)(staging),
        ) as model:
            shutil.copytree(bundle.path, model.path, dirs_exist_ok=True)
        (root / tag.name).mkdir(exist_ok=True)
        (Path(staging) / tag.path()).rename(root / tag.path())
    (root / tag.latest_path()).write_text(manifest.version)
    return str(tag)


def resolve(reference: str) -> Path:
    """Find a bundle: a folder that holds one, or a BentoML tag such as `classifier:latest`.

    Raises:
        BundleError: neither; the message says where was looked and what to do.
    """
    try:
        if (Path(reference) / MANIFEST).is_file():
            return Path(reference)
        return Path(bentoml.models.get(reference).path)
    except (NotFound, BentoMLException, ValueError, OSError) as error:
        raise BundleError(
            f"no model {reference!r}: it is neither a folder with a {MANIFEST} nor in BentoML's "
            f"store ({error}). Train one with `python -m trainers.run`, or set GRAFT_MODEL to a "
            "bundle folder or to a tag of `bentoml models list`"
        ) from error
