"""Decides which of two models is the champion, and says so in BentoML's model store."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from service.bundle import model_name, store
from service.bundle.manifest import MANIFEST
from service.bundle.reading import Bundle
from service.cli import command_lines
from service.errors import BundleError, UsageError
from trainers.progress import Progress, log
from trainers.promoting.comparison import Comparison, compare, shorten


def promote(
    new: Bundle, over: str | None, data: Path, accept_class_losses: bool, progress: Progress
) -> dict[str, Any]:
    """Make the new model the champion of its name if it is no worse than the old one.

    It is no worse if it classifies at least as many pictures correctly, and no class clearly loses.
    The champion also becomes the latest model, whichever of the two it is. If there is no model to
    compare with, the new one becomes the first champion.

    Args:
        over: the old model, as a BentoML tag or the path of a bundle; None means the champion, or
            the newest other model if there is no champion yet.
        data: the folder, archive or table of the pictures that the models were trained on.
        accept_class_losses: promote the new model even if a class clearly loses.

    Returns:
        The tag of the champion (`champion`), whether it is the new model (`promoted`), why it is
        not (`reasons`), and the figures of the comparison, unless there was none.

    Raises:
        GraftError: the models cannot be compared.
    """
    old = _find_old(new, over)
    if old is None:
        is_champion = [new.manifest.tag] == store.list_champions(new.manifest.name)[:1]
        tag = store.save(new, as_champion=True)
        log.info(
            "%s is %s champion, and `latest`: there is no other model to compare it with (--over "
            "names one)",
            *(tag, "already the" if is_champion else "the first"),
        )
        return {"champion": tag, "promoted": True, "reasons": []}
    for model in (new.manifest, old.manifest):
        if model.is_multi_label:
            raise UsageError(
                f"{model.tag} is a multi-label model, and trainers.promote compares only models "
                "that answer with one class: compare the figures of both reports, and name the "
                f"model to serve, e.g. GRAFT_MODEL={new.manifest.tag}"
            )
    comparison = compare(new, old, data, progress)
    for caveat in comparison.caveats():
        log.warning("careful: %s", caveat)
    for line in comparison.lines():
        log.info("%s", line)
    reasons = list(_reasons_against(comparison, accept_class_losses))
    champion = _keep_champion(comparison, reasons) if reasons else _replace_champion(comparison)
    return {
        "champion": champion,
        "promoted": not reasons,
        "reasons": reasons,
        **comparison.to_dict(),
    }


def roll_back(name: str) -> dict[str, Any]:
    """Make the previous champion of a name the champion again, and the latest.

    Returns:
        The tag of the champion (`champion`), and of the one that it replaces (`replaces`).

    Raises:
        BundleError: there is no previous champion, or it is damaged.
        UsageError: the name cannot be that of a model.
    """
    if not re.fullmatch(model_name.PATTERN, name):
        raise UsageError(
            f"{name!r} is not the name of a model, such as `classifier`, without a version"
        )
    before = store.list_champions(name)
    champion = store.roll_back(name)
    log.info("%s is the champion and `latest` again, instead of %s", champion, before[0])
    if deleted := before[1 : before.index(champion)]:
        log.warning("left out, because deleted from the store: %s", ", ".join(deleted))
    return {"champion": champion, "replaces": before[0]}


def find_bundle(reference: Path) -> Bundle:
    """Read a bundle: the folder itself, the newest bundle in its sub-folders, or a BentoML tag.

    Raises:
        BundleError: there is no bundle, or a bundle is damaged.
    """
    if not reference.is_dir() or (reference / MANIFEST).is_file():
        return Bundle.read(store.resolve(str(reference)))
    bundles = [Bundle.read(path.parent) for path in sorted(reference.glob(f"*/{MANIFEST}"))]
    if not bundles:
        raise BundleError(
            f"there is no bundle in {reference}: give the path of a bundle, or of the --output "
            "folder of a training run"
        )
    return max(bundles, key=lambda bundle: bundle.manifest.created)


def _find_old(new: Bundle, over: str | None) -> Bundle | None:
    """Return the model to compare with; None if there is no other than the new one.

    Raises:
        BundleError: the model is missing, damaged or of another name, or --over names the new one.
    """
    name = new.manifest.name
    if over is not None:
        old = Bundle.read(store.resolve(over, "--over"))
    elif store.list_champions(name):
        old = Bundle.read(store.resolve(f"{name}:champion"))
    elif (newest := _find_newest_other(new)) is not None:
        old = newest
    else:
        return None
    if old.manifest.id == new.manifest.id:
        if over is None:
            return None
        raise BundleError(f"{new.manifest.tag} is the new model: name another one with --over")
    if old.manifest.name != name:
        raise BundleError(
            f"{new.path} has the name {name}, but the model to replace has the name "
            f"{old.manifest.name}: a model can only replace a model of the same name. Use --over "
            f"with a model that has the name {name}"
        )
    return old


def _find_newest_other(new: Bundle) -> Bundle | None:
    """Return the newest stored model of this name, except `new`; None if there is none."""
    others = []
    for tag in store.list_versions(new.manifest.name):
        if tag != new.manifest.tag:
            with suppress(BundleError):  # a damaged model cannot be compared
                others.append(Bundle.read(store.resolve(tag)))
    return max(others, key=lambda bundle: bundle.manifest.created, default=None)


def _reasons_against(comparison: Comparison, accept_class_losses: bool) -> Iterator[str]:
    new, old = comparison.answers.new.correct, comparison.answers.old.correct
    is_less_accurate = new < old
    if is_less_accurate:
        yield f"it classifies fewer pictures correctly ({new} instead of {old})"
    if comparison.clear_losses and not accept_class_losses:
        hint = "" if is_less_accurate else "; --accept-class-losses promotes it anyway"
        names = shorten(change.label for change in comparison.clear_losses)
        yield f"it clearly loses in {names}{hint}"


def _replace_champion(comparison: Comparison) -> str:
    """Make the new model the champion; return its tag."""
    new, old = comparison.new.manifest, comparison.old.manifest.tag
    is_better = comparison.overall.verdict == "better"
    reason = "better" if is_better else "no less accurate"
    before = store.list_champions(new.name)
    if not before:
        store.save(comparison.old, as_champion=True)  # so that a rollback returns to it
    store.save(comparison.new, as_champion=True)
    if before[:1] == [new.tag]:
        log.info("%s is still the champion, and `latest`: it is %s", new.tag, reason)
        return new.tag
    log.info(
        "%s is the champion and `latest` now, instead of %s: it is %s; to go back: %s",
        *(new.tag, before[0] if before else old, reason),
        command_lines.python_command("trainers.promote", "--rollback", new.name),
    )
    if before and before[0] != old:
        log.warning("careful: it was compared with %s, not with %s", old, before[0])
    return new.tag


def _keep_champion(comparison: Comparison, reasons: list[str]) -> str:
    """Keep the champion, or make the old model the champion if there is none; return its tag."""
    new, kept = comparison.new.manifest, comparison.old
    with suppress(BundleError):  # there is no champion, or it was deleted
        champion = Bundle.read(store.resolve(f"{new.name}:champion"))
        kept = kept if champion.manifest.id == new.id else champion
    store.save(kept, as_champion=True)
    tag = kept.manifest.tag
    log.info("%s is the champion and `latest`; %s is not: %s", tag, new.tag, " and ".join(reasons))
    return tag
