"""Compares Graft with a tutorial's recipe on the same pictures, split, weights and machine.

    .venv/bin/python benchmarks/training.py [DATA_FOLDER|demo] [WEIGHTS] [SEEDS] [IMAGE_SIZE]

WEIGHTS is a file of MobileNetV2 0.35 without its top layers, or imagenet. The recipe is the one in
most tutorials on transfer learning: ImageDataGenerator with rescaling and random flips, rotations,
shifts and zooms; 20 epochs of Adam on a head with Dense(128), with MobileNetV2 frozen; then 10 more
epochs at a learning rate of 1e-5, with the last 50 layers unfrozen. Graft and the recipe use the
same training pictures. All their models are measured on the same test pictures; this does not count
as training time.

First, whole processes are compared: the recipe, and the command `python -m trainers.run` with an
empty cache, by default and with `--strategy features`. Their wall-clock seconds include the start,
the imports, and everything until the process ends; for Graft also the exports, the report and
measuring the test. All
other times are seconds after the imports, which are reported separately. "Cold" is a run of Graft
with an empty cache, "warm" is a second run with the cache of the first.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

PLUGIN = "mobilenet:v2-0.35"
TUTORIAL = str(Path(__file__).with_name("tutorial.py"))
WHOLE_TUTORIAL = "tutorial's whole process"
WHOLE_RUNS = {
    "Graft's whole process": "auto",
    "Graft's whole process, --strategy features": "features",
}
"""The value of --strategy for each run that is timed as a whole process."""
Z95 = 1.96


def main(
    folder: str = "demo", weights: str = "imagenet", seeds: str = "0,1,2", size: str = "224"
) -> None:
    if folder == "demo":
        from service.system.folders import cache_folder
        from trainers.dataset.samples import draw_samples

        folder = str(draw_samples(cache_folder()))
    results = []
    for seed in seeds.split(","):
        with tempfile.TemporaryDirectory() as work:
            arguments = (folder, weights, seed, size, work)
            run(work, "split", __file__, "split", *arguments)
            tutorial, tutorial_seconds = run(work, "tutorial", TUTORIAL, *arguments[1:])
            whole = {
                WHOLE_TUTORIAL: tutorial_seconds - tutorial["test_seconds"],
                **{name: run_command(arguments, strategy) for name, strategy in WHOLE_RUNS.items()},
            }
            cold, warm = (run(work, "graft", __file__, "graft", *arguments)[0] for _ in range(2))
        results.append(whole | compare(seed, tutorial, cold, warm))
    summarise(Path(folder).name, results)


def run_command(arguments: tuple[str, ...], strategy: str) -> float:
    """Run the command `python -m trainers.run` with an empty cache; return its seconds."""
    folder, weights, seed, size, work = arguments
    data = ("--plugin", PLUGIN, "--data", folder, "--weights", weights, "--image-size", size)
    options = ("--seed", seed, "--strategy", strategy, "--output", f"{work}/{strategy}")
    return run(work, strategy, "-m", "trainers.run", *data, *options, "--json", "--quiet")[1]


def run(work: str, cache: str, *arguments: str) -> tuple[Any, float]:
    """Run Python in a new process; return the JSON on the last line it prints, and its seconds.

    Args:
        cache: name of the cache of this process, a folder in `work`.
        arguments: the arguments of Python, a file or `-m` and a module first.
    """
    folders = {"GRAFT_CACHE": f"{work}/caches/{cache}", "BENTOML_HOME": f"{work}/bentoml"}
    environment = {**os.environ, **folders, "TF_CPP_MIN_LOG_LEVEL": "3"}
    started = time.monotonic()
    completed = subprocess.run(
        [sys.executable, *arguments],
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    seconds = time.monotonic() - started
    return json.loads(completed.stdout.splitlines()[-1]), seconds


def compare(seed: str, tutorial: Any, cold: Any, warm: Any) -> dict[str, float]:
    """Print and return the times and accuracies for one split.

    Args:
        tutorial, cold, warm: the JSON that the parts printed; `models` is a list of pairs
            (seconds, test accuracy), in the order in which the models were trained.
    """
    best_seconds, best = max(tutorial["models"], key=lambda model: (model[1], -model[0]))
    reached = {}
    for name, result in (("cold", cold), ("warm", warm)):
        reached[name] = next(
            (seconds for seconds, accuracy in result["models"] if accuracy >= best), np.nan
        )
    figures = {
        "tutorial's seconds": tutorial["models"][-1][0],
        "tutorial's seconds to its best": best_seconds,
        "tutorial's last accuracy": tutorial["models"][-1][1],
        "tutorial's best accuracy": best,
        "Graft's accuracy": cold["accuracy"],
        "Graft's seconds to tutorial's best, cold": reached["cold"],
        "Graft's seconds to tutorial's best, warm": reached["warm"],
        "Graft's seconds to the bundle, cold": cold["seconds"],
        "Graft's seconds to the bundle, warm": warm["seconds"],
        "tutorial's imports": tutorial["imports"],
        "Graft's imports": cold["imports"],
    }
    print(f"seed {seed}:", json.dumps({name: round(value, 3) for name, value in figures.items()}))
    return figures


def summarise(name: str, results: list[dict[str, float]]) -> None:
    def mean(key: str) -> float:
        # nan if a run never reached that accuracy
        return float(np.mean([result[key] for result in results]))

    def ratio(numerator: str, denominator: str, added: tuple[str, str] | None = None) -> float:
        seconds = (mean(added[0]), mean(added[1])) if added else (0.0, 0.0)
        return (mean(numerator) + seconds[0]) / (mean(denominator) + seconds[1])

    print(f"\n{name}, means over all splits (number of splits: {len(results)}):")
    for key in WHOLE_RUNS:
        print(f"{WHOLE_TUTORIAL} / {key}: {ratio(WHOLE_TUTORIAL, key):.1f}")
    for key in results[0]:
        print(f"  {key:<45}{mean(key):9.3f}")
    imports = ("tutorial's imports", "Graft's imports")
    for cache_state in ("cold", "warm"):
        graft_key = f"Graft's seconds to tutorial's best, {cache_state}"
        for tutorial_key in ("tutorial's seconds", "tutorial's seconds to its best"):
            print(
                f"{tutorial_key} / {graft_key}: {ratio(tutorial_key, graft_key):.1f} "
                f"({ratio(tutorial_key, graft_key, imports):.1f} with imports)"
            )
    for key in ("tutorial's last accuracy", "tutorial's best accuracy"):
        gains = [result["Graft's accuracy"] - result[key] for result in results]
        spread = Z95 * np.std(gains, ddof=1) / np.sqrt(len(gains)) if len(gains) > 1 else np.nan
        print(f"Graft's accuracy - {key}: {np.mean(gains):+.4f} (95% interval: +-{spread:.4f})")


def link_split(folder: str, seed: int, work: Path) -> None:
    """Write Graft's split as folders of symbolic links, because the recipe reads such folders."""
    from trainers.cache.array_cache import Cache
    from trainers.dataset import scanning
    from trainers.dataset.dataset import load_dataset
    from trainers.dataset.splits import splitting
    from trainers.progress import Progress

    cache = Cache(work / "unused", 0, work / "looks", Progress(is_quiet=True))
    dataset = splitting.split(load_dataset(scanning.scan(Path(folder)), cache), seed)
    for path, label, split in zip(dataset.paths, dataset.labels, dataset.splits, strict=True):
        name = path.replace("/", "-")
        link = work / "split" / split / dataset.classes[label] / name
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(scanning.picture_path(dataset.folder, path).resolve())
    print("{}")


def graft(folder: str, weights: str, seed: int, size: int, work: Path) -> None:
    """Train with the code of `trainers.run`; print the time and test accuracy of each model."""
    started = time.monotonic()
    from trainers import hardware
    from trainers import run as trainers_run
    from trainers.cli.log_output import set_up_logging
    from trainers.config import TrainingConfig
    from trainers.phases import head_phase, transfer_learning
    from trainers.progress import Progress

    set_up_logging(is_quiet=True)
    hardware.prepare(seed)
    import sklearn.linear_model  # noqa: F401 - so that its import is not timed

    imported = time.monotonic()
    heads: list[tuple[float, Any]] = []
    contexts: list[Any] = []
    solved, train = head_phase._train, transfer_learning.train

    def train_and_record(*arguments: Any) -> Any:
        head = solved(*arguments)
        heads.append((time.monotonic() - imported, head.model))
        return head

    def record_and_train(context: Any) -> Any:
        contexts.append(context)
        return train(context)

    head_phase._train, transfer_learning.train = train_and_record, record_and_train
    config = TrainingConfig(
        plugin=PLUGIN,
        data=folder,
        weights=weights,
        seed=seed,
        image_size=size,
        output=work / "artifacts",
    )
    result = trainers_run.train_classifier(config, Progress(is_quiet=True))
    seconds = time.monotonic() - imported
    cache = trainers_run.make_cache(config, work / "after", Progress(is_quiet=True))
    context, dataset = replace(contexts[0], cache=cache), contexts[0].dataset
    test = head_phase.extract_embeddings(context, context.pictures("test"), 1).read_all()[:, 0]
    labels = dataset.labels[dataset.rows("test")]
    models = [
        (made_at, float((np.asarray(model(test)).argmax(axis=1) == labels).mean()))
        for made_at, model in heads
    ]
    models.append((seconds, result["test_accuracy"]))
    figures = {"models": models, "seconds": seconds, "accuracy": result["test_accuracy"]}
    print(json.dumps({**figures, "imports": imported - started}))


if __name__ == "__main__":
    if sys.argv[1:2] in (["split"], ["graft"]):
        name, folder, weights, seed, size, work = sys.argv[1:]
        if name == "split":
            link_split(folder, int(seed), Path(work))
        else:
            graft(folder, weights, int(seed), int(size), Path(work))
    else:
        main(*sys.argv[1:])
