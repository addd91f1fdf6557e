"""Text of users in Markdown, such as the names of classes: it must not act as markup.

Two rules of CommonMark are enough: nothing inside a code span is markup, and outside of code spans
a backslash makes any ASCII punctuation plain text.
"""

from __future__ import annotations

import re

from trainers.dataset.folders.filenames import escape

_PUNCTUATION = re.compile(r"[\\`*_{}\[\]<>#|~!$&]")


def code(text: str) -> str:
    """Return a code span with this text; unprintable characters become backslash escapes."""
    text = escape(text)
    longest = max(map(len, re.findall("`+", text)), default=0)
    fence = "`" * (longest + 1)
    space = " " if text[:1] in ("`", " ") or text[-1:] in ("`", " ") else ""
    return f"{fence}{space}{text}{space}{fence}"


def prose(text: str) -> str:
    """Return a message of Graft as Markdown: names in backticks become code spans."""
    parts = re.split(r"`([^`]+)`", escape(text))  # text, name, text, name, ..., text
    return "".join(
        code(part) if number % 2 else _PUNCTUATION.sub(r"\\\g<0>", part)
        for number, part in enumerate(parts)
    )


def code_block(text: str, language: str) -> str:
    """Return a block of code; the text may contain fences itself."""
    longest = max(map(len, re.findall("`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}{language}\n{text}\n{fence}"
