from __future__ import annotations

import logging
from collections.abc import Callable

import pytest

from service.bundle import summary
from service.bundle.manifest import Manifest
from service.bundle.summary import DRAWN, FOLDER, UNKNOWN

MakeManifest = Callable[..., Manifest]


@pytest.fixture
def make_manifest(manifest: Manifest) -> MakeManifest:
    """A manifest with other data and metrics: make_manifest(data={...}, test_accuracy=0.5, ...)."""

    def make_manifest(data: object = "drawn", **metrics: float) -> Manifest:
        return manifest.model_copy(update={"provenance": {"data": data}, "metrics": metrics})

    return make_manifest


GOOD_METRICS = {
    "test_accuracy": 0.9,
    "test_pictures": 200,
    "test_accuracy_low": 0.85,
    "test_accuracy_high": 0.93,
    "test_majority_share": 0.4,
}


@pytest.mark.parametrize(
    ("data", "source", "description"),
    [
        ({"source": DRAWN, "pictures": 600}, DRAWN, "made from 600 drawn sample pictures, "),
        (
            {"source": FOLDER, "folder": "pets", "pictures": 1200},
            FOLDER,
            "made from 1,200 pictures of `pets`, ",
        ),
        ({"fingerprint": "", "pictures": 5}, UNKNOWN, "made from 5 pictures of unknown origin, "),
        ({"pictures": "many"}, UNKNOWN, "made from pictures of unknown origin, "),
        ("drawn", UNKNOWN, "made from pictures of unknown origin, "),
        (None, UNKNOWN, "made from pictures of unknown origin, "),
    ],
)
def test_the_training_data_is_described_also_for_older_bundles(
    make_manifest: MakeManifest, data: object, source: str, description: str
) -> None:
    manifest = make_manifest(data, **GOOD_METRICS)
    assert summary.training_data(manifest)["source"] == source
    assert summary.describe(manifest).startswith(f"tiny:{manifest.version}, {description}")
    assert summary.describe(manifest).endswith("test accuracy 0.9000 on 200 test pictures")
    assert summary.public_manifest(manifest)["data"] == summary.training_data(manifest)
    assert "pets" not in str(summary.public_manifest(manifest))


@pytest.mark.parametrize(
    ("metrics", "expected"),
    [
        ({"test_pictures": 4, "test_accuracy_low": 0.45}, "only 4 test pictures"),
        ({"test_pictures": 1, "test_accuracy_low": 0.45}, "only 1 test picture:"),
        (
            {"test_accuracy": 0.5, "test_accuracy_low": 0.39},
            "near chance: the model classifies 50%",
        ),
        ({"test_accuracy": 0.45, "test_accuracy_low": 0.42}, "near chance"),
        ({}, None),
    ],
)
def test_few_test_pictures_and_accuracy_near_chance_cause_warnings(
    make_manifest: MakeManifest, metrics: dict[str, float], expected: str | None
) -> None:
    warnings = list(summary.model_warnings(make_manifest(None, **{**GOOD_METRICS, **metrics})))
    assert [text.startswith(expected or "") for text in warnings] == ([True] if expected else [])


def test_older_bundles_are_compared_with_classes_of_equal_size(
    make_manifest: MakeManifest,
) -> None:
    (warning,) = summary.model_warnings(make_manifest(None, test_accuracy=0.35, test_pictures=100))
    assert "always predicting the most common class would reach 33%" in warning
    assert not list(summary.model_warnings(make_manifest(None)))


def test_drawn_pictures_cause_a_warning_at_any_accuracy(make_manifest: MakeManifest) -> None:
    (warning,) = summary.model_warnings(make_manifest({"source": DRAWN}, **GOOD_METRICS))
    assert DRAWN in warning


def test_clients_see_the_warnings(make_manifest: MakeManifest) -> None:
    manifest = make_manifest(None, **{**GOOD_METRICS, "test_pictures": 4})
    (warning,) = summary.public_manifest(manifest)["warnings"]
    assert warning.startswith("only 4 test pictures")
    assert summary.public_manifest(make_manifest(None, **GOOD_METRICS))["warnings"] == []


def test_a_model_is_logged_with_its_warnings(
    make_manifest: MakeManifest, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    manifest = make_manifest({"source": DRAWN, "pictures": 9}, **GOOD_METRICS)
    summary.log_summary(manifest, logging.getLogger("test"), "serving")
    summary_record, warning_record = caplog.records
    assert (summary_record.levelname, warning_record.levelname) == ("INFO", "WARNING")
    assert summary_record.getMessage() == f"serving {summary.describe(manifest)}"


def test_a_multi_label_model_is_described_by_its_labels(multi_label_manifest: Manifest) -> None:
    figures = {"test_macro_f1": 0.91, "test_mean_average_precision": 0.95, "test_accuracy": 0.3}
    metrics = {**GOOD_METRICS, **figures, "test_accuracy_low": 0.25}
    described = multi_label_manifest.model_copy(update={"metrics": metrics})
    assert summary.describe_accuracy(described) == (
        "macro F1 0.9100, mean average precision 0.9500, all labels right 0.3000 on 200 test "
        "pictures"
    )
    (warning,) = summary.model_warnings(described)
    assert "the most common set of labels would reach 40%" in warning


def test_more_held_out_pictures_with_another_accuracy_cause_a_warning(
    make_manifest: MakeManifest,
) -> None:
    def warn(**metrics: float) -> list[str]:
        held_out = {"validation_accuracy": 0.6, "validation_pictures": 500}
        manifest = make_manifest(data={}, **{**GOOD_METRICS, **held_out, **metrics})
        return [text for text in summary.model_warnings(manifest) if "estimate" in text]

    (text,) = warn()
    assert text.startswith(
        "90% of the 200 test pictures are classified correctly, but 60% of the 500"
    )
    assert warn(validation_pictures=200) == warn(validation_accuracy=0.86) == []
