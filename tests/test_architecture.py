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
ROW = re.compile(r"^\| `([a-z_.]+)` \| ([^|]+) \| ([^|]*) \|$", re.MULTILINE)
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


def component_of(module: str) -> str:
    """The component of a module: its sub-package, or the module itself if it is at the root."""
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


def component_graph() -> Graph:
    """Map each component to the components that it imports."""
    graph: Graph = defaultdict(set)
    for module, used in import_graph().items():
        component = component_of(module)
        graph[component] |= {component_of(name) for name in used} - {component}
    return dict(graph)


def table() -> Graph:
    """The rows of docs/architecture.md, from the lowest component to the highest."""
    rows = ROW.findall(ARCHITECTURE.read_text(encoding="utf-8"))
    return {name: set(re.findall(r"`([a-z_.]+)`", uses)) for name, _, uses in rows}


def docstring(component: str) -> str:
    path = ROOT.joinpath(*component.split("."))
    path = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    return ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""


def purpose(component: str) -> str:
    """The first sentence of the component's docstring, in one line and without the full stop.

    A full stop ends the sentence only if a capital letter or a backtick follows, or nothing.
    """
    paragraph = " ".join(docstring(component).partition("\n\n")[0].split())
    return re.split(r"\.(?= [A-Z`]|$)", paragraph)[0]


def drawing(graph: Graph) -> str:
    """A Mermaid flowchart of the table, without arrows that follow from other arrows."""

    def reachable(component: str) -> set[str]:
        return graph[component].union(*(reachable(used) for used in graph[component]))

    lines = ["```mermaid", "flowchart BT"]
    for package in PACKAGES:
        names = [name for name in graph if name.startswith(f"{package}.")]
        boxes = [f'    {name}["{name.removeprefix(package + ".")}"]' for name in names]
        lines += [f"  subgraph {package}", *boxes, "  end"]
    for component, used in graph.items():
        indirect = set().union(*(reachable(target) for target in used))
        lines += [f"  {component} --> {target}" for target in sorted(used - indirect)]
    return "\n".join([*lines, "```\n"])


def test_components_import_what_the_table_says() -> None:
    """An import between components is a decision: add it to the table, or remove it there."""
    allowed, actual = table(), component_graph()
    assert set(actual) - set(PACKAGES) == set(allowed)
    different = {
        name: {
            "not allowed": actual[name] - allowed[name],
            "not used": allowed[name] - actual[name],
        }
        for name in allowed
        if actual[name] != allowed[name]
    }
    assert different == {}


def test_components_use_only_earlier_rows_of_the_table() -> None:
    components = list(table())
    later_rows_used = {
        component: used & set(components[index:])
        for index, (component, used) in enumerate(table().items())
        if used & set(components[index:])
    }
    assert later_rows_used == {}, "a component may use only rows above its own"


def test_no_modules_import_each_other_in_a_circle() -> None:
    try:
        TopologicalSorter(import_graph()).prepare()
    except CycleError as error:
        pytest.fail(" -> ".join(error.args[1]))


def test_the_drawing_shows_the_table() -> None:
    text = ARCHITECTURE.read_text(encoding="utf-8")
    compare_or_write(DRAWING.sub(lambda match: match[1] + drawing(table()) + match[2], text))


def test_the_table_quotes_the_docstrings() -> None:
    text = ARCHITECTURE.read_text(encoding="utf-8")
    compare_or_write(ROW.sub(lambda row: f"| `{row[1]}` | {purpose(row[1])} | {row[3]} |", text))


def compare_or_write(expected: str) -> None:
    """Compare docs/architecture.md with the expected text; write it if GRAFT_WRITE_DOCS is set."""
    if os.environ.get("GRAFT_WRITE_DOCS"):
        ARCHITECTURE.write_text(expected, encoding="utf-8")
    text = ARCHITECTURE.read_text(encoding="utf-8")
    assert text == expected, "run this file with GRAFT_WRITE_DOCS=1 to update the page"


def top_level_packages(paths: list[Path]) -> set[str]:
    return {name.partition(".")[0] for path in paths for name in imports(path)}


def test_plugins_import_only_keras() -> None:
    kerashub = modules("plugins/families/kerashub")
    others = [path for path in modules("plugins") if path not in kerashub]
    standard = set(sys.stdlib_module_names)
    assert top_level_packages(others) - standard == {"keras", "plugins"}
    assert top_level_packages(kerashub) - standard == {
        *("kagglehub", "keras", "keras_hub", "plugins"),
    }


def test_service_imports_no_training_code() -> None:
    outside = top_level_packages(modules("service")) - set(sys.stdlib_module_names)
    assert outside == {
        *("bentoml", "circus", "click", "cv2", "filelock", "httptools", "model_signing", "numpy"),
        *("onnxruntime", "opentelemetry", "PIL", "pillow_heif", "prometheus_client", "pydantic"),
        *("python_multipart", "service", "simplejpeg", "starlette", "uvicorn"),
    }


def test_training_reaches_no_web_framework() -> None:
    graph = import_graph()
    reached, todo = set(), {name for name in graph if name.startswith("trainers.")}
    while todo:
        reached |= todo
        todo = {used for name in todo for used in graph[name]} - reached
    paths = {ROOT.joinpath(*name.split(".")) for name in reached}
    files = [path / "__init__.py" if path.is_dir() else path.with_suffix(".py") for path in paths]
    web = {"starlette", "uvicorn", "httptools", "click", "circus", "python_multipart"}
    assert top_level_packages(files) & web == set()


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


def may_use(component: str) -> set[str]:
    """The components after "May use:" in a docstring: "service.{errors, system}, plugins.base."."""
    text = docstring(component).partition("May use: ")[2]
    line = text.split("\n\n")[0].replace("\n", " ").removesuffix(".")
    names = set()
    for package, several, single in re.findall(r"(\w+)\.(?:\{([^}]*)\}|([\w.]+))", line):
        names |= {f"{package}.{name}" for name in (several or single).split(", ")}
    return names


def test_docstrings_of_components_match_the_table() -> None:
    names = [name for name in table() if ROOT.joinpath(*name.split("."), "__init__.py").is_file()]
    documented = {name: may_use(name) for name in names if not name.endswith(".pocket")}
    assert documented == {name: table()[name] for name in documented}


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
            and (name == "open" or mode is not None)  # temporary files are binary unless asked
        )
        if is_text and "encoding" not in keywords:
            yield f"{path}:{node.lineno}: {ast.unparse(node)}"


@pytest.mark.parametrize("package", PACKAGES)
def test_text_files_name_their_encoding(package: str) -> None:
    """Manifests are UTF-8 in every locale."""
    assert [call for path in modules(package) for call in calls_without_encoding(path)] == []


@pytest.mark.parametrize("package", PACKAGES)
def test_importing_has_no_side_effects(package: str) -> None:
    """Module level code calls no functions and sets no attributes of other objects."""
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
    "trainers/test_run.py": {"trainers/exporting/test_bundle_writer.py"},
}
"""Test files that also hold the tests of modules without a file of their own."""


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
