from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tests.trainers.dataset.splits.test_splitting import dataset
from tests.trainers.dataset.test_grouping import clips
from trainers.dataset import grouping
from trainers.dataset.dataset import Dataset
from trainers.dataset.findings import leakage


def named(*names: str) -> Dataset:
    """A dataset of pictures with these names; each half of them is one class."""
    data = dataset(len(names) // 2, len(names) // 2)
    return replace(data, paths=names)


def numbered(pattern: str, sources: range, numbers: range) -> Dataset:
    return named(
        *(
            f"{label}/" + pattern.format(source, number)
            for label in "ab"
            for source in sources
            for number in numbers
        )
    )


@pytest.mark.parametrize(
    "data",
    [
        clips(4, 10),
        numbered("clip{0:02}_{1:04}.jpg", range(1, 4), range(0, 300, 30)),
        numbered("video{0}/{1}.png", range(3), range(20)),
        numbered("{0:05}_{1:05}.png", range(5), range(30)),  # tracks of traffic signs
        numbered("MVI_{0:04}-frame{1}.jpg", range(3), range(10)),
        numbered("frame_{1:04}.jpg", range(1), range(40)),  # one film of each class
    ],
)
def test_numbered_frames_of_few_sources_are_found(data: Dataset) -> None:
    (finding,) = leakage.find_leaks(data, 224)
    assert finding.kind == "numbered_frames"
    assert finding.severity == "warning"
    assert len(finding.paths) == len(data.paths)
    grouped = grouping.assign_sources(data, leakage.FRAME_PATTERN)  # as the finding advises
    assert len(set(grouped.sources)) == int(finding.message.split(" sources")[0].split()[-1])
    assert list(leakage.find_leaks(grouped, 224)) == []


@pytest.mark.parametrize(
    "data",
    [
        numbered("{1}.jpg", range(1), range(200)),
        numbered("Forest_{1}.jpg", range(1), range(200)),  # satellite tiles
        numbered("cat.{1}.jpg", range(1), range(200)),
        numbered("n01440764_{1}.JPEG", range(1), range(200)),
        numbered("leaf{0}_{1}.jpg", range(100), range(2)),  # two pictures are not a video
        named(
            *(
                f"{'ab'[index // 50]}/{index * 7919 % 10**6}_{index * 104729:x}_n.jpg"
                for index in range(100)
            )
        ),
        named(
            *(
                f"{'ab'[number // 60]}/"
                f"IMG_2023010{number % 6}_{10_000 + number**2 * 37 % 49_999}.jpg"
                for number in range(120)
            )
        ),  # names of a phone, by day and time
    ],
)
def test_other_names_are_not_a_finding(data: Dataset) -> None:
    assert list(leakage.find_leaks(data, 224)) == []


def test_sources_in_several_splits_of_the_folder_are_an_error() -> None:
    data = clips(4, 10)
    splits = np.where(np.arange(80) % 20 < 15, "train", "test")
    data = grouping.assign_sources(replace(data, splits=tuple(splits)), r"clip\d+")
    (finding,) = leakage.find_leaks(data, 224)
    assert (finding.kind, finding.severity) == ("source_across_splits", "error")
    assert "4 sources" in finding.message
    assert len(finding.paths) == 40
