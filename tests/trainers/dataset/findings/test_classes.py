from __future__ import annotations

from pathlib import Path

from tests.trainers.dataset.findings.conftest import Scene, check, encoded


def test_classes_with_similar_names_are_a_finding(folder: Path, scene: Scene) -> None:
    for index, label in enumerate(("Apple_", "e\u0301l", "\u00e9l")):
        (folder / "train" / label).mkdir()
        for number in range(12):
            picture = encoded(scene(700 + 20 * index + number, (320, 240)), quality=90)
            (folder / "train" / label / f"{number}.jpg").write_bytes(picture)
    (finding,) = (finding for finding in check(folder) if finding.kind == "same_class")
    assert finding.groups == (("Apple_", "apple"), ("e\u0301l", "\u00e9l"))
    assert finding.severity == "warning"


def test_a_folder_one_level_too_high_is_an_error_with_the_inner_folders(
    tmp_path: Path, scene: Scene
) -> None:
    for index, name in enumerate(("flowers/rose", "flowers/daisy", "maps/forest", "maps/sea")):
        (tmp_path / "data" / name).mkdir(parents=True)
        for number in range(10):
            picture = encoded(scene(100 * index + number))
            (tmp_path / "data" / name / f"{number}.jpg").write_bytes(picture)
    (finding,) = check(tmp_path / "data")
    assert (finding.kind, finding.severity) == ("nested_classes", "error")
    assert finding.paths == ("flowers", "maps")
    assert finding.message.endswith(f"--data {tmp_path}/data/flowers")
    (tmp_path / "data/maps/sea").rename(tmp_path / "data/maps/rose")
    (tmp_path / "data/maps/forest").rename(tmp_path / "data/maps/daisy")
    (finding,) = check(tmp_path / "data")
    assert (finding.kind, finding.severity) == ("nested_classes", "warning")


def test_a_class_with_too_few_pictures_is_an_error(folder: Path) -> None:
    (folder / "train/date").mkdir()
    (folder / "train/date/1.bmp").touch()
    findings = {(finding.kind, finding.severity): finding for finding in check(folder)}
    assert findings["tiny_class", "error"].paths == ("date",)
    assert "has fewer than 2 readable pictures" in findings["tiny_class", "error"].message
