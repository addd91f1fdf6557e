from __future__ import annotations

import base64
from typing import Any

from tests.service.http.pages.ui.conftest import (
    PIXEL,
    RESULT,
    Open,
    choose,
    mock,
    mock_results,
    picture,
    playwright,
)

expect = playwright.expect

HOT_LEFT = [[1.0, 0.0], [1.0, 0.0]]


def open_why(page: Any, draw: Any, status: int, answer: Any) -> list[str]:
    mock_results(page, RESULT)
    requested = mock(page, "/explain", (status, {}, answer))
    choose(page, picture("a.jpg", draw("green", size=(300, 150))))
    page.get_by_role("button", name="Why? a.jpg").click()
    return requested


def test_the_heat_map_is_drawn_over_the_picture(open_ui: Open, draw: Any) -> None:
    page = open_ui()
    thumbnail = "data:image/jpeg;base64," + base64.b64encode(draw("red")).decode()
    nearest = [
        {
            "path": "tulips/1.jpg",
            "label": "<b>tulips</b>",
            "similarity": 0.9,
            "thumbnail": thumbnail,
        },
        {"path": "tulips/2.jpg", "label": "tulips", "similarity": 0.8},
    ]
    requested = open_why(page, draw, 200, {"heat_map": HOT_LEFT, "nearest": nearest})
    canvas = page.get_by_role("img", name="a.jpg: where the model looked")
    expect(page.get_by_text("Where the model looked")).to_be_visible()
    width, height = canvas.evaluate("canvas => [canvas.width, canvas.height]")
    assert width == 2 * height
    hot, middle, cold = (canvas.evaluate(PIXEL, [x, 0.5]) for x in (0.02, 0.5, 0.98))
    assert hot[0] > middle[0] > cold[0]  # from dark blue to yellow, over a green picture
    assert cold[2] > hot[2]
    assert min(hot[1], middle[1], cold[1]) > 90  # the picture can be seen below
    near = page.locator(".nearest")
    expect(near.locator("p")).to_have_text("Most like these training pictures:")
    expect(near.locator("li")).to_have_text(["<b>tulips</b>1.jpg", "tulips2.jpg"])
    assert near.locator("img").evaluate_all("all => all.map((img) => img.naturalWidth)") == [64]
    assert len(requested) == 1


def test_an_explanation_can_be_closed_and_is_kept(open_ui: Open, draw: Any) -> None:
    page = open_ui()
    requested = open_why(page, draw, 200, {"heat_map": HOT_LEFT})
    button = page.get_by_role("button", name="Why? a.jpg")
    expect(page.locator("figure")).to_be_visible()
    expect(button).to_have_attribute("aria-expanded", "true")
    expect(page.locator(".nearest")).to_have_count(0)
    button.press("Enter")
    expect(page.locator("figure")).to_be_hidden()
    expect(button).to_have_attribute("aria-expanded", "false")
    button.press("Enter")
    expect(page.locator("figure")).to_be_visible()
    assert len(requested) == 1


def test_a_picture_that_the_browser_cannot_show_has_a_heat_map(open_ui: Open) -> None:
    page = open_ui()
    mock_results(page, RESULT)
    mock(page, "/explain", (200, {}, {"heat_map": HOT_LEFT}))
    choose(page, picture("a.heic", b"unknown", ""))
    page.get_by_role("button", name="Why? a.heic").click()
    expect(page.locator("figure canvas")).to_be_visible()
    assert page.locator("figure canvas").evaluate(PIXEL, [0.02, 0.5]) == [254, 232, 56, 255]


def test_a_heat_map_without_heat_is_a_sentence_that_is_asked_for_once(
    open_ui: Open, draw: Any
) -> None:
    page = open_ui()
    requested = open_why(page, draw, 200, {"heat_map": [[0, 0], [0, 0]], "nearest": []})
    panel = page.locator(".explanation")
    expect(panel).to_have_text("No part of the picture speaks for this class.")
    for _ in range(2):
        page.get_by_role("button", name="Why? a.jpg").click()
    expect(panel).to_be_visible()
    assert len(requested) == 1


def test_a_server_without_explanations_says_so(open_ui: Open, draw: Any) -> None:
    page = open_ui()
    error = {"code": "unknown", "message": "this model has no heat maps: train it again"}
    open_why(page, draw, 404, {"error": error})
    expect(page.locator(".explanation")).to_have_text(error["message"])
