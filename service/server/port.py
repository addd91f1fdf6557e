"""The port of the service: exit if the port is taken, and listen only when a worker is ready."""

from __future__ import annotations

import errno
import os
import socket
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from circus.sockets import CircusSocket


def exit_if_port_is_taken() -> None:
    """Make the process exit with a one-line message if the service's address cannot be bound.

    Call this in BentoML's parent process, before that process binds the port.
    """
    from circus.sockets import CircusSocket

    CircusSocket.bind = _bind_or_exit


def defer_listening() -> None:
    """Make BentoML's parent process bind the port without listening on it.

    The first worker that is ready starts to listen. Until then, connections are refused, so that a
    proxy can try another replica. If the parent process listened, connections would wait until a
    worker is ready. Call this in the parent process, before that process creates its socket.
    """
    from circus.sockets import CircusSocket

    CircusSocket.listen = _leave_listening_to_uvicorn


def _leave_listening_to_uvicorn(unbound: CircusSocket, backlog: int = 0) -> None:
    """Do nothing: uvicorn listens on the socket once a worker has started."""


def _bind_or_exit(unbound: CircusSocket, address: Any) -> None:
    try:
        _claim(unbound, address)
        socket.socket.bind(unbound, address)
    except OSError as error:
        if unbound.is_unix:
            raise
        sys.exit(f"graft: cannot listen on {address[0]} port {address[1]}: {_reason(error)}")


def _claim(unbound: CircusSocket, address: Any) -> None:
    """Reserve the address, so that no other service can start on it at the same time.

    Without a reservation, two services could bind the same port as long as neither listens. Then
    the workers of one of them would fail again and again. The reservation is an abstract Unix
    socket: like a port, it belongs to the network namespace, and it is released when this process
    ends. Only Linux has such sockets; on other systems, this function does nothing.

    Raises:
        OSError: another service has reserved the address.
    """
    if sys.platform == "linux" and not unbound.is_unix:
        with socket.socket(socket.AF_UNIX) as claim:
            claim.bind(f"\0graft {address[0]} {address[1]}")
            claim.detach()  # keep the socket open until the process ends


def _reason(error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        return "another program uses it; stop that program, or choose another port with --port"
    if error.errno == errno.EACCES:
        return "this user may not use the port; choose a port above 1023 with --port"
    if error.errno == errno.EADDRNOTAVAIL:
        return "this machine does not have that address; choose another address with --host"
    return error.strerror or os.strerror(error.errno or 0)
