from __future__ import annotations

import numpy as np
import pytest

from trainers.evaluation.selection import Hits, ValidationResult
from trainers.heads.head import Head, better, build, lowest, standardisation

RNG = np.random.default_rng(0)


def hits(right: int, of: int) -> Hits:
    return np.arange(of) < right


@pytest.mark.parametrize(
    ("gain", "spread", "is_taken"), [(0.1, 0.01, True), (0.1, 3.0, False), (-0.1, 0.01, False)]
)
def test_the_simple_head_stays_unless_the_other_is_clearly_better(
    gain: float, spread: float, is_taken: bool
) -> None:
    losses = RNG.uniform(0, 1, 100)
    simple = Head(None, "simple", losses, hits(80, 100))
    other = Head(
        None, "other", losses - gain + spread * RNG.normal(0, 1, 100).round(2), hits(90, 100)
    )
    assert (better(simple, other) is other) == is_taken


def test_a_lower_loss_with_as_many_mistakes_is_no_reason() -> None:
    simple = Head(None, "simple", np.ones(5), hits(4, 5))
    assert better(simple, Head(None, "other", np.zeros(5), hits(4, 5))) is simple


def test_a_head_that_diverged_is_not_taken() -> None:
    simple = Head(None, "simple", np.ones(5), hits(4, 5))
    assert better(simple, Head(None, "other", np.full(5, np.nan), hits(5, 5))) is simple


def test_an_untrained_head_finds_all_classes_equally_probable() -> None:
    head = build(np.ones(4, np.float32), np.zeros(4, np.float32), classes=5)
    np.testing.assert_allclose(head(np.ones((2, 4), np.float32)), 0.2, rtol=1e-6)


@pytest.mark.parametrize("size", [1e-20, 1.0, 1e6])
def test_embeddings_of_any_size_are_standardised(size: float) -> None:
    embeddings = (RNG.normal(3, 2, (250, 2, 4)) * size).astype(np.float32)
    scale, offset = standardisation(embeddings)
    standardised = embeddings.reshape(-1, 4) * scale + offset
    np.testing.assert_allclose(standardised.mean(axis=0), 0, atol=1e-4)
    np.testing.assert_allclose(standardised.std(axis=0), 1, rtol=1e-4)


def test_a_feature_that_never_changes_does_no_harm() -> None:
    scale, offset = standardisation(np.full((4, 1, 2), 7, np.float32))
    assert np.isfinite(np.full((1, 2), 8, np.float32) * scale + offset).all()


def test_what_is_cross_validated_decides_and_is_said() -> None:
    crossed = [
        ValidationResult.from_answers(np.full(9, loss), np.arange(9) < right, 5)
        for loss, right in ((0.9, 5), (0.2, 8))
    ]
    simple, other = (Head(None, "a head", np.zeros(2), hits(2, 2), [], one) for one in crossed)
    assert lowest([simple, other]) is other
    assert better(simple, other) is other
    assert str(other) == "a head (cross-validated loss 0.2000, accuracy 0.8889, on 9 pictures)"


def test_the_last_head_is_taken_where_nothing_could_judge() -> None:
    unknown = ValidationResult.from_answers(np.zeros(0), np.zeros(0, np.bool_))
    heads = [Head(None, views, np.zeros(2), hits(2, 2), [], unknown) for views in ("one", "four")]
    assert lowest(heads) is heads[1]
