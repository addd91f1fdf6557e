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
from trainers.dataset.duplicates import find_groups, groups
from trainers.dataset.inspection import LOOK, look

Scene = Callable[..., Image.Image]


def encoded(picture: Image.Image, kind: str = "JPEG", quality: int = 85) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, kind, quality=quality)
    return buffer.getvalue()


def resized(picture: Image.Image, factor: float) -> Image.Image:
    return picture.resize((round(picture.width * factor), round(picture.height * factor)))


ALTERED: dict[str, Callable[[Image.Image], bytes]] = {
    "strongly compressed": lambda one: encoded(one, quality=40),
    "as WebP": lambda one: encoded(one, "WebP", 70),
    "as PNG": lambda one: encoded(one, "PNG"),
    "half": lambda one: encoded(resized(one, 0.5)),
    "double": lambda one: encoded(resized(one, 2)),
    "cropped": lambda one: encoded(one.crop((9, 0, one.width, one.height - 7))),
    "brighter": lambda one: encoded(ImageEnhance.Brightness(one).enhance(1.1)),
    "more contrast": lambda one: encoded(ImageEnhance.Contrast(one).enhance(1.15)),
    "gray": lambda one: encoded(ImageOps.grayscale(one)),
    "mirrored": lambda one: encoded(ImageOps.mirror(one)),
    "turned": lambda one: encoded(one.transpose(Image.Transpose.ROTATE_90)),
    "turned back": lambda one: encoded(one.transpose(Image.Transpose.ROTATE_270)),
    "upside down": lambda one: encoded(one.transpose(Image.Transpose.ROTATE_180)),
    "transposed": lambda one: encoded(one.transpose(Image.Transpose.TRANSPOSE)),
}


def one_class(count: int) -> NDArray[np.int64]:
    return np.zeros(count, np.int64)


def grouped(files: list[bytes]) -> list[int]:
    looks = np.stack([look(data) for data in files])
    return groups([str(hash(data)) for data in files], looks, one_class(len(files))).tolist()


@pytest.mark.parametrize("name", ALTERED)
def test_the_same_shot_is_found_whatever_was_done_to_it(scene: Scene, name: str) -> None:
    files = [encoded(scene(seed), quality=95) for seed in range(10)]
    files += [ALTERED[name](scene(seed)) for seed in range(10)]
    assert grouped(files) == [*range(10), *range(10)]


def test_different_scenes_are_not_accused(scene: Scene) -> None:
    assert grouped([encoded(scene(seed)) for seed in range(150)]) == list(range(150))


def test_another_shot_with_the_same_background_is_another_picture(scene: Scene) -> None:
    """A good part and a scratched one on the same stand, and a subject that has moved."""
    scratched, left, right = scene(0), scene(0), scene(0)
    ImageDraw.Draw(scratched).line((150, 100, 175, 130), "white", width=6)
    ImageDraw.Draw(left).ellipse((60, 60, 140, 140), "red")
    ImageDraw.Draw(right).ellipse((180, 60, 260, 140), "red")
    files = [encoded(one) for one in (scene(0), scratched, left, right)]
    assert grouped(files) == [0, 1, 2, 3]


def test_almost_uniform_pictures_are_duplicates_only_as_copies() -> None:
    rng = np.random.default_rng(0)
    sea = 60 + np.linspace(0, 4, 64)[None, :, None] + rng.normal(0, 1, (8, 64, 64, 3))
    files = [encoded(Image.fromarray(one.astype(np.uint8))) for one in sea]
    assert grouped([*files, files[3]]) == [*range(8), 3]


def test_what_is_mirrored_is_a_duplicate_only_within_its_class(scene: Scene) -> None:
    """Left and right may be the classes; a copy that lies as it was has one label too many."""
    files = [encoded(scene(5)), ALTERED["mirrored"](scene(5)), ALTERED["half"](scene(5))]
    looks, digests = np.stack([look(data) for data in files]), ["a", "b", "c"]
    assert groups(digests, looks, np.array([0, 1, 1])).tolist() == [0, 0, 0]  # by the last one
    assert groups(digests[:2], looks[:2], np.array([0, 1])).tolist() == [0, 1]
    assert groups(digests[:2], looks[:2], np.array([1, 1])).tolist() == [0, 0]
    assert groups([*"ac"], looks[[0, 2]], np.array([0, 1])).tolist() == [0, 0]


def test_small_marks_on_plain_ground_are_duplicates_only_as_copies() -> None:
    """Arrows of one class: moved and scaled, each explains the next."""
    files = []
    for number in range(20):
        picture = Image.new("RGB", (96, 96), "white")
        pen, x, y = ImageDraw.Draw(picture), 30 + number % 5 * 2, 30 + number // 5 * 4
        pen.line((x, y, x + 30, y), "black", width=4)
        pen.polygon((x + 30, y - 6, x + 30, y + 6, x + 38, y), "black")
        files.append(encoded(picture, "PNG"))
    assert grouped([*files, files[3]]) == [*range(20), 3]


def test_groups_are_chains(scene: Scene) -> None:
    picture = scene(5)
    first = picture.crop((0, 0, 312, 240))
    files = [encoded(first), encoded(scene(6)), encoded(picture), encoded(ImageOps.mirror(picture))]
    assert grouped(files) == [0, 1, 0, 0]


def test_nothing_gives_nothing() -> None:
    assert groups([], np.zeros(0, LOOK), one_class(0)).shape == (0,)


def test_many_pictures_that_look_alike_are_told_apart_in_bounded_time(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All on one stand: every pair is a candidate, and few are compared."""
    looks = np.zeros(3000, LOOK)
    parts = np.random.default_rng(0).normal(0, 16, (3000, 8, 8)).repeat(2, 1).repeat(2, 2)
    looks["thumbnail"] = look(encoded(scene(0)))["thumbnail"]
    looks["thumbnail"][:, 8:24, 8:24] = (looks["thumbnail"][:, 8:24, 8:24] + parts).clip(0, 255)
    compared = 0
    from trainers.dataset import duplicates

    is_same = duplicates.is_same

    def counted(one: np.ndarray, other: np.ndarray) -> np.ndarray:
        nonlocal compared
        compared += len(one)
        return is_same(one, other)

    monkeypatch.setattr(duplicates, "is_same", counted)
    assert len(set(groups([str(row) for row in range(3000)], looks, one_class(3000)))) == 3000
    assert compared <= 8 * duplicates.MOST_CANDIDATES * 3000


def test_pictures_that_were_compared_are_not_compared_again(
    scene: Scene, cache: Cache, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = [encoded(scene(seed)) for seed in (3, 0, 1, 0, 2)]
    files += [ALTERED["mirrored"](scene(seed)) for seed in (2, 9)]
    looks = np.stack([look(data) for data in files])
    digests = [hashlib.sha256(data).hexdigest() for data in files]
    expected = [0, 1, 2, 1, 4, 4, 6]
    assert groups(digests, looks, one_class(7)).tolist() == expected
    assert find_groups(digests, looks, one_class(7), cache).tolist() == expected

    def compared(*_: object) -> None:
        raise AssertionError("compared again")

    with monkeypatch.context() as patch:
        patch.setattr(duplicates, "groups", compared)
        assert find_groups(digests, looks, one_class(7), cache).tolist() == expected
        order = [6, 5, 4, 3, 2, 1, 0]  # other paths, the same pictures
        again = find_groups([digests[row] for row in order], looks[order], one_class(7), cache)
        assert again.tolist() == [0, 1, 1, 3, 4, 3, 6]
        with pytest.raises(AssertionError, match="compared again"):
            find_groups(digests[:4], looks[:4], one_class(4), cache)
    assert find_groups(digests[:4], looks[:4], one_class(4), cache).tolist() == expected[:4]


def test_no_pictures_are_no_groups(cache: Cache) -> None:
    assert find_groups([], np.zeros(0, LOOK), one_class(0), cache).tolist() == []
