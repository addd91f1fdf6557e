from __future__ import annotations

import logging
from collections.abc import Callable

import pytest

from service.bundle import summary
from service.bundle.manifest import Manifest
from service.bundle.summary import DRAWN, FOLDER, UNKNOWN

Make = Callable[..., Manifest]


@pytest.fixture
def made(manifest: Manifest) -> Make:
    """A manifest with other data and figures: made(data={...}, test_accuracy=0.5, ...)."""

    def made(data: object = "drawn", **metrics: float) -> Manifest:
        return manifest.model_copy(update={"provenance": {"data": data}, "metrics": metrics})

    return made


SOUND = {
    "test_accuracy": 0.9,
    "test_pictures": 200,
    "test_accuracy_low": 0.85,
    "test_accuracy_high": 0.93,
    "test_majority_share": 0.4,
}


@pytest.mark.parametrize(
    ("data", "source", "words"),
    [
        ({"source": DRAWN, "pictures": 600}, DRAWN, "trained on 600 drawn sample pictures, "),
        (
            {"source": FOLDER, "folder": "pets", "pictures": 1200},
            FOLDER,
            "trained on 1,200 pictures of `pets`, ",
        ),
        ({"fingerprint": "", "pictures": 5}, UNKNOWN, "trained on 5 pictures of unknown origin, "),
        ({"pictures": "many"}, UNKNOWN, "trained on pictures of unknown origin, "),
        ("drawn", UNKNOWN, "trained on pictures of unknown origin, "),
        (None, UNKNOWN, "trained on pictures of unknown origin, "),
    ],
)
def test_the_data_is_named_also_of_older_bundles(
    made: Make, data: object, source: str, words: str
) -> None:
    one = made(data, **SOUND)
    assert summary.data(one)["source"] == source
    assert summary.line(one).startswith(f"tiny:{one.version}, {words}")
    assert summary.line(one).endswith("test accuracy 0.9000 on 200 test pictures")
    assert summary.public(one)["data"] == summary.data(one)
    assert "pets" not in str(summary.public(one))


@pytest.mark.parametrize(
    ("figures", "doubt"),
    [
        ({"test_pictures": 4, "test_accuracy_low": 0.45}, "only 4 test pictures"),
        ({"test_pictures": 1, "test_accuracy_low": 0.45}, "only 1 test picture:"),
        ({"test_accuracy": 0.5, "test_accuracy_low": 0.39}, "near chance: it is right on 50%"),
        ({"test_accuracy": 0.45, "test_accuracy_low": 0.42}, "near chance"),
        ({}, None),
    ],
)
def test_small_tests_and_answers_near_chance_are_doubted(
    made: Make, figures: dict[str, float], doubt: str | None
) -> None:
    doubts = list(summary.doubts(made(None, **{**SOUND, **figures})))
    assert [one.startswith(doubt or "") for one in doubts] == ([True] if doubt else [])


def test_an_older_bundle_is_compared_with_even_classes(made: Make) -> None:
    (doubt,) = summary.doubts(made(None, test_accuracy=0.35, test_pictures=100))
    assert "always answering the most common class is right on 33%" in doubt
    assert not list(summary.doubts(made(None)))


def test_drawn_pictures_are_doubted_whatever_the_accuracy(made: Make) -> None:
    (doubt,) = summary.doubts(made({"source": DRAWN}, **SOUND))
    assert DRAWN in doubt


def test_a_model_is_introduced_with_its_doubts(
    made: Make, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    one = made({"source": DRAWN, "pictures": 9}, **SOUND)
    summary.introduce(one, logging.getLogger("test"), "serving")
    first, second = caplog.records
    assert (first.levelname, second.levelname) == ("INFO", "WARNING")
    assert first.getMessage() == f"serving {summary.line(one)}"
