from __future__ import annotations

import re
from typing import Any

import pytest

from service.bundle.reading import Bundle
from tests.service.http.pages.ui.conftest import (
    Open,
    choose,
    mock,
    mock_model,
    picture,
    playwright,
    wait_for,
)

expect = playwright.expect


def test_the_head_names_the_model_and_its_data(open_ui: Open, tiny_bundle: Any) -> None:
    page = open_ui()
    expect(page.get_by_role("heading", name="tiny")).to_be_visible()
    expect(page.locator("#quality")).to_have_text(
        "Right 100 of 100 times on pictures it had not seen"
    )
    expect(page.locator("#facts")).to_have_text("Made on 2 January 2026.")
    expect(page.locator("#version")).to_have_text(f"version {tiny_bundle.manifest.version}")
    expect(page.locator("#classes summary")).to_have_text("3 classes")
    expect(page.locator("#classes li")).to_have_text(["red", "green", "blue"])
    expect(page.locator("#lock")).to_be_hidden()
    expect(page.get_by_role("link", name="Read the report")).to_be_hidden()  # it has none


@pytest.mark.parametrize(
    ("accuracy", "pictures", "sentence"),
    [
        (0.874, 150, "Right 87 of 100 times"),
        (8 / 9, 9, "Right 8 of 9 times"),
        (0.9985, 2000, "Right more than 99 of 100 times"),
        (0.001, 2000, "Right less than 1 of 100 times"),
        (0, 2000, "Right 0 of 100 times"),
    ],
)
def test_the_accuracy_is_a_sentence(
    open_ui: Open, accuracy: float, pictures: int, sentence: str
) -> None:
    page = open_ui()
    metrics = {"test_accuracy": accuracy, "test_pictures": pictures}
    interval = {"test_accuracy_low": 0.808, "test_accuracy_high": 0.921}
    data = {"source": "pictures of a folder", "pictures": 1234 + pictures}
    mock_model(page, metrics={**metrics, **interval}, data=data)
    expect(page.locator("#quality")).to_have_text(f"{sentence} on pictures it had not seen")
    expect(page.locator("#facts")).to_have_text(
        f"Tested on {pictures:,} pictures; in the long run, probably 81 to 92 of 100. "
        "Made on 2 January 2026 with 1,234 other pictures."
    )


def test_a_model_of_an_older_version_has_no_accuracy(open_ui: Open) -> None:
    page = open_ui()
    mock_model(page, metrics={})
    expect(page.get_by_role("heading", name="flowers")).to_be_visible()
    expect(page.locator("#quality")).to_be_hidden()


def test_warnings_come_first(open_ui: Open) -> None:
    page = open_ui()
    expect(page.locator("#version")).to_contain_text("version")
    expect(page.locator("#warnings")).to_be_hidden()
    warnings = ["the model was trained on drawn sample pictures, so", "only 9 test pictures"]
    data = {"source": "drawn sample pictures", "pictures": 600}
    mock_model(page, data=data, warnings=warnings)
    expect(page.locator("#warnings li")).to_have_count(2)
    first, second, *_ = page.locator("body").inner_text().splitlines()
    assert first == "The model was trained on drawn sample pictures, so."
    assert second == "Only 9 test pictures."
    expect(page).to_have_title("flowers · drawn sample pictures · Graft")


def test_a_sample_is_classified_like_a_file(open_ui: Open) -> None:
    page = open_ui()
    samples = page.get_by_role("group", name=re.compile("try a picture")).get_by_role("button")
    expect(samples).to_have_count(3)
    wait_for(page, lambda: samples.locator("img").count() == 3)
    box = samples.first.bounding_box()
    assert box == {**box, "width": 72, "height": 72}
    page.get_by_role("button", name="Classify sample 2").click()
    expect(page.get_by_role("status")).to_have_text(re.compile(r"^sample 2\.jpg: green, 9\d\.\d%$"))


def test_pictures_that_the_service_does_not_show_are_not_mentioned(open_ui: Open) -> None:
    page = open_ui()
    expect(page.locator("#samples img")).to_have_count(3)
    requested = mock(page, "/samples/*", (404, {}, {}))
    mock_model(page, report=False, samples=0)
    expect(page.get_by_role("heading", name="flowers")).to_be_visible()
    expect(page.locator("#samples")).to_be_hidden()
    expect(page.locator("#report")).to_be_hidden()
    assert requested == []


def test_a_lost_sample_is_left_out(open_ui: Open) -> None:
    page = open_ui()
    mock(page, "/samples/1", (404, {}, {"error": {"code": "not_found", "message": "gone"}}))
    page.reload()
    expect(page.locator("#samples img")).to_have_count(2)


def test_the_report_opens_in_a_new_tab(open_ui: Open, serve: Any, reported_bundle: Bundle) -> None:
    with serve(model=reported_bundle.path) as server:
        page = open_ui(server.url)
        with page.context.expect_page() as opened:
            page.get_by_role("link", name="Read the report").click()
        assert opened.value.url == f"{server.url}/report"
        _expect_report(opened.value)


def test_the_report_opens_with_the_key(open_ui: Open, locked_server: Any) -> None:
    page = open_ui(locked_server.url)
    page.get_by_label("This service needs an API key").fill("right-key")
    page.keyboard.press("Enter")
    with page.context.expect_page() as opened:
        page.get_by_role("link", name="Read the report").click()
    opened.value.wait_for_url("blob:**")
    _expect_report(opened.value)
    mock(page, "/report", (404, {}, {"error": {"code": "not_found", "message": "it is gone"}}))
    page.evaluate("reportUrl = ''")
    page.get_by_role("link", name="Read the report").click()
    expect(page.locator("#note")).to_have_text("the report cannot be shown: it is gone")


def _expect_report(report: Any) -> None:
    """Its styles are applied, and its script is not."""
    expect(report.get_by_role("heading")).to_have_css("color", "rgb(1, 2, 3)")
    expect(report.get_by_text("fairly")).to_have_css("color", "rgb(4, 5, 6)")
    expect(report).to_have_title("Report")


def test_a_new_model_is_shown_after_its_first_answer(open_ui: Open, draw: Any) -> None:
    page = open_ui()
    mock(
        page,
        "/model",
        (200, {}, {"version": "0", "name": "old", "classes": [], "input": {"kinds": []}}),
    )
    page.reload()
    expect(page.get_by_role("heading", name="old")).to_be_visible()
    page.unroute("**/model")
    choose(page, picture("a.jpg", draw()))
    expect(page.get_by_role("heading", name="tiny")).to_be_visible()
