from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageDraw

from plugins.registry import resolve
from trainers.cache.array_cache import Cache
from trainers.config import TrainingConfig
from trainers.dataset import scanning
from trainers.dataset.dataset import load_dataset
from trainers.dataset.splits import splitting
from trainers.evaluation.selection import ValidationResult
from trainers.features import decoding
from trainers.features.augmentation import FLIPS, TRAINING_VIEWS
from trainers.features.network import Network
from trainers.heads import linear
from trainers.heads.examples import Pool
from trainers.phases import flip_selection, head_phase, transfer_learning
from trainers.phases.context import TrainingContext
from trainers.phases.flip_selection import select_flip
from trainers.progress import Progress
from trainers.resources.time_budget import TimeBudget

SILENT = Progress(is_quiet=True)


def results(**losses: float) -> dict[str, ValidationResult]:
    rng = np.random.default_rng(0)
    noise = rng.normal(0, 0.1, 100)
    return {
        flip: ValidationResult(
            loss + noise + rng.normal(0, 0.01, 100), np.arange(100) < 80, folds=5
        )
        for flip, loss in losses.items()
    }


@pytest.mark.parametrize(
    ("losses", "expected"),
    [
        ({"none": 0.3, "horizontal": 0.6, "all": 0.7}, "none"),
        ({"none": 0.6, "horizontal": 0.5, "all": 0.3}, "all"),
        ({"none": 0.6, "horizontal": 0.5, "all": 0.7}, "horizontal"),
        ({"none": 0.5, "horizontal": 0.5, "all": 0.5}, "horizontal"),
    ],
)
def test_another_kind_is_selected_if_its_loss_is_clearly_lower(
    losses: dict[str, float], expected: str
) -> None:
    choice = select_flip(results(**losses))
    assert choice.flip == expected
    assert "in cross-validation on 100 pictures" in str(choice)
    assert set(choice.record()["cross_validation"]) == set(FLIPS)


def test_the_default_is_used_if_nothing_could_be_measured() -> None:
    unknown = ValidationResult.from_folds([])
    assert select_flip(dict.fromkeys(FLIPS, unknown)).flip == "horizontal"


def draw_arrow(background: Image.Image, seed: int, turns: int) -> Image.Image:
    """Draw an arrow to the right, rotated by quarter turns, on a background of 64 pixels."""
    rng = np.random.default_rng((seed, turns))
    layer = Image.new("RGBA", (64, 64))
    x, y, length = (int(value) for value in (*rng.integers(-6, 7, 2), rng.integers(18, 26)))
    pen, colour = ImageDraw.Draw(layer), (*rng.integers(180, 256, 3).tolist(), 255)
    pen.line([(32 - length + x, 32 + y), (32 + length + x, 32 + y)], colour, 5)
    tip = 32 + length + x
    pen.polygon([(tip, 32 + y), (tip - 16, 18 + y), (tip - 16, 46 + y)], colour)
    layer = layer.rotate(90 * turns)
    background.paste(layer, mask=layer)
    return background


@pytest.fixture
def arrows(
    tmp_path: Path, cache: Cache, scene: Callable[..., Image.Image]
) -> Callable[..., TrainingContext]:
    """Prepare a run on two classes of arrows, given their quarter turns: arrows(2, 0)."""

    def start(left: int, right: int, **options: object) -> TrainingContext:
        folder = tmp_path / "arrows"
        for label, turns in (("one", left), ("other", right)):
            (folder / label).mkdir(parents=True)
            for number in range(60):
                draw_arrow(scene(10 * number + turns, (64, 64)), number, turns).save(
                    folder / label / f"{number}.png"
                )
        dataset = splitting.split(load_dataset(scanning.scan(folder), cache), 0)
        dataset = decoding.decode_lazily(dataset, 128, cache)
        config = TrainingConfig(
            plugin="pocket", weights="embedded", output=tmp_path / "out", **options
        )
        network = Network(resolve("pocket"), "embedded", 128, 0)
        return TrainingContext(config, network, dataset, cache, SILENT)

    return start


@pytest.mark.slow
def test_arrows_to_the_left_and_to_the_right_are_not_mirrored(
    arrows: Callable[..., TrainingContext],
) -> None:
    context = arrows(2, 0)
    resolved, choice = flip_selection.resolve_flip(context)
    assert choice.flip == resolved.config.flip == "none"
    assert resolved.train.view_numbers == TRAINING_VIEWS["none"]
    results = choice.results
    assert results["none"]["accuracy"] > results["horizontal"]["accuracy"] + 0.1
    trained = transfer_learning.train(with_strategy(context, "features"))
    assert trained.selection["flip"]["chosen"] == "none"
    assert "2 views" in trained.decision or "one view" in trained.decision


def with_strategy(context: TrainingContext, strategy: str) -> TrainingContext:
    config = context.config.model_copy(update={"strategy": strategy})
    return TrainingContext(config, context.network, context.dataset, context.cache, SILENT)


@pytest.mark.parametrize("flip", FLIPS)
def test_the_flip_option_skips_cross_validation(
    start: Callable[..., TrainingContext], flip: str
) -> None:
    resolved, choice = flip_selection.resolve_flip(start(flip=flip))
    assert resolved.config.flip == choice.flip == flip
    assert choice.results == {}
    assert resolved.train.view_numbers == TRAINING_VIEWS[flip]


def test_the_default_is_used_without_time(start: Callable[..., TrainingContext]) -> None:
    _, choice = flip_selection.resolve_flip(start(time_budget=1e-6))
    assert choice.flip == "horizontal"
    assert "time budget" in choice.reason


def test_solvers_respect_the_time_budget(
    start: Callable[..., TrainingContext], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The budget is spent when all embeddings are computed."""
    now, solved = [0.0], []
    budget = TimeBudget(seconds=10.0, now=lambda: now[0])
    monkeypatch.setattr(TrainingContext, "time_budget", budget)
    build_pool, cross_validate = head_phase.build_pool, linear.cross_validate

    def build_and_spend_the_budget(*args: Any) -> Pool:
        pool = build_pool(*args)
        now[0] = 11.0
        return pool

    def count_and_validate(*args: Any) -> list[ValidationResult]:
        results = cross_validate(*args)
        solved.append(len(results))
        return results

    monkeypatch.setattr(head_phase, "build_pool", build_and_spend_the_budget)
    monkeypatch.setattr(linear, "cross_validate", count_and_validate)
    _, choice = flip_selection.resolve_flip(start())
    assert solved == [1]  # one of five penalties, for one of three kinds of views
    assert str(choice) == (
        "mirrored views (--flip): horizontal, the default, because the time budget was spent"
    )


@pytest.mark.parametrize("flip", FLIPS)
def test_fine_tuning_uses_the_same_views(start: Callable[..., TrainingContext], flip: str) -> None:
    """`ModelInputs.views` is the number of views for cached feature maps and for pictures."""
    context, _ = flip_selection.resolve_flip(start(flip=flip))
    assert context.train.views == len(TRAINING_VIEWS[flip])
    rows, views = np.zeros(context.train.views, np.int64), np.arange(context.train.views)
    images = context.train.read(rows, views)
    picture = context.train.images[[0]][0]
    is_mirrored = [np.array_equal(view, picture[:, ::-1]) for view in images]
    is_upside_down = [np.array_equal(view, picture[::-1]) for view in images]
    assert any(is_mirrored) == (flip != "none")
    assert any(is_upside_down) == (flip == "all")
