"""Promises about the export: it succeeds, and does not change the probabilities of a classifier.

A promise is something that training or export expects of every backbone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from trainers.conformance.trial import BrokenPromiseError, Trial

if TYPE_CHECKING:
    from service.errors import ParityError
    from trainers.model.classifier import Classifier


def check_export(trial: Trial) -> str:
    """Check that a classifier with this backbone can be exported to every format."""
    from trainers.exporting import export
    from trainers.exporting.formats import FORMATS, Source

    export.export(Source(_make_classifier(trial)), trial.folder)
    return f"exported to {' and '.join(FORMATS)}"


def check_parity(trial: Trial) -> str:
    """Check that every exported format gives the same probabilities as the Keras model."""
    from service.errors import ParityError
    from trainers.exporting import export
    from trainers.exporting.formats import Source

    pictures = trial.images.astype("uint8")
    try:
        parity = export.check_parity(Source(_make_classifier(trial)), trial.folder, pictures)
    except ParityError as error:
        raise _broken(error) from error
    largest = max(parity["max_difference"].values())
    sizes = ", ".join(str(size) for size in parity["batch_sizes"])
    return f"probabilities differ from Keras by at most {largest:.1g}, in batches of {sizes}"


def check_heat_maps(trial: Trial) -> str:
    """Check that the exported model can explain its answers, as Grad-CAM does in Keras."""
    from service.errors import ParityError
    from trainers.exporting import heat_maps
    from trainers.exporting.formats import Source

    source = Source(_make_classifier(trial))
    if not heat_maps.has_regions(source.classifier):
        return "the feature maps have no regions, so a model with this backbone has no heat maps"
    heat_maps.export(source.classifier, trial.folder)
    try:
        parity = heat_maps.check_parity(source, trial.folder, trial.images.astype("uint8"))
    except ParityError as error:
        raise _broken(error) from error
    return f"heat maps differ from Grad-CAM by {parity['difference']:.1g}"


def _broken(error: ParityError) -> BrokenPromiseError:
    difference = str(error).partition(". No bundle")[0]
    return BrokenPromiseError(
        f"{difference}: make layers random only if `training` is true, or replace the operation "
        "that gives other results in the exported format"
    )


def _make_classifier(trial: Trial) -> Classifier:
    """Make a classifier of two classes with random weights.

    Its head scales embeddings to a norm of about 1. The head of training runs does not suit this
    check, for two reasons. Before training, it gives equal probabilities for every picture, so a
    wrong export would not be noticed. And it scales features up that hardly vary, which magnifies
    rounding errors if a random network hardly distinguishes pictures.
    """
    import keras

    from trainers.model.classifier import Classifier, build_embedder

    embed = build_embedder(trial.body)
    embeddings = keras.ops.convert_to_numpy(embed(trial.images, training=False))
    length = float((embeddings**2).sum(axis=1).mean()) ** 0.5
    embedding = keras.Input(embeddings.shape[1:])
    initializer = keras.initializers.RandomNormal(stddev=1.0, seed=0)
    scaled = keras.layers.Rescaling(1 / length, name="scaling")(embedding)
    logits = keras.layers.Dense(2, kernel_initializer=initializer, name="logits")(scaled)
    probabilities = keras.layers.Softmax(name="probabilities")(logits)
    head = keras.Model(embedding, probabilities)
    return Classifier(trial.backbone, trial.body, embed, head, weights_sha256="")
