"""Measures one backbone: trains and tests a head on its embeddings, and times a prediction."""

from __future__ import annotations

import itertools
import statistics
import time
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from plugins.base import BackboneError, WeightsError
from plugins.registry import resolve
from service.engine.onnx_session import open_session
from service.errors import GraftError
from trainers.cache.array_cache import Cache
from trainers.comparing.candidates import Candidate, CandidateResult, Figures
from trainers.config import TrainingConfig
from trainers.dataset.dataset import Dataset
from trainers.dataset.folders.filenames import SPLITS
from trainers.evaluation.metrics import wilson_interval
from trainers.features import decoding, frozen_features
from trainers.features.network import Network
from trainers.heads.head import Head
from trainers.model.classifier import Classifier, hash_weights
from trainers.model.onnx_head import join
from trainers.phases import flip_selection, head_phase, refitting
from trainers.phases.context import TrainingContext
from trainers.progress import Progress, log

MIN_CALLS, MIN_SECONDS, WARM_UP_CALLS = 30, 2.0, 5
"""At least MIN_CALLS calls of a model are timed, for at least MIN_SECONDS.

The WARM_UP_CALLS calls before them are not timed.
"""


def try_candidate(
    candidate: Candidate,
    shared: TrainingConfig,
    dataset: Dataset,
    cache: Cache,
    progress: Progress,
) -> CandidateResult:
    """Measure a candidate. If that fails, return the error message instead of figures.

    The error is logged and not raised, so that the next candidate can be measured.
    """
    log.info("measuring %s", candidate.label)
    try:
        figures = measure(candidate.config(shared), dataset, cache, progress)
        return CandidateResult(candidate, figures)
    except (GraftError, BackboneError, WeightsError) as error:
        problem = str(error)
    except Exception as error:  # a plugin from outside may fail in any way
        problem = f"{type(error).__name__}: {error}"
    log.warning("%s is left out of the comparison: %s", candidate.label, problem)
    return CandidateResult(candidate, problem=problem)


def measure(config: TrainingConfig, dataset: Dataset, cache: Cache, progress: Progress) -> Figures:
    """Train a head as a training run does, export the model to ONNX, and time the ONNX model.

    Args:
        config: the options, with the backbone and its weights.
        dataset: the pictures, already split.
        cache: the cache for the embeddings. Later training runs can read them from it.

    Raises:
        BackboneError: --image-size is too small for the backbone.
        WeightsError: the weights cannot be loaded, or embeddings are infinite or NaN.
        GraftError: any other error of a training run.
    """
    keras.backend.clear_session()  # frees the network of the previous candidate
    backbone = resolve(config.plugin)
    size = config.image_size or backbone.image_size
    network = Network(backbone, str(config.weights), size, config.seed)
    with progress.step(f"loading {backbone.name}"):
        body = network.body  # before decoding, so that missing weights are reported at once
    dataset = decoding.decode_lazily(dataset, size, cache)
    context = TrainingContext(config, network, dataset, cache, progress)
    images = context.dataset.images
    keys = frozen_features.record_keys(context.train, context.train.views)
    if cache.find("embeddings", network.identity, keys) is None:
        for split in SPLITS:  # decode before the clock starts
            images.records(context.dataset.rows(split))
    started = time.monotonic()
    context, _ = flip_selection.resolve_flip(context)
    head = refitting.refit(context, head_phase.train_head(context))
    seconds = time.monotonic() - started
    were_kept = "embedding_layers" not in vars(network)  # they are made when the backbone runs
    correct, total = count_correct(context, head)
    classifier = Classifier(backbone, body, network.embedder, head.model, hash_weights(body))
    with progress.step(f"timing {backbone.name}"):
        model = join(network.embedding_layers.onnx, head.model).SerializeToString()
        timed = images[context.dataset.rows("test")[:MIN_CALLS]]
        inference_ms = median_ms(open_session(model, threads=1), timed)
    interval = wilson_interval(correct, total)
    if interval is None:
        raise AssertionError("the split has no test pictures")
    log.info("%s; %.1f ms per picture on one thread", head, inference_ms)
    return Figures(
        image_size=size,
        validation_accuracy=head.selection_result.accuracy,
        validation_pictures=len(head.selection_result.losses),
        test_accuracy=correct / total,
        test_interval=interval,
        test_pictures=total,
        inference_ms=inference_ms,
        model_bytes=len(model),
        parameters=classifier.build_model().count_params(),
        width=network.embedder.output_shape[1],
        seconds=seconds,
        were_kept=were_kept,
        head=head.description,
    )


def count_correct(context: TrainingContext, head: Head) -> tuple[int, int]:
    """Return the number of correctly classified test pictures, and the number of test pictures.

    The embeddings of the test pictures are read from the cache, or computed if they are not in it.
    """
    embeddings = head_phase.extract_embeddings(context, context.pictures("test"), 1).read_all()[
        :, 0
    ]
    predicted = np.asarray(head.model(embeddings, training=False)).argmax(axis=1)
    labels = context.dataset.labels[context.dataset.rows("test")]
    return int((predicted == labels).sum()), len(labels)


def median_ms(session: Any, images: NDArray[np.uint8]) -> float:
    """The median time of a call with one picture, in milliseconds.

    Args:
        session: a session of ONNX Runtime.
        images: (N, S, S, 3) uint8, used in turn, one in each call.
    """
    times: list[float] = []
    end = 0.0
    for call, image in enumerate(itertools.cycle(images), -WARM_UP_CALLS):
        started = time.perf_counter()
        if call == 0:
            end = started + MIN_SECONDS
        if call >= MIN_CALLS and started >= end:
            break
        session.run(["probabilities"], {"images": image[np.newaxis]})
        times.append(1000 * (time.perf_counter() - started))
    return statistics.median(times[WARM_UP_CALLS:])
