from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest

from trainers.cache.record_store import CorruptRecordError, RecordStore

KEYS = [hashlib.sha256(bytes([number])).digest() for number in range(6)]
VALUES = np.arange(6 * 4, dtype=np.float32).reshape(6, 2, 2)


@pytest.fixture
def store(tmp_path: Path) -> RecordStore:
    return RecordStore(tmp_path / "store")


def test_records_are_found_in_the_order_of_the_keys(store: RecordStore) -> None:
    store.append(KEYS[:2], VALUES[:2])
    store.append(KEYS[2:], VALUES[2:])
    records = store.find([KEYS[4], KEYS[0], KEYS[4]])
    assert records is not None
    assert records.shape == (3, 2, 2)
    np.testing.assert_array_equal(records[:], VALUES[[4, 0, 4]])
    np.testing.assert_array_equal(records[np.array([2, 1])], VALUES[[4, 0]])


def test_find_returns_all_records_or_none(store: RecordStore) -> None:
    assert store.find(KEYS[:1]) is None
    store.append(KEYS[:2], VALUES[:2])
    assert store.find(KEYS[:3]) is None


def test_structured_scalar_records_are_stored(store: RecordStore) -> None:
    inspections = np.zeros(2, np.dtype([("width", np.uint32), ("thumbnail", np.uint8, (2, 2))]))
    inspections["width"], inspections["thumbnail"] = [3, 4], [[[1, 2], [3, 4]]] * 2
    store.append(KEYS[:2], inspections)
    records = store.find(KEYS[:2])
    assert records is not None
    np.testing.assert_array_equal(records[:], inspections)


@pytest.mark.parametrize("lost_bytes", [1, 15, 16, 17])
def test_truncated_records_are_written_again(store: RecordStore, lost_bytes: int) -> None:
    """Records are written before their keys, so a truncated record has no key, or loses its key."""
    store.append(KEYS[:3], VALUES[:3])
    path = store.folder / "records"
    with path.open("r+b") as file:
        file.truncate(3 * 16 - lost_bytes)
    complete = 2 if lost_bytes <= 16 else 1
    assert store.find(KEYS[:complete]) is not None
    assert store.find(KEYS[:3]) is None
    store.append(KEYS[complete:], VALUES[complete:])
    records = store.find(KEYS)
    assert records is not None
    np.testing.assert_array_equal(records[:], VALUES)


def test_records_with_truncated_keys_are_written_again(store: RecordStore) -> None:
    store.append(KEYS[:3], VALUES[:3])
    with (store.folder / "keys").open("r+b") as file:
        file.truncate(2 * 32 + 7)
    store.append(KEYS[2:], VALUES[2:] + 100)
    records = store.find(KEYS)
    assert records is not None
    np.testing.assert_array_equal(records[:], np.concatenate([VALUES[:2], VALUES[2:] + 100]))


def test_mapped_records_stay_readable_after_removal(store: RecordStore) -> None:
    store.append(KEYS, VALUES)
    records = store.find(KEYS)
    assert records is not None
    for path in store.folder.iterdir():
        path.unlink()
    np.testing.assert_array_equal(records[:], VALUES)


def test_an_altered_record_is_refused(store: RecordStore) -> None:
    store.append(KEYS, VALUES)
    with (store.folder / "records").open("r+b") as file:
        file.seek(3 * 16 + 5)
        file.write(b"\x55")
    records = store.find(KEYS)
    assert records is not None
    np.testing.assert_array_equal(records[:3], VALUES[:3])
    for read in (lambda: records[np.array([5, 3])], records.verify):
        with pytest.raises(CorruptRecordError, match=r"store is damaged: .* Remove that folder"):
            read()


@pytest.mark.parametrize("form", ["", "\0\1", "[]", "[[2, 2], []]", "[[2], [7]]", "7"])
def test_a_store_with_a_damaged_form_is_replaced(store: RecordStore, form: str) -> None:
    store.append(KEYS, VALUES)
    (store.folder / "form.json").write_text(form)
    assert store.find(KEYS) is None
    store.append(KEYS, VALUES)
    records = store.find(KEYS)
    assert records is not None
    np.testing.assert_array_equal(records[:], VALUES)
