"""Compares the table of allowed imports in docs/architecture.md with the source."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("plugins", "trainers", "service")
ARCHITECTURE = ROOT / "docs/architecture.md"
DRAWING = re.compile(r"(<!-- drawing: begin -->\n).*?(<!-- drawing: end -->)", re.DOTALL)
MOST_FILES, MOST_LINES = 12, 250

Graph = dict[str, set[str]]


def modules(package: str) -> list[Path]:
    return sorted((ROOT / package).rglob("*.py"))


def imports(path: Path) -> Iterator[str]:
    """Every name that a file imports, inside functions and under TYPE_CHECKING as well."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path}: relative import"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def module_of(name: str) -> str | None:
    """The module of this project that defines an imported name; None for other packages."""
    parts = name.split(".")
    while parts and parts[0] in PACKAGES:
        path = ROOT.joinpath(*parts)
        if path.with_suffix(".py").is_file() or (path / "__init__.py").is_file():
            return ".".join(parts)
        parts.pop()
    return None


def room_of(module: str) -> str:
    """The sub-package of a module (a "room"); a module at a package's root is a room by itself."""
    is_package = ROOT.joinpath(*module.split("."), "__init__.py").is_file()
    at_root = module.count(".") == 1
    return module if is_package or at_root else module.rpartition(".")[0]


def import_graph() -> Graph:
    """Map each module to the modules of this project that it imports."""
    graph: Graph = {}
    for path in (path for package in PACKAGES for path in modules(package)):
        module = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        imported = {module_of(name) for name in imports(path)}
        graph[module] = {name for name in imported if name} - {module}
    return graph


def room_graph() -> Graph:
    """Map each room to the rooms that it imports."""
    graph: Graph = defaultdict(set)
    for module, used in import_graph().items():
        room = room_of(module)
        graph[room] |= {room_of(name) for name in used} - {room}
    return dict(graph)


def table() -> Graph:
    """The rows of docs/architecture.md, from the lowest room to the highest."""
    rows = re.findall(
        r"^\| `([a-z_.]+)` \| [^|]+ \| ([^|]*) \|$", ARCHITECTURE.read_text("utf-8"), re.MULTILINE
    )
    return {room: set(re.findall(r"`([a-z_.]+)`", uses)) for room, uses in rows}


def drawing(graph: Graph) -> str:
    """A Mermaid flowchart of the table, without arrows that follow from other arrows."""

    def reachable(room: str) -> set[str]:
        return graph[room].union(*(reachable(used) for used in graph[room]))

    lines = ["```mermaid", "flowchart BT"]
    for package in PACKAGES:
        names = [room for room in graph if room.startswith(f"{package}.")]
        boxes = [f'    {room}["{room.removeprefix(package + ".")}"]' for room in names]
        lines += [f"  subgraph {package}", *boxes, "  end"]
    for room, used in graph.items():
        indirect = set().union(*(reachable(target) for target in used))
        lines += [f"  {room} --> {target}" for target in sorted(used - indirect)]
    return "\n".join([*lines, "```\n"])


def test_rooms_import_what_the_table_says() -> None:
    """An import between rooms is a decision: add it to the table, or remove it there."""
    allowed, actual = table(), room_graph()
    assert set(actual) - set(PACKAGES) == set(allowed)
    different = {
        room: {
            "not allowed": actual[room] - allowed[room],
            "not used": allowed[room] - actual[room],
        }
        for room in allowed
        if actual[room] != allowed[room]
    }
    assert different == {}


def test_rooms_use_only_earlier_rows_of_the_table() -> None:
    rooms = list(table())
    later_rows_used = {
        room: used & set(rooms[index:])
        for index, (room, used) in enumerate(table().items())
        if used & set(rooms[index:])
    }
    assert later_rows_used == {}, "a room may use only rows above its own"


def test_no_modules_import_each_other_in_a_circle() -> None:
    try:
        TopologicalSorter(import_graph()).prepare()
    except CycleError as error:
        pytest.fail(" -> ".join(error.args[1]))


def test_the_drawing_shows_the_table() -> None:
    """With GRAFT_WRITE_DOCS=1, the test updates the drawing."""
    text = ARCHITECTURE.read_text(encoding="utf-8")
    expected = DRAWING.sub(lambda match: match[1] + drawing(table()) + match[2], text)
    if os.environ.get("GRAFT_WRITE_DOCS"):
        ARCHITECTURE.write_text(expected, encoding="utf-8")
    assert text == expected or os.environ.get("GRAFT_WRITE_DOCS")


def top_level_packages(paths: list[Path]) -> set[str]:
    return {name.partition(".")[0] for path in paths for name in imports(path)}


def test_plugins_import_only_keras() -> None:
    assert top_level_packages(modules("plugins")) - set(sys.stdlib_module_names) == {
        "keras",
        "plugins",
    }


def test_service_imports_no_training_code() -> None:
    outside = top_level_packages(modules("service")) - set(sys.stdlib_module_names)
    assert outside == {
        *("bentoml", "circus", "click", "cv2", "filelock", "httptools", "model_signing", "numpy"),
        *("onnxruntime", "opentelemetry", "PIL", "pillow_heif", "prometheus_client", "pydantic"),
        *("python_multipart", "service", "simplejpeg", "starlette", "uvicorn"),
    }


@pytest.mark.parametrize("package", PACKAGES)
def test_modules_are_not_longer_than_the_limit(package: str) -> None:
    lengths = {str(path): len(path.read_text().splitlines()) for path in modules(package)}
    assert {name: count for name, count in lengths.items() if count > MOST_LINES} == {}


@pytest.mark.parametrize("top", [*PACKAGES, "tests", "benchmarks", "deploy", "docs"])
def test_folders_have_no_more_files_than_the_limit(top: str) -> None:
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", top]
    listed = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT).stdout
    folders: dict[Path, int] = defaultdict(int)
    for path in map(Path, listed.splitlines()):
        if (ROOT / path).is_file():
            folders[path.parent] += 1
    assert {str(path): count for path, count in folders.items() if count > MOST_FILES} == {}


def may_use(room: str) -> set[str]:
    """The rooms in the line "May use: service.{errors, system}, plugins.base." of a docstring."""
    path = ROOT.joinpath(*room.split("."), "__init__.py")
    text = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    line = text.partition("May use: ")[2].split("\n\n")[0].replace("\n", " ").removesuffix(".")
    names = set()
    for package, several, single in re.findall(r"(\w+)\.(?:\{([^}]*)\}|([\w.]+))", line):
        names |= {f"{package}.{name}" for name in (several or single).split(", ")}
    return names


def test_docstrings_of_rooms_match_the_table() -> None:
    rooms = [room for room in table() if ROOT.joinpath(*room.split("."), "__init__.py").is_file()]
    documented = {room: may_use(room) for room in rooms if not room.endswith(".pocket")}
    assert documented == {room: table()[room] for room in documented}


def calls_without_encoding(path: Path) -> Iterator[str]:
    """Yield the calls that read or write text without naming an encoding."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if not isinstance(node, ast.Call):
            continue
        keywords = {keyword.arg: keyword.value for keyword in node.keywords}
        is_builtin = isinstance(node.func, ast.Name)
        name = node.func.id if is_builtin else getattr(node.func, "attr", "")
        mode_index = 1 if is_builtin else 0
        mode = keywords.get("mode", node.args[mode_index] if len(node.args) > mode_index else None)
        text = str(mode.value) if isinstance(mode, ast.Constant) else "" if mode else "r"
        is_text = name in ("read_text", "write_text") or (
            name in ("open", "NamedTemporaryFile", "TemporaryFile")
            and bool(re.fullmatch(r"[rwax]\+?t?", text))
            and (name == "open" or mode is not None)  # temporary files are binary by default
        )
        if is_text and "encoding" not in keywords:
            yield f"{path}:{node.lineno}: {ast.unparse(node)}"


@pytest.mark.parametrize("package", PACKAGES)
def test_text_files_name_their_encoding(package: str) -> None:
    """Manifests are UTF-8 in every locale."""
    assert [call for path in modules(package) for call in calls_without_encoding(path)] == []


@pytest.mark.parametrize("package", PACKAGES)
def test_importing_has_no_side_effects(package: str) -> None:
    """Module-level code has no bare function calls, and sets no attributes of other objects."""
    for path in modules(package):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            is_call = isinstance(node, ast.Expr) and isinstance(node.value, ast.Call)
            is_switch = isinstance(node, ast.Assign | ast.AugAssign | ast.AnnAssign) and any(
                isinstance(target, ast.Attribute | ast.Subscript)
                for target in getattr(node, "targets", [getattr(node, "target", None)])
            )
            does_something = is_call or is_switch
            assert not does_something, f"{path}: {ast.unparse(node)}"


def test_the_service_loads_with_tensorflow_and_keras_blocked() -> None:
    code = """
import sys
for name in ("tensorflow", "keras", "tf2onnx", "onnx", "trainers", "plugins"):
    sys.modules[name] = None
import service.app
"""
    command = [sys.executable, "-c", code]
    completed = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    assert completed.returncode == 0, completed.stderr


TESTED_TOGETHER = {
    "trainers/conformance/test_checking.py": {
        *(f"plugins/families/test_{name}.py" for name in ("convnext", "densenet", "inception")),
        *(f"plugins/families/test_{name}.py" for name in ("mobilenet", "nasnet", "resnet")),
        *(f"plugins/families/test_{name}.py" for name in ("vgg", "xception")),
    },
    "trainers/conformance/test_main.py": {"trainers/conformance/test___main__.py"},
    "plugins/families/test_pocket.py": {"plugins/families/pocket/test_pocket.py"},
    "trainers/test_run.py": {"trainers/exporting/test_publish.py"},
}
"""Test files that also contain the tests of other modules, which have no test file."""


def test_every_module_has_its_test() -> None:
    expected = {
        path.relative_to(ROOT).with_name(f"test_{path.name}").as_posix()
        for package in PACKAGES
        for path in modules(package)
        if path.stem != "__init__"
    }
    tests = {path.relative_to(ROOT / "tests").as_posix() for path in ROOT.glob("tests/*/**/*.py")}
    elsewhere = {name for file, names in TESTED_TOGETHER.items() if file in tests for name in names}
    assert expected - tests - elsewhere == set()
