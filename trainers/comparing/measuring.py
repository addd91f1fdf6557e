"""One backbone measured: a head solved on its embeddings, its answers judged, its time taken."""

from __future__ import annotations

import itertools
import statistics
import time
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from plugins.registry import resolve
from service.engine.onnx_session import open_session
from trainers.cache.array_cache import Cache
from trainers.comparing.candidates import Figures
from trainers.config import TrainingConfig
from trainers.dataset.dataset import Dataset
from trainers.dataset.folders.filenames import SPLITS
from trainers.evaluation.metrics import wilson_interval
from trainers.exporting import export
from trainers.features import frozen_features, pictures
from trainers.features.network import Network
from trainers.heads.head import Head
from trainers.model.classifier import Classifier, weights_hash
from trainers.model.conversion import to_onnx
from trainers.phases import head_phase, mirroring
from trainers.phases.context import Run
from trainers.progress import Progress, log

CALLS, SECONDS, WARM_UP = 30, 2.0, 5
"""Calls of one picture that are timed at least, for how long at least, and untimed ones before."""


def measure(config: TrainingConfig, dataset: Dataset, cache: Cache, progress: Progress) -> Figures:
    """The head phase of a run, with the same head, and its classifier as ONNX against the clock.

    Args:
        config: names backbone and weights.
        dataset: with its splits.
        cache: keeps embeddings where a run of the same backbone finds them, and the other way.

    Raises:
        WeightsError: the weights cannot be had; whatever else a run raises.
    """
    keras.backend.clear_session()  # the network of the one before
    backbone = resolve(config.plugin)
    size = config.image_size or backbone.image_size
    network = Network(backbone, str(config.weights), size, config.seed)
    with progress.step(f"loading {backbone.name}"):
        body = network.body  # first, so that nothing is decoded for weights that cannot be had
    run = Run(config, network, pictures.decode(dataset, size, cache), cache, progress)
    images, keys = (
        run.dataset.images,
        frozen_features.record_keys(run.train, len(run.train.numbers)),
    )
    if cache.find("embeddings", network.identity, keys) is None:
        for split in SPLITS:  # waits: decoding is no part of a backbone's time
            images.records(run.dataset.rows(split))
    started = time.monotonic()
    run, _ = mirroring.settle(run)
    head = head_phase.solve_head(run)
    seconds = time.monotonic() - started
    were_kept = "embedding_layers" not in vars(network)  # nobody had to run it
    correct, asked = judge(run, head)
    classifier = Classifier(backbone, body, network.embedder, head.model, weights_hash(body))
    with progress.step("timing it"):
        content = to_onnx(export.serving_module(classifier).serve, export.OUTPUTS)
        model = content.SerializeToString()
        timed = images[run.dataset.rows("test")[:CALLS]]
        inference_ms = median_ms(open_session(model, threads=1), timed)
    interval = wilson_interval(correct, asked)
    if interval is None:
        raise AssertionError("a split leaves pictures for the test")
    log.info("%s; %.1f ms a picture", head, inference_ms)
    return Figures(
        image_size=size,
        validation_accuracy=head.judgement.accuracy,
        validation_pictures=len(head.judgement.losses),
        test_accuracy=correct / asked,
        test_interval=interval,
        test_pictures=asked,
        inference_ms=inference_ms,
        model_bytes=len(model),
        parameters=classifier.outputs().count_params(),
        width=network.embedder.output_shape[1],
        seconds=seconds,
        were_kept=were_kept,
        head=head.description,
    )


def judge(run: Run, head: Head) -> tuple[int, int]:
    """How many test pictures are answered rightly, and of how many: by kept embeddings, which
    ONNX Runtime computed."""
    embeddings = head_phase.embeddings(run, run.pictures("test"), 1).all()[:, 0]
    found = np.asarray(head.model(embeddings, training=False)).argmax(axis=1)
    labels = run.dataset.labels[run.dataset.rows("test")]
    return int((found == labels).sum()), len(labels)


def median_ms(session: Any, images: NDArray[np.uint8]) -> float:
    """Median milliseconds for one picture of (N, S, S, 3), a call each, after a warm-up."""
    times: list[float] = []
    end = 0.0
    for at, image in enumerate(itertools.cycle(images), -WARM_UP):
        started = time.perf_counter()
        if at == 0:
            end = started + SECONDS
        if at >= CALLS and started >= end:
            break
        session.run(["probabilities"], {"images": image[np.newaxis]})
        times.append(1000 * (time.perf_counter() - started))
    return statistics.median(times[WARM_UP:])
