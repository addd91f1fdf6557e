"""Seal a bundle: write its manifest with all checksums, and rename the folder to its final name."""

from __future__ import annotations

from pathlib import Path

from service.bundle.files import FileRecord, fsync
from service.bundle.manifest import MANIFEST, Manifest, content_id, read_manifest
from service.bundle.reading import Bundle


def seal(staging: Path, manifest: Manifest, output: Path) -> Bundle:
    """Write the manifest of the files in `staging`, and rename this folder to its final name.

    The manifest is written last, so a folder without a manifest is not a bundle. All files are
    flushed to disk before the folder is renamed, so a folder with the final name is complete.

    Args:
        staging: a folder with every file of the bundle, on the same file system as `output`.
        manifest: the manifest without `id` and `files`, which are computed here.
        output: the folder in which the sealed bundle appears, as `<name>-<version>`.

    Raises:
        BundleError: the manifest that was written cannot be read.
        OSError: a file cannot be read or written, or `output` already has a bundle of that name.
    """
    paths = sorted(path for path in staging.rglob("*") if path.is_file())
    files = {path.relative_to(staging).as_posix(): FileRecord.from_path(path) for path in paths}
    manifest = manifest.model_copy(update={"files": files})
    content = manifest.model_dump(mode="json", exclude=manifest.omitted)
    manifest = manifest.model_copy(update={"id": content_id(content)})
    manifest_path = staging / MANIFEST
    text = manifest.model_dump_json(indent=2, exclude=manifest.omitted)
    manifest_path.write_text(text + "\n", encoding="utf-8")
    read_manifest(staging)  # do not publish a bundle that cannot be read
    folders = [staging, *(path for path in staging.rglob("*") if path.is_dir())]
    for path in (*paths, manifest_path, *folders):
        fsync(path)
    final = output / f"{manifest.name}-{manifest.version}"
    staging.rename(final)
    fsync(output)
    return Bundle(final, manifest)
