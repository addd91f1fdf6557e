from __future__ import annotations

import pytest

from service.engine.classification import KNOWN_SHARE, Verdict, join_labels


@pytest.mark.parametrize(
    ("novelty", "is_known"),
    [(0.0, True), (KNOWN_SHARE, True), (KNOWN_SHARE + 1e-6, False), (1.0, False), (None, None)],
)
def test_the_novelty_decides_if_a_picture_is_known(
    novelty: float | None, is_known: bool | None
) -> None:
    assert Verdict([("red", 1.0)], novelty=novelty).is_known is is_known


def test_the_text_of_several_labels_does_not_depend_on_their_order() -> None:
    assert join_labels(["dog", "cat"]) == join_labels(["cat", "dog"]) == "cat|dog"
    assert join_labels([]) == ""
