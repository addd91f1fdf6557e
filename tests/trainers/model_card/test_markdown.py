from __future__ import annotations

import pytest
from markdown_it import MarkdownIt
from markdown_it.token import Token

from trainers.model_card.markdown import code, code_block, prose

NAMES = [
    "healthy",
    "a|b",
    "`",
    "``a` b``",
    " a ",
    "<img src=x onerror=alert(1)>",
    "[a](javascript:alert(1))",
    "*a* _b_ # $x$ &amp;",
    "\\",
    "---",
]


def parse(text: str) -> list[Token]:
    """The inline elements of a text of one paragraph."""
    (paragraph,) = [token for token in MarkdownIt().parse(text) if token.type == "inline"]
    return paragraph.children or []


@pytest.mark.parametrize("name", NAMES)
def test_a_name_is_one_code_span_with_exactly_this_text(name: str) -> None:
    before, span, after = parse(f"the class {code(name)}, and so on")
    assert (span.type, span.content) == ("code_inline", name)
    assert (before.content, after.content) == ("the class ", ", and so on")


def test_unprintable_characters_become_escapes() -> None:
    assert code("a\nb\udce4") == "`a\\x0ab\\udce4`"
    code("a\udce4").encode()


@pytest.mark.parametrize("name", [name for name in NAMES if "`" not in name])
def test_a_message_keeps_its_names_and_has_no_other_markup(name: str) -> None:
    tokens = parse(prose(f"`{name}` has 1 picture {name}, see `data`"))
    spans = [token.content for token in tokens if token.type == "code_inline"]
    others = [token for token in tokens if token.type != "code_inline"]
    assert spans == [name, "data"]
    assert {token.type for token in others} <= {"text", "text_special"}
    assert "".join(token.content for token in others).strip() == f"has 1 picture {name}, see"


def test_a_backtick_without_a_partner_is_text() -> None:
    tokens = parse(prose("it`s <b>"))
    assert {token.type for token in tokens} <= {"text", "text_special"}
    assert "".join(token.content for token in tokens) == "it`s <b>"


def test_a_block_may_contain_fences() -> None:
    (block,) = MarkdownIt().parse(code_block("echo '````'", "sh"))
    assert (block.type, block.content, block.info) == ("fence", "echo '````'\n", "sh")
