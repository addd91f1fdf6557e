from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from service.bundle.manifest import Manifest
from service.bundle.reading import Bundle
from service.bundle.sealing import seal
from service.engine.classification import ModelOutputs
from service.engine.novelty import Novelty, Scale, combine, measure_signals
from service.engine.predictor import Predictor
from service.errors import BundleError
from tests.service.engine.test_references import colours, references

RNG = np.random.default_rng(0)
SealWith = Callable[[bytes], Bundle]


def outputs(embeddings: NDArray[np.float32], score: float = 0.9) -> ModelOutputs:
    probabilities = [score, (1 - score) / 2, (1 - score) / 2]
    return ModelOutputs(np.tile(np.float32(probabilities), (len(embeddings), 1)), embeddings)


@pytest.fixture(scope="module")
def novelty() -> Novelty:
    known = references(colours(60).astype(np.float16).astype(np.float32))
    signals = np.sort(measure_signals(known, outputs(colours(80))), axis=1)
    scales = [Scale(row) for row in signals]
    totals = np.sort(combine(scales, measure_signals(known, outputs(colours(80)))))
    return Novelty(known, signals, totals)


@pytest.fixture
def seal_with(tmp_path: Path, staging: Path, manifest: Manifest) -> SealWith:
    """Seal the tiny bundle with a file novelty.npz."""

    def seal_with(content: bytes) -> Bundle:
        (staging / "novelty.npz").write_bytes(content)
        return seal(staging, manifest, tmp_path)

    return seal_with


def test_a_p_value_is_the_share_of_pictures_with_a_higher_value() -> None:
    known = np.arange(1, 100.0)
    shares = Scale(known).p_values(np.array([0, 1, 26, 26.5, 51, 96, 99]))
    np.testing.assert_allclose(shares, [1, 1, 0.75, 0.745, 0.5, 0.05, 0.02])
    known = np.array([0, 0, 0, 5, 5, 6, 7, 8, 9.0])
    np.testing.assert_allclose(Scale(known).p_values(np.array([0, 5])), [1, 0.7])


@pytest.mark.parametrize("known", [[3.0], [0.0, 0.0], [2.0] * 50, np.linspace(0, 3, 200)])
def test_beyond_all_known_values_p_values_go_on_falling(known: list[float]) -> None:
    values = np.concatenate([[np.max(known)], 3 + np.logspace(-3, 4, 40)])
    shares = Scale(np.array(known)).p_values(values)
    assert (np.diff(shares) < 0).all()
    assert shares[-1] > 0


def test_a_single_unusual_signal_makes_a_picture_novel() -> None:
    known = np.sort(RNG.exponential(size=(3, 200)), axis=1)
    scales = [Scale(row) for row in known]
    totals = np.sort(combine(scales, RNG.permuted(known, axis=1)))
    usual = np.full((3, 1), 0.5)
    for row in range(3):
        unusual = usual.copy()
        unusual[row] = 60
        assert combine(scales, unusual) > np.quantile(totals, 0.95) > combine(scales, usual)


def test_novelty_rises_with_the_distance_and_never_ties(novelty: Novelty) -> None:
    steps = np.linspace(0, 1, 30)[:, np.newaxis]
    path = (1 - steps) * [1, 0.2, 0.1] + steps * [-0.3, -1, 0.5]
    novelties = novelty.measure(outputs(path.astype(np.float32)))
    assert novelties[0] < 0.5
    assert 0.95 < novelties[12] < novelties[-1] < 1
    assert (np.diff(novelties[8:]) > 0).all()


def test_doubtful_pictures_are_more_novel(novelty: Novelty) -> None:
    pictures = colours(20)
    sure, doubtful = (novelty.measure(outputs(pictures, score)) for score in (0.95, 0.4))
    assert (doubtful > sure).all()


def test_about_five_percent_of_known_pictures_are_called_unknown(novelty: Novelty) -> None:
    share = (novelty.measure(outputs(colours(4000))) > 0.95).mean()
    assert 0.005 < share < 0.12


def test_a_bundle_keeps_the_novelty(novelty: Novelty, seal_with: SealWith) -> None:
    content = novelty.to_bytes()
    read = Novelty.read(seal_with(content))
    assert read is not None
    assert read.to_bytes() == content
    pictures = outputs(colours(50, spread=0.5))
    np.testing.assert_allclose(read.measure(pictures), novelty.measure(pictures), atol=2e-2)


def test_answers_say_how_novel_a_picture_is(novelty: Novelty, seal_with: SealWith) -> None:
    predictor = Predictor(seal_with(novelty.to_bytes()), threads=1)
    pixels = np.array([[255, 51, 26], [0, 0, 255]], np.uint8)[:, None, None]
    images = pixels * np.ones((1, 32, 32, 1), np.uint8)
    red, blue = predictor.classify(images)
    expected = novelty.measure(predictor.run(images))
    assert [red.novelty, blue.novelty] == pytest.approx(expected.tolist(), abs=2e-2)
    assert red.novelty < 0.95 < blue.novelty  # type: ignore[operator]


def test_a_bundle_without_the_file_has_no_novelty(tiny_bundle: Bundle) -> None:
    assert Novelty.read(tiny_bundle) is None
    images = np.zeros((2, 32, 32, 3), np.uint8)
    answers = Predictor(tiny_bundle, threads=1).classify(images)
    assert [answer.novelty for answer in answers] == [None, None]


def damaged(novelty: Novelty, **changes: object) -> bytes:
    arrays = dict(np.load(io.BytesIO(novelty.to_bytes())))
    arrays |= changes
    buffer = io.BytesIO()
    np.savez(buffer, **{name: array for name, array in arrays.items() if array is not None})
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"totals": None}, "totals"),
        ({"rows": np.array([{}])}, "allow_pickle=False"),
        ({"rows": np.arange(3)}, r"positions has the shape \(3, 60\) instead of \(3, 3\)"),
        ({"centre": np.zeros(4)}, r"centre has the shape \(4,\) instead of \(3,\)"),
        ({"components": np.zeros(())}, "components"),
        ({"signals": np.zeros((3, 0)), "totals": np.zeros(0)}, "signals has the shape"),
        ({"heights": np.full(60, np.nan)}, "heights has numbers that are not finite"),
        ({"neighbours": 0}, "neighbours is 0"),
    ],
)
def test_a_damaged_file_is_refused(
    novelty: Novelty, seal_with: SealWith, changes: dict[str, object], reason: str
) -> None:
    bundle = seal_with(damaged(novelty, **changes))
    with pytest.raises(
        BundleError, match=rf"novelty\.npz is damaged \(.*{reason}.*train the model"
    ):
        Predictor(bundle)


@pytest.mark.parametrize("cut", [0, 1, 100, -100])
def test_an_incomplete_file_is_refused(novelty: Novelty, seal_with: SealWith, cut: int) -> None:
    with pytest.raises(BundleError, match=r"novelty\.npz is damaged"):
        Novelty.read(seal_with(novelty.to_bytes()[:cut]))
