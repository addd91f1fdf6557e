"""Build the page of GET /ui from the files in the folder `ui`, and its content security policy.

Style and scripts are inlined, so that the page is one file: one request, and one version.
"""

from __future__ import annotations

import base64
import functools
import hashlib
import re
from pathlib import Path
from typing import Final

_FOLDER: Final = Path(__file__).with_name("ui")
_STYLESHEET: Final = re.compile(r'<link rel="stylesheet" href="([\w-]+\.css)">')
_SCRIPT: Final = re.compile(r'<script src="([\w-]+\.js)"></script>')


@functools.cache
def build_page() -> str:
    """Return ui.html, with the files to which it links in place of the links."""
    page = _read("ui.html")
    page = _STYLESHEET.sub(lambda link: f"<style>\n{_read(link[1])}</style>", page)
    return _SCRIPT.sub(lambda link: f"<script>\n{_read(link[1])}</script>", page)


@functools.lru_cache(maxsize=1)  # for the served model
def build_policy(report: bytes | None) -> str:
    """Return a content security policy that allows only what the page and the report need.

    The page opens the report as a `blob:` URL if requests need an API key, and the browser then
    applies the policy of the page to the report.

    Args:
        report: the report of the served model, an HTML page without scripts; None = none.
    """
    page, report_page = build_page(), (report or b"").decode("utf-8", "replace")
    policy = {
        "default-src": "'none'",
        "script-src": " ".join(_hashes("script", page)),
        "style-src": " ".join([*_hashes("style", page), *_hashes("style", report_page)]),
        "img-src": "blob: data:",
        "connect-src": "'self'",
        "base-uri": "'none'",
        "form-action": "'none'",
        "frame-ancestors": "'none'",
        # The browser blocks innerHTML and similar functions, so that text never becomes markup.
        "require-trusted-types-for": "'script'",
        "trusted-types": "'none'",
    }
    if report_page:
        policy["style-src-attr"] = "'unsafe-inline'"
    return "; ".join(f"{name} {value}" for name, value in policy.items())


def _hashes(tag: str, page: str) -> list[str]:
    """Return the source expressions that allow the `tag` elements of a page: their SHA-256."""
    texts = re.findall(f"<{tag}>(.*?)</{tag}>", page, re.DOTALL)
    digests = [base64.b64encode(hashlib.sha256(text.encode()).digest()) for text in texts]
    return [f"'sha256-{digest.decode()}'" for digest in dict.fromkeys(digests)]


def _read(name: str) -> str:
    return (_FOLDER / name).read_text(encoding="utf-8")
