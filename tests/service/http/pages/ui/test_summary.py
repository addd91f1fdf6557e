from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from service.engine.classification import Classification, Verdict
from service.errors import UndecodableImage
from service.scoring.files import ScoredFile
from service.scoring.tables import csv_table
from tests.service.http.pages.ui.conftest import (
    RESULT,
    Open,
    choose,
    mock_results,
    picture,
    playwright,
)

expect = playwright.expect

ERROR = {"error": {"code": "undecodable_image", "message": 'cut "short"'}}


def result(label: str, score: float, **trust: Any) -> dict[str, Any]:
    return {"label": label, "score": score, "top": [{"label": label, "score": score}], **trust}


def names(page: Any) -> list[str]:
    return [str(name) for name in page.locator(".row .name").all_text_contents()]


def show(page: Any, draw: Any, *results: Any) -> None:
    mock_results(page, *results)
    choose(page, *(picture(f"{number}.jpg", draw()) for number in range(len(results))))
    expect(page.get_by_role("button", name="Download as CSV")).to_be_visible()


def test_the_summary_counts_what_was_found(open_ui: Open, draw: Any) -> None:
    page = open_ui()
    tulip, daisy = result("tulip", 0.9, known=True), result("daisy", 0.9)
    unsure = result("daisy", 0.5, known=True, set=["daisy", "tulip"])
    unknown = result("daisy", 0.5, known=False, set=["daisy", "tulip"])
    likely = result("daisy", 0.7, known=True, set=["daisy"])
    show(page, draw, tulip, daisy, tulip, likely, unsure, unknown, unknown, ERROR)
    expect(page.get_by_role("status")).to_have_text(
        "8 pictures: 2 tulip, 1 daisy, 1 only probable, 1 not sure, "
        "2 unlike the training pictures, 1 not readable"
    )


def test_the_summary_of_many_classes_is_short(open_ui: Open, draw: Any) -> None:
    page = open_ui()
    show(page, draw, *(result(f"c{number}", 0.9) for number in range(13)))
    expect(page.get_by_role("status")).to_contain_text("1 c9, 3 in 3 other classes")


def test_doubtful_pictures_come_first(open_ui: Open, draw: Any) -> None:
    page = open_ui()
    unknown = result("daisy", 0.99, known=False)
    show(page, draw, result("daisy", 0.9), result("daisy", 0.4), ERROR, unknown)
    assert names(page) == ["2.jpg", "3.jpg", "1.jpg", "0.jpg"]
    page.get_by_label("Doubtful ones first").uncheck()
    assert names(page) == ["0.jpg", "1.jpg", "2.jpg", "3.jpg"]
    page.get_by_label("Doubtful ones first").check()
    choose(page, picture("new.jpg", draw()))  # the results repeat: daisy, 0.9
    expect(page.get_by_role("status")).to_contain_text("5 pictures")
    assert names(page) == ["new.jpg", "2.jpg", "3.jpg", "1.jpg", "0.jpg"]


def test_verdicts_count_more_than_scores_in_the_order(open_ui: Open, draw: Any) -> None:
    page = open_ui()
    unsure = result("daisy", 0.7, set=["daisy", "tulip"])
    unknown = result("daisy", 0.99, known=False)
    likely = [result("daisy", score, set=["daisy"]) for score in (0.6, 0.5)]
    show(page, draw, result("daisy", 0.9), *likely, unsure, unknown)
    assert names(page) == ["4.jpg", "3.jpg", "2.jpg", "1.jpg", "0.jpg"]


def test_the_focus_stays_on_a_picture_that_moves(open_ui: Open, draw: Any) -> None:
    page = open_ui()
    show(page, draw, result("daisy", 0.9), result("daisy", 0.4))
    page.get_by_role("button", name="Why? 0.jpg").focus()
    page.evaluate("document.getElementById('doubt').checked = false; arrange()")
    assert names(page) == ["0.jpg", "1.jpg"]
    expect(page.get_by_role("button", name="Why? 0.jpg")).to_be_focused()


def test_the_table_is_that_of_the_command(open_ui: Open, draw: Any, tmp_path: Path) -> None:
    page = open_ui()
    unsure = {"known": True, "novelty": 0.25, "set": ['a "b", ä', "c"]}
    mock_results(page, result('a "b", ä', 0.123456789, **unsure), result("=1+1", 1.0), ERROR)
    files = [picture(name, draw()) for name in ("=1+1;'.jpg", "b,\u2028.jpg", "c.jpg")]
    choose(page, *files)
    page.get_by_label("Doubtful ones first").uncheck()
    with page.expect_download() as download:
        page.get_by_role("button", name="Download as CSV").click()
    assert download.value.suggested_filename == "answers.csv"
    download.value.save_as(tmp_path / "page.csv")

    verdicts = [
        Verdict([('a "b", ä', 0.123456789)], ['a "b", ä', "c"], 0.25),
        Verdict([("=1+1", 1.0)]),
    ]
    no_classes = Classification(np.zeros(0, np.float32), np.zeros(0, np.float32))
    error = UndecodableImage('cut "short"')
    with csv_table(tmp_path / "command.csv", (), lambda _: verdicts.pop(0)) as write:
        for file in files[:2]:
            write(ScoredFile(file["name"], no_classes))
        write(ScoredFile("c.jpg", None, error))
    expected = (tmp_path / "command.csv").read_bytes()
    assert (tmp_path / "page.csv").read_bytes() == b"\xef\xbb\xbf" + expected


def test_one_picture_has_no_table(open_ui: Open, draw: Any) -> None:
    page = open_ui()
    mock_results(page, RESULT)
    choose(page, picture("a.jpg", draw()))
    expect(page.get_by_role("button", name="Clear")).to_be_visible()
    expect(page.get_by_role("status")).to_have_text("a.jpg: daisy, >99.9%")
    expect(page.get_by_role("button", name="Download as CSV")).to_be_hidden()
    expect(page.get_by_label("Doubtful ones first")).to_be_hidden()


def test_the_summary_counts_all_labels(open_ui: Open, draw: Any, tmp_path: Path) -> None:
    page = open_ui()
    cat, dog = ({"label": name, "score": 0.9} for name in ("cat", "dog"))
    both, one = result("cat", 0.9, labels=[dog, cat]), result("cat", 0.9, labels=[cat])
    show(page, draw, both, one, result("dog", 0.1, labels=[]))
    expect(page.get_by_role("status")).to_have_text("3 pictures: 2 cat, 1 dog, 1 without a label")
    with page.expect_download() as download:
        page.get_by_role("button", name="Download as CSV").click()
    download.value.save_as(tmp_path / "answers.csv")
    lines = (tmp_path / "answers.csv").read_text(encoding="utf-8-sig").splitlines()
    assert lines[0].endswith('"set","labels","error"')
    assert '"cat|dog"' in "".join(lines)
