"""The workflow of the forge: a step is a make target or .ci/run, every action one commit."""

from __future__ import annotations

import re
import shutil
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[1]
FILES = sorted((ROOT / ".github/workflows").iterdir())
TARGETS = set(re.findall(r"^([\w-]+):(?!=)", (ROOT / "Makefile").read_text(), re.MULTILINE))


def steps() -> list[dict[str, Any]]:
    jobs = [yaml.safe_load(path.read_text())["jobs"].values() for path in FILES]
    return [step for one in jobs for job in one for step in job["steps"]]


def test_there_is_one() -> None:
    assert [path.name for path in FILES] == ["ci.yml"]


def test_steps_call_make_targets_that_exist_and_the_one_script_that_calls_make_test() -> None:
    """What CI does can be done anywhere; and no name of a branch is put into a shell."""
    called = {step["run"] for step in steps() if "run" in step} - {".ci/run"}
    assert (ROOT / ".ci/run").read_text().endswith("\nmake test\n")
    pattern = r"make ([a-z-]+)( > [\w./-]+)?"
    assert [line for line in called if not re.fullmatch(pattern, line)] == []
    targets = {line.split()[1] for line in called}
    assert targets <= TARGETS
    wanted = {"lint", "types", "build", "image", "sbom", "audit", "release-tag", "release-notes"}
    wanted.add("test-lowest")
    assert wanted <= targets


def test_actions_are_commits_with_their_version_beside_them() -> None:
    lines = [line for path in FILES for line in path.read_text().splitlines() if "uses:" in line]
    assert len(lines) > 5
    for line in lines:
        assert re.search(r"uses: actions/[\w-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+$", line), line


def test_jobs_may_read_and_end_by_themselves() -> None:
    for path in FILES:
        workflow = yaml.safe_load(path.read_text())
        assert workflow["permissions"] == {"contents": "read"}
        for job in workflow["jobs"].values():
            assert 0 < job["timeout-minutes"] <= 60
            assert "permissions" not in job


def test_tools_that_make_fetches_have_one_version() -> None:
    text = (ROOT / "Makefile").read_text()
    called = re.findall(r"\$\(TOOL\) (?:--from )?(\S+)", text)
    assert len(called) == 2
    assert all(re.fullmatch(r"[a-z-]+==[\d.]+", name) for name in called)


def test_every_lock_is_asked_about_and_listed() -> None:
    text = (ROOT / "Makefile").read_text()
    (locks,) = re.findall(r"^LOCKS := (.*)$", text, re.MULTILINE)
    files = {path.stem for path in (ROOT / "requirements").glob("*.txt")} - {"dev", "lowest"}
    assert set(locks.split()) == files
    assert text.count("for lock in $(LOCKS)") == 3


def floors() -> dict[str, str]:
    """Package -> the lowest version that any requirement of pyproject.toml allows."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    lists = [project["dependencies"], *(extras[name] for name in extras if name != "gpu")]
    pattern = r"([\w-]+)(?:\[\w+\])?>=([^,;\s]+)"
    found = (re.match(pattern, requirement) for one in lists for requirement in one)
    return {floor[1].lower(): floor[2] for floor in found if floor}


def test_the_lowest_versions_are_those_that_pyproject_allows() -> None:
    """`make lock` writes them. A floor that another package's requirement lifts is a false one."""
    text = (ROOT / "requirements/lowest.txt").read_text()
    locked = dict(re.findall(r"^([\w.-]+)==([^\s;]+)", text, re.MULTILINE))
    lifted = {
        name: (floor, locked[name])
        for name, floor in floors().items()
        if name in locked  # TensorFlow has another name on other systems
        and not re.fullmatch(rf"{re.escape(floor)}(\.0)*(\.post\d+)?", locked[name])
    }
    assert lifted == {}
    assert len(floors().keys() & locked.keys()) > 40


def test_only_a_tag_that_names_the_version_is_released(tmp_path: Path) -> None:
    (job,) = [yaml.safe_load(path.read_text())["jobs"]["release"] for path in FILES]
    assert job["if"] == "startsWith(github.ref, 'refs/tags/v')"
    runs = [step["run"] for step in job["steps"] if "run" in step]
    assert runs[0] == "make release-tag"
    for name in ("Makefile", "pyproject.toml"):
        shutil.copy(ROOT / name, tmp_path)
    notes = tmp_path / "CHANGELOG.md"
    notes.write_text("## [Unreleased]\n\n## [0.0.1] - 2026-01-01\n\n- First.\n")
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    git = ["git", "-c", "user.name=a", "-c", "user.email=a@b", "-C", str(tmp_path)]
    for command in (["init", "-q"], ["commit", "-qm", "a", "--allow-empty"]):
        subprocess.run([*git, *command], check=True)
    for tag, code in (("v0.0.9", 2), (f"v{version}", 0)):
        subprocess.run([*git, "tag", tag], check=True)
        done = subprocess.run(["make", "-C", str(tmp_path), "release-tag"], check=False)
        assert done.returncode == code
    notes.write_text("## [Unreleased]\n\n- More.\n\n## [0.0.1] - 2026-01-01\n\n- First.\n")
    done = subprocess.run(["make", "-C", str(tmp_path), "release-tag"], check=False)
    assert done.returncode == 2


def test_every_target_is_phony_and_explained() -> None:
    text = (ROOT / "Makefile").read_text()
    phony = set(re.findall(r"^\.PHONY: (.*)$", text, re.MULTILINE)[0].split())
    explained = set(re.findall(r"^([a-z-]+):.*## ", text, re.MULTILINE))
    assert phony == explained
    assert all(target in phony for target in TARGETS)


@pytest.mark.parametrize(("version", "code"), [("0.1.0", 0), ("9.9.9", 2), ("0x1x0", 2)])
def test_release_notes_are_a_section_of_the_changelog(version: str, code: int) -> None:
    command = ["make", "--no-print-directory", "release-notes", f"VERSION={version}"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == code
    if code:
        assert f"no section [{version}]" in done.stderr
    else:
        text = (ROOT / "CHANGELOG.md").read_text()
        assert done.stdout.strip()
        assert "## [" not in done.stdout
        section = text.partition(f"## [{version}]")[2]
        assert done.stdout.split() == section.partition("\n")[2].partition("\n## [")[0].split()


def test_the_check_of_the_image_runs_by_its_own_target_only() -> None:
    plan = ["make", "-n", "-o", "setup", "test", "test-fast"]
    done = subprocess.run(plan, cwd=ROOT, capture_output=True, text=True, check=True)
    assert "-m image" not in done.stdout
    assert "not image" in (ROOT / "pyproject.toml").read_text()
