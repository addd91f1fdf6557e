from __future__ import annotations

from trainers.dataset.folders.scan import LeftOut, format_left_out


def test_a_long_list_is_shortened() -> None:
    text = format_left_out([LeftOut(f"{number}.jp2", "no") for number in range(25)])
    assert text.count("\n") == 6
    assert text.endswith("and 20 more")
    assert format_left_out([]) == ""


def test_a_reason_names_the_place_in_the_table() -> None:
    file = LeftOut("1.jpg", "does not exist", "unreadable", "labels.csv, line 3")
    assert format_left_out([file]).endswith("1.jpg: does not exist (labels.csv, line 3)")
