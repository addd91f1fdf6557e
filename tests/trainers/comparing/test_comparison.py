from __future__ import annotations

import dataclasses
import sys
from collections.abc import Callable

from trainers.comparing import comparison
from trainers.comparing.comparison import Comparison

MakeComparison = Callable[..., Comparison]


def test_the_table_is_aligned_and_shows_the_recommendation(make_comparison: MakeComparison) -> None:
    lines = comparison.table(make_comparison()).splitlines()
    assert lines[0].split() == [
        *("backbone", "input", "px", "validation", "accuracy", "test", "accuracy"),
        *("(95%", "interval)", "ms/picture", "MB", "parameters", "embedding", "length", "seconds"),
    ]
    assert lines[1].startswith(">  pocket:1 ")
    assert lines[2].startswith("   resnet:50 ")
    assert {line[: lines[0].index("px") + 2][-2:] for line in lines[1:3]} == {"32"}
    assert "87.5% (80.0 to 93.0)" in lines[1]
    assert lines[1].endswith("2.5*")
    assert lines[3] == "   vgg:16: left out: no weights <here>"
    assert "the embeddings, which were already in the cache" in lines[4]
    assert lines[-2].startswith("Use pocket:1: 2 backbones have a validation accuracy at most")
    assert lines[-1] == f"  {sys.executable} -m trainers.run --plugin pocket:1 --data pets"


def test_the_record_has_every_figure_and_every_problem(make_comparison: MakeComparison) -> None:
    content = comparison.record(make_comparison())
    assert (content["plugin"], content["weights"]) == ("pocket:1", "embedded")
    resnet, vgg, pocket = content["candidates"]
    assert resnet["validation_accuracy"] == 0.9
    assert pocket["inference_ms"] == 2.0
    assert vgg["problem"] == "no weights <here>\n  Fetch them"
    assert (resnet["is_near_the_best"], vgg["is_near_the_best"]) == (True, False)
    assert content["data"]["pictures"] == {"train": 2, "validation": 1, "test": 1}


def test_the_identity_depends_on_candidates_and_options(make_comparison: MakeComparison) -> None:
    identity = make_comparison().identity
    assert make_comparison().identity == identity
    results = make_comparison().results
    fewer = dataclasses.replace(make_comparison(), results=results[:2])
    other_seed = make_comparison().config.model_copy(update={"seed": 1})
    assert fewer.identity != identity
    assert dataclasses.replace(make_comparison(), config=other_seed).identity != identity
