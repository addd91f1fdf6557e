from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from plugins.base import WeightsError
from trainers.dataset.decoded_images import Images
from trainers.features import decoding
from trainers.features.augmentation import TRAINING_VIEWS
from trainers.features.frozen_layers import TimeLimitedExtractor
from trainers.heads import linear
from trainers.phases import head_phase
from trainers.phases.context import TrainingContext
from trainers.resources.time_budget import TimeBudget

Start = Callable[..., TrainingContext]


@pytest.mark.slow
def test_examples_are_embeddings_with_the_weights_of_their_classes(start: Start) -> None:
    context = start(red=40, blue=12)
    examples = head_phase.load_examples(context, 2)
    assert examples.train.shape == (len(context.train), 2, 12)
    assert examples.validation.shape == (len(context.validation), 12)
    np.testing.assert_array_equal(examples.weights, context.class_weights[context.labels])
    images = context.validation.images[:].astype(np.float32)
    expected = context.network.embedder(images, training=False)
    np.testing.assert_allclose(examples.validation, expected, atol=1e-5)


@pytest.mark.slow
def test_no_picture_is_decoded_if_all_features_are_in_the_cache(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    context = start()
    first = head_phase.train_head(context)

    def prefetch(*_: object) -> None:
        raise AssertionError("decoded")

    monkeypatch.setattr(Images, "prefetch", prefetch)
    second_context = replace(
        context, dataset=decoding.decode_lazily(context.dataset, 32, context.cache)
    )
    assert str(head_phase.train_head(second_context)) == str(first)


@pytest.mark.slow
def test_views_that_would_not_fit_are_left_out(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    view_counts = []
    solve = linear.fit_linear
    monkeypatch.setattr(
        linear,
        "fit_linear",
        lambda examples, budget: (
            view_counts.append(examples.train.shape[1]),
            solve(examples, budget),
        )[1],
    )
    head_phase.train_head(start())
    monkeypatch.setattr(head_phase, "MAX_EMBEDDING_BYTES", 10)
    head_phase.train_head(start())
    assert view_counts == [1, len(TRAINING_VIEWS["horizontal"]), 1]


@pytest.mark.slow
def test_without_time_the_first_head_is_used(start: Start) -> None:
    description = str(head_phase.train_head(start(time_budget=1e-6)))
    assert "one view" in description


@pytest.mark.slow
def test_training_ends_after_one_penalty_if_the_time_budget_is_spent(start: Start) -> None:
    assert len(head_phase.train_head(start(time_budget=1e-6)).history) == 1


@pytest.mark.slow
def test_the_extraction_of_more_views_stops_when_the_time_is_spent(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Features computed before then stay in the cache for the next run."""
    context, calls = start(time_budget=1e9), []
    monkeypatch.setattr(
        TimeBudget, "is_spent", lambda *_: calls.append(1) is None and len(calls) > 99
    )
    call = TimeLimitedExtractor.__call__

    def call_and_spend_the_budget(
        layers: TimeLimitedExtractor, images: NDArray[np.uint8]
    ) -> NDArray[np.float32]:
        calls.extend([1] * 99)
        return call(layers, images)

    head_phase.load_examples(context, 1)
    monkeypatch.setattr(TimeLimitedExtractor, "__call__", call_and_spend_the_budget)
    assert "one view" in head_phase.train_head(context).description


@pytest.mark.slow
def test_embeddings_that_are_not_finite_are_an_error(start: Start) -> None:
    context = start()
    weights = [weight * np.float32(1e38) for weight in context.network.body.get_weights()]
    context.network.body.set_weights(weights)
    with pytest.raises(WeightsError, match="are infinite or not a number"):
        head_phase.train_head(context)


@pytest.mark.slow
def test_the_effect_of_class_weights_is_measured_for_imbalanced_classes(start: Start) -> None:
    imbalanced = start(red=50, blue=12)
    assert head_phase.measure_class_weights(imbalanced) is not None
    late_without_budget = replace(imbalanced, started=-1e9)
    assert head_phase.measure_class_weights(late_without_budget) is not None
    assert head_phase.measure_class_weights(start()) is None
