"""The README cannot lie: its tables are the code's, its commands and files exist."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.metrics import MetricWrapperBase

from plugins.registry import families
from service.errors import RequestError
from service.imaging import Limits
from service.metrics import Metrics
from service.settings import Settings
from trainers.config import TrainingConfig

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"


def test_what_it_installs_fits_the_lock() -> None:
    """pip would take the newest, which moves what is locked."""
    (version,) = re.findall(r"opentelemetry-exporter-otlp-proto-http==(\S+)", README.read_text())
    assert f"\nopentelemetry-sdk=={version} " in (ROOT / "requirements/dev.txt").read_text()


def test_it_says_what_a_picture_may_cost() -> None:
    limits = f"more than {Limits.memory_bytes / 1e6:.0f} MB or {Limits.seconds:g} seconds"
    assert README.read_text().count(limits) == 2  # in the text, and in the table of settings


def plugins() -> list[str]:
    rows = []
    for family, backbone in families().items():
        if not backbone.__module__.startswith("plugins."):
            continue
        marked = ", ".join(
            f"`{name}`" + (r" \*" if name == backbone.default_variant else "")
            for name in backbone.variants
        )
        sizes = sorted({spec.image_size for spec in backbone.variants.values()})
        span = str(sizes[0]) if len(sizes) == 1 else f"{sizes[0]} to {sizes[-1]}"
        rows.append(f"| `{family}` | {marked} | {span} px |")
    return rows


def options() -> list[str]:
    return [
        f"| `--{name.replace('_', '-')}` | {shown(field.default, field.is_required())} "
        f"| {field.description} |"
        for name, field in TrainingConfig.model_fields.items()
    ]


def settings() -> list[str]:
    return [
        f"| `GRAFT_{name.upper()}` | {shown(field.default)} | {field.description} |"
        for name, field in Settings.model_fields.items()
    ]


def shown(default: object, is_required: bool = False) -> str:
    if is_required:
        return "required"
    return "" if default in (None, "") else f"`{default}`"


def metrics() -> list[str]:
    metrics = vars(Metrics(CollectorRegistry()))
    collectors = [one for name, one in metrics.items() if not name.startswith("_")]
    rows = []
    for one in collectors:
        assert isinstance(one, MetricWrapperBase)
        name = one._name + "_total" * (one._type == "counter")
        labels = ", ".join(f"`{label}`" for label in one._labelnames)
        rows.append(f"| `{name}` | {one._type} | {labels} | {one._documentation} |")
    return rows


def errors() -> list[str]:
    kinds = sorted(RequestError.__subclasses__(), key=lambda kind: kind.status)
    return [
        f"| {kind.status}{', with Retry-After' * bool(kind.retry_after_seconds)} | `{kind.code}` "
        f"| {kind.__doc__} |"
        for kind in kinds
    ]


TABLES = {
    "plugins": plugins,
    "options": options,
    "settings": settings,
    "metrics": metrics,
    "errors": errors,
}


@pytest.mark.parametrize("name", TABLES)
def test_a_table_is_what_the_code_says(name: str) -> None:
    """After a change in the code: `GRAFT_WRITE_README=1 pytest tests/test_readme.py`."""
    text = README.read_text()
    pattern = rf"(<!-- {name} -->\n\|.*\n\|[-|]+\n)((?:\|.*\n)*)(<!-- /{name} -->)"
    found = re.search(pattern, text)
    assert found, f"no table {name} in the README"
    rows = TABLES[name]()
    if os.environ.get("GRAFT_WRITE_README"):
        start, end = found.span(2)
        README.write_text(text[:start] + "".join(f"{row}\n" for row in rows) + text[end:])
    else:
        assert found[2].splitlines() == rows


def test_the_endpoints_are_those_of_the_service() -> None:
    """A path with /versions/{version} is told in the row of the path without it."""
    from service.asgi import routes

    own = {
        f"{method} {route.path.replace('/versions/{version}', '')}"
        for route in routes()
        for method in (route.methods or set()) - {"HEAD"}
    }
    bentomls = {"GET /", "GET /livez", "GET /readyz"}
    table = re.search(r"<!-- endpoints -->(.*)<!-- /endpoints -->", README.read_text(), re.DOTALL)
    assert table
    assert set(re.findall(r"^\| `((?:GET|POST) [^`]+)`", table[1], re.MULTILINE)) == own | bentomls


def test_the_tree_names_every_module_and_nothing_else() -> None:
    tree = re.search(r"```\n(plugins/ .*?)```", README.read_text(), re.DOTALL)
    assert tree
    folder, inner, named = "", "", set()
    for line in tree[1].splitlines():
        if not line.startswith("    "):
            inner = ""
        if found := re.match(r"(  )?(\w+)/ ", line):
            folder, inner = (folder, f"{found[2]}/") if found[1] else (found[2], "")
        names = re.findall(r"\b[a-z_]+\.(?:py|html)\b", line)
        named |= {f"{folder}/{inner}{name}" for name in names}
    files = {
        path.relative_to(ROOT).as_posix()
        for package in ("plugins", "trainers", "service")
        for path in (ROOT / package).rglob("*.*")
        if path.suffix in (".py", ".html") and path.name != "__init__.py"
    }
    of_families = {
        f"{backbone.__module__.replace('.', '/')}.py" for backbone in families().values()
    }
    own = {name for name in named if name.split("/")[0] in ("plugins", "trainers", "service")}
    assert own <= files
    assert files - own <= of_families  # the table of backbones names those


def test_commands_and_files_that_the_readme_names_exist() -> None:
    text = README.read_text()
    targets = re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert set(re.findall(r"^make ([\w-]+)", text, re.MULTILINE)) <= set(targets)
    for module in re.findall(r"python -m ([\w.]+)", text):
        assert (ROOT / f"{module.replace('.', '/')}.py").is_file(), module
    for name in re.findall(r"`(deploy/[\w./]+|[A-Z]+\.md)`?", text):
        assert (ROOT / name).exists(), name
    fields = {f"GRAFT_{name.upper()}" for name in Settings.model_fields} | {"GRAFT_CACHE"}
    assert set(re.findall(r"GRAFT_[A-Z_]+[A-Z]", text)) <= fields


def test_the_backbone_of_the_contributing_guide_is_the_real_one() -> None:
    code = re.search(r"```python\n(.*?)```", (ROOT / "CONTRIBUTING.md").read_text(), re.DOTALL)
    assert code
    assert code[1] == (ROOT / "plugins/families/xception.py").read_text()


def test_the_changelog_has_the_version_of_the_package() -> None:
    version = re.search(r'^version = "(.+)"', (ROOT / "pyproject.toml").read_text(), re.MULTILINE)
    assert version
    assert f"## [{version[1]}]" in (ROOT / "CHANGELOG.md").read_text()
