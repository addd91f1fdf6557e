"""Promises about training: freezing, fine-tuning, weights files and copies of the network.

A promise is something that training or export expects of every backbone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from plugins.base import leaf_layers
from plugins.copying import assign_weights, clone
from trainers.conformance.trial import PICTURES, BrokenPromiseError, Trial

if TYPE_CHECKING:
    import keras

BFLOAT16_TOLERANCE = 0.1
"""The largest allowed difference between the feature maps of a bfloat16 clone and of the network,
divided by the norm of the network's feature maps. bfloat16 has only 8 significant bits."""
LAYERS, CLASSES = 5, 3
"""The number of layers that the checks fine-tune, and the number of classes of their heads."""


def check_freezing(trial: Trial) -> str:
    """Check that, after freeze(), training a head changes no weights and no statistics."""
    trial.backbone.freeze(trial.body)
    trainable = [weight.path for weight in trial.body.trainable_weights]
    if trainable:
        raise BrokenPromiseError(
            f"after freeze(), these weights are still trainable: {_join(trainable)}; do not "
            "override freeze()"
        )
    before = _copy_weights(trial.body)
    _fit_one_step(trial)
    _require_frozen_unchanged(before)
    return "after freeze(), training a head changes no weights and no statistics"


def check_fine_tuning(trial: Trial) -> str:
    """Check that fine_tune() unfreezes exactly the last layers, without BatchNormalization."""
    import keras

    backbone, body = trial.backbone, trial.body
    norm = keras.layers.BatchNormalization
    body.trainable = True
    trainable = [layer for layer in leaf_layers(body) if layer.trainable_weights]
    candidates = [layer for layer in trainable if not isinstance(layer, norm)]
    backbone.freeze(body)
    returned = backbone.fine_tune(body, LAYERS)
    unfrozen = [layer for layer in leaf_layers(body) if layer.trainable_weights]
    norms = [layer for layer in leaf_layers(body) if isinstance(layer, norm) and layer.trainable]
    if norms:
        raise BrokenPromiseError(
            f"fine_tune() unfreezes BatchNormalization ({_join_names(norms)}), whose statistics "
            "would then be computed from few pictures: do not override fine_tune()"
        )
    expected = candidates[-max(LAYERS, len(unfrozen)) :]  # more, if they end inside of a block
    blocks = [layer for layer in body.layers if layer.trainable_weights]
    if not (returned == unfrozen == expected) or len(blocks) > LAYERS:
        raise BrokenPromiseError(
            f"fine_tune({LAYERS}) unfreezes {_join_names(unfrozen)} and returns "
            f"{_join_names(returned)}, but the last {LAYERS} layers with weights are "
            f"{_join_names(expected)}: do not override fine_tune()"
        )
    return (
        f"fine_tune({LAYERS}) unfreezes the layers from {unfrozen[0].name} on; BatchNormalization "
        "stays frozen"
    )


def check_training(trial: Trial) -> str:
    """Check that a step of fine-tuning changes unfrozen weights, and no other weights."""
    before = _copy_weights(trial.body)
    _fit_one_step(trial)
    _require_frozen_unchanged(before)
    if not _changed(before):
        raise BrokenPromiseError(
            "training changes none of the unfrozen weights, because no gradient reaches them: look "
            "for an operation without a gradient, such as rounding or stop_gradient"
        )
    return "training changes unfrozen weights, but no others and no statistics"


def check_weights_file(trial: Trial) -> str:
    """Check that saving and loading the weights does not change the feature maps."""
    path = trial.folder / "body.weights.h5"
    network = trial.backbone.build(None, trial.size)
    assign_weights(network, trial.body.get_weights())
    network.save_weights(path)
    loaded = trial.backbone.load(str(path), trial.size)
    difference = abs(_predict(loaded, trial.images) - _predict(trial.body, trial.images)).max()
    if difference:
        raise BrokenPromiseError(
            "after its weights were saved to a file and loaded, the network gives different "
            f"feature maps (difference: up to {difference:.2g}): build() must make the same "
            "network for any `weights`"
        )
    return "after its weights were saved and loaded, the network gives the same feature maps"


def check_copies(trial: Trial) -> str:
    """Check that a clone gives the same feature maps, and a bfloat16 clone nearly the same.

    Fine-tuning on several devices and on recent GPUs trains such clones. The check first changes
    the statistics of BatchNormalization. Otherwise a clone with initial statistics would pass,
    although the statistics were not copied.
    """
    weights = trial.body.weights
    shifted = [weight.numpy() + _statistic_shift(weight.name) for weight in weights]
    assign_weights(trial.body, shifted)
    expected = _predict(trial.body, trial.images)
    for policy, tolerance in ((None, 1e-5), ("mixed_bfloat16", BFLOAT16_TOLERANCE)):
        actual = _predict(clone(trial.body, policy), trial.images).astype("float32")
        length = max(1e-6, (expected**2).sum() ** 0.5)
        difference = ((actual - expected) ** 2).sum() ** 0.5 / length
        if not difference <= tolerance:
            raise BrokenPromiseError(
                f"the feature maps of a clone{f' in {policy}' if policy else ''} differ by "
                f"{difference:.2g} of their norm: get_config() of each layer must return all "
                "arguments of the layer, and load_own_variables() must recompute what the layer "
                "derives from its weights"
            )
    return (
        "a clone gives the same feature maps; those of a bfloat16 clone differ by "
        f"{difference:.2g} of their norm"
    )


def _statistic_shift(name: str) -> float:
    """Return the number to add to the weight with this name.

    It is 0 for all weights except the means and variances of BatchNormalization. Means are lowered,
    because raised means could make all outputs of ReLU zero.
    """
    return 0.1 if name.endswith("variance") else -0.1 if name.endswith("mean") else 0.0


def _predict(model: keras.Model, images: Any) -> Any:
    import keras

    return keras.ops.convert_to_numpy(model(images, training=False))


def _copy_weights(model: keras.Model) -> list[tuple[Any, Any]]:
    """Return pairs: each weight, and a copy of its current value."""
    return [(weight, weight.numpy().copy()) for weight in model.weights]


def _changed(before: list[tuple[Any, Any]]) -> list[Any]:
    return [weight for weight, value in before if (weight.numpy() != value).any()]


def _require_frozen_unchanged(before: list[tuple[Any, Any]]) -> None:
    changed = [weight.path for weight in _changed(before) if not weight.trainable]
    statistics = [path for path in changed if "/moving_" in path]
    if statistics:
        raise BrokenPromiseError(
            f"training changes the statistics of BatchNormalization ({_join(statistics)}): set "
            "trainable = False on the layer; training=False is not enough inside fit()"
        )
    if changed:
        raise BrokenPromiseError(
            f"training changes frozen weights: {_join(changed)}; a layer must not assign its "
            "weights in call()"
        )


def _fit_one_step(trial: Trial) -> None:
    """Train the network with a new head for one step.

    The head gets standardised features, because the features of a random network may be tiny. The
    step runs eagerly, because tracing a large network is slow.
    """
    import keras

    pooled = keras.layers.GlobalAveragePooling2D()(trial.body.output)
    embed = keras.Model(trial.body.input, pooled)
    embeddings = _predict(embed, trial.images)
    deviation = embeddings.std(axis=0)
    scale = 1 / (deviation + (deviation == 0))
    standardised = keras.layers.Rescaling(scale, -embeddings.mean(axis=0) * scale)(pooled)
    head = keras.layers.Dense(CLASSES, activation="softmax")(standardised)
    model = keras.Model(trial.body.input, head)
    adam = keras.optimizers.Adam(1e-3)
    model.compile(adam, "sparse_categorical_crossentropy", run_eagerly=True)
    labels = keras.ops.arange(PICTURES) % CLASSES
    model.fit(trial.images, labels, batch_size=PICTURES, verbose=0)


def _join(names: list[str]) -> str:
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")


def _join_names(layers: list[keras.layers.Layer]) -> str:
    return _join([layer.name for layer in layers])
