from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import bentoml
import pytest

from service.bundle.manifest import Manifest
from service.bundle.reading import Bundle
from service.bundle.store import list_champions, resolve, save
from service.errors import BundleError, UsageError
from trainers.progress import Progress
from trainers.promoting import decision

MakeBundle = Callable[..., Bundle]
Promote = Callable[..., dict[str, Any]]
ALL = range(10)

pytestmark = pytest.mark.usefixtures("empty_home")


@pytest.fixture
def promote(pictures: Path, caplog: pytest.LogCaptureFixture) -> Promote:
    """Promote a bundle, if possible: promote(new, over="tiny:latest", accept_class_losses=True)."""
    caplog.set_level("INFO", "graft")

    def promote(
        new: Bundle, over: str | None = None, accept_class_losses: bool = False
    ) -> dict[str, Any]:
        progress = Progress(is_quiet=True)
        return decision.promote(new, over, pictures, accept_class_losses, progress)

    return promote


def read_tags() -> list[str]:
    """Return the tags of the champion and of the latest model."""
    return [Bundle.read(resolve(f"tiny:{alias}")).manifest.tag for alias in ("champion", "latest")]


def test_the_first_model_is_the_first_champion(
    make_model: MakeBundle, promote: Promote, caplog: pytest.LogCaptureFixture
) -> None:
    new = make_model("new")
    for word in ("first", "already the"):  # the second time, nothing changes
        result = promote(new)
        assert result == {"champion": new.manifest.tag, "promoted": True, "reasons": []}
        assert f"{word} champion, and `latest`: there is no other model" in caplog.messages[-1]
        assert read_tags() == [new.manifest.tag] * 2
    assert list_champions("tiny") == [new.manifest.tag]


@pytest.mark.parametrize("is_saved", [False, True])  # every run saves its model
def test_without_a_champion_the_newest_other_model_is_replaced_and_can_be_restored(
    make_model: MakeBundle, promote: Promote, is_saved: bool
) -> None:
    old, new = make_model("old", blind=["blue"]), make_model("new")
    save(make_model("older", blind=["blue"], created="2001-01-01"))
    save(old)
    if is_saved:
        save(new)
    assert promote(new)["promoted"]
    assert read_tags() == [new.manifest.tag] * 2
    assert decision.roll_back("tiny") == {
        "champion": old.manifest.tag,
        "replaces": new.manifest.tag,
    }


def test_a_better_model_replaces_the_champion(
    make_model: MakeBundle, promote: Promote, caplog: pytest.LogCaptureFixture
) -> None:
    old, new = make_model("old", test=ALL, blind=["blue"]), make_model("new", test=ALL)
    save(old, as_champion=True)
    save(new)  # as a training run does
    result = promote(new)
    assert (result["champion"], result["promoted"]) == (new.manifest.tag, True)
    assert result["verdict"] == "better"
    assert caplog.messages[-1].startswith(
        f"{new.manifest.tag} is the champion and `latest` now, instead of {old.manifest.tag}: it "
        "is better; to go back: "
    )
    assert caplog.messages[-1].endswith("-m trainers.promote --rollback tiny")
    assert len(caplog.messages) == 5
    assert read_tags() == [new.manifest.tag] * 2


def test_an_equal_model_replaces_the_champion(make_model: MakeBundle, promote: Promote) -> None:
    save(make_model("old"), as_champion=True)
    new = make_model("new", created="later")
    result = promote(new)
    assert (result["champion"], result["verdict"]) == (new.manifest.tag, "not distinguishable")


def test_a_less_accurate_model_does_not_stay_latest(
    make_model: MakeBundle, promote: Promote, caplog: pytest.LogCaptureFixture
) -> None:
    old, new = make_model("old"), make_model("new", blind=["blue"])
    save(old, as_champion=True)
    save(new)
    result = promote(new)
    assert (result["champion"], result["promoted"]) == (old.manifest.tag, False)
    assert result["reasons"] == ["it classifies fewer pictures correctly (4 instead of 6)"]
    assert caplog.messages[-1] == (
        f"{old.manifest.tag} is the champion and `latest`; {new.manifest.tag} is not: it "
        "classifies fewer pictures correctly (4 instead of 6)"
    )
    assert read_tags() == [old.manifest.tag] * 2


def test_a_clear_loss_of_a_class_blocks_the_promotion_unless_it_is_accepted(
    make_model: MakeBundle, promote: Promote
) -> None:
    old = make_model("old", test=ALL, blind=["green"])
    new = make_model("new", test=ALL, blind=["blue"])
    save(old, as_champion=True)
    refused = promote(new)
    assert refused["reasons"] == [
        "it clearly loses in blue; --accept-class-losses promotes it anyway"
    ]
    assert read_tags() == [old.manifest.tag] * 2
    assert promote(new, accept_class_losses=True)["promoted"]
    assert read_tags() == [new.manifest.tag] * 2


def test_a_less_accurate_model_is_not_promoted_by_accepting_losses(
    make_model: MakeBundle, promote: Promote
) -> None:
    save(make_model("old", test=ALL), as_champion=True)
    new = make_model("new", test=ALL, blind=["blue"])
    less_accurate, loses = promote(new)["reasons"]
    assert less_accurate.startswith("it classifies fewer")
    assert loses == "it clearly loses in blue"
    assert promote(new, accept_class_losses=True)["reasons"] == [less_accurate]


def test_without_a_champion_the_winner_of_the_comparison_becomes_it(
    make_model: MakeBundle, promote: Promote
) -> None:
    old, new = make_model("old"), make_model("new", blind=["blue"])
    save(old)
    save(new)
    promote(new, over=old.manifest.tag)
    assert read_tags() == [old.manifest.tag] * 2


def test_a_champion_that_was_not_compared_is_named(
    make_model: MakeBundle, promote: Promote, caplog: pytest.LogCaptureFixture
) -> None:
    old, champion = make_model("old", blind=["blue"]), make_model("champion", created="later")
    save(champion, as_champion=True)
    new = make_model("new", blind=["blue"], created="last")
    promote(new, over=str(old.path))
    assert caplog.messages[-1] == (
        f"careful: it was compared with {old.manifest.tag}, not with {champion.manifest.tag}"
    )
    assert list_champions("tiny") == [new.manifest.tag, champion.manifest.tag]


def test_a_champion_that_was_not_compared_stays_if_the_new_model_is_worse(
    make_model: MakeBundle, promote: Promote
) -> None:
    old, champion = make_model("old"), make_model("champion", blind=["red"])
    save(champion, as_champion=True)
    save(old)
    assert not promote(make_model("new", blind=["blue"]), over="tiny:latest")["promoted"]
    assert read_tags() == [champion.manifest.tag] * 2


def test_the_champion_may_defend_itself_against_an_older_model(
    make_model: MakeBundle, promote: Promote, caplog: pytest.LogCaptureFixture
) -> None:
    old, champion = make_model("old", blind=["blue"]), make_model("champion")
    save(champion, as_champion=True)
    assert promote(champion, over=str(old.path))["promoted"]
    assert "is still the champion, and `latest`: it is no less accurate" in caplog.messages[-1]
    assert list_champions("tiny") == [champion.manifest.tag]
    better = make_model("better", created="later")
    save(make_model("weak", blind=["green"]), as_champion=True)
    weak = Bundle.read(resolve("tiny:champion"))
    assert promote(weak, over=str(better.path))["champion"] == better.manifest.tag


def test_a_deleted_champion_is_an_error_unless_another_model_is_named(
    make_model: MakeBundle, promote: Promote
) -> None:
    old, new = make_model("old"), make_model("new", blind=["blue"])
    save(old)
    bentoml.models.delete(save(make_model("champion", created="later"), as_champion=True))
    with pytest.raises(BundleError, match="which was deleted"):
        promote(new)
    assert promote(new, over="tiny:latest")["champion"] == old.manifest.tag


def test_a_rollback_says_what_it_did(
    make_model: MakeBundle, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "graft")
    first, second, third = [
        save(make_model(name, created=name), as_champion=True) for name in ("1", "2", "3")
    ]
    bentoml.models.delete(second)
    assert decision.roll_back("tiny") == {"champion": first, "replaces": third}
    assert caplog.messages[-2:] == [
        f"{first} is the champion and `latest` again, instead of {third}",
        f"left out, because deleted from the store: {second}",
    ]


def test_a_model_is_not_compared_with_itself_or_with_one_of_another_name(
    make_model: MakeBundle, promote: Promote
) -> None:
    new = make_model("new")
    with pytest.raises(BundleError, match="is the new model: name another one with --over"):
        promote(new, over=str(new.path))
    other = make_model("other", name="other", blind=["blue"])
    with pytest.raises(BundleError, match="can only replace a model of the same name"):
        promote(new, over=str(other.path))


def test_a_model_that_cannot_be_saved_is_not_called_the_champion(
    make_model: MakeBundle,
    promote: Promote,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(_: object, target: object, **__: object) -> None:
        raise shutil.Error([("a", f"{target}/model.onnx", "[Errno 28] No space left on device")])

    save(make_model("old", blind=["blue"]), as_champion=True)
    new = make_model("new")
    monkeypatch.setattr(shutil, "copytree", fail)
    with pytest.raises(OSError, match=r"/model\.onnx cannot be written: .* No space left"):
        promote(new)
    assert "is the champion" not in caplog.text


def test_a_bundle_is_found_by_its_folder_its_run_or_its_tag(
    tmp_path: Path, make_model: MakeBundle
) -> None:
    times = ("2026-11-02T00:00:00Z", "2026-11-03T00:00:00Z", "2026-11-01T00:00:00Z")
    bundles = [make_model(f"bundle{index}", created=time) for index, time in enumerate(times)]
    run = tmp_path / "run"
    run.mkdir()
    for bundle in bundles:
        bundle.path.rename(run / bundle.path.name)
    assert decision.find_bundle(run).manifest == bundles[1].manifest
    assert decision.find_bundle(run / bundles[2].path.name).manifest == bundles[2].manifest
    tag = save(decision.find_bundle(run))
    assert decision.find_bundle(Path(tag)).manifest == bundles[1].manifest
    (tmp_path / "empty").mkdir()
    with pytest.raises(BundleError, match="there is no bundle in"):
        decision.find_bundle(tmp_path / "empty")
    with pytest.raises(BundleError, match="no model 'nowhere'"):
        decision.find_bundle(Path("nowhere"))


def test_a_multi_label_model_is_not_compared(
    make_model: MakeBundle, promote: Promote, multi_label_manifest: Manifest
) -> None:
    save(make_model("old"))
    several = {"task": "multi-label", "decision": multi_label_manifest.decision}
    with pytest.raises(UsageError, match=r"is a multi-label model, and trainers\.promote compares"):
        promote(make_model("new", **several))
