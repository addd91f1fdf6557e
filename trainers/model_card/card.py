"""Writes the model card of a bundle: what was measured, in one page that model hubs can read.

The card is the README.md of the bundle. Its YAML head follows the format of Hugging Face's hub.
Nothing in it is invented: what nobody has stated, such as a licence, is "not stated".
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from service.bundle import summary
from service.bundle.manifest import Manifest
from trainers.config import DEMO, TrainingConfig, is_table
from trainers.dataset.folders.filenames import escape
from trainers.model_card.markdown import code, code_block, prose
from trainers.reporting.report import templates

FILE_NAME = "README.md"
MAX_NAMES, MAX_WEAKEST, MAX_FINDINGS = 30, 3, 6
"""The card names at most this many classes, weakest classes, and findings."""
_ALWAYS_SHOWN = {"plugin", "data", "seed"}
_WITHOUT_EFFECT = {"output", "resume", "tensorboard", "strict", "cache_gigabytes", "folds"}
"""Options that do not change the model."""
_TASK = "image-classification"


def write(
    folder: Path, manifest: Manifest, metrics: Mapping[str, Any], config: TrainingConfig
) -> None:
    """Write the model card into a bundle that is not sealed yet.

    Args:
        manifest: the manifest with its headline metrics; its id is not needed.
        metrics: the content of metrics.json.
        config: the options of the run.
    """
    text = render(manifest, metrics, config)
    (folder / FILE_NAME).write_text(text + "\n", encoding="utf-8")


def render(manifest: Manifest, metrics: Mapping[str, Any], config: TrainingConfig) -> str:
    """Return the model card as Markdown with a YAML head."""
    environment = templates(Path(__file__).parent).overlay(autoescape=False)  # Markdown, not HTML
    environment.filters |= {"code": code, "prose": prose}
    data, is_drawn = manifest.provenance["data"], _is_drawn(manifest)
    certain = metrics["calibration"]["bands"][:2]
    return environment.get_template("card.md").render(
        head=yaml.safe_dump(metadata(manifest, metrics), sort_keys=False, allow_unicode=True),
        manifest=manifest,
        names=[code(label) for label in manifest.classes[:MAX_NAMES]],
        more_names=max(0, len(manifest.classes) - MAX_NAMES),
        metrics=metrics,
        test=metrics["test"],
        calibration=metrics["calibration"],
        novelty=metrics.get("novelty"),
        certain=sum(band["n"] for band in certain),
        certain_correct=sum(band["correct"] for band in certain),
        warnings=list(summary.model_warnings(manifest)),
        weakest=list(_weakest(metrics["test"])),
        findings=metrics["findings"][:MAX_FINDINGS],
        more_findings=max(0, len(metrics["findings"]) - MAX_FINDINGS),
        is_drawn=is_drawn,
        data=data,
        weights=manifest.provenance["weights"],
        command=code_block(command(manifest, config), "sh"),
        packages=manifest.provenance["packages"],
    )


def metadata(manifest: Manifest, metrics: Mapping[str, Any]) -> dict[str, Any]:
    """Return the head of the card, for `huggingface_hub.ModelCardData`.

    The type of the dataset is `imagefolder`, Hugging Face's loader of class folders, because the
    hub would take another name for one of its own datasets. There is no `license`, because nobody
    has stated one for the model.
    """
    # With a line break in it, the name might end the head.
    name = escape(_dataset_name(manifest))
    dataset = {"type": "imagefolder", "name": name, "split": "test"}
    accuracy = {"type": "accuracy", "value": metrics["test"]["accuracy"], "name": "Test accuracy"}
    result = {"task": {"type": _TASK}, "dataset": dataset, "metrics": [accuracy]}
    return {
        "library_name": "onnx",
        "pipeline_tag": _TASK,
        "tags": [_TASK, "onnx", "graft", manifest.plugin.partition(":")[0]],
        "datasets": ["imagefolder"],
        "metrics": ["accuracy"],
        "model-index": [{"name": manifest.name, "results": [result]}],
    }


def command(manifest: Manifest, config: TrainingConfig) -> str:
    """Return the command that trains such a model; of paths, it has only the names."""
    data = DEMO if _is_drawn(manifest) else _dataset_name(manifest)
    words = ["--plugin", config.plugin, "--data", data]
    for name, field in TrainingConfig.model_fields.items():
        value = getattr(config, name)
        if name not in _ALWAYS_SHOWN | _WITHOUT_EFFECT and value != field.default:
            words.append(f"--{name.replace('_', '-')}")
            if value is not True:
                words.append(_without_folder(name, str(value)))
    words += ["--seed", str(config.seed)]
    return shlex.join(["python", "-m", "trainers.run", *words])


def _without_folder(option: str, value: str) -> str:
    is_path = option in {"weights", "split"} or (option == "group" and is_table(value))
    return Path(value).name if is_path else value


def _dataset_name(manifest: Manifest) -> str:
    return str(manifest.provenance["data"].get("folder", summary.DRAWN))


def _is_drawn(manifest: Manifest) -> bool:
    return bool(summary.training_data(manifest)["source"] == summary.DRAWN)


def _weakest(test: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield the classes with the lowest F1 score; none if all answers are right."""
    tested = [item for item in test["per_class"].items() if item[1]["n"] and item[1]["f1"] < 1]
    yield from sorted(tested, key=lambda item: item[1]["f1"])[:MAX_WEAKEST]
