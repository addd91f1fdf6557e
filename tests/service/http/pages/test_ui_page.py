from __future__ import annotations

import re
from pathlib import Path

from service.http.pages.ui_page import build_page, build_policy

UI = Path(__file__).parents[4] / "service/http/pages/ui"


def policy_of(report: bytes | None) -> dict[str, str]:
    return dict(part.split(" ", 1) for part in build_policy(report).split("; "))


def test_the_page_contains_all_its_files() -> None:
    page = build_page()
    for path in UI.iterdir():
        if path.suffix != ".html":
            assert page.count(path.read_text(encoding="utf-8")) == 1, path.name


def test_the_page_loads_nothing_and_inserts_no_html() -> None:
    page = build_page()
    urls = set(re.findall(r"[a-z]+://[^\s'\"]+", page))
    assert urls == {"http://www.w3.org/2000/svg"}  # an XML namespace, in the icon
    assert not re.findall(r"@import|url\(|<script [^>]*src|<link(?! rel=\"icon\")", page)
    assert not re.findall(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(", page)


def test_the_policy_allows_only_the_page() -> None:
    policy = policy_of(None)
    assert policy["default-src"] == policy["frame-ancestors"] == policy["base-uri"] == "'none'"
    assert policy["connect-src"] == "'self'"
    assert policy["img-src"] == "blob: data:"
    source = r"'sha256-[A-Za-z0-9+/]{43}='"
    scripts = len([*UI.glob("*.js")])
    assert re.fullmatch(rf"{source}( {source}){{{scripts - 1}}}", policy["script-src"])
    assert re.fullmatch(source, policy["style-src"])
    assert "style-src-attr" not in policy


def test_the_policy_allows_the_styles_of_the_report_and_no_script() -> None:
    report = b"<style>h1 { color: red }</style><style>p {}</style><script>alert(1)</script>"
    policy = policy_of(report)
    assert policy["script-src"] == policy_of(None)["script-src"]
    styles = policy["style-src"].split()
    assert styles[0] == policy_of(None)["style-src"]
    assert len(styles) == 3
    assert policy["style-src-attr"] == "'unsafe-inline'"
