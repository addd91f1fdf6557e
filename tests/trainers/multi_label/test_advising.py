from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from trainers.dataset.decoded_images import Images
from trainers.multi_label.advising import advise
from trainers.phases.advising import NO_TIME
from trainers.phases.context import TrainingContext

Start = Callable[..., TrainingContext]


def test_a_wrong_label_is_a_suspect(start: Start) -> None:
    context = start()
    dataset = context.dataset
    truth = np.zeros((60, 4), np.bool_)
    truth[::2, 0] = True  # a bright picture; the other labels are rare
    levels = np.where(truth[:, 0], 200, 50) + np.arange(60) % 7
    images = np.broadcast_to(levels[:, None, None, None], (60, 32, 32, 3)).astype(np.uint8)
    targets = truth.copy()
    targets[10, 0] = False
    dataset = replace(dataset, targets=targets, images=Images.from_array(images))
    advice = advise(replace(context, dataset=dataset), 0.1)
    assert advice.suspects.examined == 60
    assert advice.suspects.rows.tolist() == [10]
    assert advice.suspects.suggested.tolist() == [[True, False, False, False]]
    assert "not measured if pictures have several labels" in advice.curve.summary


def test_without_time_no_label_is_examined(start: Start) -> None:
    assert advise(start(time_budget=1e-9), 0.1).suspects.reason == NO_TIME
