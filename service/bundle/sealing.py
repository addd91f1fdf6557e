"""Seal a bundle: add checksums and manifest, and move it to its final name in one step."""

from __future__ import annotations

from pathlib import Path

from service.bundle.files import FileRecord, fsync
from service.bundle.manifest import MANIFEST, Manifest, content_id, read_manifest
from service.bundle.reading import Bundle


def seal(staging: Path, manifest: Manifest, output: Path) -> Bundle:
    """Complete the files in `staging` with their manifest and move them to their final name.

    The manifest is written last and everything is flushed before the folder is renamed, so that a
    folder with a manifest is complete.

    Args:
        staging: a folder on the same file system as `output` that holds every file of the bundle.
        manifest: without `id` and `files`, which are computed here.
        output: the folder in which `<name>-<version>` appears, complete or not at all.

    Raises:
        BundleError: the manifest could not be read back.
    """
    paths = sorted(path for path in staging.rglob("*") if path.is_file())
    files = {path.relative_to(staging).as_posix(): FileRecord.from_path(path) for path in paths}
    manifest = manifest.model_copy(update={"files": files})
    manifest = manifest.model_copy(update={"id": content_id(manifest.model_dump(mode="json"))})
    manifest_path = staging / MANIFEST
    manifest_path.write_text(manifest.model_dump_json(indent=2) + "\n", encoding="utf-8")
    read_manifest(staging)  # publish nothing that cannot be read back
    folders = [staging, *(path for path in staging.rglob("*") if path.is_dir())]
    for path in (*paths, manifest_path, *folders):
        fsync(path)
    final = output / f"{manifest.name}-{manifest.version}"
    staging.rename(final)
    fsync(output)
    return Bundle(final, manifest)
