from __future__ import annotations

import hashlib
import io
from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageEnhance, ImageOps

from trainers.cache.array_cache import Cache
from trainers.dataset import duplicates
from trainers.dataset.duplicates import find_duplicates, group_duplicates
from trainers.dataset.inspection import INSPECTION, inspect_picture

Scene = Callable[..., Image.Image]


def encoded(picture: Image.Image, kind: str = "JPEG", quality: int = 85) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, kind, quality=quality)
    return buffer.getvalue()


def resized(picture: Image.Image, factor: float) -> Image.Image:
    return picture.resize((round(picture.width * factor), round(picture.height * factor)))


ALTERED: dict[str, Callable[[Image.Image], bytes]] = {
    "strongly compressed": lambda picture: encoded(picture, quality=40),
    "as WebP": lambda picture: encoded(picture, "WebP", 70),
    "as PNG": lambda picture: encoded(picture, "PNG"),
    "half size": lambda picture: encoded(resized(picture, 0.5)),
    "double size": lambda picture: encoded(resized(picture, 2)),
    "cropped": lambda picture: encoded(picture.crop((9, 0, picture.width, picture.height - 7))),
    "brighter": lambda picture: encoded(ImageEnhance.Brightness(picture).enhance(1.1)),
    "more contrast": lambda picture: encoded(ImageEnhance.Contrast(picture).enhance(1.15)),
    "gray": lambda picture: encoded(ImageOps.grayscale(picture)),
    "mirrored": lambda picture: encoded(ImageOps.mirror(picture)),
    "turned": lambda picture: encoded(picture.transpose(Image.Transpose.ROTATE_90)),
    "turned back": lambda picture: encoded(picture.transpose(Image.Transpose.ROTATE_270)),
    "upside down": lambda picture: encoded(picture.transpose(Image.Transpose.ROTATE_180)),
    "transposed": lambda picture: encoded(picture.transpose(Image.Transpose.TRANSPOSE)),
}


def one_class(count: int) -> NDArray[np.int64]:
    return np.zeros(count, np.int64)


def grouped(files: list[bytes]) -> list[int]:
    inspections = np.stack([inspect_picture(data) for data in files])
    return group_duplicates(
        [str(hash(data)) for data in files], inspections, one_class(len(files))
    ).tolist()


@pytest.mark.parametrize("name", ALTERED)
def test_altered_copies_are_duplicates(scene: Scene, name: str) -> None:
    files = [encoded(scene(seed), quality=95) for seed in range(10)]
    files += [ALTERED[name](scene(seed)) for seed in range(10)]
    assert grouped(files) == [*range(10), *range(10)]


def test_different_scenes_are_not_duplicates(scene: Scene) -> None:
    assert grouped([encoded(scene(seed)) for seed in range(150)]) == list(range(150))


def test_pictures_with_the_same_background_are_not_duplicates(scene: Scene) -> None:
    """A good part and a scratched part on the same stand, and a subject that has moved."""
    scratched, left, right = scene(0), scene(0), scene(0)
    ImageDraw.Draw(scratched).line((150, 100, 175, 130), "white", width=6)
    ImageDraw.Draw(left).ellipse((60, 60, 140, 140), "red")
    ImageDraw.Draw(right).ellipse((180, 60, 260, 140), "red")
    files = [encoded(picture) for picture in (scene(0), scratched, left, right)]
    assert grouped(files) == [0, 1, 2, 3]


def test_almost_uniform_pictures_are_duplicates_only_if_copied() -> None:
    rng = np.random.default_rng(0)
    sea = 60 + np.linspace(0, 4, 64)[None, :, None] + rng.normal(0, 1, (8, 64, 64, 3))
    files = [encoded(Image.fromarray(pixels.astype(np.uint8))) for pixels in sea]
    assert grouped([*files, files[3]]) == [*range(8), 3]


def test_mirrored_copies_are_duplicates_only_within_a_class(scene: Scene) -> None:
    """Left and right may be two classes. An upright copy in two classes has a wrong label."""
    files = [encoded(scene(5)), ALTERED["mirrored"](scene(5)), ALTERED["half size"](scene(5))]
    inspections, digests = np.stack([inspect_picture(data) for data in files]), ["a", "b", "c"]
    assert group_duplicates(digests, inspections, np.array([0, 1, 1])).tolist() == [
        0,
        0,
        0,
    ]  # joined through the last picture
    assert group_duplicates(digests[:2], inspections[:2], np.array([0, 1])).tolist() == [0, 1]
    assert group_duplicates(digests[:2], inspections[:2], np.array([1, 1])).tolist() == [0, 0]
    assert group_duplicates([*"ac"], inspections[[0, 2]], np.array([0, 1])).tolist() == [0, 0]


def test_small_marks_on_a_plain_background_are_duplicates_only_if_copied() -> None:
    """Arrows at different places: moved and scaled, each would match the next."""
    files = []
    for number in range(20):
        picture = Image.new("RGB", (96, 96), "white")
        pen, x, y = ImageDraw.Draw(picture), 30 + number % 5 * 2, 30 + number // 5 * 4
        pen.line((x, y, x + 30, y), "black", width=4)
        pen.polygon((x + 30, y - 6, x + 30, y + 6, x + 38, y), "black")
        files.append(encoded(picture, "PNG"))
    assert grouped([*files, files[3]]) == [*range(20), 3]


def test_groups_are_connected_components(scene: Scene) -> None:
    picture = scene(5)
    cropped = picture.crop((0, 0, 312, 240))
    files = [
        encoded(cropped),
        encoded(scene(6)),
        encoded(picture),
        encoded(ImageOps.mirror(picture)),
    ]
    assert grouped(files) == [0, 1, 0, 0]


def test_no_pictures_give_no_groups() -> None:
    assert group_duplicates([], np.zeros(0, INSPECTION), one_class(0)).shape == (0,)


@pytest.mark.slow
def test_many_similar_pictures_need_a_bounded_number_of_comparisons(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If parts are photographed on one stand, every pair is a candidate, but few are compared."""
    inspections = np.zeros(3000, INSPECTION)
    parts = np.random.default_rng(0).normal(0, 16, (3000, 8, 8)).repeat(2, 1).repeat(2, 2)
    inspections["thumbnail"] = inspect_picture(encoded(scene(0)))["thumbnail"]
    inspections["thumbnail"][:, 8:24, 8:24] = (
        inspections["thumbnail"][:, 8:24, 8:24] + parts
    ).clip(0, 255)
    compared = 0
    are_duplicates = duplicates.are_duplicates

    def count_and_compare(left: np.ndarray, right: np.ndarray) -> np.ndarray:
        nonlocal compared
        compared += len(left)
        return are_duplicates(left, right)

    monkeypatch.setattr(duplicates, "are_duplicates", count_and_compare)
    assert (
        len(set(group_duplicates([str(row) for row in range(3000)], inspections, one_class(3000))))
        == 3000
    )
    assert compared <= 8 * duplicates.MAX_CANDIDATES * 3000


def test_groups_are_cached(scene: Scene, cache: Cache, monkeypatch: pytest.MonkeyPatch) -> None:
    files = [encoded(scene(seed)) for seed in (3, 0, 1, 0, 2)]
    files += [ALTERED["mirrored"](scene(seed)) for seed in (2, 9)]
    inspections = np.stack([inspect_picture(data) for data in files])
    digests = [hashlib.sha256(data).hexdigest() for data in files]
    expected = [0, 1, 2, 1, 4, 4, 6]
    assert group_duplicates(digests, inspections, one_class(7)).tolist() == expected
    assert find_duplicates(digests, inspections, one_class(7), cache).tolist() == expected

    def fail(*_: object) -> None:
        raise AssertionError("compared again")

    with monkeypatch.context() as patch:
        patch.setattr(duplicates, "group_duplicates", fail)
        assert find_duplicates(digests, inspections, one_class(7), cache).tolist() == expected
        order = [6, 5, 4, 3, 2, 1, 0]  # other paths, the same pictures
        groups = find_duplicates(
            [digests[row] for row in order], inspections[order], one_class(7), cache
        )
        assert groups.tolist() == [0, 1, 1, 3, 4, 3, 6]
        with pytest.raises(AssertionError, match="compared again"):
            find_duplicates(digests[:4], inspections[:4], one_class(4), cache)
    assert (
        find_duplicates(digests[:4], inspections[:4], one_class(4), cache).tolist() == expected[:4]
    )


def test_no_pictures_give_no_cached_groups(cache: Cache) -> None:
    assert find_duplicates([], np.zeros(0, INSPECTION), one_class(0), cache).tolist() == []
