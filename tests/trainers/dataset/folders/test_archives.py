from __future__ import annotations

import io
import stat
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest

from trainers.dataset.folders import archives
from trainers.dataset.folders.archives import unpack
from trainers.dataset.folders.errors import DataError
from trainers.dataset.folders.filenames import escape

FILES = {"a/1.jpg": b"one", "b/deep/2.jpg": b"two" * 1000, "b/é.jpg": b""}


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("GRAFT_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache/archives"


def pack_zip(path: Path, files: dict[str, bytes] = FILES) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path


def pack_tar(path: Path, files: dict[str, bytes] = FILES, mode: str = "w") -> Path:
    with tarfile.open(path, mode) as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return path


def read_files(folder: Path) -> dict[str, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def list_unpacked(cache: Path) -> list[str]:
    return [path.name for path in cache.iterdir() if not path.name.endswith(".lock")]


@pytest.mark.parametrize("mode", ["w:gz", "w:bz2", "w:xz", "w"])
def test_tar_archives_are_unpacked(tmp_path: Path, mode: str) -> None:
    assert read_files(unpack(pack_tar(tmp_path / "pictures", mode=mode))) == FILES


def test_zip_archives_are_unpacked_once_by_content(tmp_path: Path) -> None:
    folder = unpack(pack_zip(tmp_path / "one.zip"))
    assert read_files(folder) == FILES
    (folder / "a/1.jpg").write_bytes(b"seen")
    (tmp_path / "one.zip").rename(tmp_path / "two.zip")
    assert unpack(tmp_path / "two.zip") == folder
    assert (folder / "a/1.jpg").read_bytes() == b"seen"
    assert unpack(pack_zip(tmp_path / "one.zip", {"a/1.jpg": b"new"})) != folder


@pytest.mark.parametrize("name", ["../x.jpg", "/x.jpg", "a/../../x.jpg", "C:/x.jpg", "..\\x.jpg"])
@pytest.mark.parametrize("pack", [pack_zip, pack_tar])
def test_members_outside_the_folder_are_refused(
    tmp_path: Path, cache: Path, name: str, pack: object
) -> None:
    if pack is pack_tar and "\\" in name:
        pytest.skip("in the names of a tar archive, a backslash is an ordinary character")
    archive = pack(tmp_path / "data", {"a/1.jpg": b"", name: b"x"})  # type: ignore[operator]
    with pytest.raises(DataError, match="outside the folder into which it is unpacked"):
        unpack(archive)
    assert list_unpacked(cache) == []
    assert not list(tmp_path.rglob("x.jpg"))


def pack_links(path: Path, *links: tuple[bytes, str, str], files: tuple[str, ...]) -> Path:
    """Write a tar archive with files that contain their names, and links (type, name, target)."""
    with tarfile.open(pack_tar(path, {name: name.encode() for name in files}), "a") as archive:
        for kind, name, target in links:
            member = tarfile.TarInfo(name)
            member.type, member.linkname = kind, target
            archive.addfile(member)
    return path


def test_links_and_devices_are_left_out_and_listed_each_time(tmp_path: Path) -> None:
    kinds = (tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE)
    links = [(kind, f"a/{kind!r}.jpg", "/etc/passwd") for kind in kinds]
    links += [(tarfile.SYMTYPE, "b", "a"), (tarfile.LNKTYPE, "a/1.jpg", "a/1.jpg")]
    archive = pack_links(tmp_path / "links.tar", *links, files=("a/1.jpg",))
    for _ in range(2):
        folder = unpack(archive)
        assert read_files(folder) == {"a/1.jpg": b"a/1.jpg"}
        assert [name for name, _ in archives.read_left_out(folder)] == [
            name for _, name, _ in links
        ]
    with zipfile.ZipFile(tmp_path / "links.zip", "w") as zip_file:
        link = zipfile.ZipInfo("a/link.jpg")
        link.external_attr = (stat.S_IFLNK | 0o777) << 16
        zip_file.writestr(link, "/etc/passwd")
        zip_file.writestr("a/1.jpg", b"")
    folder = unpack(tmp_path / "links.zip")
    assert read_files(folder) == {"a/1.jpg": b""}
    ((name, reason),) = archives.read_left_out(folder)
    assert name == "a/link.jpg"
    assert "is a link" in reason


def test_a_hard_link_has_the_content_of_the_earlier_file(tmp_path: Path) -> None:
    links = [(tarfile.LNKTYPE, "b/2.jpg", "a/1.jpg"), (tarfile.LNKTYPE, "b/3.jpg", "b/2.jpg")]
    folder = unpack(pack_links(tmp_path / "hard.tar", *links, files=("a/1.jpg",)))
    assert read_files(folder) == dict.fromkeys(("a/1.jpg", "b/2.jpg", "b/3.jpg"), b"a/1.jpg")
    assert archives.read_left_out(folder) == []


@pytest.mark.parametrize("name", ["a/nul\0.jpg", "a/line\n.jpg", "a/\udcff.jpg"])
def test_unprintable_names_are_left_out_and_listed(tmp_path: Path, name: str) -> None:
    path = pack_tar(tmp_path / "a.tar", {"a/1.jpg": b"x"})
    with tarfile.open(path, "a", format=tarfile.PAX_FORMAT) as archive:
        member = tarfile.TarInfo("short")
        member.pax_headers = {"path": name}
        archive.addfile(member)
        link = tarfile.TarInfo("a/link.jpg")
        link.type, link.pax_headers = tarfile.LNKTYPE, {"linkpath": name}
        archive.addfile(link)
    folder = unpack(path)
    assert read_files(folder) == {"a/1.jpg": b"x"}
    (name_left_out, reason), (link_left_out, _) = archives.read_left_out(folder)
    assert (name_left_out, link_left_out) == (escape(name), "a/link.jpg")
    assert "control characters" in reason


def test_decompression_bombs_are_refused(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bomb = pack_zip(tmp_path / "bomb.zip", {"a/1.jpg": bytes(3_000_000)})
    monkeypatch.setattr(archives, "MIN_LIMIT_BYTES", 1_000_000)
    with pytest.raises(DataError, match="unpacks to more than 1,000,000 bytes"):
        unpack(bomb)
    monkeypatch.setattr(archives, "MIN_LIMIT_BYTES", 100_000_000)
    monkeypatch.setattr(archives, "RESERVE_BYTES", 1 << 60)
    with pytest.raises(DataError, match=r"more space than is free in .*GRAFT_CACHE"):
        unpack(bomb)
    monkeypatch.setattr(archives, "RESERVE_BYTES", 0)
    monkeypatch.setattr(archives, "MAX_FILES", 2)
    with pytest.raises(DataError, match="more than 2 files"):
        unpack(pack_tar(tmp_path / "many.tar"))
    assert list_unpacked(cache) == []


@pytest.mark.parametrize("fraction", [0.3, 0.9])
@pytest.mark.parametrize("kind", ["zip", "w", "w:gz", "w:xz"])
def test_truncated_archives_are_refused(
    tmp_path: Path, cache: Path, kind: str, fraction: float
) -> None:
    rng = np.random.default_rng(0)
    files = {f"a/{number}.jpg": rng.bytes(10_000) for number in range(9)}
    path = tmp_path / "data"
    archive = pack_zip(path, files) if kind == "zip" else pack_tar(path, files, kind)
    complete = archive.read_bytes().rstrip(b"\0")
    archive.write_bytes(complete[: int(fraction * len(complete))])
    with pytest.raises(DataError, match=r"data is damaged or cut short .*download it again"):
        unpack(archive)
    assert not cache.exists() or list_unpacked(cache) == []


def test_a_partial_folder_of_a_killed_run_is_replaced(tmp_path: Path, cache: Path) -> None:
    archive = pack_zip(tmp_path / "one.zip")
    folder = unpack(archive)
    partial = cache / f".{folder.name}.partial"
    folder.rename(partial)
    (partial / "a/old.jpg").touch()
    assert read_files(unpack(archive)) == FILES
    assert list_unpacked(cache) == [folder.name]


def test_encrypted_archives_and_other_files_are_refused_with_advice(tmp_path: Path) -> None:
    data = bytearray(pack_zip(tmp_path / "a.zip", {"a/1.jpg": b"x"}).read_bytes())
    data[6] |= 1  # the flag of encryption, in both headers
    data[data.index(b"PK\x01\x02") + 8] |= 1
    (tmp_path / "a.zip").write_bytes(data)
    with pytest.raises(DataError, match=r"a\.zip: .*password.*; unpack the archive yourself"):
        unpack(tmp_path / "a.zip")
    (tmp_path / "a.rar").write_bytes(b"Rar!\x1a\7\0")
    with pytest.raises(DataError, match=r"neither a folder nor an archive that Graft reads \(Zip"):
        unpack(tmp_path / "a.rar")


def test_names_written_by_macos_and_windows_are_decoded(tmp_path: Path) -> None:
    data = pack_zip(tmp_path / "a.zip", {"café/1.jpg": b"", "tea\\2.jpg": b""}).read_bytes()
    name = "café/1.jpg".encode()
    for header in (data.index(name) - 30, data.rindex(name) - 46):  # local and central header
        flag_offset = header + (6 if data[header + 2 : header + 4] == b"\x03\x04" else 8)
        data = data[:flag_offset] + b"\0\0" + data[flag_offset + 2 :]
    (tmp_path / "a.zip").write_bytes(data)
    assert set(read_files(unpack(tmp_path / "a.zip"))) == {"café/1.jpg", "tea/2.jpg"}
