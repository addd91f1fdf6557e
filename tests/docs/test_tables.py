"""Tables and indexes of the docs, compared with the code.

After a change in the code: `GRAFT_WRITE_DOCS=1 python -m pytest tests/docs/test_tables.py`.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.metrics import MetricWrapperBase

from plugins.families.kerashub.variants import VARIANTS
from plugins.registry import families
from service.errors import RequestError
from service.imaging import Limits
from service.metrics import Metrics
from service.settings import Settings
from trainers.config import TrainingConfig

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"


def list_plugins() -> Iterator[str]:
    for family, backbone in families().items():
        if not backbone.__module__.startswith("plugins."):
            continue
        variants = ", ".join(
            f"`{name}`" + (r" \*" if name == backbone.default_variant else "")
            for name in backbone.variants
        )
        sizes = sorted({spec.image_size for spec in backbone.variants.values()})
        span = str(sizes[0]) if len(sizes) == 1 else f"{sizes[0]} to {sizes[-1]}"
        licence = backbone.weights_licence or "not stated"
        yield f"| `{family}` | {variants} | {span} px | {licence} |"


def list_kerashub() -> Iterator[str]:
    for name, spec in VARIANTS.items():
        size = f"{spec.parameters / 1e6:.1f} million"
        is_patched = spec.is_resizable and spec.patch_size > 1
        others = f", or another multiple of {spec.patch_size}" if is_patched else ""
        pixels = f"{spec.image_size} px{others}"
        yield f"| `{name}` | `{spec.preset}` | {size} | {pixels} | {spec.licence} |"


def list_options() -> Iterator[str]:
    for name, field in TrainingConfig.model_fields.items():
        default = show_default(field.default, field.is_required())
        yield f"| `--{name.replace('_', '-')}` | {default} | {field.description} |"


def list_settings() -> Iterator[str]:
    for name, field in Settings.model_fields.items():
        yield f"| `GRAFT_{name.upper()}` | {show_default(field.default)} | {field.description} |"


def show_default(default: object, is_required: bool = False) -> str:
    if is_required:
        return "required"
    return "" if default in (None, "") else f"`{default}`"


def list_metrics() -> Iterator[str]:
    for attribute, metric in vars(Metrics(CollectorRegistry())).items():
        if attribute.startswith("_"):
            continue
        assert isinstance(metric, MetricWrapperBase)
        name = metric._name + "_total" * (metric._type == "counter")
        labels = ", ".join(f"`{label}`" for label in metric._labelnames)
        yield f"| `{name}` | {metric._type} | {labels} | {metric._documentation} |"


def list_errors() -> Iterator[str]:
    for kind in sorted(RequestError.__subclasses__(), key=lambda kind: kind.status):
        retry = ", with Retry-After" if kind.retry_after_seconds else ""
        yield f"| {kind.status}{retry} | `{kind.code}` | {kind.__doc__} |"


def list_decisions() -> Iterator[str]:
    """Links to every page of decisions and to its headings that have a date."""
    for page in sorted((DOCS / "decisions").glob("*.md")):
        text = page.read_text()
        path = page.relative_to(DOCS).as_posix()
        title = text.partition("\n")[0].removeprefix("# ").removeprefix("Decisions: ")
        yield f"- **[{title[:1].upper()}{title[1:]}]({path})**"
        for heading in re.findall(r"^##+ (.+)\n\n\*20\d\d-", text, re.MULTILINE):
            yield f"  - [{heading}]({path}#{anchor(heading)})"


def anchor(heading: str) -> str:
    """The anchor that GitHub creates for a heading."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


TABLES: dict[str, tuple[str, Callable[[], Iterator[str]]]] = {
    "plugins": ("backbones.md", list_plugins),
    "kerashub": ("backbones.md", list_kerashub),
    "options": ("training.md", list_options),
    "settings": ("serving.md", list_settings),
    "metrics": ("serving.md", list_metrics),
    "errors": ("serving.md", list_errors),
    "decisions": ("decisions.md", list_decisions),
}


@pytest.mark.parametrize("name", TABLES)
def test_table_matches_the_code(name: str) -> None:
    page, rows = DOCS / TABLES[name][0], list(TABLES[name][1]())
    text = page.read_text()
    header = "" if name == "decisions" else r"\|.*\n\|[-|]+\n"
    pattern = rf"<!-- {name} -->\n{header}((?:[|\- ].*\n)*)<!-- /{name} -->"
    match = re.search(pattern, text)
    assert match, f"no table {name} in {page}"
    if os.environ.get("GRAFT_WRITE_DOCS"):
        start, end = match.span(1)
        page.write_text(text[:start] + "".join(f"{row}\n" for row in rows) + text[end:])
    else:
        assert match[1].splitlines() == rows


def test_the_endpoints_are_those_of_the_service() -> None:
    """A path with /versions/{version} has no row; the row of the path without it describes it."""
    from service.asgi import routes

    own_endpoints = {
        f"{method} {route.path.replace('/versions/{version}', '')}"
        for route in routes()
        for method in (route.methods or set()) - {"HEAD"}
    }
    bentomls = {"GET /", "GET /livez", "GET /readyz"}
    text = (DOCS / "serving.md").read_text()
    table = re.search(r"<!-- endpoints -->(.*)<!-- /endpoints -->", text, re.DOTALL)
    assert table
    assert (
        set(re.findall(r"^\| `((?:GET|POST) [^`]+)`", table[1], re.MULTILINE))
        == own_endpoints | bentomls
    )


def test_docs_name_the_decoding_limits() -> None:
    limits = f"more than {Limits.memory_bytes / 1e6:.0f} MB or {Limits.seconds:g} seconds"
    assert (DOCS / "training.md").read_text().count(limits) == 1
    assert (DOCS / "serving.md").read_text().count(limits) == 2  # text, and table of settings


def test_the_documented_trace_exporter_has_the_locked_version() -> None:
    """Without a version, pip would install the newest exporter, and change locked versions."""
    text = (DOCS / "serving.md").read_text()
    (version,) = re.findall(r"opentelemetry-exporter-otlp-proto-http==(\S+)", text)
    assert f"\nopentelemetry-sdk=={version} " in (ROOT / "requirements/dev.txt").read_text()


def test_example_backbone_is_the_source_of_xception() -> None:
    code = re.search(r"```python\n(.*?)```", (DOCS / "backbones.md").read_text(), re.DOTALL)
    assert code
    module = families()["xception"].__module__
    assert code[1] == (ROOT / f"{module.replace('.', '/')}.py").read_text()


def test_the_changelog_has_the_version_of_the_package() -> None:
    version = re.search(r'^version = "(.+)"', (ROOT / "pyproject.toml").read_text(), re.MULTILINE)
    assert version
    assert f"## [{version[1]}]" in (ROOT / "CHANGELOG.md").read_text()
