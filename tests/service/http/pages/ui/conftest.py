"""The page at /ui in a real browser, if Chromium is installed; the tests are skipped without it."""

from __future__ import annotations

import base64
import json
import re
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from service.bundle.manifest import Manifest
from service.bundle.reading import Bundle
from service.bundle.sealing import seal
from tests.conftest import write_files

playwright = pytest.importorskip("playwright.sync_api", reason="no playwright here: make setup")
playwright.expect.set_options(timeout=60_000)

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
PHONE = {"width": 390, "height": 844}
MODEL = {
    "name": "flowers",
    "version": "1",
    "created": "2026-01-02T03:04:05Z",
    "classes": ["daisy", "tulip"],
    "input": {"kinds": ["JPEG", "PNG"]},
    "limits": {"pictures": 32, "picture_bytes": 1 << 20, "request_bytes": 1 << 24},
}
RESULT = {
    "label": "daisy",
    "score": 0.99996,
    "top": [{"label": "daisy", "score": 0.99996}, {"label": "tulip", "score": 0.00004}],
}
REPORT = """<!doctype html>
<title>Report</title>
<style>h1 { color: rgb(1, 2, 3) }</style>
<h1>How good it is</h1>
<p style="color: rgb(4, 5, 6)">fairly</p>
<script>document.title = "taken"</script>
"""
DISPATCH_FILES = """([type, files]) => {
  const data = new DataTransfer();
  for (const [name, kind, content] of files) {
    const bytes = Uint8Array.from(atob(content), (c) => c.charCodeAt(0));
    data.items.add(new File([bytes], name, {type: kind}));
  }
  const options = {bubbles: true, cancelable: true};
  const event = type === "paste"
    ? new ClipboardEvent(type, {...options, clipboardData: data})
    : new DragEvent(type, {...options, dataTransfer: data});
  return !document.body.dispatchEvent(event);
}"""
"""Drop or paste files; true if the page prevented the browser from opening them itself."""

PIXEL = """(canvas, [x, y]) => {
  const copy = new OffscreenCanvas(1, 1).getContext("2d");
  copy.drawImage(canvas, -Math.floor(x * canvas.width), -Math.floor(y * canvas.height));
  return [...copy.getImageData(0, 0, 1, 1).data];
}"""
"""The colour of a canvas at a place, which is given as shares of its width and its height."""

Open = Callable[..., Any]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.slow)
            item.add_marker(pytest.mark.skipif(CHROMIUM is None, reason="no chromium on the PATH"))


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Chromium for one test file. While it is open, asyncio.run fails in all other tests."""
    with playwright.sync_playwright() as driver:
        options = ["--no-sandbox", "--headless"]
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=options)
        yield browser
        browser.close()


@pytest.fixture
def open_ui(browser: Any, server: Any) -> Iterator[Open]:
    """Open /ui of a server; no script may fail, and no other host may be contacted."""
    contexts, requested, problems = [], [], []

    def open_ui(url: str = server.url, viewport: dict[str, int] = PHONE, **options: Any) -> Any:
        context = browser.new_context(viewport=viewport, **options)
        contexts.append(context)
        context.on("request", lambda request: requested.append(request.url))
        page = context.new_page()
        page.set_default_timeout(60_000)
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.on("console", lambda message: problems.append(message.text))
        page.goto(f"{url}/ui")
        return page

    yield open_ui
    for context in contexts:
        context.close()
    assert [
        url for url in requested if not re.match(r"http://127\.0\.0\.1:|blob:|data:|about:", url)
    ] == []
    # Chromium itself logs every response with an error status.
    assert [text for text in problems if "Failed to load resource" not in text] == []


@pytest.fixture(scope="session")
def reported_bundle(tmp_path_factory: pytest.TempPathFactory, manifest: Manifest) -> Bundle:
    """The tiny bundle with a report, which contains a script although real reports have none."""
    folder = tmp_path_factory.mktemp("reported")
    write_files(folder / "staging")
    (folder / "staging/report.html").write_text(REPORT)
    return seal(folder / "staging", manifest, folder)


@pytest.fixture(scope="session")
def locked_server(serve: Any, reported_bundle: Bundle) -> Iterator[Any]:
    """A service that needs the key `right-key`, and whose model has a report."""
    with serve(model=reported_bundle.path, GRAFT_API_KEYS="right-key") as server:
        yield server


def picture(name: str, content: bytes, kind: str = "image/jpeg") -> dict[str, Any]:
    return {"name": name, "mimeType": kind, "buffer": content}


def choose(page: Any, *files: dict[str, Any]) -> None:
    page.get_by_label("Choose pictures").set_input_files(list(files))


def dispatch_files(page: Any, event: str, *files: dict[str, Any]) -> bool:
    encoded_files = [
        [file["name"], file["mimeType"], base64.b64encode(file["buffer"]).decode()]
        for file in files
    ]
    return bool(page.evaluate(DISPATCH_FILES, [event, encoded_files]))


def row(page: Any, name: str) -> Any:
    return page.locator(".row").filter(has=page.get_by_text(name, exact=True))


def wait_for(page: Any, condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        page.wait_for_timeout(20)


def mock(page: Any, path: str, *answers: tuple[int, dict[str, str], Any]) -> list[str]:
    """Answer requests instead of the server; the last answer repeats. Return the requested URLs."""
    requested: list[str] = []

    def answer(route: Any) -> None:
        status, headers, content = answers[min(len(requested), len(answers) - 1)]
        requested.append(route.request.url)
        route.fulfill(status=status, headers=headers, json=content)

    page.route(f"**{path}", answer)
    return requested


def mock_model(page: Any, **changes: Any) -> None:
    """Reload the page with another answer of GET /model."""
    mock(page, "/model", (200, {}, {**MODEL, **changes}))
    page.reload()


def mock_results(page: Any, *results: Sequence[Any] | dict[str, Any]) -> list[int]:
    """Answer POST /predict_batch: the results repeat. Return the number of pictures per request."""
    requests: list[int] = []

    def answer(route: Any) -> None:
        number = pictures_in(route.request)
        first = sum(requests)
        requests.append(number)
        chosen = [results[index % len(results)] for index in range(first, first + number)]
        content = {"results": chosen, "model": {"name": "flowers", "version": "1"}}
        route.fulfill(json=content)

    page.route("**/predict_batch", answer)
    return requests


def pictures_in(request: Any) -> int:
    """The number of pictures in the form of a request, whose files the browser does not show."""
    return int(request.post_data_buffer.count(b'name="images"'))


def batch(*results: dict[str, Any]) -> dict[str, Any]:
    return json.loads(json.dumps({"results": results, "model": {"name": "tiny", "version": "1"}}))
