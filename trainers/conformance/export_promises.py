"""Promises about the export: it succeeds, and does not change the probabilities of a classifier.

A promise is something that training or export expects of every backbone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from trainers.conformance.trial import BrokenPromiseError, Trial

if TYPE_CHECKING:
    from trainers.model.classifier import Classifier


def check_export(trial: Trial) -> str:
    """Check that a classifier with this backbone can be exported to every format."""
    from trainers.exporting import export

    export.export(_make_classifier(trial), trial.folder)
    return f"exported to {' and '.join(export.FORMATS)}"


def check_parity(trial: Trial) -> str:
    """Check that every exported format gives the same probabilities as the Keras model."""
    from service.errors import ParityError
    from trainers.exporting import export

    pictures = trial.images.astype("uint8")
    try:
        parity = export.check_parity(_make_classifier(trial), trial.folder, pictures)
    except ParityError as error:
        difference = str(error).partition(". No bundle")[0]
        raise BrokenPromiseError(
            f"{difference}: make layers random only if `training` is true, or replace the "
            "operation that gives other results in the exported format"
        ) from error
    largest = max(parity["max_difference"].values())
    sizes = ", ".join(str(size) for size in parity["batch_sizes"])
    return f"probabilities differ from Keras by at most {largest:.1g}, in batches of {sizes}"


def _make_classifier(trial: Trial) -> Classifier:
    """Make a classifier of two classes with random weights.

    Its head scales embeddings to a norm of about 1. The head of training runs does not suit this
    check, for two reasons. Before training, it gives equal probabilities for every picture, so a
    wrong export would not be noticed. And it standardises embeddings, which magnifies rounding
    errors if a random network hardly distinguishes pictures.
    """
    import keras

    from trainers.model.classifier import Classifier, build_embedder

    embed = build_embedder(trial.body)
    embeddings = keras.ops.convert_to_numpy(embed(trial.images, training=False))
    length = float((embeddings**2).sum(axis=1).mean()) ** 0.5
    embedding = keras.Input(embeddings.shape[1:])
    initializer = keras.initializers.RandomNormal(stddev=1.0, seed=0)
    dense = keras.layers.Dense(2, activation="softmax", kernel_initializer=initializer)
    scaled = keras.layers.Rescaling(1 / length)(embedding)
    head = keras.Model(embedding, dense(scaled))
    return Classifier(trial.backbone, trial.body, embed, head, weights_sha256="")
