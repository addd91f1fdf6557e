"""A folder with at least 40 defects of every kind: all are found, and nothing else."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageEnhance, ImageOps

from trainers.cache.array_cache import Cache
from trainers.dataset import dataset as data
from trainers.dataset import scanning
from trainers.dataset.findings.checks import examine
from trainers.dataset.findings.finding import Finding
from trainers.progress import Progress

SILENT = Progress(is_quiet=True)
Scene = Callable[..., Image.Image]
CLASSES = ("apple", "birch", "cherry")
PER_CLASS = 14


def encoded(picture: Image.Image, kind: str = "JPEG", **options: Any) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, kind, **options)
    return buffer.getvalue()


def too_large() -> bytes:
    """A PNG that claims 400 megapixels."""
    data = bytearray(encoded(Image.new("L", (8, 8)), "PNG"))
    data[16:24] = struct.pack(">II", 20_000, 20_000)
    data[29:33] = struct.pack(">I", zlib.crc32(data[12:29]))
    return bytes(data)


def check(folder: Path, image_size: int = 224) -> tuple[Finding, ...]:
    return examine(
        data.read(scanning.scan(folder), Cache(folder.parent, 0, folder.parent / "work", SILENT)),
        image_size,
    )


def by_kind(findings: tuple[Finding, ...]) -> dict[str, set[str]]:
    """All paths of all findings of a kind."""
    found: dict[str, set[str]] = {}
    for finding in findings:
        found.setdefault(finding.kind, set()).update(finding.paths)
    return found


@pytest.fixture
def folder(tmp_path: Path, scene: Scene) -> Path:
    """A clean folder with a split of its own: upright, turned by EXIF, wide and high pictures."""
    turned = Image.Exif()
    turned[0x0112] = 6
    for at, label in enumerate(CLASSES):
        for number in range(PER_CLASS):
            part = "test" if number < 3 else "train"
            size = (320, 240) if number % 2 else (260, 390)
            path = tmp_path / "pictures" / part / label / f"{number}.jpg"
            path.parent.mkdir(parents=True, exist_ok=True)
            options = {"exif": turned} if number % 5 == 4 else {}
            path.write_bytes(encoded(scene(100 * at + number, size), quality=90, **options))
    (tmp_path / "pictures/LICENSE.txt").write_text("free")
    return tmp_path / "pictures"


def seed_defects(folder: Path, scene: Scene) -> dict[str, set[str]]:  # noqa: PLR0915
    """Put defects into a clean folder; return the paths by kind that are to be found."""
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

    whole = {kind: encoded(fresh((900, 700)), kind) for kind in ("JPEG", "PNG", "WebP")}
    whole["late"] = whole["JPEG"]
    whole["progressive"] = encoded(fresh((900, 700)), progressive=True)
    for kind, content in whole.items():
        kept = 0.95 if kind == "late" else 0.6
        suffix = {"PNG": ".png", "WebP": ".webp"}.get(kind, ".jpg")
        put("truncated", f"{a}/cut-{kind}{suffix}", content[: int(kept * len(content))])
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
        "compressed.jpg": lambda one: encoded(one, quality=40),
        "half.jpg": lambda one: encoded(one.resize((one.width // 2 + 10, one.height // 2 + 10))),
        "double.jpg": lambda one: encoded(one.resize((one.width * 2, one.height * 2))),
        "format.png": lambda one: encoded(one, "PNG"),
        "format.webp": lambda one: encoded(one, "WebP", quality=80),
        "cropped.jpg": lambda one: encoded(one.crop((5, 4, one.width - 3, one.height))),
        "bright.jpg": lambda one: encoded(ImageEnhance.Brightness(one).enhance(1.1)),
        "mirrored.jpg": lambda one: encoded(ImageOps.mirror(one)),
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
    others = [fresh(), fresh()]
    moving = encoded(fresh(), "WebP", save_all=True, append_images=others)
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


def test_all_defects_are_found_and_nothing_else_is_accused(folder: Path, scene: Scene) -> None:
    defects = seed_defects(folder, scene)
    assert sum(len(paths) for paths in defects.values()) >= 40
    assert len(defects) == 19
    assert by_kind(check(folder)) == defects


def test_each_group_of_duplicates_is_told_apart(folder: Path, scene: Scene) -> None:
    seed_defects(folder, scene)
    found = {finding.kind: finding for finding in check(folder)}
    assert len(found["near_duplicate"].groups) == 8
    assert all(len(group) == 2 for group in found["near_duplicate"].groups)
    assert ("train/apple/3.jpg", "train/apple/copy3.jpg") in found["exact_duplicate"].groups


def test_what_makes_figures_untrue_is_an_error_and_comes_first(folder: Path, scene: Scene) -> None:
    seed_defects(folder, scene)
    findings = check(folder)
    errors = [one.kind for one in findings if one.severity == "error"]
    assert errors == ["duplicate_across_classes", "duplicate_across_splits"]
    assert [one.kind for one in findings[:2]] == errors


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


def test_a_finding_says_how_many_and_is_right_about_one(folder: Path, scene: Scene) -> None:
    (folder / "train/apple/3.jpg").write_bytes(encoded(scene(501).convert("L")))
    (one,) = check(folder)
    assert str(one).startswith("warning: 1 picture gray among coloured ones: fine if")
    assert str(one).endswith("\n  odd_mode: train/apple/3.jpg")
    (folder / "train/apple/4.jpg").write_bytes(encoded(scene(502).convert("L")))
    (two,) = check(folder)
    assert two.message.startswith("2 pictures gray")


def test_small_is_what_is_small_for_the_model(folder: Path) -> None:
    assert by_kind(check(folder, image_size=500)).keys() == {"too_small"}
    assert check(folder, image_size=480) == ()


def test_classes_of_one_name_are_said(folder: Path, scene: Scene) -> None:
    for at, label in enumerate(("Apple_", "e\u0301l", "\u00e9l")):
        (folder / "train" / label).mkdir()
        for number in range(12):
            picture = encoded(scene(700 + 20 * at + number, (320, 240)), quality=90)
            (folder / "train" / label / f"{number}.jpg").write_bytes(picture)
    (finding,) = (one for one in check(folder) if one.kind == "same_class")
    assert finding.groups == (("Apple_", "apple"), ("e\u0301l", "\u00e9l"))
    assert finding.severity == "warning"


def test_one_level_too_high_is_an_error_that_names_the_folders_meant(
    tmp_path: Path, scene: Scene
) -> None:
    for at, name in enumerate(("flowers/rose", "flowers/daisy", "maps/forest", "maps/sea")):
        (tmp_path / "data" / name).mkdir(parents=True)
        for number in range(10):
            picture = encoded(scene(100 * at + number))
            (tmp_path / "data" / name / f"{number}.jpg").write_bytes(picture)
    (finding,) = check(tmp_path / "data")
    assert (finding.kind, finding.severity) == ("nested_classes", "error")
    assert finding.paths == ("flowers", "maps")
    assert finding.message.endswith(f"name --data {tmp_path}/data/flowers")
    (tmp_path / "data/maps/sea").rename(tmp_path / "data/maps/rose")
    (tmp_path / "data/maps/forest").rename(tmp_path / "data/maps/daisy")
    (finding,) = check(tmp_path / "data")
    assert (finding.kind, finding.severity) == ("nested_classes", "warning")


def test_advice_names_each_reason_once(folder: Path) -> None:
    for number in range(3):
        (folder / f"train/apple/a{number}.jpg").write_bytes(b"8BPS")
        (folder / f"train/apple/b{number}.jpg").write_bytes(b"\xff\x0a\0\0")
    (finding,) = check(folder)
    assert finding.kind == "unsupported"
    assert finding.message.count("Photoshop") == finding.message.count("JPEG XL") == 1


@pytest.mark.parametrize("name", ["1.mpo", "DJI_1.JPG", "1"])
def test_a_jpeg_with_a_second_picture_in_it_is_a_jpeg(
    folder: Path, scene: Scene, name: str
) -> None:
    preview = scene(901, (80, 60))
    content = encoded(scene(900), "MPO", save_all=True, append_images=[preview])
    (folder / "train/apple" / name).write_bytes(content)
    assert by_kind(check(folder)).keys() <= {"odd_mode", "wrong_extension"}


@pytest.mark.parametrize("name", ["1.jpe", "1.jfif", "1.jpg?w=500", "1.jpg.1"])
def test_the_lesser_endings_of_a_kind_are_no_finding(folder: Path, scene: Scene, name: str) -> None:
    (folder / "train/apple" / name).write_bytes(encoded(scene(900)))
    assert check(folder) == ()


def test_a_class_that_cannot_be_learned_is_an_error(folder: Path) -> None:
    (folder / "train/date").mkdir()
    (folder / "train/date/1.bmp").touch()
    found = {(one.kind, one.severity): one for one in check(folder)}
    assert found["tiny_class", "error"].paths == ("date",)
    assert "with fewer than 2 readable pictures" in found["tiny_class", "error"].message


@pytest.mark.real
@pytest.mark.parametrize("name", ["flowers", "eurosat_rgb"])
def test_real_pictures_are_not_wrongly_accused(shared: Path, name: str) -> None:
    """Looked at by eye: two tulips are one photo, re-touched, and two pictures are strips of
    256 x 50; EuroSAT's tiles are all unlike, also where they are almost uniform."""
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
