"""The port of the service: a taken one ends the start by one line."""

from __future__ import annotations

import errno
import os
import socket
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from circus.sockets import CircusSocket


def end_where_the_port_is_taken() -> None:
    """Let BentoML's parent say what is wrong with its address; before it makes its socket."""
    from circus.sockets import CircusSocket

    CircusSocket.bind = _bind_or_end


def _bind_or_end(unbound: CircusSocket, address: Any) -> None:
    try:
        _claim(unbound, address)
        socket.socket.bind(unbound, address)
    except OSError as error:
        if unbound.is_unix:
            raise
        sys.exit(f"graft: cannot listen on {address[0]} port {address[1]}: {_reason(error)}")


def _claim(unbound: CircusSocket, address: Any) -> None:
    """Keep another service that starts at the same time from this address; OSError: it came first.

    Both could bind it, for nobody listens until a worker is ready, and one's workers would find it
    taken then, again and again. The name is no file, belongs to the network namespace as ports do,
    and is free again when this process ends.
    """
    if sys.platform == "linux" and not unbound.is_unix:
        with socket.socket(socket.AF_UNIX) as claim:
            claim.bind(f"\0graft {address[0]} {address[1]}")
            claim.detach()  # stays open


def _reason(error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        return "another program has it; stop that one, or choose another port by --port"
    if error.errno == errno.EACCES:
        return "this user may not; choose a port above 1023 by --port"
    if error.errno == errno.EADDRNOTAVAIL:
        return "no network of this machine has that address; choose another by --host"
    return error.strerror or os.strerror(error.errno or 0)
