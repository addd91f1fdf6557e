from __future__ import annotations

import io
import re
from typing import Any

import pytest
from PIL import Image

from tests.service.http.pages.ui.conftest import (
    PIXEL,
    RESULT,
    Open,
    choose,
    mock_results,
    picture,
    playwright,
    row,
    wait_for,
)

expect = playwright.expect


def test_pictures_are_classified_and_a_bad_one_fails_alone(open_ui: Open, draw: Any) -> None:
    page = open_ui()
    choose(
        page,
        picture("one.jpg", draw("red")),
        picture("two.png", draw("green", "PNG"), "image/png"),
        picture("cut.jpg", draw("red")[:-40]),
        picture("three.webp", draw("blue", "WebP"), "image/webp"),
        picture("note.txt", b"text", "text/plain"),
        picture("empty.jpg", b""),
    )
    expect(page.get_by_role("status")).to_have_text(
        "6 pictures: 1 red, 1 green, 1 blue, 3 not readable"
    )
    for name, label in {"one.jpg": "red", "two.png": "green", "three.webp": "blue"}.items():
        expect(row(page, name).locator(".best")).to_have_text(re.compile(rf"{label} 9\d\.\d%"))
        assert row(page, name).locator(".class-name").first.text_content() == label
        assert row(page, name).locator(".bars li").count() == 3
    widths = [
        bar.evaluate("bar => bar.getBoundingClientRect().width / bar.parentNode.clientWidth")
        for bar in row(page, "one.jpg").locator(".track span").all()
    ]
    assert widths[0] == pytest.approx(0.988, abs=0.02)
    assert max(widths[1:]) < 0.02
    expect(row(page, "cut.jpg").locator(".state")).to_have_text(re.compile("cut short|damaged"))
    expect(row(page, "empty.jpg").locator(".state")).to_have_text(
        "the picture is empty (0 bytes): choose a file that is not empty"
    )
    expect(row(page, "note.txt").locator(".state")).to_have_text(  # without advice for curl
        "the data is not a picture in a supported format; use one of the formats JPEG, PNG, WebP"
    )
    assert not page.get_by_role("button", name="Try again").all()


CAT_AND_DOG = [{"label": "cat", "score": 0.9}, {"label": "dog", "score": 0.4}]


@pytest.mark.parametrize(
    ("changes", "kind", "verdict", "spoken"),
    [
        ({"score": 0.81}, "sure", "daisy", "daisy, 81.0%"),
        ({"score": 0.8, "set": ["daisy"], "known": True}, "sure", "daisy", "daisy, 80.0%"),
        ({"score": 0.79}, "likely", "probably daisy", "probably daisy, 79.0%"),
        ({"score": 0.5, "set": ["daisy"]}, "likely", "probably daisy", "probably daisy, 50.0%"),
        ({}, "unsure", "not sure: perhaps daisy", ""),
        ({"set": ["daisy"], "known": True}, "unsure", "not sure: perhaps daisy", ""),
        ({"set": ["daisy", "rose"]}, "unsure", "not sure: daisy or rose", ""),
        ({"set": ["daisy", "rose", "tulip"]}, "unsure", "not sure: daisy, rose or tulip", ""),
        ({"set": ["a", "b", "c", "d"], "known": True}, "unsure", "not sure: one of 4 classes", ""),
        ({"labels": CAT_AND_DOG, "set": ["cat", "dog"]}, "sure", "cat, dog", ""),
        ({"labels": [], "set": []}, "likely", "none of the labels", ""),
        (
            {"set": ["daisy", "rose"], "known": False, "novelty": 0.99},
            "unknown",
            "unlike anything it was trained on",
            "unlike anything it was trained on, closest: daisy",
        ),
    ],
)
def test_the_verdict_comes_first_in_words(
    open_ui: Open, draw: Any, changes: Any, kind: str, verdict: str, spoken: str
) -> None:
    page = open_ui()
    labels = changes.get("set", ["daisy"])
    top = [{"label": label, "score": 0.25} for label in [*labels, "other"]]
    mock_results(page, {**RESULT, "label": "daisy", "score": 0.25, "top": top, **changes})
    choose(page, picture("a.jpg", draw()))
    expect(page.get_by_role("status")).to_have_text(f"a.jpg: {spoken or verdict}")
    expect(page.locator(".best .label")).to_have_text(verdict)
    expect(page.locator(".row")).to_have_attribute("data-verdict", kind)
    sign = page.locator(".best .label").evaluate("e => getComputedStyle(e, '::before').content")
    assert sign[1] == {"sure": "✓", "likely": "~", "unsure": "?", "unknown": "≠"}[kind]
    pattern = {"sure": ("none", "0px"), "unsure": ("gradient", "0px"), "unknown": ("none", "px")}
    pattern["likely"] = pattern["unsure"]
    image, border = (
        page.locator(".track span").first.evaluate(f"e => getComputedStyle(e).{name}")
        for name in ("backgroundImage", "borderTopWidth")
    )
    assert pattern[kind][0] in image
    assert (border == "0px") == (kind != "unknown")


@pytest.mark.parametrize("width", [320, 390, 1280])
def test_scores_do_not_wrap(open_ui: Open, draw: Any, width: int) -> None:
    page = open_ui(viewport={"width": width, "height": 844})
    label = "Donaudampfschifffahrt" * 6
    top = [{"label": label, "score": 0.99996}, {"label": "other", "score": 0.00004}]
    mock_results(page, {**RESULT, "label": label, "top": top})
    choose(page, picture("a.jpg", draw()))
    expect(page.locator(".best .score")).to_have_text(">99.9%")
    expect(page.locator(".share")).to_have_text([">99.9%", "<0.1%"])
    for score in page.locator(".score, .share").all():
        lines = "e => e.getBoundingClientRect().height / parseFloat(getComputedStyle(e).lineHeight)"
        assert score.evaluate(lines) < 1.5
        ends = "e => [e, e.parentNode].map((each) => each.getBoundingClientRect().right)"
        end, end_of_line = score.evaluate(ends)
        assert end <= end_of_line + 0.5


def test_thumbnails_keep_their_place(open_ui: Open, draw: Any) -> None:
    page = open_ui()
    buffer = io.BytesIO()
    tall = Image.new("RGB", (60, 90), "red")
    tall.paste("blue", (0, 15, 60, 75))  # only the middle is shown
    tall.save(buffer, "PNG")
    heic = picture("IMG_1.HEIC", b"\0\0\0\x18ftypheic" + bytes(99), "")
    choose(page, picture("tall.png", buffer.getvalue(), "image/png"), heic)
    boxes = {str(thumb.bounding_box()["width"]) for thumb in page.locator(".thumb").all()}
    expect(page.get_by_role("status")).to_have_text("2 pictures: 1 blue, 1 not readable")
    expect(row(page, "IMG_1.HEIC").locator(".thumb")).to_have_attribute("data-kind", "HEIC")
    canvas = row(page, "tall.png").locator(".thumb canvas")
    wait_for(page, lambda: canvas.evaluate(PIXEL, [0.5, 0.02])[3] > 0)
    assert canvas.evaluate(PIXEL, [0.5, 0.02]) == [0, 0, 255, 255]
    assert {str(thumb.bounding_box()["width"]) for thumb in page.locator(".thumb").all()} == boxes
    assert len(boxes) == 1
