from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from trainers.comparing import comparison, page
from trainers.comparing.comparison import Comparison

MakeComparison = Callable[..., Comparison]


def test_page_and_json_are_written_side_by_side(
    make_comparison: MakeComparison, tmp_path: Path
) -> None:
    (tmp_path / "work").mkdir()
    path = page.write(make_comparison(), tmp_path / "work", tmp_path)
    assert path == tmp_path / f"compare-{make_comparison().identity}.html"
    assert path.read_text() == page.render(make_comparison())
    content = json.loads(path.with_suffix(".json").read_text())
    assert content == json.loads(json.dumps(comparison.record(make_comparison())))
    assert not list((tmp_path / "work").iterdir())


def test_a_page_that_cannot_be_rendered_leaves_no_file(
    make_comparison: MakeComparison, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "work").mkdir()
    monkeypatch.setattr(page, "render", lambda comparison: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        page.write(make_comparison(), tmp_path / "work", tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["work"]


def test_the_page_shows_plot_figures_choice_and_reasons(make_comparison: MakeComparison) -> None:
    html = page.render(make_comparison())
    assert '<p class="figure">pocket:1</p>' in html
    assert "python -m trainers.run --plugin pocket:1 --data pets" in html
    assert html.count("<svg") == 2
    assert "1,036,850" in html
    assert "no weights &lt;here&gt;" in html
    assert "The recommended backbone is the fastest of those whose" in html
    assert "http" not in html.replace("http://www.w3.org", "")
    assert "<script" not in html


def test_names_from_folders_cannot_become_markup(make_comparison: MakeComparison) -> None:
    hostile = "<script>alert(1)</script>"
    html = page.render(make_comparison((hostile, "{{ 7 * 7 }}"), f"<img src=x>{hostile}"))
    assert "<script" not in html
    assert "<img" not in html
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in html
    assert "{{ 7 * 7 }}" in html
