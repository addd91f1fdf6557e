from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.service.http.pages.ui.conftest import (
    MODEL,
    RESULT,
    Open,
    batch,
    choose,
    dispatch_files,
    mock_model,
    mock_results,
    picture,
    pictures_in,
    playwright,
    row,
    wait_for,
)

expect = playwright.expect


def test_pictures_can_be_dropped_and_pasted(open_ui: Open, draw: Any) -> None:
    page = open_ui()
    dispatch_files(page, "dragover", picture("a.jpg", draw("red")))
    expect(page.locator("body")).to_have_class("over")
    assert dispatch_files(
        page, "drop", picture("a.jpg", draw("red")), picture("b.jpg", draw("blue"))
    )
    expect(page.locator("body")).not_to_have_class("over")
    expect(page.get_by_role("status")).to_have_text("2 pictures: 1 red, 1 blue")
    assert dispatch_files(page, "paste", picture("image.png", draw("green", "PNG"), "image/png"))
    expect(page.get_by_role("status")).to_have_text("3 pictures: 1 red, 1 blue, 1 green")
    labels = page.locator(".best .label").all_text_contents()
    assert labels[0] == "green"  # the newest picture comes first


def test_pasting_without_files_is_left_to_the_browser(open_ui: Open) -> None:
    assert not dispatch_files(open_ui(), "paste")


def test_the_pictures_of_a_dropped_folder_are_classified(
    open_ui: Open, draw: Any, tmp_path: Path
) -> None:
    page = open_ui()
    expect(page.get_by_role("heading", name="tiny")).to_be_visible()
    names = {"b.jpg": draw(), "a/c.jpg": draw("green"), "notes.txt": b"text", ".DS_Store": b"x"}
    for name, content in names.items():
        (tmp_path / "leaves" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "leaves" / name).write_bytes(content)
    drop_from_desktop(page, tmp_path / "leaves")
    expect(page.get_by_role("status")).to_have_text("2 pictures: 1 green, 1 red")
    page.get_by_label("Doubtful ones first").uncheck()
    names_shown = page.locator(".row .name").all_text_contents()
    assert names_shown == ["leaves/a/c.jpg", "leaves/b.jpg"]
    expect(page.locator("#note")).to_have_text("2 files that are not pictures were left out.")


def drop_from_desktop(page: Any, path: Path) -> None:
    """Drop a file or a folder as the operating system does."""
    session = page.context.new_cdp_session(page)
    data = {"items": [], "files": [str(path)], "dragOperationsMask": 1}
    for kind in ("dragEnter", "dragOver", "drop"):
        event = {"type": kind, "x": 100, "y": 100, "data": data}
        session.send("Input.dispatchDragEvent", event)


def test_pictures_are_sent_in_small_requests_two_at_a_time(open_ui: Open, draw: Any) -> None:
    page = open_ui()
    expect(page.get_by_role("heading", name="tiny")).to_be_visible()
    routes: list[Any] = []

    def hold_route(route: Any) -> None:
        routes.append(route)

    page.route("**/predict_batch", hold_route)
    choose(page, *(picture(f"{number}.jpg", draw()) for number in range(19)))
    expect(page.locator("[data-state=running]")).to_have_count(16)
    expect(page.locator("[data-state=waiting]")).to_have_count(3)
    expect(page.get_by_role("progressbar")).to_be_visible()
    expect(page.get_by_role("status")).to_have_text("classifying 19 pictures")
    wait_for(page, lambda: len(routes) >= 2)
    page.wait_for_timeout(200)
    assert [pictures_in(route.request) for route in routes] == [8, 8]
    assert b'filename="picture"' in routes[0].request.post_data_buffer
    assert "x-api-key" not in routes[0].request.headers
    routes.pop(0).fulfill(json=batch(*[RESULT] * 8))
    expect(page.locator("[data-state=waiting]")).to_have_count(0)
    wait_for(page, lambda: len(routes) == 2)
    for route in routes:
        route.fulfill(json=batch(*[RESULT] * pictures_in(route.request)))
    expect(page.get_by_role("status")).to_have_text("19 pictures: 19 daisy")
    expect(page.get_by_role("progressbar")).to_be_hidden()


def test_requests_respect_the_limits_of_the_server(open_ui: Open, draw: Any) -> None:
    page = open_ui()
    requests = mock_results(page, RESULT)
    mock_model(page, limits={**MODEL["limits"], "pictures": 3})
    expect(page.get_by_role("heading", name="flowers")).to_be_visible()
    choose(page, *(picture(f"{number}.jpg", draw()) for number in range(5)))
    expect(page.get_by_role("status")).to_have_text("5 pictures: 5 daisy")
    assert sorted(requests) == [2, 3]
    requests.clear()
    mock_model(page, limits={**MODEL["limits"], "request_bytes": 30_000})
    expect(page.get_by_role("heading", name="flowers")).to_be_visible()
    sizes = [13_000, 13_000, 13_000, 50_000, 1]
    choose(page, *(picture(f"{size}", bytes(size)) for size in sizes))
    expect(page.get_by_role("status")).to_have_text("5 pictures: 5 daisy")
    assert sorted(requests) == [1, 1, 1, 2]


def test_a_request_that_is_too_large_is_refused_in_words(open_ui: Open, serve: Any) -> None:
    with serve(GRAFT_MAX_IMAGE_BYTES="10000", GRAFT_MAX_REQUEST_BYTES="20000") as server:
        page = open_ui(server.url)
        expect(page.get_by_role("heading", name="tiny")).to_be_visible()
        choose(page, picture("a.jpg", bytes(12_000)), picture("b.jpg", bytes(30_000)))
        expect(page.get_by_role("status")).to_have_text("2 pictures: 2 not readable")
        expect(row(page, "a.jpg").locator(".state")).to_have_text(
            "the picture has 12,000 bytes; at most 10,000 are accepted: send a smaller picture"
        )
        expect(row(page, "b.jpg").locator(".state")).to_contain_text("20,000")


def test_at_most_500_files_are_taken(open_ui: Open) -> None:
    page = open_ui(viewport={"width": 1280, "height": 800})
    requests = mock_results(page, RESULT)
    choose(page, *(picture(f"{number}.jpg", b"x") for number in range(520)))
    expect(page.locator("#note")).to_have_text(
        "Only the first 500 of 520 pictures were taken: add the others afterwards."
    )
    expect(page.get_by_role("status")).to_have_text("500 pictures: 500 daisy")
    assert sum(requests) == 500
    page.get_by_role("button", name="Clear").click()
    expect(page.locator(".row")).to_have_count(0)
    expect(page.locator("#note")).to_be_hidden()


@pytest.mark.parametrize("is_gone_before", [True, False])
def test_a_file_that_is_gone_fails_alone(
    open_ui: Open, draw: Any, tmp_path: Path, is_gone_before: bool
) -> None:
    page = open_ui()
    expect(page.get_by_role("heading", name="tiny")).to_be_visible()
    paths = [tmp_path / "a.jpg", tmp_path / "b.jpg"]
    for path in paths:
        path.write_bytes(draw())
    # The page waits before it reads the files, or after it has found that all can be read.
    waits_in = "startNext" if is_gone_before else "request"
    page.evaluate(
        f"original = {waits_in}; {waits_in} = (...given) => new Promise((done) =>"
        " { proceed = () => done(original(...given)) }); 0"
    )
    page.get_by_label("Choose pictures").set_input_files(paths)
    page.wait_for_function("typeof proceed === 'function'")
    paths[0].unlink()
    page.evaluate(f"{waits_in} = original; proceed(); 0")
    expect(page.get_by_role("status")).to_have_text("2 pictures: 1 red, 1 not readable")
    expect(row(page, "a.jpg").locator(".state")).to_contain_text("this file cannot be read")
