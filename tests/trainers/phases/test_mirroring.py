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
from trainers.dataset import scanning, splitting
from trainers.dataset.dataset import load_dataset
from trainers.evaluation.selection import ValidationResult
from trainers.features import pictures
from trainers.features.network import Network
from trainers.features.views import FLIPS, NUMBERS
from trainers.heads import linear
from trainers.heads.examples import Pool
from trainers.phases import head_phase, mirroring, transfer
from trainers.phases.context import Run
from trainers.phases.mirroring import choose
from trainers.progress import Progress
from trainers.resources.time_budget import Clock

SILENT = Progress(is_quiet=True)


def judged(**losses: float) -> dict[str, ValidationResult]:
    rng = np.random.default_rng(0)
    noise = rng.normal(0, 0.1, 100)
    return {
        flip: ValidationResult(loss + noise + rng.normal(0, 0.01, 100), 0.8, 5)
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
def test_another_kind_is_taken_where_its_loss_is_clearly_lower(
    losses: dict[str, float], expected: str
) -> None:
    choice = choose(judged(**losses))
    assert choice.flip == expected
    assert "by cross-validation on 100 pictures" in str(choice)
    assert set(choice.record()["cross_validation"]) == set(FLIPS)


def test_where_nothing_can_judge_it_is_as_usual() -> None:
    unknown = ValidationResult.from_answers(np.zeros(0), np.zeros(0, np.bool_))
    assert choose(dict.fromkeys(FLIPS, unknown)).flip == "horizontal"


def draw_arrow(background: Image.Image, seed: int, turns: int) -> Image.Image:
    """An arrow to the right, turned by so many quarters, somewhere on a background of 64 px."""
    rng = np.random.default_rng((seed, turns))
    layer = Image.new("RGBA", (64, 64))
    x, y, length = (int(one) for one in (*rng.integers(-6, 7, 2), rng.integers(18, 26)))
    pen, colour = ImageDraw.Draw(layer), (*rng.integers(180, 256, 3).tolist(), 255)
    pen.line([(32 - length + x, 32 + y), (32 + length + x, 32 + y)], colour, 5)
    tip = 32 + length + x
    pen.polygon([(tip, 32 + y), (tip - 16, 18 + y), (tip - 16, 46 + y)], colour)
    layer = layer.rotate(90 * turns)
    background.paste(layer, mask=layer)
    return background


@pytest.fixture
def arrows(tmp_path: Path, cache: Cache, scene: Callable[..., Image.Image]) -> Callable[..., Run]:
    """A run on arrows: two classes, turned by so many quarters each."""

    def start(left: int, right: int, **options: object) -> Run:
        folder = tmp_path / "arrows"
        for label, turns in (("one", left), ("other", right)):
            (folder / label).mkdir(parents=True)
            for number in range(60):
                draw_arrow(scene(10 * number + turns, (64, 64)), number, turns).save(
                    folder / label / f"{number}.png"
                )
        dataset = splitting.split(load_dataset(scanning.scan(folder), cache), 0)
        dataset = pictures.decode(dataset, 128, cache)
        config = TrainingConfig(
            plugin="pocket", weights="embedded", output=tmp_path / "out", **options
        )
        network = Network(resolve("pocket"), "embedded", 128, 0)
        return Run(config, network, dataset, cache, SILENT)

    return start


@pytest.mark.slow
def test_arrows_to_the_left_and_to_the_right_are_not_mirrored(arrows: Callable[..., Run]) -> None:
    run = arrows(2, 0)
    settled, choice = mirroring.settle(run)
    assert choice.flip == settled.config.flip == "none"
    assert settled.train.numbers == NUMBERS["none"]
    tried = choice.tried
    assert tried["none"]["accuracy"] > tried["horizontal"]["accuracy"] + 0.1
    trained = transfer.train(arrows_as(run, "features"))
    assert trained.selection["flip"]["chosen"] == "none"
    assert "2 views" in trained.decision or "one view" in trained.decision


def arrows_as(run: Run, strategy: str) -> Run:
    config = run.config.model_copy(update={"strategy": strategy})
    return Run(config, run.network, run.dataset, run.cache, SILENT)


@pytest.mark.parametrize("flip", FLIPS)
def test_what_the_option_says_is_done_unasked(start: Callable[..., Run], flip: str) -> None:
    settled, choice = mirroring.settle(start(flip=flip))
    assert settled.config.flip == choice.flip == flip
    assert choice.tried == {}
    assert settled.train.numbers == NUMBERS[flip]


def test_without_time_it_is_as_usual(start: Callable[..., Run]) -> None:
    _, choice = mirroring.settle(start(time_budget=1e-6))
    assert choice.flip == "horizontal"
    assert "time budget" in choice.reason


def test_solvers_keep_the_time_budget_too(
    start: Callable[..., Run], monkeypatch: pytest.MonkeyPatch
) -> None:
    """All embeddings are there in time, and then it is over."""
    now, solved = [0.0], []
    clock = Clock(budget=10.0, now=lambda: now[0])
    monkeypatch.setattr(Run, "clock", clock)
    pool, cross_validate = head_phase.pool, linear.cross_validate

    def pool_at_last(*args: Any) -> Pool:
        found = pool(*args)
        now[0] = 11.0
        return found

    def counted(*args: Any) -> Any:
        losses, hits = cross_validate(*args)
        solved.append(len(losses))
        return losses, hits

    monkeypatch.setattr(head_phase, "pool", pool_at_last)
    monkeypatch.setattr(linear, "cross_validate", counted)
    _, choice = mirroring.settle(start())
    assert solved == [1]  # penalty of five, for one of three kinds of views
    assert str(choice) == (
        "mirrored views (--flip): horizontal, the default: the time budget is spent"
    )


@pytest.mark.parametrize("flip", FLIPS)
def test_fine_tuning_sees_the_same_views(start: Callable[..., Run], flip: str) -> None:
    """Kept feature maps and pictures alike: views are drawn by `Source.views`."""
    run, _ = mirroring.settle(start(flip=flip))
    assert run.train.views == len(NUMBERS[flip])
    rows, views = np.zeros(run.train.views, np.int64), np.arange(run.train.views)
    seen = run.train.read(rows, views)
    picture = run.train.images[[0]][0]
    is_mirrored = [np.array_equal(one, picture[:, ::-1]) for one in seen]
    is_upside_down = [np.array_equal(one, picture[::-1]) for one in seen]
    assert any(is_mirrored) == (flip != "none")
    assert any(is_upside_down) == (flip == "all")
