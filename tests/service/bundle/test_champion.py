from __future__ import annotations

from pathlib import Path

import pytest

from service.bundle import champion
from service.bundle.champion import NoChampion
from service.errors import BundleError


def write(folder: Path, versions: str, stored: str = "") -> Path:
    """Write the file of the name `tiny`, and a folder for each stored version."""
    folder = folder / "tiny"
    folder.mkdir()
    (folder / champion.FILE).write_text("\n".join(versions.split()))
    for version in stored.split():
        (folder / version).mkdir()
    return folder


@pytest.mark.parametrize(
    ("reference", "name"),
    [("tiny:champion", "tiny"), ("tiny:latest", None), ("tiny", None), ("champion", None)],
)
def test_a_tag_of_a_champion_is_recognised(reference: str, name: str | None) -> None:
    assert champion.name_of(reference) == name


def test_the_champion_is_the_first_version(tmp_path: Path) -> None:
    folder = write(tmp_path, "b a", stored="a b")
    assert champion.read_versions(folder) == ["b", "a"]
    assert champion.current_version(folder) == "b"
    assert champion.read_versions(tmp_path / "other") == []


def test_without_a_champion_the_error_says_how_to_choose_one(tmp_path: Path) -> None:
    with pytest.raises(NoChampion, match=r"no model of the name tiny .*promote MODEL.*tiny:latest"):
        champion.current_version(tmp_path / "tiny")


def test_for_a_deleted_champion_the_error_says_how_to_roll_back(tmp_path: Path) -> None:
    folder = write(tmp_path, "b a", stored="a")
    with pytest.raises(NoChampion, match=r"is tiny:b, which was deleted .*--rollback tiny`"):
        champion.current_version(folder)


def test_a_new_champion_is_put_first_and_listed_once(tmp_path: Path) -> None:
    folder = write(tmp_path, "c b a")
    assert champion.put_first(folder, "d") == "d\nc\nb\na\n"
    assert champion.put_first(folder, "a") == "a\nc\nb\n"
    assert champion.put_first(tmp_path, "a") == "a\n"


def test_the_file_stays_short(tmp_path: Path) -> None:
    folder = write(tmp_path, " ".join(f"v{number}" for number in range(champion.MAX_VERSIONS)))
    versions = champion.put_first(folder, "new").split()
    assert len(versions) == champion.MAX_VERSIONS
    assert versions[:2] == ["new", "v0"]


def test_a_rollback_skips_deleted_models(tmp_path: Path) -> None:
    folder = write(tmp_path, "d c b a", stored="d b a")
    assert champion.remove_first(folder) == "b\na\n"


@pytest.mark.parametrize(
    ("versions", "message"),
    [
        ("", "there is nothing to roll back"),
        ("b", "tiny:b is the champion, and no other was before it"),
        ("b a", "tiny:b is the champion, and those before it were deleted"),
    ],
)
def test_a_rollback_that_leads_nowhere_is_refused(
    versions: str, message: str, tmp_path: Path
) -> None:
    with pytest.raises(NoChampion, match=message):
        champion.remove_first(write(tmp_path, versions, stored="b"))


@pytest.mark.parametrize("content", [b"\xff\xfe", b"a\n../b\n", b"/etc\n", b".hidden"])
def test_a_damaged_file_is_an_error_that_names_it(tmp_path: Path, content: bytes) -> None:
    (tmp_path / champion.FILE).write_bytes(content)
    with pytest.raises(BundleError, match=r"\.champion is damaged: delete it, and choose"):
        champion.read_versions(tmp_path)
