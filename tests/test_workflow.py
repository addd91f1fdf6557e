"""The CI workflow: its steps are make targets or .ci/run, its actions are pinned to commits."""

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
    return [step for jobs_of_file in jobs for job in jobs_of_file for step in job["steps"]]


def test_ci_is_the_only_workflow() -> None:
    assert [path.name for path in FILES] == ["ci.yml"]


def test_steps_call_existing_make_targets_or_the_ci_script() -> None:
    """So CI can be repeated on any machine, and no branch name is inserted into a shell command."""
    called = {step["run"] for step in steps() if "run" in step} - {".ci/run"}
    assert (ROOT / ".ci/run").read_text().endswith("\nmake test\n")
    pattern = r"make ([a-z-]+)( > [\w./-]+)?"
    assert [line for line in called if not re.fullmatch(pattern, line)] == []
    targets = {line.split()[1] for line in called}
    assert targets <= TARGETS
    required = {"lint", "types", "build", "image", "sbom", "audit", "release-tag", "release-notes"}
    required.add("test-lowest")
    assert required <= targets


def test_actions_are_pinned_to_commits_with_a_version_comment() -> None:
    lines = [line for path in FILES for line in path.read_text().splitlines() if "uses:" in line]
    assert len(lines) > 5
    for line in lines:
        assert re.search(r"uses: actions/[\w-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+$", line), line


def test_jobs_have_read_permission_and_a_timeout() -> None:
    for path in FILES:
        workflow = yaml.safe_load(path.read_text())
        assert workflow["permissions"] == {"contents": "read"}
        for job in workflow["jobs"].values():
            assert 0 < job["timeout-minutes"] <= 60
            assert "permissions" not in job


def test_tools_that_make_downloads_are_pinned() -> None:
    text = (ROOT / "Makefile").read_text()
    tools = re.findall(r"\$\(TOOL\) (?:--from )?(\S+)", text)
    assert len(tools) == 2
    assert all(re.fullmatch(r"[a-z-]+==[\d.]+", name) for name in tools)


def test_make_handles_every_lock_file() -> None:
    text = (ROOT / "Makefile").read_text()
    (locks,) = re.findall(r"^LOCKS := (.*)$", text, re.MULTILINE)
    files = {path.stem for path in (ROOT / "requirements").glob("*.txt")} - {"dev", "lowest"}
    assert set(locks.split()) == files
    assert text.count("for lock in $(LOCKS)") == 3


def floors() -> dict[str, str]:
    """Package -> the lowest version that any requirement of pyproject.toml allows."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    requirement_lists = [
        project["dependencies"],
        *(extras[name] for name in extras if name != "gpu"),
    ]
    pattern = r"([\w-]+)(?:\[\w+\])?>=([^,;\s]+)"
    matches = (
        re.match(pattern, requirement)
        for requirements in requirement_lists
        for requirement in requirements
    )
    return {match[1].lower(): match[2] for match in matches if match}


def test_the_lowest_versions_are_those_that_pyproject_allows() -> None:
    """`make lock` writes them. A floor is wrong if another package requires a higher version."""
    text = (ROOT / "requirements/lowest.txt").read_text()
    locked = dict(re.findall(r"^([\w.-]+)==([^\s;]+)", text, re.MULTILINE))
    lifted = {
        name: (floor, locked[name])
        for name, floor in floors().items()
        if name in locked  # the package of TensorFlow has another name on other systems
        and not re.fullmatch(rf"{re.escape(floor)}(\.0)*(\.post\d+)?", locked[name])
    }
    assert lifted == {}
    assert len(floors().keys() & locked.keys()) > 40


def test_only_a_tag_that_names_the_version_is_released(tmp_path: Path) -> None:
    (job,) = [yaml.safe_load(path.read_text())["jobs"]["release"] for path in FILES]
    assert job["if"] == "startsWith(github.ref, 'refs/tags/v')"
    commands = [step["run"] for step in job["steps"] if "run" in step]
    assert commands[0] == "make release-tag"
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
        completed = subprocess.run(["make", "-C", str(tmp_path), "release-tag"], check=False)
        assert completed.returncode == code
    notes.write_text("## [Unreleased]\n\n- More.\n\n## [0.0.1] - 2026-01-01\n\n- First.\n")
    completed = subprocess.run(["make", "-C", str(tmp_path), "release-tag"], check=False)
    assert completed.returncode == 2


def test_every_target_is_phony_and_explained() -> None:
    text = (ROOT / "Makefile").read_text()
    phony = set(re.findall(r"^\.PHONY: (.*)$", text, re.MULTILINE)[0].split())
    explained = set(re.findall(r"^([a-z-]+):.*## ", text, re.MULTILINE))
    assert phony == explained
    assert all(target in phony for target in TARGETS)


@pytest.mark.parametrize(("version", "code"), [("0.1.0", 0), ("9.9.9", 2), ("0x1x0", 2)])
def test_release_notes_are_a_section_of_the_changelog(version: str, code: int) -> None:
    command = ["make", "--no-print-directory", "release-notes", f"VERSION={version}"]
    completed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert completed.returncode == code
    if code:
        assert f"no section [{version}]" in completed.stderr
    else:
        text = (ROOT / "CHANGELOG.md").read_text()
        assert completed.stdout.strip()
        assert "## [" not in completed.stdout
        section = text.partition(f"## [{version}]")[2]
        assert completed.stdout.split() == section.partition("\n")[2].partition("\n## [")[0].split()


def test_image_tests_run_with_their_own_target_only() -> None:
    command = ["make", "-n", "-o", "setup", "test", "test-fast"]
    completed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert "-m image" not in completed.stdout
    assert "not image" in (ROOT / "pyproject.toml").read_text()
