"""What every backbone promises about training: what learns, what stays, and what comes back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from plugins.base import leaf_layers
from plugins.copying import assign_weights, clone
from trainers.conformance.promises import PICTURES, BrokenPromiseError, Trial

if TYPE_CHECKING:
    import keras

BFLOAT16 = 0.1
"""Length of the difference that 8 bits of mantissa may make, as a share of the maps' own."""
LAYERS, CLASSES = 5, 3
"""Layers that are fine-tuned in a trial, and classes of its pictures."""


def freezes(trial: Trial) -> str:
    """After freeze() no weight trains, and no statistic moves while a head does."""
    trial.backbone.freeze(trial.body)
    left = [weight.path for weight in trial.body.trainable_weights]
    if left:
        raise BrokenPromiseError(f"freeze() leaves {_some(left)} trainable: leave it to Backbone")
    before = _values(trial.body)
    _fit(trial)
    _require_unmoved(before)
    return "no weight trains after freeze(), no statistic moves"


def fine_tunes(trial: Trial) -> str:
    """fine_tune() thaws the last layers and only those; normalisation stays frozen."""
    import keras

    backbone, body = trial.backbone, trial.body
    norm = keras.layers.BatchNormalization
    body.trainable = True
    learning = [one for one in leaf_layers(body) if one.trainable_weights]
    expected = [one for one in learning if not isinstance(one, norm)][-LAYERS:]
    backbone.freeze(body)
    returned = backbone.fine_tune(body, LAYERS)
    thawed = [one for one in leaf_layers(body) if one.trainable_weights]
    norms = [one.name for one in leaf_layers(body) if isinstance(one, norm) and one.trainable]
    if norms:
        raise BrokenPromiseError(
            f"fine_tune() thaws BatchNormalization ({_some(norms)}), whose statistics then follow "
            "a few pictures: leave fine_tune() to Backbone"
        )
    if not (returned == thawed == expected):
        raise BrokenPromiseError(
            f"fine_tune({LAYERS}) thaws {_some([one.name for one in thawed])} and returns "
            f"{_some([one.name for one in returned])}; the last {LAYERS} layers with weights are "
            f"{_some([one.name for one in expected])}"
        )
    return f"the last {len(thawed)} layers thaw, from {thawed[0].name}; normalisation stays frozen"


def trains(trial: Trial) -> str:
    """In fine-tuning the thawed weights move; all others stay bit for bit."""
    before = _values(trial.body)
    _fit(trial)
    _require_unmoved(before)
    if not _moved(before):
        raise BrokenPromiseError("no thawed weight moves: no gradient reaches it")
    return "thawed weights move; all others, and BatchNormalization's statistics, stay bit for bit"


def comes_back(trial: Trial) -> str:
    """Saved weights come back by --weights FILE as the same network with the same scaling."""
    path = trial.folder / "body.weights.h5"
    network = trial.backbone.build(None, trial.size)
    assign_weights(network, trial.body.get_weights())
    network.save_weights(path)
    again = trial.backbone.load(str(path), trial.size)
    difference = abs(_maps(again, trial.images) - _maps(trial.body, trial.images)).max()
    if difference:
        raise BrokenPromiseError(
            f"loaded from its own weights it answers otherwise, by {difference:.2g}: what "
            "build() does must not depend on `weights`"
        )
    return "the same network from a file of its weights"


def copies(trial: Trial) -> str:
    """A clone answers as the network does; one that computes in bfloat16, nearly so.

    Fine-tuning trains such clones on several devices and on recent GPUs. Weights that stand for
    statistics are changed first: fresh ones have 0 and 1, which any copy gets right.
    """
    weights = trial.body.weights
    shift = [_shift(one.name) for one in weights]
    assign_weights(trial.body, [one.numpy() + by for one, by in zip(weights, shift, strict=True)])
    expected = _maps(trial.body, trial.images)
    for policy, allowed in ((None, 1e-5), ("mixed_bfloat16", BFLOAT16)):
        found = _maps(clone(trial.body, policy), trial.images).astype("float32")
        length = max(1e-6, (expected**2).sum() ** 0.5)
        difference = ((found - expected) ** 2).sum() ** 0.5 / length
        if not difference <= allowed:
            raise BrokenPromiseError(
                f"a clone{f' in {policy}' if policy else ''} answers otherwise, by "
                f"{difference:.2g} of its maps' length: get_config() must name all that a layer "
                "was made with, and load_own_variables() renew what it derives from its weights"
            )
    return f"a clone answers as it does, one in bfloat16 within {difference:.2g}"


def _shift(name: str) -> float:
    """What is added to a statistic; a lower mean lets more through ReLU, where 0 copies as 0."""
    return 0.1 if name.endswith("variance") else -0.1 if name.endswith("mean") else 0.0


def _maps(model: keras.Model, images: Any) -> Any:
    import keras

    return keras.ops.convert_to_numpy(model(images, training=False))


def _values(model: keras.Model) -> list[tuple[Any, Any]]:
    """Every weight with a copy of what it holds now."""
    return [(weight, weight.numpy().copy()) for weight in model.weights]


def _moved(before: list[tuple[Any, Any]]) -> list[Any]:
    return [weight for weight, value in before if (weight.numpy() != value).any()]


def _require_unmoved(before: list[tuple[Any, Any]]) -> None:
    moved = [weight.path for weight in _moved(before) if not weight.trainable]
    statistics = [path for path in moved if "/moving_" in path]
    if statistics:
        raise BrokenPromiseError(
            f"training moves the statistics of BatchNormalization ({_some(statistics)}): the layer "
            "must have trainable = False; training=False alone does not hold inside fit"
        )
    if moved:
        raise BrokenPromiseError(f"training moves what is frozen: {_some(moved)}")


def _fit(trial: Trial) -> None:
    """A step with a head on standardised means: the maps of random weights may be tiny.

    Eagerly, since tracing a large network for it takes most of a minute.
    """
    import keras

    pooled = keras.layers.GlobalAveragePooling2D()(trial.body.output)
    embed = keras.Model(trial.body.input, pooled)
    embeddings = _maps(embed, trial.images)
    deviation = embeddings.std(axis=0)
    scale = 1 / (deviation + (deviation == 0))
    standard = keras.layers.Rescaling(scale, -embeddings.mean(axis=0) * scale)(pooled)
    head = keras.layers.Dense(CLASSES, activation="softmax")(standard)
    model = keras.Model(trial.body.input, head)
    adam = keras.optimizers.Adam(1e-3)
    model.compile(adam, "sparse_categorical_crossentropy", run_eagerly=True)
    labels = keras.ops.arange(PICTURES) % CLASSES
    model.fit(trial.images, labels, batch_size=PICTURES, verbose=0)


def _some(names: list[str]) -> str:
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
