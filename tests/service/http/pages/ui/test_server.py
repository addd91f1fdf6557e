from __future__ import annotations

import json
import re
from typing import Any

import pytest

from tests.service.http.pages.ui.conftest import Open, choose, mock, picture, playwright, row

expect = playwright.expect


def busy(status: int, seconds: float) -> tuple[int, dict[str, str], Any]:
    return (
        status,
        {"Retry-After": str(seconds)},
        {"error": {"code": "overloaded", "message": "full"}},
    )


@pytest.mark.parametrize("status", [429, 503])
def test_a_busy_server_is_asked_again(open_ui: Open, draw: Any, status: int) -> None:
    page = open_ui()
    requested = mock(page, "/predict_batch", busy(status, 0.2), busy(status, 0.2), (500, {}, None))
    choose(page, picture("a.jpg", draw()))
    expect(page.locator(".state")).to_have_text("the server is busy; trying again in 0.2 seconds …")
    expect(page.locator(".state")).to_have_text(re.compile("error 500"))
    assert len(requested) == 3


def test_the_user_can_try_again_all_pictures_that_were_not_answered(
    open_ui: Open, draw: Any
) -> None:
    page = open_ui()
    requested = mock(page, "/predict_batch", busy(429, 0.1))
    choose(page, picture("a.jpg", draw()), picture("b.jpg", draw("green")))
    expect(page.get_by_role("status")).to_have_text("2 pictures: 2 without an answer")
    expect(row(page, "a.jpg").locator(".state")).to_have_text("full")
    assert len(requested) == 5
    page.unroute("**/predict_batch")
    page.get_by_role("button", name="Try 2 pictures again").click()
    expect(page.get_by_role("status")).to_have_text("2 pictures: 1 red, 1 green")
    expect(page.get_by_role("button", name="again")).to_be_hidden()
    expect(page.get_by_label("Choose pictures")).to_be_focused()


def test_an_unreachable_server_is_reported(open_ui: Open, draw: Any) -> None:
    page = open_ui()
    page.route("**/predict_batch", lambda route: route.abort())
    choose(page, picture("a.jpg", draw()))
    expect(page.locator(".state")).to_have_text(
        "the server cannot be reached; check your connection and try again"
    )
    page.unroute("**/predict_batch")
    page.get_by_role("button", name="Try again").click()
    expect(page.locator(".best .label")).to_have_text("red")


def test_an_answer_that_is_not_json_is_reported(open_ui: Open, draw: Any) -> None:
    page = open_ui()
    page.route("**/predict_batch", lambda route: route.fulfill(body="<p>please log in</p>"))
    choose(page, picture("a.jpg", draw()))
    expect(page.locator(".state")).to_have_text(re.compile("answer of the server cannot be read"))
    expect(page.get_by_role("button", name="Try again")).to_be_visible()


def test_a_key_is_asked_for_and_not_stored(open_ui: Open, locked_server: Any, draw: Any) -> None:
    page = open_ui(locked_server.url)
    expect(page.get_by_label("This service needs an API key")).to_be_focused()
    choose(page, *(picture(f"{number}.jpg", draw("green")) for number in range(6)))
    expect(page.locator("[data-state=waiting]")).to_have_count(6)
    page.get_by_label("This service needs an API key").fill("wrong-key")
    page.keyboard.press("Enter")
    expect(page.locator("#wrong")).to_have_text(re.compile("This key is not accepted"))
    page.get_by_label("This service needs an API key").fill("\N{SNOWMAN}")
    page.get_by_role("button", name="Use this key").click()
    expect(page.locator("#wrong")).to_have_text(
        re.compile("This key contains characters that an API key cannot have")
    )
    page.get_by_label("This service needs an API key").fill("right-key")
    page.get_by_role("button", name="Use this key").click()
    expect(page.locator(".best .label")).to_have_text(["green"] * 6)
    expect(page.locator("#lock")).to_be_hidden()
    expect(page.get_by_role("heading", name="tiny")).to_be_visible()
    stored = page.evaluate("[{...localStorage}, {...sessionStorage}, document.cookie]")
    assert json.dumps(stored) == '[{}, {}, ""]'
    page.reload()
    expect(page.get_by_label("This service needs an API key")).to_have_value("")


def test_a_key_that_is_no_longer_accepted_is_asked_for_again(open_ui: Open, draw: Any) -> None:
    page = open_ui()
    refused = (401, {}, {"error": {"code": "unauthorized", "message": "asks for a key"}})
    mock(page, "/predict_batch", refused)
    choose(page, *(picture(f"{number}.jpg", draw()) for number in range(20)))
    expect(page.locator("[data-state=waiting]")).to_have_count(20)
    page.unroute("**/predict_batch")
    page.get_by_label("This service needs an API key").fill("another")
    page.get_by_role("button", name="Use this key").click()
    expect(page.get_by_role("status")).to_have_text("20 pictures: 20 red")
