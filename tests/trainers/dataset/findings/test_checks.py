"""A folder with at least 40 defects of all kinds: the checks find all of them and nothing else."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageEnhance, ImageOps

from tests.trainers.dataset.findings.conftest import CLASSES, Scene, by_kind, check, encoded


def too_large() -> bytes:
    """A PNG that claims 400 megapixels."""
    data = bytearray(encoded(Image.new("L", (8, 8)), "PNG"))
    data[16:24] = struct.pack(">II", 20_000, 20_000)
    data[29:33] = struct.pack(">I", zlib.crc32(data[12:29]))
    return bytes(data)


def seed_defects(folder: Path, scene: Scene) -> dict[str, set[str]]:  # noqa: PLR0915
    """Put defects into a clean folder; return the expected paths of each kind of finding."""
    defects: dict[str, set[str]] = {}
    seeds = iter(range(1000, 2000))

    def fresh(size: tuple[int, int] = (320, 240)) -> Image.Image:
        return scene(next(seeds), size)

    def put(kind: str, name: str, content: bytes) -> str:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
        defects.setdefault(kind, set()).add(name)
        return name

    def picture(name: str) -> Image.Image:
        return Image.open(folder / name).convert("RGB")

    a, b, c = (f"train/{label}" for label in CLASSES)
    put("web_page", f"{a}/page.jpg", b"<html>not found</html>")
    put("pointer", f"{a}/large.jpg", b"version https://git-lfs.github.com/spec/v1\noid sha256:0")
    put("unreadable", f"{a}/text.jpg", b"not found")
    put("empty_file", f"{a}/empty.png", b"")
    put("too_large", f"{b}/huge.png", too_large())
    (folder / f"{b}/gone.jpg").symlink_to(folder / "nowhere.jpg")
    defects["unreadable"].add(f"{b}/gone.jpg")

    complete = {kind: encoded(fresh((900, 700)), kind) for kind in ("JPEG", "PNG", "WebP")}
    complete["late"] = complete["JPEG"]
    complete["progressive"] = encoded(fresh((900, 700)), progressive=True)
    for kind, content in complete.items():
        fraction = 0.95 if kind == "late" else 0.6
        suffix = {"PNG": ".png", "WebP": ".webp"}.get(kind, ".jpg")
        put("truncated", f"{a}/cut-{kind}{suffix}", content[: int(fraction * len(content))])
    damaged = bytearray(encoded(fresh(), "PNG"))
    damaged[len(damaged) // 2] ^= 0xFF
    put("truncated", f"{c}/damaged.png", bytes(damaged))

    put("wrong_extension", f"{b}/wrong1.jpg", encoded(fresh(), "PNG"))
    put("wrong_extension", f"{b}/wrong2.png", encoded(fresh()))
    put("wrong_extension", f"{b}/wrong3.jpeg", encoded(fresh(), "WebP"))
    put("wrong_extension", f"{b}/wrong4.gif", encoded(fresh()))
    put("wrong_extension", f"{b}/wrong5", encoded(fresh()))

    put("unsupported", f"{c}/old.jp2", b"\0\0\0\x0cjP  \r\n\x87\n")
    put("unsupported", f"{c}/drawing.svg", b"<svg xmlns='http://www.w3.org/2000/svg'/>")
    put("misplaced", "train/lost.jpg", encoded(fresh()))
    (folder / "train/empty").mkdir()
    defects["empty_class"] = {"train/empty"}

    for number in (3, 5):
        source = f"{a}/{number}.jpg"
        put("exact_duplicate", f"{a}/copy{number}.jpg", (folder / source).read_bytes())
        defects["exact_duplicate"].add(source)
    alterations = {
        "compressed.jpg": lambda image: encoded(image, quality=40),
        "half.jpg": lambda image: encoded(
            image.resize((image.width // 2 + 10, image.height // 2 + 10))
        ),
        "double.jpg": lambda image: encoded(image.resize((image.width * 2, image.height * 2))),
        "format.png": lambda image: encoded(image, "PNG"),
        "format.webp": lambda image: encoded(image, "WebP", quality=80),
        "cropped.jpg": lambda image: encoded(image.crop((5, 4, image.width - 3, image.height))),
        "bright.jpg": lambda image: encoded(ImageEnhance.Brightness(image).enhance(1.1)),
        "mirrored.jpg": lambda image: encoded(ImageOps.mirror(image)),
    }
    for number, (name, alter) in enumerate(alterations.items(), 4):
        source = f"{b}/{number}.jpg"
        put("near_duplicate", f"{b}/{name}", alter(picture(source)))
        defects["near_duplicate"].add(source)
    for number, label in ((4, a), (6, a)):  # a copy, and one that is re-encoded
        source = f"{c}/{number}.jpg"
        content = (folder / source).read_bytes() if number == 4 else encoded(picture(source))
        put("duplicate_across_classes", f"{label}/of-cherry{number}.jpg", content)
        defects["duplicate_across_classes"].add(source)
    for number in (0, 1):
        source = f"test/cherry/{number}.jpg"
        content = (folder / source).read_bytes() if number else encoded(picture(source), quality=60)
        put("duplicate_across_splits", f"{c}/of-test{number}.jpg", content)
        defects["duplicate_across_splits"].add(source)

    put("too_small", f"{a}/small1.jpg", encoded(fresh((96, 72))))
    put("too_small", f"{c}/small2.png", encoded(fresh((64, 64)), "PNG"))
    put("odd_size", f"{a}/panorama.jpg", encoded(fresh((2000, 250))))
    put("odd_size", f"{a}/strip.jpg", encoded(fresh((200, 900))))
    put("odd_size", f"{a}/scan.jpg", encoded(fresh((2400, 1800))))

    put("odd_mode", f"{c}/cmyk.jpg", encoded(fresh().convert("CMYK")))
    deep = np.asarray(fresh().convert("L"), np.uint16) * 257
    put("odd_mode", f"{c}/deep.png", encoded(Image.fromarray(deep), "PNG"))
    clear = fresh().convert("RGBA")
    clear.putalpha(200)
    put("odd_mode", f"{c}/clear.png", encoded(clear, "PNG"))
    put("odd_mode", f"{c}/palette.png", encoded(fresh().quantize(), "PNG"))
    put("odd_mode", f"{c}/gray.jpg", encoded(fresh().convert("L")))
    frames = [fresh(), fresh()]
    moving = encoded(fresh(), "WebP", save_all=True, append_images=frames)
    put("odd_mode", f"{c}/moving.webp", moving)

    for number in range(4):
        name = f"train/tiny/{number}.jpg"
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(encoded(fresh()))
    defects["tiny_class"] = {"tiny"}
    defects["imbalance"] = {"tiny", "birch"}
    return defects


def test_a_clean_folder_has_no_finding(folder: Path) -> None:
    assert check(folder) == ()


@pytest.mark.slow
def test_all_defects_are_found_and_nothing_else(folder: Path, scene: Scene) -> None:
    defects = seed_defects(folder, scene)
    assert sum(len(paths) for paths in defects.values()) >= 40
    assert len(defects) == 19
    assert by_kind(check(folder)) == defects


@pytest.mark.slow
def test_each_group_of_duplicates_is_listed(folder: Path, scene: Scene) -> None:
    seed_defects(folder, scene)
    findings = {finding.kind: finding for finding in check(folder)}
    assert len(findings["near_duplicate"].groups) == 8
    assert all(len(group) == 2 for group in findings["near_duplicate"].groups)
    assert ("train/apple/3.jpg", "train/apple/copy3.jpg") in findings["exact_duplicate"].groups


@pytest.mark.slow
def test_findings_that_make_metrics_wrong_are_errors_and_come_first(
    folder: Path, scene: Scene
) -> None:
    seed_defects(folder, scene)
    findings = check(folder)
    errors = [finding.kind for finding in findings if finding.severity == "error"]
    assert errors == ["duplicate_across_classes", "duplicate_across_splits"]
    assert [finding.kind for finding in findings[:2]] == errors


@pytest.mark.parametrize("mode", ["L", "RGBA", "P", "CMYK"])
def test_a_folder_of_one_mode_is_not_odd(tmp_path: Path, scene: Scene, mode: str) -> None:
    for number in range(24):
        path = tmp_path / ("a" if number < 12 else "b") / f"{number}.jpg"
        path.parent.mkdir(exist_ok=True)
        kind = "PNG" if mode in ("RGBA", "P") else "JPEG"
        picture = scene(number).convert(mode)
        if mode == "RGBA":
            picture.putalpha(200)
        path.with_suffix(f".{kind.lower()}").write_bytes(encoded(picture, kind))
    assert "odd_mode" not in by_kind(check(tmp_path))


def test_the_message_of_a_finding_uses_singular_and_plural(folder: Path, scene: Scene) -> None:
    (folder / "train/apple/3.jpg").write_bytes(encoded(scene(501).convert("L")))
    (single,) = check(folder)
    assert str(single).startswith("warning: 1 picture is gray, unlike most pictures")
    assert str(single).endswith("\n  odd_mode: train/apple/3.jpg")
    (folder / "train/apple/4.jpg").write_bytes(encoded(scene(502).convert("L")))
    (plural,) = check(folder)
    assert plural.message.startswith("2 pictures are gray")


def test_too_small_depends_on_the_input_of_the_model(folder: Path) -> None:
    assert by_kind(check(folder, image_size=500)).keys() == {"too_small"}
    assert check(folder, image_size=480) == ()


@pytest.mark.slow
@pytest.mark.real
@pytest.mark.parametrize("name", ["flowers", "eurosat_rgb"])
def test_real_pictures_have_no_false_findings(shared: Path, name: str) -> None:
    """Checked by eye: two tulips are one photo, retouched, and two pictures are strips of 256 x 50;
    all tiles of EuroSAT differ, even those that are almost uniform."""
    expected = {
        "flowers": {
            "near_duplicate": {
                *("tulips/2333321040_3960b9d67e_n.jpg", "tulips/2344751399_71620039f2_n.jpg"),
            },
            "odd_size": {
                *("tulips/13555215723_cf2c11626b_b.jpg", "tulips/6905876618_12732b74de_b.jpg"),
            },
        },
        "eurosat_rgb": {},
    }
    assert by_kind(check(shared / "data" / name, image_size=64)) == expected[name]
