from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest

from trainers.cache.record_store import DamagedError, Shelf

KEYS = [hashlib.sha256(bytes([number])).digest() for number in range(6)]
VALUES = np.arange(6 * 4, dtype=np.float32).reshape(6, 2, 2)


@pytest.fixture
def shelf(tmp_path: Path) -> Shelf:
    return Shelf(tmp_path / "shelf")


def test_what_was_put_is_found_in_the_order_asked_for(shelf: Shelf) -> None:
    shelf.append(KEYS[:2], VALUES[:2])
    shelf.append(KEYS[2:], VALUES[2:])
    found = shelf.find([KEYS[4], KEYS[0], KEYS[4]])
    assert found is not None
    assert found.shape == (3, 2, 2)
    np.testing.assert_array_equal(found[:], VALUES[[4, 0, 4]])
    np.testing.assert_array_equal(found[np.array([2, 1])], VALUES[[4, 0]])
    np.testing.assert_array_equal(found.part(np.array([1]))[:], VALUES[[0]])


def test_all_or_nothing_is_found(shelf: Shelf) -> None:
    assert shelf.find(KEYS[:1]) is None
    shelf.append(KEYS[:2], VALUES[:2])
    assert shelf.find(KEYS[:3]) is None


def test_records_of_named_fields_and_of_no_dimension_are_kept(shelf: Shelf) -> None:
    looks = np.zeros(2, np.dtype([("width", np.uint32), ("thumbnail", np.uint8, (2, 2))]))
    looks["width"], looks["thumbnail"] = [3, 4], [[[1, 2], [3, 4]]] * 2
    shelf.append(KEYS[:2], looks)
    found = shelf.find(KEYS[:2])
    assert found is not None
    np.testing.assert_array_equal(found[:], looks)


@pytest.mark.parametrize("lost", [1, 15, 16, 17])
def test_records_that_a_kill_cut_short_are_written_again(shelf: Shelf, lost: int) -> None:
    """Records come before their keys: what is torn has no key, or is dropped with it."""
    shelf.append(KEYS[:3], VALUES[:3])
    records = shelf.folder / "records"
    with records.open("r+b") as file:
        file.truncate(3 * 16 - lost)
    whole = 2 if lost <= 16 else 1
    assert shelf.find(KEYS[:whole]) is not None
    assert shelf.find(KEYS[:3]) is None
    shelf.append(KEYS[whole:], VALUES[whole:])
    found = shelf.find(KEYS)
    assert found is not None
    np.testing.assert_array_equal(found[:], VALUES)


def test_records_whose_keys_a_kill_cut_short_are_written_again(shelf: Shelf) -> None:
    shelf.append(KEYS[:3], VALUES[:3])
    with (shelf.folder / "keys").open("r+b") as file:
        file.truncate(2 * 32 + 7)
    shelf.append(KEYS[2:], VALUES[2:] + 100)
    found = shelf.find(KEYS)
    assert found is not None
    np.testing.assert_array_equal(found[:], np.concatenate([VALUES[:2], VALUES[2:] + 100]))


def test_what_is_mapped_stays_readable_when_the_files_are_gone(shelf: Shelf) -> None:
    shelf.append(KEYS, VALUES)
    found = shelf.find(KEYS)
    assert found is not None
    for path in shelf.folder.iterdir():
        path.unlink()
    np.testing.assert_array_equal(found[:], VALUES)


def test_a_record_that_was_altered_is_never_read(shelf: Shelf) -> None:
    shelf.append(KEYS, VALUES)
    with (shelf.folder / "records").open("r+b") as file:
        file.seek(3 * 16 + 5)
        file.write(b"\x55")
    found = shelf.find(KEYS)
    assert found is not None
    np.testing.assert_array_equal(found[:3], VALUES[:3])
    for read in (lambda: found[np.array([5, 3])], found.check, found.part(np.array([3])).check):
        with pytest.raises(DamagedError, match=r"shelf is damaged: .* Remove that folder"):
            read()


@pytest.mark.parametrize("form", ["", "\0\1", "[]", "[[2, 2], []]", "[[2], [7]]", "7"])
def test_with_a_damaged_form_all_is_made_anew(shelf: Shelf, form: str) -> None:
    shelf.append(KEYS, VALUES)
    (shelf.folder / "form.json").write_text(form)
    assert shelf.find(KEYS) is None
    shelf.append(KEYS, VALUES)
    found = shelf.find(KEYS)
    assert found is not None
    np.testing.assert_array_equal(found[:], VALUES)
