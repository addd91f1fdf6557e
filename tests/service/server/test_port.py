from __future__ import annotations

import errno
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from circus.sockets import CircusSocket

from service.server import port
from service.server.port import defer_listening, exit_if_port_is_taken

ROOT = Path(__file__).parents[3]


@pytest.fixture(autouse=True)
def bind(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(CircusSocket, "bind", CircusSocket.bind)  # restored afterwards
    exit_if_port_is_taken()


@pytest.fixture(params=["127.0.0.1", "::1"])
def taken_address(request: pytest.FixtureRequest) -> Iterator[tuple[str, int]]:
    """An address on which another socket listens."""
    host = request.param
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as listener:
        try:
            listener.bind((host, 0))
        except OSError:
            pytest.skip(f"no {host} here")
        listener.listen()
        yield host, listener.getsockname()[1]


def listen(host: str, port: int) -> None:
    """Bind and listen as BentoML's parent process does."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with CircusSocket(name="api", host=host, port=port, family=family) as unbound:
        unbound.bind_and_listen()


def test_a_taken_port_is_reported_in_one_line(taken_address: tuple[str, int]) -> None:
    with pytest.raises(SystemExit) as ended:
        listen(*taken_address)
    assert str(ended.value) == (
        f"graft: cannot listen on {taken_address[0]} port {taken_address[1]}: another program uses "
        "it; stop that program, or choose another port with --port"
    )


def test_an_address_of_another_machine_is_reported() -> None:
    with pytest.raises(SystemExit, match="this machine does not have that address"):
        listen("192.0.2.1", 20_000 + os.getpid() % 20_000)  # a port that no other test run uses


def test_a_privileged_port_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    def bind(unbound: socket.socket, address: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(port, "_claim", bind)
    with pytest.raises(SystemExit, match="choose a port above 1023"):
        listen("127.0.0.1", 80)


@pytest.mark.skipif(sys.platform != "linux", reason="needs abstract socket names")
def test_only_one_of_two_starting_services_gets_the_port() -> None:
    """Linux lets two processes bind one port while neither listens on it yet."""
    code = """
import sys
from circus.sockets import CircusSocket
from service.server.port import defer_listening, exit_if_port_is_taken
exit_if_port_is_taken()
defer_listening()
unbound = CircusSocket(name="api", host="127.0.0.1", port=int(sys.argv[1]))
unbound.bind_and_listen()
print(unbound.port, flush=True)
sys.stdin.read()
"""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    command = [sys.executable, "-c", code, port]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, cwd=ROOT, stdin=pipe, stdout=pipe, text=True) as process:
        assert process.stdout
        assert process.stdout.readline().strip() == port
        late_process = subprocess.run(
            command, cwd=ROOT, stdin=pipe, capture_output=True, text=True, check=False
        )
        process.kill()
    assert late_process.returncode == 1
    assert late_process.stderr.startswith(f"graft: cannot listen on 127.0.0.1 port {port}: another")
    assert late_process.stderr.count("\n") == 1


def test_unix_sockets_are_left_alone(tmp_path: Path) -> None:
    """BentoML has such a socket for each service that another depends on."""
    path = tmp_path / "s"
    with (
        CircusSocket(name="a", path=str(path)) as first_socket,
        CircusSocket(name="b", path=str(path)) as second_socket,
    ):
        first_socket.bind_and_listen()
        with pytest.raises(OSError, match="already exists"):
            second_socket.bind_and_listen()


def test_the_parent_binds_and_does_not_listen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(CircusSocket, "listen", CircusSocket.listen)  # restored afterwards
    defer_listening()
    with CircusSocket(host="127.0.0.1", port=0) as bound:
        bound.bind_and_listen()
        address = bound.getsockname()
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(address)
        socket.socket.listen(bound)  # as uvicorn does with an inherited socket
        socket.create_connection(address).close()
