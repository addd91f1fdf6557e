"""Everything that the docs name exists: links, files, modules, flags, make targets, variables."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

from service.settings import Settings

ROOT = Path(__file__).parents[2]
PAGES = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")),
    *(ROOT / name for name in ("deploy/README.md", "benchmarks/README.md", "examples/README.md")),
    ROOT / "plugins/families/pocket/pocket.md",
    *sorted((ROOT / "docs").rglob("*.md")),
]
GUIDES = [page for page in PAGES if page.name != "CHANGELOG.md"]
"""All pages except the changelog, which also names things that were removed."""
NAMES = [page.relative_to(ROOT).as_posix() for page in PAGES]
LONGEST_PAGE = 150
"""The largest number of lines of README.md and CONTRIBUTING.md."""
TEST_VARIABLES = {"GRAFT_CACHE", "GRAFT_NO_SKIPS", "GRAFT_WRITE_ALERTS", "GRAFT_WRITE_DOCS"}
PACKAGES = ("plugins", "trainers", "service")
FOLDERS = "plugins|trainers|service|deploy|tests|docs|benchmarks|examples|requirements"


def prose(page: Path) -> str:
    """The text of a page without its code blocks."""
    return re.sub(r"^```.*?^```", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)


def anchors(page: Path) -> set[str]:
    """The anchors that GitHub creates for the headings of a page."""
    headings = re.findall(r"^#+ (.+)$", prose(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def commands(page: Path) -> list[str]:
    """The commands in the shell blocks of a page, one per line."""
    blocks = re.findall(r"^```sh\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL)
    return "".join(blocks).replace("\\\n", " ").splitlines()


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_link_targets_exist(page: Path) -> None:
    links = re.findall(r"\]\(([^)\s]+)\)", prose(page))
    for link in links:
        if link.startswith(("http://", "https://")):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


@pytest.mark.parametrize("name", ["README.md", "CONTRIBUTING.md"])
def test_a_first_page_is_short(name: str) -> None:
    assert len((ROOT / name).read_text().splitlines()) <= LONGEST_PAGE


def test_every_page_is_in_the_index() -> None:
    index = (ROOT / "docs/README.md").read_text()
    pages = {page.name for page in (ROOT / "docs").glob("*.md")} - {"README.md"}
    assert {name for name in pages if f"]({name})" not in index} == set()


@pytest.mark.parametrize("page", GUIDES, ids=[name for name in NAMES if name != "CHANGELOG.md"])
def test_named_files_exist(page: Path) -> None:
    for path in re.findall(rf"`((?:{FOLDERS})/[\w./-]*)`", page.read_text()):
        assert (ROOT / path).exists(), path


@pytest.mark.parametrize("page", GUIDES, ids=[name for name in NAMES if name != "CHANGELOG.md"])
def test_named_tests_exist(page: Path) -> None:
    text = page.read_text()
    for path in re.findall(r"\btests/[\w/]+\.py", text):
        assert (ROOT / path).is_file(), path
    for path, name in re.findall(r"\b(tests/[\w/]+\.py)::(\w+)", text):
        assert f"def {name}(" in (ROOT / path).read_text(), f"{path}::{name}"


def test_named_make_targets_exist() -> None:
    targets = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for page in GUIDES:
        named = re.findall(r"`make ([a-z][a-z -]*)", page.read_text()) + [
            command.split()[1] for command in commands(page) if command.startswith("make ")
        ]
        assert {name for names in named for name in names.split()} <= targets, page


def test_named_settings_exist() -> None:
    existing = {f"GRAFT_{name.upper()}" for name in Settings.model_fields} | TEST_VARIABLES
    for page in (ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md")):
        assert set(re.findall(r"GRAFT_[A-Z_]+[A-Z]", page.read_text())) <= existing, page


def test_named_modules_and_flags_exist() -> None:
    """Compare with the output of --help of each module."""
    used: dict[str, set[str]] = {}
    for page in GUIDES:
        text = [*commands(page), *re.findall(r"`([^`]*python -m [^`]*)`", page.read_text())]
        for line in text:
            for module, rest in re.findall(r"python -m ([\w.]+)([^|;#]*)", line):
                used.setdefault(module, set()).update(re.findall(r"--[a-z][\w-]*", rest))
    own_modules = {
        name for name in used if name.partition(".")[0] in ("plugins", "trainers", "service")
    }
    assert {"trainers.run", "trainers.check", "trainers.compare", "service.predict"} <= own_modules
    for module in own_modules:
        command = [sys.executable, "-m", module, "--help"]
        completed = subprocess.run(
            command, capture_output=True, text=True, timeout=120, check=False, cwd=ROOT
        )
        assert completed.returncode == 0, (module, completed.stderr)
        assert used[module] <= set(re.findall(r"--[a-z][\w-]*", completed.stdout)), module


def test_the_page_about_scoring_names_every_option() -> None:
    command = [sys.executable, "-m", "service.predict", "--help"]
    help_text = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT).stdout
    section = (ROOT / "docs/serving.md").read_text().partition("\n## Score a folder\n")[2]
    named = set(re.findall(r"--[a-z]+", section.partition("\n## ")[0]))
    assert named == set(re.findall(r"--[a-z]+", help_text)) - {"--help"}


def test_quoted_messages_exist() -> None:
    sources = [path for name in PACKAGES for path in (ROOT / name).rglob("*.py")]
    nodes = (node for path in sources for node in ast.walk(ast.parse(path.read_text())))
    texts = [
        constant.value
        for node in nodes
        if not isinstance(node, ast.Expr)  # a docstring is not a message
        for constant in ast.iter_child_nodes(node)
        if isinstance(constant, ast.Constant) and isinstance(constant.value, str)
    ]
    page = (ROOT / "docs/troubleshooting.md").read_text()
    seen = re.findall(r"^\| ([^|]+) \|", page, re.MULTILINE)
    quotes = [quote for cell in seen for quote in re.findall('"([^"]+)"', cell)]
    assert len(quotes) > 5
    for quote in quotes:
        parts = [part.strip() for part in re.split(r"\.\.\.|'[^']+'", quote)]  # the rest varies
        for part in filter(None, parts):
            assert any(part in text for text in texts), quote
