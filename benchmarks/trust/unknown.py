"""Measures how well models tell unknown pictures from known ones, over several seeds.

    .venv/bin/python -m benchmarks.trust.unknown PLUGIN WEIGHTS FOLDER [SEEDS=10] [OTHER_FOLDER ...]

Each seed makes another split and another head, which is trained on the cached features of the
backbone, and calibrated as in a run. The novelty is computed by the code of the service, but no
bundle is written, so that ten seeds take minutes. The test pictures are compared with those of
other folders, with drawn pictures and with noise. Then each class is left out of the training in
turn, and its pictures are compared with the test pictures of the other classes. The metric is
AUROC: the probability that an unknown picture gets a higher novelty than a test picture.
"""

from __future__ import annotations

import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from plugins.registry import resolve
from service.engine.classification import KNOWN_SHARE, ModelOutputs
from service.engine.novelty import Novelty
from service.imaging import SUFFIXES, decode
from trainers import hardware
from trainers.cli.preparation import prepare_dataset
from trainers.config import TrainingConfig
from trainers.dataset import scanning
from trainers.dataset.samples import DISEASES, draw_leaf
from trainers.evaluation.calibration import apply_temperature, fit_temperature
from trainers.features import decoding
from trainers.novelty.embedded_pictures import embed_training_pictures
from trainers.novelty.fitting import fit_novelty, fit_references
from trainers.pretraining.noise_fields import to_frame
from trainers.pretraining.textures import Texture
from trainers.progress import Progress
from trainers.run import make_cache

if TYPE_CHECKING:
    import keras

    from trainers.features.network import Network

Images = NDArray[np.uint8]
Embeddings = NDArray[np.float32]
Figures = dict[str, float]
QUIET = Progress(is_quiet=True)
PICTURES = 200
"""Number of unknown pictures of each kind."""


def main(plugin: str, weights: str, folder: str, seeds: str = "10", *others: str) -> None:
    """Print the mean figures as a table."""
    hardware.prepare(0)
    from trainers.features.network import Network

    backbone = resolve(plugin)
    network = Network(backbone, weights, backbone.image_size, 0)
    figures: dict[str, list[float]] = defaultdict(list)
    far = {name: embed(network, images) for name, images in far_pictures(network, others)}
    for seed in range(int(seeds)):
        for name, value in measure(network, Path(folder), seed, far):
            figures[name].append(value)
        print(f"seed {seed} is done", file=sys.stderr, flush=True)
    print(f"| {plugin}, {folder}, {seeds} seeds | mean | lowest |\n|---|---|---|")
    for name, values in figures.items():
        print(f"| {name} | {np.mean(values):.3f} | {min(values):.3f} |")


def measure(
    network: Network, folder: Path, seed: int, far: Mapping[str, Embeddings]
) -> Iterator[tuple[str, float]]:
    """Yield the figures of one seed, by name."""
    model = train(network, folder, seed)
    known = model.judge(model.test)
    yield "test pictures called unknown", float((known[0] > KNOWN_SHARE).mean())
    for name, embeddings in far.items():
        for figure, value in compare(known, model.judge(embeddings)).items():
            yield f"{name}: {figure}", value
    labels = sorted(path.name for path in folder.iterdir() if path.is_dir())
    results = {label: hold_out(network, folder, seed, label, model.flip) for label in labels}
    for figure in next(iter(results.values())):
        values = [figures[figure] for figures in results.values()]
        yield f"a class held out: {figure}", float(np.mean(values))
    for label, figures in results.items():
        difference = figures["novelty"] - figures["highest probability"]
        yield f"held out: {label}: difference of the two", difference


@dataclass(frozen=True)
class Model:
    """A calibrated head, and its novelty as the service computes it.

    Attributes:
        head: embeddings (N, D) -> probabilities (N, classes).
        test: the embeddings of the test pictures.
        flip: the value of --flip that was chosen.
    """

    head: keras.Model
    novelty: Novelty
    test: Embeddings
    flip: str

    def judge(self, embeddings: Embeddings) -> tuple[NDArray[np.float64], ...]:
        """Return the novelty (N,) and the highest probability (N,) of pictures."""
        probabilities = np.asarray(self.head(embeddings, training=False))
        novelty = self.novelty.measure(ModelOutputs(probabilities, embeddings))
        return novelty, probabilities.max(axis=1)


def train(network: Network, folder: Path, seed: int, flip: str = "auto") -> Model:
    """Train and calibrate a head with the views of --flip, without writing a bundle."""
    from trainers.phases import flip_selection, head_phase, transfer_learning
    from trainers.phases.context import TrainingContext

    options = {"weights": network.weights, "seed": seed, "flip": flip, "strategy": "features"}
    config = TrainingConfig(plugin=network.backbone.name, **options)
    with tempfile.TemporaryDirectory() as work, closing(make_cache(config, Path(work), QUIET)) as c:
        dataset, _ = prepare_dataset(scanning.scan(folder), config, network.image_size, c, QUIET)
        dataset = decoding.decode_lazily(dataset, network.image_size, c)
        context, _ = flip_selection.resolve_flip(
            TrainingContext(config, network, dataset, c, QUIET)
        )
        trained, _ = transfer_learning.train_phases(context)
        if trained.held_out is None or trained.embed is None:
            raise ValueError(f"{folder} has too many pictures for a refitted head")
        validation, test = (
            head_phase.extract_embeddings(context, context.pictures(split), 1).read_all()[:, 0]
            for split in ("validation", "test")
        )
        known = embed_training_pictures(dataset, trained.embed)
    held_out, rows = trained.held_out, dataset.rows("validation")
    temperature = fit_temperature(held_out.probabilities, held_out.labels)
    trained.classifier.divide_logits(temperature)
    calibrated = apply_temperature(held_out.probabilities, temperature)
    is_held_out = np.isin(rows, held_out.rows)
    outputs = ModelOutputs(calibrated[np.isin(held_out.rows, rows)], validation[is_held_out])
    novelty = fit_novelty(fit_references(known.embeddings, known.rows), outputs)
    return Model(trained.classifier.head, novelty, test, context.config.flip)


def hold_out(network: Network, folder: Path, seed: int, label: str, flip: str) -> Figures:
    """Train without one class; compare its pictures with the test pictures of the others."""
    with tempfile.TemporaryDirectory() as links:
        for path in folder.iterdir():
            if path.is_dir() and path.name != label:
                (Path(links) / path.name).symlink_to(path.resolve())
        model = train(network, Path(links), seed, flip)
    unknown = embed(network, folder_pictures(folder / label, network.image_size))
    return compare(model.judge(model.test), model.judge(unknown))


def embed(network: Network, images: Images) -> Embeddings:
    parts = np.array_split(images, 1 + len(images) // 16)
    return np.concatenate([network.embedding_layers(part) for part in parts])


def compare(
    known: tuple[NDArray[np.float64], ...], unknown: tuple[NDArray[np.float64], ...]
) -> Figures:
    """Return the AUROC of both scores, and the share of unknown pictures that are found."""
    return {
        "novelty": auroc(known[0], unknown[0]),
        "highest probability": auroc(-known[1], -unknown[1]),
        "called unknown": float((unknown[0] > KNOWN_SHARE).mean()),
    }


def auroc(known: NDArray[np.float64], unknown: NDArray[np.float64]) -> float:
    """Return the share of pairs whose unknown picture has the higher score; a tie is half."""
    from sklearn.metrics import roc_auc_score

    is_unknown = np.repeat([0, 1], [len(known), len(unknown)])
    return float(roc_auc_score(is_unknown, np.concatenate([known, unknown])))


def folder_pictures(folder: Path, size: int) -> Images:
    """Return at most PICTURES pictures of a folder and its sub-folders, evenly spaced."""
    files = [path for path in sorted(folder.rglob("*")) if path.suffix.lower() in SUFFIXES]
    chosen = np.linspace(0, len(files) - 1, min(PICTURES, len(files))).astype(np.int64)
    return np.stack([decode(files[index].read_bytes(), size) for index in chosen])


def far_pictures(network: Network, others: tuple[str, ...]) -> Iterator[tuple[str, Images]]:
    """Yield pictures of other folders, and drawn ones."""
    size = network.image_size
    for other in others:
        yield Path(other).name, folder_pictures(Path(other), size)
    for draw in (draw_texture, draw_leaf_picture, draw_page, draw_uniform_noise, draw_normal_noise):
        rngs = (np.random.default_rng((7, number)) for number in range(PICTURES))
        yield draw.__name__.removeprefix("draw_"), np.stack([draw(size, rng) for rng in rngs])


def draw_texture(size: int, rng: np.random.Generator) -> Images:
    """Draw a texture in two colours."""
    line = np.linspace(-1, 1, size, dtype=np.float32)
    x, y = to_frame(*np.meshgrid(line, line), angle=rng.uniform(0, 2 * np.pi), scale=1.0)
    height = Texture.sample(rng).paint(x, y, rng)[..., np.newaxis]
    dark, light = rng.uniform(0, 255, (2, 3))
    return (dark + (light - dark) * height).clip(0, 255).astype(np.uint8)


def draw_leaf_picture(size: int, rng: np.random.Generator) -> Images:
    disease = rng.choice(list(DISEASES))
    return np.asarray(draw_leaf(rng, DISEASES[disease]).resize((size, size)))


def draw_page(size: int, rng: np.random.Generator) -> Images:
    """Draw a page of text."""
    paper = Image.new("RGB", (620, 877), tuple(rng.integers(230, 256, 3).tolist()))
    pen, height = ImageDraw.Draw(paper), int(rng.integers(11, 26))
    font, ink = ImageFont.load_default(height), tuple(rng.integers(0, 70, 3).tolist())
    for top in range(40, 830, round(height * 1.35)):
        letters = rng.choice(list("abcdefghijklmnopqrstuvwxyz   "), int(1000 / height))
        pen.text((40, top), "".join(letters), fill=ink, font=font)
    return np.asarray(paper.resize((size, size), Image.Resampling.BILINEAR))


def draw_uniform_noise(size: int, rng: np.random.Generator) -> Images:
    return rng.integers(0, 256, (size, size, 3), np.uint8)


def draw_normal_noise(size: int, rng: np.random.Generator) -> Images:
    """Draw noise around a colour, of pixels or of blocks of 2 or 4 pixels."""
    block = int(rng.choice([1, 2, 4]))
    cells = rng.normal(
        rng.uniform(40, 215, 3), rng.uniform(15, 70), (size // block + 1,) * 2 + (3,)
    )
    pixels = cells.repeat(block, axis=0).repeat(block, axis=1)[:size, :size]
    return (rng.uniform(40, 215, 3) + pixels).clip(0, 255).astype(np.uint8)


if __name__ == "__main__":
    main(*sys.argv[1:])
