"""The whole page: layout, contrast, keyboard, security policy. Its parts have their own tests."""

from __future__ import annotations

from typing import Any

import pytest

from tests.service.http.pages.ui.conftest import (
    RESULT,
    Open,
    choose,
    mock,
    mock_model,
    mock_results,
    picture,
    playwright,
    row,
    wait_for,
)

expect = playwright.expect

MARKUP = "<img src=x onerror=document.title='taken'>"


def overflow(page: Any) -> int:
    """Return the number of pixels by which the page is wider than its window."""
    width = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
    return int(page.evaluate(width))


def test_markup_in_names_is_shown_as_text(open_ui: Open, draw: Any) -> None:
    page = open_ui()
    top = [{"label": "<b>bold</b>", "score": 0.9}, {"label": "other", "score": 0.1}]
    error = {"error": {"code": "x", "message": MARKUP}}
    mock_results(page, {"label": "<b>bold</b>", "score": 0.9, "top": top}, error)
    mock_model(page, name=MARKUP, classes=[MARKUP, "other"], warnings=[MARKUP])
    expect(page.get_by_role("heading", level=1)).to_have_text(MARKUP)
    expect(page.locator("#warnings")).to_have_text(f"{MARKUP}.")
    choose(page, picture(MARKUP, draw()), picture("b.jpg", draw()))
    # The page shows the name of the file, which cannot contain slashes.
    expect(row(page, MARKUP).locator(".best .label")).to_have_text("<b>bold</b>")
    expect(row(page, "b.jpg").locator(".state")).to_have_text(MARKUP)
    expect(page.get_by_role("status")).to_have_text("2 pictures: 1 <b>bold</b>, 1 not readable")
    assert page.locator("main b, img[src=x]").count() == 0
    assert page.title() == f"{MARKUP} · Graft"


def test_the_keyboard_reaches_everything(open_ui: Open, draw: Any) -> None:
    page = open_ui()
    page.on("filechooser", lambda _: None)  # choosers are intercepted before a key can open one
    expect(page.locator("#samples img")).to_have_count(3)
    focused = press_tab(page, 6)
    samples = [f"Classify sample {number}" for number in (1, 2, 3)]
    assert focused == ["3 classes", "Classes", "files", *samples]
    page.get_by_label("Choose pictures").focus()
    with page.expect_file_chooser() as chooser:
        page.keyboard.press("Space")
    assert chooser.value.is_multiple()
    chooser.value.set_files([picture("a.jpg", draw()), picture("b.jpg", draw())])
    expect(page.get_by_role("status")).to_have_text("2 pictures: 2 red")
    focused = press_tab(page, 8)[3:]
    assert focused == ["doubt", "table", "clear", "Why? a.jpg", "Why? b.jpg"]
    page.get_by_role("button", name="Clear").press("Enter")
    expect(page.locator(".row")).to_have_count(0)
    expect(page.get_by_role("status")).to_have_text("")
    expect(page.get_by_label("Choose pictures")).to_be_focused()


def press_tab(page: Any, times: int) -> list[str]:
    """Return the label, id or text of each element that gets the focus."""
    focused = []
    for _ in range(times):
        page.keyboard.press("Tab")
        name = "e.getAttribute('aria-label') || e.id || e.textContent.slice(0, 99)"
        focused.append(page.evaluate(f"(e => {name})(document.activeElement)"))
        outline = page.evaluate(
            "(e => [e, e.closest('.drop')].filter(Boolean)"
            ".map((e) => getComputedStyle(e).outlineStyle))(document.activeElement)"
        )
        assert "solid" in outline, focused[-1]
    return focused


@pytest.mark.parametrize("width", [320, 390, 768, 1280])
def test_the_page_does_not_scroll_sideways(open_ui: Open, draw: Any, width: int) -> None:
    page = open_ui(viewport={"width": width, "height": 844})
    name = f"{'a-very-long-name-' * 8}.jpg"
    label = "Donaudampfschifffahrt" * 6
    result = {"label": label, "score": 0.5, "top": [{"label": label, "score": 0.5}] * 5}
    unsure = {**result, "set": [label, label]}
    error = {"error": {"code": "x", "message": "m" * 300}}
    mock_results(page, result, unsure, {**result, "known": False}, error)
    nearest = [{"path": name, "label": label}] * 6
    mock(page, "/explain", (200, {}, {"heat_map": [[0.5] * 7] * 7, "nearest": nearest}))
    mock_model(page, name="n" * 90, version="1", classes=["c" * 120] * 9, warnings=["w" * 200])
    choose(page, *(picture(other, draw(size=(1000, 9))) for other in (name, "b", "c", "d")))
    expect(page.get_by_role("status")).to_contain_text("1 not readable")
    page.get_by_role("button", name="Why? b").click()
    expect(page.locator("figure")).to_be_visible()
    assert overflow(page) <= 0


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_has_enough_contrast_in_both_schemes(open_ui: Open, draw: Any, scheme: str) -> None:
    """Every text has a contrast of at least 4.5 to 1 (WCAG 2.2, 1.4.3)."""
    page = open_ui(color_scheme=scheme)
    unsure = {**RESULT, "set": ["daisy", "tulip"]}
    error = {"error": {"code": "x", "message": "not a picture"}}
    mock_results(page, RESULT, unsure, {**RESULT, "known": False}, error)
    mock(
        page, "/explain", (200, {}, {"heat_map": [[0.5]], "nearest": [{"path": "p", "label": "l"}]})
    )
    mock_model(page, warnings=["careful"], report=True, metrics={"test_accuracy": 0.9})
    choose(page, *(picture(name, draw()) for name in ("a", "b", "c", "d.txt")))
    expect(page.get_by_role("status")).to_contain_text("1 not readable")
    page.get_by_role("button", name="Why? a").click()
    expect(page.locator("figure")).to_be_visible()
    ratios = page.evaluate(CONTRAST)
    assert len(ratios) > 30
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
