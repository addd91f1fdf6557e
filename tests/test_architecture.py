"""The arrows of DESIGN: who may import whom, read from the source and tried without TensorFlow."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
OURS = ("plugins", "trainers", "service")
FOR_TRAINING = {
    *("bundle", "imaging", "predictor", "errors", "files", "locks", "machine", "store"),
    *("arguments", "commands", "counting", "interrupts", "summary"),
}
"""The half of service/ that trainers may use."""


def imports(path: Path) -> Iterator[str]:
    """Every module that a file imports, at its top or inside functions, but not for types only."""
    for node in ast.walk(_without_type_checking(ast.parse(path.read_text()))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path}: relative import"
            yield str(node.module)
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def _without_type_checking(tree: ast.Module) -> ast.Module:
    tree.body = [
        node
        for node in tree.body
        if not (isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING")
    ]
    return tree


def modules(package: str) -> list[Path]:
    return sorted((ROOT / package).rglob("*.py"))


def roots(paths: list[Path]) -> set[str]:
    return {name.partition(".")[0] for path in paths for name in imports(path)}


def test_plugins_know_keras_and_nothing_else() -> None:
    """But for the check, a command line that tries the trainer's export on a backbone."""
    paths = [path for path in modules("plugins") if path.stem != "check"]
    assert roots(paths) - set(sys.stdlib_module_names) == {"keras", "plugins"}


def test_no_module_but_a_command_line_knows_the_check() -> None:
    paths = [path for package in OURS for path in modules(package)]
    assert not {"plugins.check"} & {name for path in paths for name in imports(path)}


def test_the_service_knows_nothing_of_training() -> None:
    outside = roots(modules("service")) - set(sys.stdlib_module_names)
    assert outside == {
        *("bentoml", "circus", "click", "cv2", "filelock", "httptools", "model_signing", "numpy"),
        *("onnxruntime", "opentelemetry", "PIL", "pillow_heif", "prometheus_client", "pydantic"),
        *("python_multipart", "service", "simplejpeg", "starlette", "uvicorn"),
    }


def test_trainers_use_the_framework_free_half_of_the_service() -> None:
    used = {
        name.split(".")[1]
        for path in modules("trainers")
        for name in imports(path)
        if name.startswith("service.")
    }
    assert used == FOR_TRAINING


def test_the_framework_free_half_does_not_know_the_http_half() -> None:
    http = (
        {
            path.relative_to(ROOT / "service").parts[0].removesuffix(".py")
            for path in modules("service")
        }
        - FOR_TRAINING
        - {"external_data", "__init__"}
    )
    for name in FOR_TRAINING:
        place = ROOT / "service" / name
        paths = modules(f"service/{name}") if place.is_dir() else [place.with_suffix(".py")]
        used = {module for path in paths for module in imports(path)}
        assert not {f"service.{one}" for one in http} & used, name


@pytest.mark.parametrize("package", OURS)
def test_modules_stay_readable_in_one_sitting(package: str) -> None:
    lengths = {str(path): len(path.read_text().splitlines()) for path in modules(package)}
    assert {name: count for name, count in lengths.items() if count > 250} == {}


def without_encoding(path: Path) -> Iterator[str]:
    """Calls that read or write text in whatever encoding the locale has."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if not isinstance(node, ast.Call):
            continue
        named = {word.arg: word.value for word in node.keywords}
        is_builtin = isinstance(node.func, ast.Name)
        name = node.func.id if is_builtin else getattr(node.func, "attr", "")
        place = 1 if is_builtin else 0
        mode = named.get("mode", node.args[place] if len(node.args) > place else None)
        text = str(mode.value) if isinstance(mode, ast.Constant) else "" if mode else "r"
        is_text = name in ("read_text", "write_text") or (
            name in ("open", "NamedTemporaryFile", "TemporaryFile")
            and bool(re.fullmatch(r"[rwax]\+?t?", text))
            and (name == "open" or mode is not None)  # temporary files are binary unless asked
        )
        if is_text and "encoding" not in named:
            yield f"{path}:{node.lineno}: {ast.unparse(node)}"


@pytest.mark.parametrize("package", OURS)
def test_text_files_name_their_encoding(package: str) -> None:
    """Manifests are UTF-8 whatever the locale."""
    assert [call for path in modules(package) for call in without_encoding(path)] == []


@pytest.mark.parametrize("package", OURS)
def test_importing_does_nothing(package: str) -> None:
    """No file is written, no logger set up, no variable read, no switch of a library turned."""
    for path in modules(package):
        for node in ast.parse(path.read_text()).body:
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
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stderr


def test_every_module_has_its_test() -> None:
    expected = {
        path.relative_to(ROOT).with_name(f"test_{path.name}").as_posix()
        for package in OURS
        for path in modules(package)
        if path.stem != "__init__"
    }
    found = {path.relative_to(ROOT / "tests").as_posix() for path in ROOT.glob("tests/*/**/*.py")}
    tables = (
        "convnext",
        "densenet",
        "inception",
        "mobilenet",
        "nasnet",
        "resnet",
        "vgg",
        "xception",
    )
    in_test_contract = {f"plugins/test_{one}.py" for one in (*tables, "training_contract")}
    in_test_run = {"trainers/test_publish.py"}
    assert expected - found - in_test_contract - in_test_run == set()
