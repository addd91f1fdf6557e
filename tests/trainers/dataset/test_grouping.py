from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.trainers.dataset.splits.test_splitting import dataset
from trainers.config import ConfigError
from trainers.dataset import grouping
from trainers.dataset.dataset import Dataset
from trainers.dataset.folders.errors import DataError
from trainers.dataset.folders.layout import Layout
from trainers.dataset.splits.splitting import split, write_csv


def clips(per_class: int, frames: int) -> Dataset:
    """Frames of `per_class` clips in each of two classes."""
    data = dataset(per_class * frames, per_class * frames)
    paths = [
        f"{'ab'[index // (per_class * frames)]}/clip{index // frames:02}_{index % frames:04}.jpg"
        for index in range(len(data.paths))
    ]
    return replace(data, paths=tuple(paths))


@pytest.mark.parametrize(
    ("pattern", "path", "expected"),
    [
        (r"clip\d+", "a/clip07_0001.jpg", "clip07"),
        (r"(clip\d+)_", "a/clip07_0001.jpg", "clip07"),
        (r"^(.*)_\d+\.jpg$", "a/clip07_0001.jpg", "a/clip07"),
        (r"patient(\d)?_", "a/patient_3.jpg", ""),
        (r"clip\d+", "a/other.jpg", ""),
    ],
)
def test_the_source_is_the_first_group_or_the_whole_match(
    pattern: str, path: str, expected: str
) -> None:
    assert grouping.match_source(pattern, path) == expected


@pytest.mark.parametrize("seed", range(10))
def test_frames_of_one_source_share_a_split_and_all_splits_have_sources(seed: int) -> None:
    data = split(grouping.assign_sources(clips(10, 12), r"clip\d+"), seed)
    splits_by_source: dict[str, set[str]] = {}
    for source, part in zip(data.sources, data.splits, strict=True):
        splits_by_source.setdefault(source, set()).add(part)
    assert len(splits_by_source) == 20
    assert all(len(parts) == 1 for parts in splits_by_source.values())
    for label in range(2):
        rows = np.flatnonzero(data.labels == label)
        parts = {data.splits[row] for row in rows}
        assert parts == {"train", "validation", "test"}


def test_large_and_small_sources_are_equally_likely_in_each_split() -> None:
    """If sources were ranked by their highest frame, large sources would always be for training."""
    data = split(grouping.assign_sources(clips(60, 50), r"clip\d+"), 0)
    counts = [len(data.rows(part)) / len(data.paths) for part in ("test", "validation")]
    np.testing.assert_allclose(counts, 0.15, atol=0.06)


def test_without_a_rule_nothing_changes() -> None:
    data = clips(3, 4)
    assert grouping.assign_sources(data, None) is data
    assert grouping.merge_groups(data) is data.duplicate_groups


def test_duplicates_merge_sources() -> None:
    data = clips(4, 3)
    data = replace(data, duplicate_groups=np.where(np.arange(24) == 4, 0, np.arange(24)))
    groups = grouping.merge_groups(grouping.assign_sources(data, r"clip\d+"))
    assert groups[:6].tolist() == [0] * 6  # the second clip has a copy of a frame of the first clip
    assert groups[6:9].tolist() == [6] * 3
    chained = replace(data, duplicate_groups=np.array([*range(23), 0]))
    assert grouping.merge_groups(grouping.assign_sources(chained, r"clip\d+"))[21:].tolist() == [
        0,
        0,
        0,
    ]


def test_sources_are_read_from_a_table(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    data = clips(2, 2)
    lines = [f"{path},patient {index // 2}" for index, path in enumerate(data.paths[:6])]
    table = tmp_path / "sources.csv"
    table.write_text("path,group\n" + "\n".join([*lines, "elsewhere.jpg,x"]), encoding="utf-8-sig")
    sources = grouping.assign_sources(data, str(table)).sources
    assert sources[:6] == ("patient 0",) * 2 + ("patient 1",) * 2 + ("patient 2",) * 2
    assert sources[6:] == ("", "")
    grouped = grouping.assign_sources(data, str(table))
    assert grouping.merge_groups(grouped)[6:].tolist() == [6, 7]
    write_csv(split(grouped, 0), tmp_path / "split.csv")
    header, row = (tmp_path / "split.csv").read_text().splitlines()[:2]
    assert header == "path,sha256,class,split,group"
    assert row.endswith(",patient 0")


@pytest.mark.parametrize("content", [None, "file,video\na,b\n", b"\xff\xfe\x00"])
def test_an_unreadable_table_is_refused(tmp_path: Path, content: str | bytes | None) -> None:
    table = tmp_path / "sources.csv"
    if content is not None:
        table.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(ConfigError, match="--group"):
        grouping.assign_sources(clips(2, 2), str(table))


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        (r"^\w", "--group finds only one source in each class (`a`, `b`): "),
        (r"clip", "--group finds only one source in all 8 pictures (`clip`): "),
    ],
)
def test_a_rule_with_one_source_per_class_is_refused(rule: str, message: str) -> None:
    with pytest.raises(DataError, match="no picture is left for the test") as caught:
        split(grouping.assign_sources(clips(2, 2), rule), 0)
    assert message in str(caught.value)


def test_a_missing_table_is_reported_once() -> None:
    with pytest.raises(ConfigError) as caught:
        grouping.assign_sources(clips(2, 2), "none.csv")
    assert str(caught.value) == "--group: none.csv cannot be read: No such file or directory"


def test_a_rule_that_matches_no_path_is_refused() -> None:
    with pytest.raises(
        DataError, match=r"for any of the 8 pictures: it must match paths such as a/clip00"
    ):
        grouping.assign_sources(clips(2, 2), "video")


def test_the_columns_of_a_table_are_named_if_no_path_matches() -> None:
    layout = Layout({}, ("the columns of labels.csv: path = `path`; not used: tree",))
    data = replace(clips(2, 2), layout=layout)
    message = r"or name a column of the table \(the columns of labels\.csv: .*not used: tree\)"
    with pytest.raises(DataError, match=message):
        grouping.assign_sources(data, "trie")
