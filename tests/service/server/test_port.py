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
    monkeypatch.setattr(CircusSocket, "bind", CircusSocket.bind)  # to be as it was, afterwards
    exit_if_port_is_taken()


@pytest.fixture(params=["127.0.0.1", "::1"])
def taken(request: pytest.FixtureRequest) -> Iterator[tuple[str, int]]:
    """An address at which somebody listens."""
    host = request.param
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as other:
        try:
            other.bind((host, 0))
        except OSError:
            pytest.skip(f"no {host} here")
        other.listen()
        yield host, other.getsockname()[1]


def listen(host: str, port: int) -> None:
    """As BentoML's parent does."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with CircusSocket(name="api", host=host, port=port, family=family) as unbound:
        unbound.bind_and_listen()


def test_a_taken_port_ends_the_start_with_one_line(taken: tuple[str, int]) -> None:
    with pytest.raises(SystemExit) as ended:
        listen(*taken)
    assert str(ended.value) == (
        f"graft: cannot listen on {taken[0]} port {taken[1]}: another program uses it; stop that "
        "program, or choose another port with --port"
    )


def test_an_address_of_another_machine_is_reported() -> None:
    with pytest.raises(SystemExit, match="this machine does not have that address"):
        listen("192.0.2.1", 20_000 + os.getpid() % 20_000)  # claimed for this process alone


def test_a_privileged_port_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    def bind(unbound: socket.socket, address: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(port, "_claim", bind)
    with pytest.raises(SystemExit, match="choose a port above 1023"):
        listen("127.0.0.1", 80)


@pytest.mark.skipif(sys.platform != "linux", reason="names of sockets that are no files")
def test_of_two_services_that_start_together_one_gets_the_port() -> None:
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
    with subprocess.Popen(command, cwd=ROOT, stdin=pipe, stdout=pipe, text=True) as first:
        assert first.stdout
        assert first.stdout.readline().strip() == port
        second = subprocess.run(
            command, cwd=ROOT, stdin=pipe, capture_output=True, text=True, check=False
        )
        first.kill()
    assert second.returncode == 1
    assert second.stderr.startswith(f"graft: cannot listen on 127.0.0.1 port {port}: another")
    assert second.stderr.count("\n") == 1


def test_unix_sockets_are_left_alone(tmp_path: Path) -> None:
    """BentoML has such a socket for each service that another depends on."""
    path = tmp_path / "s"
    with (
        CircusSocket(name="a", path=str(path)) as first,
        CircusSocket(name="b", path=str(path)) as second,
    ):
        first.bind_and_listen()
        with pytest.raises(OSError, match="already exists"):
            second.bind_and_listen()


def test_the_parent_binds_and_does_not_listen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(CircusSocket, "listen", CircusSocket.listen)  # put back afterwards
    defer_listening()
    with CircusSocket(host="127.0.0.1", port=0) as bound:
        bound.bind_and_listen()
        address = bound.getsockname()
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(address)
        socket.socket.listen(bound)  # as uvicorn does with what it is handed
        socket.create_connection(address).close()
