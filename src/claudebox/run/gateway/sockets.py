"""Sockets by the built-in module: accepted, connected, ended; handed over between our own processes."""

from __future__ import annotations

import os
import struct

from claudebox import address
from claudebox.sockets import socket

TYPE_CHECKING = False
if TYPE_CHECKING:
    from claudebox.model import Prefix

RIGHTS, MOST = 1, 250  # SCM_RIGHTS; descriptors of one message; the kernel takes 253
TRANSPARENT4, TRANSPARENT6 = (0, 19), (41, 75)  # SOL_IP and IP_TRANSPARENT; SOL_IPV6 and IPV6_TRANSPARENT
AT_ONCE, ORDERLY = struct.pack("ii", 1, 0), struct.pack("ii", 0, 0)  # SO_LINGER: closed by a reset; as usual
FAMILY = {4: socket.AF_INET, 6: socket.AF_INET6}


def accepted(listener: socket.socket) -> socket.socket | None:
    """The next connection, non-blocking; None when there is none."""
    try:
        descriptor, _ = listener._accept()  # type: ignore[attr-defined]  # what the standard wrapper calls
    except OSError:
        return None
    found = socket.socket(fileno=descriptor)
    found.setblocking(False)
    return found


def reset(sock: socket.socket) -> None:
    """End a connection so that the other side is told."""
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, AT_ONCE)
    except OSError:
        pass
    sock.close()


def lively(sock: socket.socket) -> None:
    """Small writes go at once, a peer that is gone is noticed, and our own death is a reset and no clean end."""
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, AT_ONCE)


def prefix(text: str) -> Prefix:
    """The address of a socket's name. Raises ValueError."""
    found = address.parse(text.partition("%")[0])
    if found is None:
        raise ValueError(text)
    return found


def send(end: int, message: bytes, descriptors: tuple[int, ...] = ()) -> None:
    """A message to another process of ours, with descriptors. Raises OSError."""
    rights = [(socket.SOL_SOCKET, RIGHTS, struct.pack(f"{len(descriptors)}i", *descriptors))] if descriptors else []
    sock = socket.socket(fileno=os.dup(end))
    try:
        sock.sendmsg([message], rights)
    finally:
        sock.close()


def receive(end: int) -> tuple[bytes, tuple[int, ...]]:
    """The next message and its descriptors; an empty one is the end. Raises OSError."""
    sock = socket.socket(fileno=os.dup(end))
    try:
        message, rights, _, _ = sock.recvmsg(1 << 16, socket.CMSG_SPACE(4 * MOST), socket.MSG_CMSG_CLOEXEC)
    finally:
        sock.close()
    data = b"".join(content for _, kind, content in rights if kind == RIGHTS)
    return message, struct.unpack(f"{len(data) // 4}i", data)
