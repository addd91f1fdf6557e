"""The service on a read-only file system, with only the writable folders of the manifest."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from service.bundle.reading import Bundle

Manifest = dict[str, Any]
Render = Callable[[str], list[Manifest]]
Find = Callable[..., Manifest]
ROOT = Path(__file__).parents[3]
# A mount namespace in which everything except the named folders is read-only. Users other than root
# can mount only inside a user namespace.
RUN_READ_ONLY = """
set -e
for place in $PLACES; do mount -t tmpfs -o "size=${place#*=}" tmpfs "${place%%=*}"; done
mount -o remount,ro,bind "$(stat -c %m "$PWD")"
if touch "$PWD/.graft-locked" 2>/dev/null; then exit 77; fi
exec "$@"
"""
UNSHARE = ["unshare", "--user", "--map-root-user", "--mount"]
CANNOT_MOUNT = 77


@pytest.fixture(scope="module")
def user_namespaces() -> None:
    if not shutil.which("unshare"):
        pytest.skip("no unshare here (util-linux)")
    if subprocess.run([*UNSHARE, "true"], capture_output=True, check=False).returncode:
        pytest.skip("this machine has no user namespaces, so nothing can be made read-only")


def megabytes(size: str) -> str:
    assert size.endswith("Mi")
    return f"{size.removesuffix('Mi')}m"


@contextmanager
def restricted_service(
    home: Path, bundle: Bundle, pod: Manifest, settings: dict[str, str], port: int
) -> Iterator[subprocess.Popen[bytes]]:
    """Run the service like the pod: its mounts, its settings, everything else read-only."""
    (container,) = pod["containers"]
    volumes = {
        volume["name"]: volume["emptyDir"]["sizeLimit"]
        for volume in pod["volumes"]
        if "emptyDir" in volume
    }
    folders = {}
    for mount in container["volumeMounts"]:
        if mount["name"] not in volumes:
            continue
        folder = home / mount["name"]
        folder.mkdir()
        folders[mount["mountPath"]] = folder, megabytes(volumes[mount["name"]])
    tmp, cache = folders["/tmp"][0], folders[settings["GRAFT_CACHE"]][0]
    variables = {
        **{"TMPDIR": str(tmp), "HOME": str(tmp), "BENTOML_HOME": f"{tmp}/bentoml"},
        **{"GRAFT_CACHE": str(cache), "GRAFT_MODEL": str(bundle.path), "GRAFT_DRAIN_SECONDS": "0"},
        **{"BENTOML_CONTAINERIZED": "true", "ORT_DISABLE_TELEMETRY": "1"},
        **{"PYTHONDONTWRITEBYTECODE": "1", "PATH": os.environ["PATH"]},
        "PLACES": " ".join(f"{folder}={size}" for folder, size in folders.values()),
    }
    command = [str(Path(sys.executable).with_name("bentoml")), "serve", "service.app:Classifier"]
    command += ["--host", "127.0.0.1", "--port", str(port)]
    process = subprocess.Popen(
        [*UNSHARE, "sh", "-c", RUN_READ_ONLY, "sh", *command],
        cwd=ROOT,
        env={**settings, **variables},
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait(10)


@pytest.mark.slow
@pytest.mark.usefixtures("user_namespaces")
def test_the_service_needs_no_other_writable_folder(
    tmp_path: Path, tiny_bundle: Bundle, render: Render, find: Find, environment: Callable[..., Any]
) -> None:
    manifests = render("overlays/cpu")
    pod = find(manifests, "Deployment")["spec"]["template"]["spec"]
    settings = environment(manifests, pod["containers"][0])
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with restricted_service(tmp_path, tiny_bundle, pod, settings, port) as process:
        url = f"http://127.0.0.1:{port}"
        deadline = time.monotonic() + 120
        while not is_ready(url):
            if process.poll() == CANNOT_MOUNT:
                pytest.skip("mounts cannot be made read-only here")
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.2)
        picture = (tiny_bundle.path / "golden/red.png").read_bytes()
        assert httpx.post(f"{url}/predict", files={"image": picture}).json()["label"] == "red"
        # 19 MB each: written to /tmp, they would fill it.
        large = picture + os.urandom(19 * 1024 * 1024)
        fields = [("images", large) for _ in range(3)]
        answer = httpx.post(f"{url}/predict_batch", files=fields, timeout=60)
        assert [result["label"] for result in answer.json()["results"]] == ["red"] * 3
        used_bytes = [bytes_written(process.pid, tmp_path / name) for name in ("tmp", "cache")]
        assert 0 < used_bytes[0] < 4 * 1024 * 1024, "a tenth of the limit in the manifest"
        assert 0 < used_bytes[1] < 1024 * 1024
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0


def is_ready(url: str) -> bool:
    try:
        return httpx.get(f"{url}/readyz", timeout=5).status_code == 200
    except httpx.TransportError:
        return False


def bytes_written(process: int, folder: Path) -> int:
    """Return the bytes in a folder as the process sees it, in its mount namespace."""
    inside = Path(f"/proc/{process}/root") / folder.relative_to("/")
    return sum(path.stat().st_size for path in inside.rglob("*") if path.is_file())
