"""Transfer learning in two phases: the head on a frozen backbone, then its last layers too."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from plugins.base import leaf_layers
from plugins.copying import assign_weights, load_state
from trainers import hardware
from trainers.evaluation import selection
from trainers.evaluation.fidelity import Selected
from trainers.features import frozen_features
from trainers.features.batches import Batches, together
from trainers.features.frozen_features import Features, Pictures, Source
from trainers.features.frozen_layers import FeatureExtractor, FrozenLayers, TimeLimitedExtractor
from trainers.heads.class_weights import Effect
from trainers.heads.head import Head
from trainers.model.classifier import Classifier, weights_hash
from trainers.phases import head_phase, mirroring
from trainers.phases import plan as strategy
from trainers.phases.checkpoint import Checkpoint
from trainers.phases.context import Run
from trainers.phases.fine_tuning import MIXUP, NAME, Fitted, fit
from trainers.phases.plan import Plan, Situation
from trainers.progress import log
from trainers.resources import out_of_memory, precision
from trainers.resources.time_budget import TimeIsUpError

HEAD = "head"


@dataclass(frozen=True)
class Trained:
    """The classifier with the weights that are exported, and how they came about.

    Attributes:
        selected: the answers by which it was selected, which the exported model must reproduce.
        phase: the phase whose weights are exported.
        epoch: the best epoch of fine-tuning, from 1, even if it is not used; 0 without any.
        balance: what weights of classes change, where these are uneven.
        selection: how head and mirrored views were chosen, for metrics.json.
    """

    classifier: Classifier
    history: dict[str, list[dict[str, float | None]]]
    plan: Plan
    decision: str
    selected: Selected
    phase: str = HEAD
    epoch: int = 0
    balance: Effect | None = None
    selection: dict[str, Any] = field(default_factory=dict)


def train(run: Run) -> Trained:
    """Solve the head, and fine-tune where the rules say so.

    The fine-tuned model is kept if it is no worse on the validation pictures
    (evaluation.selection).
    """
    run, flip = mirroring.settle(run)
    board, checkpoint = run.board, run.checkpoint()  # whose folders fail now, not in an hour
    kept = checkpoint.find() if run.config.resume else None
    best = head_phase.solve_head(run)
    plan = kept or strategy.choose(run.config, best, situation(run))
    for reason in plan.reasons:
        log.info("%s", reason)
    network = run.network
    classifier = Classifier(
        network.backbone, network.body, network.embedder, best.model, weights_hash(network.body)
    )
    history = {HEAD: best.history}
    for at, row in enumerate(best.history, 1):
        board.add(HEAD, at, row)
    phase, epoch, decision = HEAD, 0, f"the model is the {best}; {plan.reasons[1]}"
    selected = Selected(best.description, best.losses, best.hits, _computed_in("float32"))
    if plan.epochs:
        weights = classifier.weights()
        try:
            tuned = fine_tune(classifier, plan, checkpoint, run)
        except TimeIsUpError:
            why = "the time budget was spent on feature maps, which are kept for the next run"
            decision = f"the model is the {best}; no fine-tuning: {why}"
            chose = {"head": best.judgement.record(), "flip": flip.record()}
            return Trained(classifier, history, plan, decision, selected, selection=chose)
        history[NAME], epoch = tuned.history, tuned.epoch
        if not selection.is_no_worse(tuned, best):
            classifier.restore(weights)
            decision = f"the model is the {best}; {_what_went_wrong(tuned, best, plan)}"
        else:
            phase = NAME
            decision = f"the model is the result of {tuned}, which is no worse: {_where(best)}"
            computed_in = _computed_in(precision.policy(run.config.precision))
            selected = Selected(NAME, tuned.losses, tuned.hits, computed_in)
    return Trained(
        classifier,
        history,
        plan,
        decision,
        selected,
        phase,
        epoch,
        head_phase.weigh(run),
        {"head": best.judgement.record(), "flip": flip.record()},
    )


def _computed_in(policy: str) -> str:
    """Of `fidelity.ROUNDINGS`; TensorFloat-32 keeps as few bits of a product as 16-bit numbers."""
    is_exact = policy == "float32" and hardware.kind() != "GPU TF32"
    return "float32" if is_exact else "16 bits"


def _what_went_wrong(tuned: Fitted, best: Head, plan: Plan) -> str:
    if math.isfinite(tuned.loss):
        return f"{tuned} is worse: {_where(best)}"
    return (
        "fine-tuning came to a loss that is not a number: --fine-tune-learning-rate "
        f"(={plan.learning_rate:g}) is too high"
    )


def _where(best: Head) -> str:
    """What the head has on the pictures that judged fine-tuning; it may be chosen by others."""
    figures = f"loss {best.losses.mean():.4f}, accuracy {best.accuracy:.4f}"
    return f"on the same {len(best.losses)} pictures the {best.description} has {figures}"


def situation(run: Run) -> Situation:
    return Situation(
        pictures=len(run.train),
        classes=len(run.dataset.classes),
        validation_pictures=len(run.dataset.rows("validation")),
        seconds_left=run.clock.seconds_left(),
    )


def fine_tune(classifier: Classifier, plan: Plan, checkpoint: Checkpoint, run: Run) -> Fitted:
    """Phase 2: the last layers of the backbone learn too, slowly; BatchNormalization does not."""
    keras.utils.set_random_seed(run.config.seed)
    thawed = classifier.backbone.fine_tune(classifier.body, plan.layers)
    computed_in, devices = precision.policy(run.config.precision), run.strategy.num_replicas_in_sync
    largest = together(run.config.batch_size, devices, len(run.train))
    log.info("fine-tuning %d layers, from %s, in %s", len(thawed), thawed[0].name, computed_in)
    log.info("%d pictures in a step of %d device(s)", largest, devices)
    tail, train, validation = split_off_frozen(classifier, plan, run)
    other = precision.twin(tail, computed_in)
    model = keras.Model(other.input, classifier.head(other.output))
    start, before = model.get_weights(), moving_statistics(classifier.body)
    seed, even = run.config.seed, np.ones_like(run.class_weights)

    def attempt(batch_size: int) -> Fitted:
        if batch_size < largest:
            assign_weights(model, start)
        return fit(
            model,
            Batches(train, run.labels, run.class_weights, batch_size, seed, MIXUP),
            Batches(validation, run.validation_labels, even, batch_size),
            plan,
            checkpoint,
            run,
        )

    fitted = out_of_memory.halving(largest, NAME, attempt)
    load_state(tail, other)
    after = moving_statistics(classifier.body)
    changed = [name for name in before if not np.array_equal(before[name], after[name])]
    if changed:
        raise AssertionError(f"fine-tuning moved BatchNormalization statistics: {changed}")
    return fitted


def split_off_frozen(
    classifier: Classifier, plan: Plan, run: Run
) -> tuple[keras.Model, Source, Source]:
    """The layers that learn, and what feeds them: kept feature maps, or the pictures themselves
    where nothing is frozen or the maps would be too large."""
    records = len(run.train) * run.train.views + len(run.validation)
    parts = frozen_features.cut(classifier.embedder, records)
    if not parts:
        return classifier.embedder, run.train, run.validation
    frozen, tail = parts
    origin = f"{run.network.identity} below the last {plan.layers} layers"

    @cache
    def layers() -> FeatureExtractor:
        return TimeLimitedExtractor(FrozenLayers(frozen), run.clock)

    def maps(pictures: Pictures, views: int) -> Features:
        return frozen_features.extract("maps", layers, origin, pictures, views, run.cache)

    return tail, maps(run.train, run.train.views), maps(run.validation, 1)


def moving_statistics(model: keras.Model) -> dict[str, NDArray[np.float32]]:
    """Mean and variance of every BatchNormalization, by the path of the weight."""
    norms = [one for one in leaf_layers(model) if isinstance(one, keras.layers.BatchNormalization)]
    return {
        weight.path: weight.numpy().copy()
        for norm in norms
        for weight in (norm.moving_mean, norm.moving_variance)
    }
