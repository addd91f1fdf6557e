"""service/http/pages/ui.html in a real browser, if Chromium is installed."""

from __future__ import annotations

import base64
import json
import re
import shutil
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

playwright = pytest.importorskip("playwright.sync_api", reason="no playwright here: make setup")
expect = playwright.expect
expect.set_options(timeout=60_000)

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
PHONE = {"width": 390, "height": 844}
MARKUP = "<img src=x onerror=document.title='taken'>"
INPUT = {"input": {"kinds": ["JPEG", "PNG"]}}
ANSWER = {
    "label": "<b>bold</b>",
    "score": 0.99996,
    "top": [{"label": "<b>bold</b>", "score": 0.99996}, {"label": "other", "score": 0.00004}],
    "model": {"name": "tiny", "version": "1"},
}

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="no chromium on the PATH"),
]

Open = Callable[..., Any]
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


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
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
        url for url in requested if not re.match(r"http://127\.0\.0\.1:|blob:|data:", url)
    ] == []
    # Chromium itself logs every response with an error status.
    assert [text for text in problems if "Failed to load resource" not in text] == []


def picture(name: str, content: bytes, kind: str = "image/jpeg") -> dict[str, Any]:
    return {"name": name, "mimeType": kind, "buffer": content}


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


def overflow(page: Any) -> int:
    """Return the number of pixels by which the page is wider than its window."""
    width = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
    return int(page.evaluate(width))


def mock_answers(page: Any, path: str, *answers: tuple[int, dict[str, str], Any]) -> list[str]:
    """Answer requests instead of the server; the last answer repeats. Return the requested URLs."""
    requested: list[str] = []

    def answer(route: Any) -> None:
        status, headers, content = answers[min(len(requested), len(answers) - 1)]
        requested.append(route.request.url)
        route.fulfill(status=status, headers=headers, json=content)

    page.route(f"**{path}", answer)
    return requested


# Content


def test_the_page_names_the_model(open_ui: Open, tiny_bundle: Any) -> None:
    page = open_ui()
    expect(page.get_by_role("heading", name="tiny")).to_be_visible()
    expect(page.locator("#version")).to_have_text(
        f"version {tiny_bundle.manifest.version} · accuracy 100.0%"
    )
    expect(page.locator("#classes summary")).to_have_text("3 classes")
    expect(page.locator("#classes li")).to_have_text(["red", "green", "blue"])
    expect(page.locator("#lock")).to_be_hidden()


def test_the_first_line_warns_of_a_model_trained_on_drawn_pictures(open_ui: Open) -> None:
    page = open_ui()
    expect(page.locator("#version")).to_contain_text("version")
    expect(page.locator("#data")).to_be_hidden()
    model = {"name": "leaves", "version": "1", "classes": ["a", "b"], **INPUT}
    model |= {"data": {"source": "drawn sample pictures", "pictures": 600}}
    model |= {"metrics": {"test_accuracy": 0.99, "test_pictures": 91}}
    mock_answers(page, "/model", (200, {}, model))
    page.reload()
    expect(page.locator("#version")).to_have_text("version 1 · accuracy 99.0% on 91 test pictures")
    first_line = page.locator("body").inner_text().splitlines()[0]
    assert first_line.startswith("This model was trained on drawn sample pictures")
    expect(page).to_have_title("leaves · drawn sample pictures · Graft")
    assert overflow(page) == 0


def test_pictures_are_classified_and_a_bad_one_fails_alone(open_ui: Open, draw: Any) -> None:
    page = open_ui()
    page.get_by_label("Choose pictures").set_input_files(
        [
            picture("one.jpg", draw("red")),
            picture("two.png", draw("green", "PNG"), "image/png"),
            picture("cut.jpg", draw("red")[:-40]),
            picture("three.webp", draw("blue", "WebP"), "image/webp"),
            picture("note.txt", b"text", "text/plain"),
        ]
    )
    expect(page.get_by_role("status")).to_have_text("3 pictures classified, 2 failed")
    names = page.locator(".row .name").all_text_contents()
    assert names == ["one.jpg", "two.png", "cut.jpg", "three.webp", "note.txt"]
    for name, label in {"one.jpg": "red", "two.png": "green", "three.webp": "blue"}.items():
        expect(row(page, name).locator(".best")).to_have_text(re.compile(rf"{label}9\d\.\d%"))
        assert row(page, name).locator(".class-name").first.text_content() == label
        assert row(page, name).locator(".bars li").count() == 3
        expect(row(page, name).locator(".time")).to_have_text(re.compile(r"^\d+ ms$"))
    widths = [
        bar.evaluate("bar => bar.getBoundingClientRect().width / bar.parentNode.clientWidth")
        for bar in row(page, "one.jpg").locator(".track span").all()
    ]
    assert widths[0] == pytest.approx(0.988, abs=0.02)
    assert max(widths[1:]) < 0.02
    expect(row(page, "cut.jpg").locator(".state")).to_have_text(re.compile("cut short|damaged"))
    expect(row(page, "note.txt").locator(".state")).to_have_text(re.compile("JPEG.*PNG.*WebP"))
    assert not page.get_by_role("button", name="Try again").all()


def test_pictures_can_be_dropped_and_pasted(open_ui: Open, draw: Any) -> None:
    page = open_ui()
    dispatch_files(page, "dragover", picture("a.jpg", draw("red")))
    expect(page.locator("body")).to_have_class("over")
    assert dispatch_files(
        page, "drop", picture("a.jpg", draw("red")), picture("b.jpg", draw("blue"))
    )
    expect(page.locator("body")).not_to_have_class("over")
    expect(page.get_by_role("status")).to_have_text("2 pictures classified")
    assert dispatch_files(page, "paste", picture("image.png", draw("green", "PNG"), "image/png"))
    expect(page.get_by_role("status")).to_have_text("3 pictures classified")
    labels = page.locator(".best .label").all_text_contents()
    assert labels == ["green", "red", "blue"]  # the newest picture comes first


def test_pasting_without_files_is_left_to_the_browser(open_ui: Open) -> None:
    assert not dispatch_files(open_ui(), "paste")


def test_markup_in_names_is_shown_as_text(open_ui: Open, draw: Any) -> None:
    page = open_ui()
    model = {"name": MARKUP, "version": "1", "classes": [MARKUP, "other"], **INPUT}
    mock_answers(page, "/model", (200, {}, model))
    mock_answers(page, "/predict", (200, {}, ANSWER), (400, {}, {"error": {"message": MARKUP}}))
    page.reload()
    expect(page.get_by_role("heading", level=1)).to_have_text(MARKUP)
    page.get_by_label("Choose pictures").set_input_files([picture(MARKUP, draw())])
    # The page shows the name of the file, which cannot contain slashes.
    expect(page.locator(".name")).to_have_text(MARKUP)
    expect(page.locator(".best .label")).to_have_text("<b>bold</b>")
    expect(page.locator(".share")).to_have_text([">99.9%", "<0.1%"])
    page.get_by_label("Choose pictures").set_input_files([picture("b.jpg", draw())])
    expect(row(page, "b.jpg").locator(".state")).to_have_text(MARKUP)
    assert page.locator("main b, main img[src=x], header img").count() == 0
    assert page.title() == f"{MARKUP} · Graft"


# Requests


def test_at_most_four_pictures_are_sent_at_a_time(open_ui: Open, draw: Any) -> None:
    page = open_ui()
    routes: list[Any] = []

    def hold_route(route: Any) -> None:
        routes.append(route)

    page.route("**/predict", hold_route)
    files = [picture(f"{number}.jpg", draw()) for number in range(7)]
    page.get_by_label("Choose pictures").set_input_files(files)
    expect(page.locator("[data-state=running]")).to_have_count(4)
    expect(page.locator("[data-state=waiting]")).to_have_count(3)
    expect(page.get_by_role("progressbar")).to_be_visible()
    wait_for(page, lambda: len(routes) >= 4)
    page.wait_for_timeout(200)
    assert len(routes) == 4
    assert routes[0].request.headers["content-type"] == "image/jpeg"
    assert "x-api-key" not in routes[0].request.headers
    routes.pop(0).fulfill(json=ANSWER)
    expect(page.locator("[data-state=waiting]")).to_have_count(2)
    for _ in range(6):
        wait_for(page, lambda: bool(routes))
        routes.pop(0).fulfill(json=ANSWER)
    expect(page.get_by_role("status")).to_have_text("7 pictures classified")
    expect(page.get_by_role("progressbar")).to_be_hidden()


@pytest.mark.parametrize("status", [429, 503])
def test_a_busy_server_is_retried(open_ui: Open, draw: Any, status: int) -> None:
    page = open_ui()
    busy = (status, {"Retry-After": "0.2"}, {"error": {"code": "x", "message": "come back"}})
    requested = mock_answers(page, "/predict", busy, busy, (200, {}, ANSWER))
    page.get_by_label("Choose pictures").set_input_files([picture("a.jpg", draw())])
    expect(page.locator(".state")).to_have_text("the server is busy; trying again in 0.2 seconds …")
    expect(page.locator(".best")).to_be_visible()
    assert len(requested) == 3


def test_retries_end_until_the_user_asks_for_more(open_ui: Open, draw: Any) -> None:
    page = open_ui()
    busy = (429, {"Retry-After": "0.1"}, {"error": {"code": "overloaded", "message": "full up"}})
    requested = mock_answers(page, "/predict", *[busy] * 5, (200, {}, ANSWER))
    page.get_by_label("Choose pictures").set_input_files([picture("a.jpg", draw())])
    expect(page.locator(".state")).to_have_text("full up")
    expect(page.get_by_role("status")).to_have_text("a.jpg: full up")
    assert len(requested) == 5
    page.get_by_role("button", name="Try again").click()
    expect(page.locator(".best")).to_be_visible()
    expect(page.get_by_label("Choose pictures")).to_be_focused()


def test_an_unreachable_server_is_reported(open_ui: Open, draw: Any) -> None:
    page = open_ui()
    page.route("**/predict", lambda route: route.abort())
    page.get_by_label("Choose pictures").set_input_files([picture("a.jpg", draw())])
    expect(page.locator(".state")).to_have_text(
        "the server cannot be reached; check your connection and try again"
    )
    page.unroute("**/predict")
    page.get_by_role("button", name="Try again").click()
    expect(page.locator(".best .label")).to_have_text("red")


def test_a_key_is_asked_for_and_not_stored(open_ui: Open, serve: Any, draw: Any) -> None:
    with serve(GRAFT_API_KEYS="right-key") as server:
        page = open_ui(server.url)
        expect(page.get_by_label("This service needs an API key")).to_be_focused()
        page.get_by_label("Choose pictures").set_input_files(
            [picture(f"{number}.jpg", draw("green")) for number in range(6)]
        )
        expect(page.locator("[data-state=waiting]")).to_have_count(6)
        page.get_by_label("This service needs an API key").fill("wrong-key")
        page.keyboard.press("Enter")
        expect(page.get_by_role("alert")).to_have_text(re.compile("This key is not accepted"))
        page.get_by_label("This service needs an API key").fill("\N{SNOWMAN}")
        page.get_by_role("button", name="Use this key").click()
        expect(page.get_by_role("alert")).to_have_text(
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
    mock_answers(page, "/predict", *[refused] * 4, (200, {}, ANSWER))
    page.get_by_label("Choose pictures").set_input_files(
        [picture(f"{number}.jpg", draw()) for number in range(6)]
    )
    expect(page.locator("[data-state=waiting]")).to_have_count(6)
    page.get_by_label("This service needs an API key").fill("another")
    page.get_by_role("button", name="Use this key").click()
    expect(page.get_by_role("status")).to_have_text("6 pictures classified")


# Use


@pytest.mark.parametrize(
    ("labels", "verdict"),
    [
        (["daisy"], "daisy"),
        (["daisy", "rose"], "not sure: daisy or rose"),
        (["daisy", "rose", "tulip"], "not sure: daisy, rose or tulip"),
        (["a", "b", "c", "d"], "not sure: one of 4 classes"),
    ],
)
def test_an_uncertain_answer_names_the_alternatives(
    open_ui: Open, draw: Any, labels: list[str], verdict: str
) -> None:
    page = open_ui()
    top = [{"label": label, "score": 0.25} for label in labels]
    answer = {**ANSWER, "label": labels[0], "score": 0.25, "top": top, "set": labels}
    mock_answers(page, "/predict", (200, {}, answer))
    page.get_by_label("Choose pictures").set_input_files([picture("a.jpg", draw())])
    spoken = verdict if len(labels) > 1 else f"{verdict}, 25.0%"
    expect(page.get_by_role("status")).to_have_text(f"a.jpg: {spoken}")
    expect(page.locator(".best .label")).to_have_text(verdict)


def test_the_keyboard_reaches_everything(open_ui: Open, draw: Any) -> None:
    page = open_ui()
    page.on("filechooser", lambda _: None)  # choosers are intercepted before a key can open one
    expect(page.locator("#classes")).to_be_visible()
    focused = []
    for _ in range(3):
        page.keyboard.press("Tab")
        focused.append(page.evaluate("document.activeElement.id || document.activeElement.tagName"))
    assert focused == ["SUMMARY", "UL", "files"]
    with page.expect_file_chooser() as chooser:
        page.keyboard.press("Space")
    assert chooser.value.is_multiple()
    chooser.value.set_files([picture("a.jpg", draw())])
    expect(page.get_by_role("status")).to_have_text(re.compile(r"^a\.jpg: red, 9\d\.\d%$"))
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(page.locator(".row")).to_have_count(0)
    expect(page.get_by_role("status")).to_have_text("")
    expect(page.get_by_label("Choose pictures")).to_be_focused()


COUNT_URLS = """() => {
  window.urls = new Set();
  const { createObjectURL, revokeObjectURL } = URL;
  URL.createObjectURL = (file) => {
    const url = createObjectURL(file);
    window.urls.add(url);
    return url;
  };
  URL.revokeObjectURL = (url) => {
    window.urls.delete(url);
    revokeObjectURL(url);
  };
}"""


def test_thumbnails_are_shown_and_their_urls_revoked(open_ui: Open, draw: Any) -> None:
    page = open_ui()
    page.evaluate(COUNT_URLS)
    files = [picture("a.jpg", draw()), picture("b.jpg", draw()), picture("c.jpg", b"text")]
    page.get_by_label("Choose pictures").set_input_files(files)
    expect(page.get_by_role("status")).to_have_text("2 pictures classified, 1 failed")
    widths = page.locator(".thumb img").evaluate_all("all => all.map((img) => img.naturalWidth)")
    assert len(widths) == 2
    assert min(widths) > 0
    assert page.evaluate("window.urls.size") == 0


@pytest.mark.parametrize("width", [320, 390, 768, 1280])
def test_the_page_does_not_scroll_sideways(open_ui: Open, draw: Any, width: int) -> None:
    page = open_ui(viewport={"width": width, "height": 844})
    name = f"{'a-very-long-name-' * 8}.jpg"
    long_ranking = [{"label": "Donaudampfschifffahrt" * 6, "score": 0.5}] * 5
    model = {"name": "n" * 90, "version": "v" * 64, "classes": ["c" * 120] * 9, **INPUT}
    mock_answers(page, "/model", (200, {}, model))
    mock_answers(
        page,
        "/predict",
        (200, {}, {**ANSWER, "label": long_ranking[0]["label"], "top": long_ranking}),
        (400, {}, {"error": {"message": "m" * 300}}),
    )
    page.reload()
    files = [picture(name, draw()), picture("b.jpg", draw())]
    page.get_by_label("Choose pictures").set_input_files(files)
    expect(page.get_by_role("status")).to_have_text("1 picture classified, 1 failed")
    assert overflow(page) <= 0


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_has_enough_contrast_in_both_schemes(open_ui: Open, draw: Any, scheme: str) -> None:
    """Every text has a contrast of at least 4.5 to 1 (WCAG 2.2, 1.4.3)."""
    page = open_ui(color_scheme=scheme)
    page.get_by_label("Choose pictures").set_input_files(
        [picture("a.jpg", draw()), picture("b.jpg", b"text")]
    )
    expect(page.get_by_role("status")).to_have_text("1 picture classified, 1 failed")
    ratios = page.evaluate(CONTRAST)
    assert len(ratios) > 12
    assert {text: ratio for text, ratio in ratios if ratio < 4.5} == {}


CONTRAST = """() => {
  const parsed = (colour) => colour.match(/[\\d.]+/g).map(Number);
  const light = (rgb) => rgb.slice(0, 3).map((c) => c / 255)
    .map((c) => c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4)
    .reduce((sum, c, i) => sum + c * [0.2126, 0.7152, 0.0722][i], 0);
  const behind = (element) => {
    const colour = parsed(getComputedStyle(element).backgroundColor);
    return colour[3] === 0 ? behind(element.parentElement) : colour;
  };
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  const found = [];
  while (walker.nextNode()) {
    const text = walker.currentNode.data.trim(), element = walker.currentNode.parentElement;
    if (!text || !element.checkVisibility() || element.tagName === "SCRIPT") continue;
    const [dark, bright] = [parsed(getComputedStyle(element).color), behind(element)]
      .map(light).sort((a, b) => a - b);
    found.push([text, (bright + 0.05) / (dark + 0.05)]);
  }
  return found;
}"""


# Security policy


FORBIDDEN = {
    "img-src": "document.body.append(Object.assign(new Image(), {src: 'http://127.0.0.1:9/x'}))",
    "connect-src": "fetch('http://127.0.0.1:9/x').catch(() => {})",
    "script-src-elem": "import('data:text/javascript,1').catch(() => {})",
    "style-src-elem": "document.head.append(document.createElement('style')); "
    "document.querySelector('head style:last-child').textContent = 'b { color: red }'",
    "require-trusted-types-for": "try { document.body.innerHTML = '<p>' } catch {}",
}


@pytest.mark.parametrize("directive", FORBIDDEN)
def test_the_policy_is_enforced(browser: Any, server: Any, directive: str) -> None:
    page = browser.new_context().new_page()
    page.goto(f"{server.url}/ui")
    page.evaluate(
        "() => { window.stopped = []; addEventListener('securitypolicyviolation',"
        " (event) => window.stopped.push(event.effectiveDirective)) }"
    )
    page.evaluate(f"() => {{ {FORBIDDEN[directive]} }}")
    page.wait_for_function("() => window.stopped.length")
    assert set(page.evaluate("window.stopped")) == {directive}
    page.context.close()


def test_the_page_cannot_be_framed(browser: Any, server: Any) -> None:
    page = browser.new_context().new_page()
    messages: list[str] = []
    page.on("console", lambda message: messages.append(message.text))
    page.goto(f"{server.url}/livez")
    page.evaluate(
        "() => { const frame = document.createElement('iframe'); frame.src = '/ui';"
        " document.body.append(frame) }"
    )
    wait_for(page, lambda: any("frame-ancestors" in text for text in messages))
    page.context.close()
