"""`make image-check`: builds deploy/Dockerfile on a minimal Debian, and starts the result.

Docker is not needed. The base is a minimal Debian instead of the official Python image. It has the
same Python version and few other packages, so the build fails here as well if the Dockerfile relies
on a library, compiler or certificate that the official image does not have. All files are in a
temporary folder, all mounts in namespaces of the processes; both are removed at the end.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest

from service.bundle.reading import Bundle

pytestmark = pytest.mark.image

ROOT = Path(__file__).parents[3]
TEXT = re.sub(r"^\s*#.*\n", "", (ROOT / "deploy/Dockerfile").read_text(), flags=re.MULTILINE)
INSTRUCTIONS = [line.partition(" ")[::2] for line in TEXT.replace("\\\n", "").splitlines() if line]
DEBIAN = "bookworm"  # its Python is 3.11
USUAL_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
URL_TESTS = (
    "test_app.py",
    "test_metrics.py",
    *(f"{name}/test_handlers.py" for name in ("oip", "http/pages")),
)
assert all((ROOT / "tests/service" / name).is_file() for name in URL_TESTS)
# The file system of a locked-down container: all read-only except /tmp, /dev/shm and /proc.
SANDBOX = """
set -e
mount --bind "$0" "$0"
mount -o remount,bind,ro "$0"
mount -t tmpfs -o size=64m,mode=1777 tmpfs "$0/tmp"
mount -t tmpfs -o size=64m,mode=1777 tmpfs "$0/dev/shm"
mount -t proc proc "$0/proc"
exec chroot "$0" "$@"
"""


@dataclass
class Image:
    """A build stage: its file system, and the values of instructions such as ENV and USER."""

    root: Path
    config: dict[str, str] = field(default_factory=dict)

    def run(self, *command: str, timeout: int = 600, **environment: str) -> str:
        """Run a command as RUN does: as root, on a writable file system, with network access."""
        return call("chroot", str(self.root), *command, timeout=timeout, **environment)

    def environment(self) -> dict[str, str]:
        parts = shlex.split(self.config["ENV"].replace("$PATH", USUAL_PATH))
        return dict(part.split("=", 1) for part in parts)

    def start(self, *command: str, **settings: str) -> subprocess.Popen[str]:
        """Start a command as `docker run --read-only --tmpfs /tmp --cap-drop ALL` would."""
        user, group = self.config["USER"].split(":")
        settings = {**self.environment(), **settings}
        return subprocess.Popen(
            [
                *("unshare", "--mount", "sh", "-c", SANDBOX, str(self.root)),
                *("setpriv", f"--reuid={user}", f"--regid={group}", "--clear-groups"),
                *("--no-new-privs", "--bounding-set=-all", "--inh-caps=-all"),
                *("env", "-i", "-C", self.config["WORKDIR"]),
                *(f"{name}={value}" for name, value in settings.items()),
                *command,
            ],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def output_of(self, *command: str) -> str:
        """Run a command with `start`, and return what it prints."""
        process = self.start(*command)
        output, _ = process.communicate(timeout=120)
        assert process.returncode == 0, output
        return output.strip()


def call(*command: str, timeout: int = 600, **environment: str) -> str:
    completed = subprocess.run(
        command,
        env={"PATH": os.environ["PATH"], **environment},
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )
    output = completed.stdout[-2000:] + completed.stderr[-4000:]
    assert completed.returncode == 0, f"{shlex.join(command)}\n{output}"
    return completed.stdout


def build(base: Path, folder: Path, arguments: dict[str, str]) -> Image:
    """Carry out the instructions of the Dockerfile in order; return the last stage."""
    stages: dict[str, Image] = {}
    values: dict[str, str] = {}
    pip_variables = {
        name: value for name, value in os.environ.items() if name.lower().endswith("_proxy")
    }
    certificates = Path("/etc/ssl/certs/ca-certificates.crt")
    if certificates.is_file():  # the network of this machine may need its certificates
        pip_variables["PIP_CERT"] = "/ca.crt"
    image = Image(base)
    for word, rest in INSTRUCTIONS:
        for name, value in values.items():
            rest = rest.replace(f"${{{name}}}", value)  # noqa: PLW2901
        match word:
            case "FROM":
                source, _, name = rest.partition(" AS ")
                image = stages.get(source) or Image(folder / (name or "last"))
                if source not in stages:
                    call("cp", "-a", str(base), str(image.root))
                stages[name] = image
            case "ARG":
                name, _, default = rest.partition("=")
                values[name] = arguments.get(name, default)
            case "COPY":
                *options, source, target = rest.split()
                stage = [
                    stages[option[7:]].root for option in options if option.startswith("--from=")
                ]
                mode = [
                    f"--chmod={option[8:]}" for option in options if option.startswith("--chmod=")
                ]
                copy(stage[0] if stage else ROOT, source, image.root / target[1:], mode)
            case "RUN":
                if certificates.is_file():
                    shutil.copy(certificates, image.root / "ca.crt")
                image.run("sh", "-c", rest, PATH=USUAL_PATH, **pip_variables)
            case _:
                image.config[word] = rest
    return image


def copy(folder: Path, source: str, target: Path, mode: list[str]) -> None:
    origin = folder / source.removeprefix("/") if folder != ROOT else folder / source
    target.parent.mkdir(parents=True, exist_ok=True)
    call("cp", "-a", str(origin), str(target))
    call("chown", "-R", "0:0", str(target))
    for option in mode:
        call("chmod", "-R", option.removeprefix("--chmod="), str(target))
    for compiled in target.rglob("__pycache__"):  # excluded by .dockerignore
        if folder == ROOT:
            shutil.rmtree(compiled)


def size(*folders: Path) -> int:
    """The size of folders on disk in megabytes."""
    return sum(int(call("du", "-sm", str(folder)).split()[0]) for folder in folders)


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    if os.geteuid() or not shutil.which("debootstrap"):
        pytest.fail("make image-check needs root and debootstrap (apt-get install debootstrap)")
    workspace = tmp_path_factory.mktemp("image")
    yield workspace
    assert str(workspace) not in Path("/proc/mounts").read_text()
    shutil.rmtree(workspace)


@pytest.fixture(scope="module")
def base(workspace: Path) -> Path:
    """A minimal Debian, used instead of python:3.11-slim."""
    (version,) = set(re.findall(r"python:(\d+\.\d+)-slim", TEXT))
    folder = workspace / "base"
    command = ["unshare", "--mount", "debootstrap", "--variant=minbase"]
    command += ["--include=python3-venv,ca-certificates", DEBIAN, str(folder)]
    variables = {name: os.environ[name] for name in ("DEBOOTSTRAP_DIR",) if name in os.environ}
    call(*command, timeout=500, **variables)
    (folder / "usr/local/bin/python").symlink_to("/usr/bin/python3")
    (folder / "etc/hosts").write_text("127.0.0.1 localhost\n")  # as container runtimes do
    shutil.rmtree(folder / "var/cache/apt")
    installed = call("chroot", str(folder), "python", "--version", PATH=USUAL_PATH)
    assert installed.startswith(f"Python {version}.")
    return folder


@pytest.fixture(scope="module")
def image(base: Path, workspace: Path, tiny_bundle: Bundle) -> Image:
    """The image built with default arguments; it contains the tiny bundle."""
    return build(base, workspace, {"BUNDLE": str(tiny_bundle.path)})


def test_image_contains_only_the_service_and_locked_packages(image: Image, base: Path) -> None:
    listed = "import importlib.metadata as m, json; "
    listed += "print(json.dumps({d.name.lower(): d.version for d in m.distributions()}))"
    packages = json.loads(image.output_of("python", "-c", listed))
    text = (ROOT / "requirements/serving.txt").read_text()
    locked = dict(re.findall(r"^([\w.-]+)==(\S+)", text, re.MULTILINE))
    assert {name.replace("_", "-") for name in packages} <= set(locked), (
        "only locked packages may be installed"
    )
    assert not {"pip", "setuptools", "tensorflow", "keras", "onnx", "scikit-learn"} & set(packages)
    missing = "import importlib.util as u; "
    missing += "print([n for n in ('tensorflow', 'keras', 'pip', 'trainers', 'plugins', 'tests') "
    missing += "if u.find_spec(n)])"
    assert image.output_of("python", "-c", missing) == "[]"
    tools = ("gcc", "cc", "c++", "clang", "make", "ld", "curl", "git")
    present = [name for name in tools for path in ("usr/bin", "usr/local/bin", "opt/graft/bin")
             if (image.root / path / name).exists()]  # fmt: skip
    assert present == []
    assert {path.name for path in (image.root / "app").iterdir()} == {"service", "bentofile.yaml"}
    parts = {name: size(image.root / name) for name in ("opt/graft", "app", "bundle")}
    print(f"\nbase {size(base)} MB, {', '.join(f'/{name} {n} MB' for name, n in parts.items())}")
    installed = (image.root / "opt/graft/lib").glob("python*/site-packages/*")
    sizes = call("du", "-sm", *map(str, installed))
    largest = sorted((int(line.split()[0]), line.split("/")[-1]) for line in sizes.splitlines())
    print("largest:", ", ".join(f"{name} {n} MB" for n, name in largest[:-9:-1]))
    print(f"{len(packages)} packages:", ", ".join(f"{n} {v}" for n, v in sorted(packages.items())))


def test_process_has_no_rights_and_a_read_only_file_system(image: Image) -> None:
    probe = "id -u; id -g; grep -E 'CapEff|CapBnd|NoNewPrivs' /proc/self/status; "
    probe += "for place in / /app /bundle /opt/graft /usr /etc /var /home /run; do "
    probe += "touch $place/x 2>&1 || true; done; touch /tmp/x && echo written"
    lines = image.output_of("sh", "-c", probe).splitlines()
    assert lines[:2] == ["65532", "65532"]
    assert [line.split()[1].strip("0") for line in lines[2:5]] == ["", "", "1"]
    assert sum("Read-only file system" in line for line in lines) == 9
    assert lines[-1] == "written"


def test_image_command_serves_and_ends_with_exit_code_0(image: Image, draw: object) -> None:
    (command, url), start = command_and_url(image), time.monotonic()
    process = image.start(*command, GRAFT_DRAIN_SECONDS="0")
    try:
        wait_until_ready(process, url)
        print(f"\nready {time.monotonic() - start:.1f} s after the start")
        assert "<title>Graft</title>" in httpx.get(f"{url}/ui").text
        assert "graft_model_info" in httpx.get(f"{url}/metrics").text
        tests = [f"tests/service/{name}" for name in URL_TESTS]
        completed = subprocess.run(
            [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *tests],
            cwd=ROOT,
            # Tests that start their own service are skipped with GRAFT_TEST_URL.
            env={**os.environ, "GRAFT_TEST_URL": url, "GRAFT_NO_SKIPS": ""},
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert completed.returncode == 0, completed.stdout[-8000:]
        print("tests over HTTP:", completed.stdout.strip().splitlines()[-1])
        process.send_signal(signal.SIGTERM)
        output, _ = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 0, output


def test_signing_image_serves_only_signed_bundles(
    base: Path, workspace: Path, tiny_bundle: Bundle, tmp_path: Path
) -> None:
    """Starts it with another signer's public key, with a missing key, and with the right key."""
    bundle = Path(shutil.copytree(tiny_bundle.path, tmp_path / "bundle"))
    for owner in ("ours", "theirs"):
        secret, public = str(tmp_path / f"{owner}.key"), str(tmp_path / f"{owner}.pub")
        call("openssl", *f"ecparam -genkey -name prime256v1 -noout -out {secret}".split())
        call("openssl", *f"ec -in {secret} -pubout -out {public}".split())
    sign = [sys.executable, "-m", "model_signing", "sign", "key", str(bundle)]
    sign += ["--private_key", str(tmp_path / "ours.key"), "--signature", str(bundle / "model.sig")]
    call(*sign)
    (workspace / "signing").mkdir()
    image = build(base, workspace / "signing", {"BUNDLE": str(bundle), "LOCK": "serving-sign"})
    print(f"\n/opt/graft with LOCK=serving-sign {size(image.root / 'opt/graft')} MB")
    (image.root / "keys").mkdir()
    for owner in ("ours", "theirs"):
        shutil.copy(tmp_path / f"{owner}.pub", image.root / "keys")
    command, url = command_and_url(image)
    for name, reason in (("theirs", "was not signed with"), ("nowhere", "not a public key in PEM")):
        process = image.start(*command, GRAFT_VERIFY_KEY=f"/keys/{name}.pub")
        output, _ = process.communicate(timeout=90)
        assert process.returncode == 1
        assert reason in output
    start = time.monotonic()
    process = image.start(*command, GRAFT_VERIFY_KEY="/keys/ours.pub", GRAFT_DRAIN_SECONDS="0")
    try:
        wait_until_ready(process, url)
        print(f"ready {time.monotonic() - start:.1f} s after the start")
        picture = (bundle / "golden/red.png").read_bytes()
        assert httpx.post(f"{url}/predict", files={"image": picture}).json()["label"] == "red"
        process.send_signal(signal.SIGTERM)
        output, _ = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 0, output


def command_and_url(image: Image) -> tuple[list[str], str]:
    """The command of the image on a free port of localhost, and the URL of the service."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = str(listener.getsockname()[1])
    command = json.loads(image.config["CMD"])
    command[command.index("0.0.0.0")] = "127.0.0.1"
    command[command.index("3000")] = port
    return command, f"http://127.0.0.1:{port}"


def wait_until_ready(process: subprocess.Popen[str], url: str) -> None:
    deadline = time.monotonic() + 90
    while not is_ready(url):
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < deadline
        time.sleep(0.1)


def is_ready(url: str) -> bool:
    try:
        return httpx.get(f"{url}/readyz", timeout=5).status_code == 200
    except httpx.TransportError:
        return False
