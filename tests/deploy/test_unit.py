"""deploy/graft.service: systemd accepts it, and its allowed system calls are sufficient."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import httpx
import pytest

from service.bundle.reading import Bundle
from service.server.transport import SEND_TIMEOUT_SECONDS
from service.settings import Settings

ROOT = Path(__file__).parents[2]
UNIT = ROOT / "deploy/graft.service"
RUN_WITH_SECCOMP = """
import ctypes, os, sys
try:
    library = ctypes.CDLL("libseccomp.so.2")
except OSError:
    sys.exit(77)
library.seccomp_init.restype = ctypes.c_void_p
rules = ctypes.c_void_p(library.seccomp_init(ctypes.c_uint32(0x00050001)))  # EPERM
for name in sys.argv[1].split():
    number = library.seccomp_syscall_resolve_name(name.encode())
    if number >= 0:
        assert not library.seccomp_rule_add(rules, ctypes.c_uint32(0x7FFF0000), number, 0)
if library.seccomp_load(rules):
    sys.exit(77)
try:
    os.chown(".", 0, 0)
except PermissionError:
    os.execv(sys.argv[2], sys.argv[2:])
"""
"""Runs a command with only the named system calls allowed; others fail as under systemd."""
CANNOT_FILTER = 77


def lines(key: str) -> list[str]:
    return re.findall(rf"^{key}=(.*)$", UNIT.read_text(), re.MULTILINE)


def environment() -> dict[str, str]:
    return dict(pair.split("=", 1) for line in lines("Environment") for pair in line.split())


def analyze(*arguments: str | Path) -> str:
    if not shutil.which("systemd-analyze"):
        pytest.skip("no systemd-analyze here (systemd)")
    completed = subprocess.run(
        ["systemd-analyze", *map(str, arguments)], capture_output=True, text=True, check=False
    )
    assert completed.returncode == 0, completed.stderr
    assert not completed.stderr, (
        "systemd-analyze reports misspelt lines on stderr, with exit code 0"
    )
    return completed.stdout


def calls_in_group(group: str) -> set[str]:
    """Return the system calls of a group, including those of the groups in it."""
    names: set[str] = set()
    for line in analyze("syscall-filter", "--no-pager", group).splitlines():
        name = line.strip()
        if line.startswith("    ") and not name.startswith("#"):
            names |= calls_in_group(name) if name.startswith("@") else {name}
    return names


def test_systemd_accepts_every_line(tmp_path: Path) -> None:
    (command,) = lines("ExecStart")
    text = UNIT.read_text().replace(command.split()[0], sys.executable)
    (tmp_path / UNIT.name).write_text(text)
    analyze("verify", "--man=no", tmp_path / UNIT.name)


def test_systemd_rates_the_exposure_as_low() -> None:
    report = analyze("security", "--offline=yes", "--no-pager", UNIT)
    (exposure,) = re.findall(r"exposure level for graft.service: ([\d.]+)", report)
    assert float(exposure) < 2, report


def test_command_and_variables_are_those_of_the_image() -> None:
    text = (ROOT / "deploy/Dockerfile").read_text()
    (command,) = lines("ExecStart")
    (image_command,) = re.findall(r"^CMD \[(.*)\]$", text, re.MULTILINE)
    expected = [word.strip(' "') for word in image_command.split(",")]
    assert command.replace("127.0.0.1", "0.0.0.0").split()[1:] == expected[1:]
    variables = dict(re.findall(r"^(?:ENV|   ) (\w+)=(\S+)", text, re.MULTILINE))
    own_variables = {"PATH", "GRAFT_MODEL", "GRAFT_CACHE"}
    assert {name: environment()[name] for name in set(variables) - own_variables} == {
        name: value for name, value in variables.items() if name not in own_variables
    }


def test_settings_and_timeouts_match_the_code() -> None:
    variables = {name: value for name, value in environment().items() if name.startswith("GRAFT_")}
    fields = {f"GRAFT_{field.upper()}" for field in Settings.model_fields}
    assert set(variables) - {"GRAFT_CACHE"} <= fields
    settings = Settings.from_environment(variables)
    waits = settings.drain_seconds, settings.upload_timeout_seconds, settings.deadline_seconds
    (limit,) = lines("TimeoutStopSec")
    assert sum(waits) + SEND_TIMEOUT_SECONDS < int(limit)
    (cache,) = lines("CacheDirectory")
    assert variables["GRAFT_CACHE"] == f"/var/cache/{cache}"
    assert environment()["BENTOML_HOME"].startswith("/tmp/")
    assert lines("PrivateTmp") == ["yes"]


@pytest.mark.slow
def test_the_service_needs_no_other_system_call(tmp_path: Path, tiny_bundle: Bundle) -> None:
    included, excluded = lines("SystemCallFilter")
    names = calls_in_group(included) - calls_in_group(excluded.removeprefix("~")) | calls_in_group(
        "@default"
    )
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    paths = {"BENTOML_HOME": f"{tmp_path}/bentoml", "HOME": str(tmp_path)}
    paths |= {"GRAFT_CACHE": str(tmp_path), "GRAFT_MODEL": str(tiny_bundle.path)}
    command = [sys.executable, "-c", RUN_WITH_SECCOMP, " ".join(names)]
    command += [str(Path(sys.executable).with_name("bentoml")), "serve", "service.app:Classifier"]
    command += ["--host", "127.0.0.1", "--port", str(port)]
    overrides = {"GRAFT_DRAIN_SECONDS": "0", "PATH": "/usr/bin:/bin"}
    variables = environment() | paths | overrides
    process = subprocess.Popen(command, cwd=ROOT, env=variables, start_new_session=True)
    try:
        picture = (tiny_bundle.path / "golden/red.png").read_bytes()
        deadline = time.monotonic() + 90
        while (label := classify(f"http://127.0.0.1:{port}/predict", picture)) is None:
            if process.poll() == CANNOT_FILTER:
                pytest.skip("system calls cannot be filtered on this machine")
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.2)
        assert label == "red"
        process.terminate()
        assert process.wait(60) == 0
    finally:
        with suppress(ProcessLookupError):  # all processes have ended
            os.killpg(process.pid, signal.SIGKILL)
        process.wait(10)


def classify(url: str, picture: bytes) -> str | None:
    """The label of a picture; None while the service does not answer."""
    try:
        answer = httpx.post(url, content=picture, headers={"Content-Type": "image/png"}, timeout=30)
    except httpx.TransportError:
        return None
    return str(answer.json()["label"]) if answer.status_code == 200 else None
