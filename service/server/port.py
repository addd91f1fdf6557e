"""The port of the service: one clear line if it cannot be bound; listening only when ready."""

from __future__ import annotations

import errno
import os
import socket
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from circus.sockets import CircusSocket


def exit_if_port_is_taken() -> None:
    """Exit with one line if the address cannot be bound; for the parent, before it binds."""
    from circus.sockets import CircusSocket

    CircusSocket.bind = _bind_or_exit


def defer_listening() -> None:
    """Bind the port without listening; for the parent, before it makes its socket.

    The first ready worker listens. Otherwise connections would be accepted and left unanswered for
    the seconds in which workers load, where a proxy would have tried another replica.
    """
    from circus.sockets import CircusSocket

    CircusSocket.listen = _leave_listening_to_uvicorn


def _leave_listening_to_uvicorn(unbound: CircusSocket, backlog: int = 0) -> None:
    """Do nothing: uvicorn listens on the socket that it is given, once it has started."""


def _bind_or_exit(unbound: CircusSocket, address: Any) -> None:
    try:
        _claim(unbound, address)
        socket.socket.bind(unbound, address)
    except OSError as error:
        if unbound.is_unix:
            raise
        sys.exit(f"graft: cannot listen on {address[0]} port {address[1]}: {_reason(error)}")


def _claim(unbound: CircusSocket, address: Any) -> None:
    """Reserve the address against a service that starts at the same time.

    Both could bind it, because nobody listens until a worker is ready; then the workers of one
    would fail again and again. The claim is an abstract Unix socket: not a file, local to the
    network namespace as ports are, and free again when this process ends.

    Raises:
        OSError: another service has claimed the address.
    """
    if sys.platform == "linux" and not unbound.is_unix:
        with socket.socket(socket.AF_UNIX) as claim:
            claim.bind(f"\0graft {address[0]} {address[1]}")
            claim.detach()  # stays open


def _reason(error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        return "another program uses it; stop that one, or choose another port with --port"
    if error.errno == errno.EACCES:
        return "this user may not use it; choose a port above 1023 with --port"
    if error.errno == errno.EADDRNOTAVAIL:
        return "no network of this machine has that address; choose another with --host"
    return error.strerror or os.strerror(error.errno or 0)
