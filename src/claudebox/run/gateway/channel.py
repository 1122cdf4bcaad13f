"""The way between launcher and gateway: whole messages, each once, and an end that the other side notices."""

from __future__ import annotations

import os

from claudebox import descriptors
from claudebox.sockets import socket


def pair() -> tuple[int, int]:
    """A pair of connected sockets, both at high numbers."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_CLOEXEC)
    return descriptors.high(ours.detach()), descriptors.high(theirs.detach())


def finish(end: int) -> None:
    """Say no more; what the other side says is still heard."""
    sock = socket.socket(fileno=os.dup(end))
    try:
        sock.shutdown(socket.SHUT_WR)
    except OSError:
        pass  # it has ended
    finally:
        sock.close()
