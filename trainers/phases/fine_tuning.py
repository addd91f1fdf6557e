"""Phase 2: fine-tune the head and the last layers of the backbone, except BatchNormalization."""

from __future__ import annotations

from functools import cache

import keras
import numpy as np
from numpy.typing import NDArray

from plugins.base import leaf_layers
from plugins.copying import assign_weights, load_state
from trainers.features import frozen_features
from trainers.features.batches import Batches, global_batch_size
from trainers.features.frozen_features import AugmentedPictures, Features, ModelInputs
from trainers.features.frozen_layers import FeatureExtractor, FrozenLayers, TimeLimitedExtractor
from trainers.model.classifier import Classifier
from trainers.phases.checkpoint import Checkpoint
from trainers.phases.context import TrainingContext
from trainers.phases.plan import Plan
from trainers.phases.training_loop import FINE_TUNING, FineTuningResult, fit
from trainers.progress import log
from trainers.resources import out_of_memory, precision

MIXUP = 0.3
"""Strength of mixup (`alpha` of `mix_up`). Without mixup, fine-tuning on few pictures overfits. But
networks for several labels are more accurate without it (docs/decisions/training.md)."""


def fine_tune(
    classifier: Classifier, plan: Plan, checkpoint: Checkpoint, context: TrainingContext
) -> FineTuningResult:
    """Train the head and the last layers of the backbone.

    Afterwards, the classifier has the weights of the epoch with the lowest validation loss.

    Raises:
        TimeBudgetSpentError: the time budget was spent before all feature maps were computed.
        MemoryShortageError: the memory of a device is too small for one picture.
    """
    config, strategy = context.config, context.strategy
    keras.utils.set_random_seed(config.seed)
    layers = classifier.backbone.fine_tune(classifier.body, plan.layers)
    policy, devices = precision.choose_policy(config.precision), strategy.num_replicas_in_sync
    max_batch_size = global_batch_size(config.batch_size, devices, len(context.train))
    log.info(
        "fine-tuning the last %d layer%s, from %s on, with the dtype policy %s",
        *(len(layers), "" if len(layers) == 1 else "s", layers[0].name, policy),
    )
    log.info("global batch size: %d; number of devices: %d", max_batch_size, devices)
    trainable, train, validation = split_off_frozen(classifier, plan, context)
    mixed_precision = precision.with_policy(trainable, policy)
    model = keras.Model(mixed_precision.input, classifier.head(mixed_precision.output))
    start_weights, statistics = model.get_weights(), moving_statistics(classifier.body)
    dataset = context.dataset
    truth = dataset.truth(dataset.rows("train"))
    validation_truth = dataset.truth(context.validation_rows)
    mixup = 0.0 if dataset.is_multi_label else MIXUP
    equal_weights = np.ones_like(context.class_weights)

    def attempt(batch_size: int) -> FineTuningResult:
        if batch_size < max_batch_size:
            assign_weights(model, start_weights)
        return fit(
            model,
            Batches(train, truth, context.class_weights, batch_size, config.seed, mixup),
            Batches(validation, validation_truth, equal_weights, batch_size),
            plan,
            checkpoint,
            context,
        )

    result = out_of_memory.retry_with_half(max_batch_size, FINE_TUNING, attempt)
    load_state(trainable, mixed_precision)
    after = moving_statistics(classifier.body)
    changed = [name for name in statistics if not np.array_equal(statistics[name], after[name])]
    if changed:
        raise AssertionError(f"fine-tuning changed BatchNormalization statistics: {changed}")
    return result


def split_off_frozen(
    classifier: Classifier, plan: Plan, context: TrainingContext
) -> tuple[keras.Model, ModelInputs, ModelInputs]:
    """Split off the frozen layers, so that their outputs are computed once per view of a picture.

    Returns:
        The rest of the embedder, and its inputs for training and for validation: the feature maps
        of the frozen layers. If no layer is frozen, or if the feature maps would be too large, the
        result is the whole embedder and the pictures.

    Raises:
        TimeBudgetSpentError: the time budget was spent before all feature maps were computed.
        MemoryShortageError: the memory of a device is too small for one picture.
    """
    records = len(context.train) * context.train.views + len(context.validation)
    parts = frozen_features.split_off_frozen(classifier.embedder, records)
    if not parts:
        return classifier.embedder, context.train, context.validation
    frozen, trainable = parts
    # The shape tells the places apart at which the network can be split.
    place = f"below the last {plan.layers} layers, {frozen.output_shape}"
    origin = f"{context.network.identity} {place}"

    @cache
    def load_extractor() -> FeatureExtractor:
        return TimeLimitedExtractor(FrozenLayers(frozen), context.time_budget)

    def extract(pictures: AugmentedPictures, views: int) -> Features:
        return frozen_features.extract(
            "maps", load_extractor, origin, pictures, views, context.cache
        )

    return trainable, extract(context.train, context.train.views), extract(context.validation, 1)


def moving_statistics(model: keras.Model) -> dict[str, NDArray[np.float32]]:
    """Return the moving means and variances of all BatchNormalization layers, by weight path."""
    normalizations = [
        layer for layer in leaf_layers(model) if isinstance(layer, keras.layers.BatchNormalization)
    ]
    return {
        weight.path: weight.numpy().copy()
        for layer in normalizations
        for weight in (layer.moving_mean, layer.moving_variance)
    }
