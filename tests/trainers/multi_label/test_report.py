from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np

from trainers.multi_label.report import list_mistakes, list_suspects


def test_a_mistake_shows_missing_and_extra_labels() -> None:
    dataset: Any = SimpleNamespace(
        paths=("a.png", "b.png"), images=np.zeros((2, 32, 32, 3), np.uint8)
    )
    test = {"mistakes": [{"path": "b.png", "truth": "cat|dog", "answer": "dog|tree", "score": 0.9}]}
    (mistake,) = list_mistakes(test["mistakes"], dataset)
    assert (mistake.path, mistake.missing, mistake.extra) == ("b.png", ("cat",), ("tree",))
    assert mistake.data_uri.startswith("data:image/jpeg")
    assert list_mistakes([], dataset) == []
    suspect = {"path": "a.png", "label": "", "suggested_label": "tree", "suggested_score": 0.99}
    (shown,) = list_suspects({"pictures": [suspect]}, dataset)
    assert (shown.path, shown.score, shown.missing, shown.extra) == ("a.png", 0.99, (), ("tree",))
