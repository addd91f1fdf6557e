"""The command; tests/trainers/promoting has the tests of the comparison and of the decision."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from service.bundle.reading import Bundle
from service.bundle.store import list_champions, save
from trainers.dataset import samples
from trainers.promote import main

MakeBundle = Callable[..., Bundle]

pytestmark = pytest.mark.usefixtures("empty_home")


def test_the_last_line_of_the_output_is_the_tag_of_the_champion(
    make_model: MakeBundle, pictures: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    old, new = make_model("old", blind=["blue"]), make_model("new")
    save(old)
    assert main([str(new.path), "--data", str(pictures)]) == 0
    printed = capsys.readouterr()
    assert printed.out == f"{new.manifest.tag}\n"
    assert f"new model {new.manifest.tag} 1.0000" in printed.err
    assert f"old model {old.manifest.tag} 0.6667" in printed.err


def test_a_worse_model_is_no_error(
    make_model: MakeBundle, pictures: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    old = save(make_model("old"), as_champion=True)
    new = make_model("new", blind=["blue"])
    assert main([str(new.path), "--data", str(pictures)]) == 0
    assert capsys.readouterr().out == f"{old}\n"


def test_json_has_the_figures_and_the_log(
    make_model: MakeBundle, pictures: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    save(make_model("old", blind=["blue"]), as_champion=True)
    new = make_model("new")
    assert main([str(new.path), "--data", str(pictures), "--json"]) == 0
    printed = capsys.readouterr()
    result = json.loads(printed.out)
    assert (result["champion"], result["pictures"]) == (new.manifest.tag, 6)
    assert result["seconds"] >= 0
    events = [json.loads(line)["event"] for line in printed.err.splitlines()]
    assert set(events) == {"step", "log"}


def test_two_rollbacks_and_no_third(
    make_model: MakeBundle, capsys: pytest.CaptureFixture[str]
) -> None:
    first, second, third = [
        save(make_model(name, created=name), as_champion=True) for name in ("1", "2", "3")
    ]
    assert main(["--rollback", "tiny"]) == 0
    assert main(["--rollback", "tiny", "--json"]) == 0
    line, result = capsys.readouterr().out.splitlines()
    assert line == second
    restored = json.loads(result)
    assert restored.pop("seconds") >= 0
    assert restored == {"champion": first, "replaces": second}
    assert main(["--rollback", "tiny"]) == 2
    printed = capsys.readouterr()
    assert not printed.out
    assert "graft: there is no champion to return to" in printed.err
    assert third not in list_champions("tiny")


def test_a_rollback_without_a_name_is_that_of_the_default_name(
    make_model: MakeBundle, capsys: pytest.CaptureFixture[str]
) -> None:
    first, _ = [
        save(make_model(time, created=time, name="classifier"), as_champion=True) for time in "12"
    ]
    assert main(["--rollback"]) == 0
    assert capsys.readouterr().out == f"{first}\n"


def test_the_sample_pictures_and_archives_can_be_named(
    make_model: MakeBundle,
    pictures: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("GRAFT_CACHE", str(tmp_path / "cache"))
    save(make_model("old"), as_champion=True)
    new = make_model("new", blind=["blue"])
    archive = shutil.make_archive(str(tmp_path / "archive"), "zip", pictures)
    assert main([str(new.path), "--data", archive]) == 0
    assert "accuracy on 6 pictures" in capsys.readouterr().err
    monkeypatch.setattr(samples, "draw_samples", lambda cache: pictures)
    assert main([str(new.path), "--data", "demo"]) == 0
    assert "accuracy on 6 pictures" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "give either a new model"),
        (["NEW", "--rollback", "tiny"], "give either a new model"),
        (["nowhere"], "no model 'nowhere'"),
        (["NEW", "--over", "tiny:nothing"], "no model 'tiny:nothing'"),
        (["NEW", "--data", "nowhere"], "there is no folder nowhere"),
        (["NEW", "--data", "."], "use --data to name the folder"),
        (["NEW", "--old", "tiny:1"], "use --over instead of --old"),
        ([""], "argument NEW: the path is empty"),
        (["NEW", "--over", ""], "argument --over: the value is empty"),
        (["NEW", "--data", ""], "argument --data: the value is empty"),
        (["--rollback", "../tiny"], "'../tiny' is not the name of a model"),
        (["--rollback", "tiny:latest"], "'tiny:latest' is not the name of a model"),
    ],
)
def test_wrong_use_is_reported_and_changes_nothing(
    arguments: list[str],
    message: str,
    make_model: MakeBundle,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    old = save(make_model("old", blind=["blue"]), as_champion=True)
    new = make_model("new")
    monkeypatch.chdir(tmp_path)
    assert main([str(new.path) if word == "NEW" else word for word in arguments]) == 2
    printed = capsys.readouterr()
    assert message in printed.err
    assert not printed.out
    assert list_champions("tiny") == [old]
