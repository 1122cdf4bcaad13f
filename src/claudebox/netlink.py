"""rtnetlink(7) by hand, 0.7 ms a dump: the addresses and routes of a netns, changes of them, one more of them."""

from __future__ import annotations

import os
import struct

from claudebox import address
from claudebox.model import HostAddress, Route
from claudebox.sockets import socket

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

NEWADDR, GETADDR, NEWROUTE, GETROUTE = 20, 22, 24, 26
ERROR, DONE = 2, 3
REQUEST, ACK, DUMP, EXCL, CREATE = 1, 4, 0x300, 0x200, 0x400
GROUPS = 0x01 | 0x10 | 0x40 | 0x100 | 0x400  # links; addresses and routes of IPv4 and of IPv6
IFA_ADDRESS, IFA_LOCAL = 1, 2
RTA_DST, RTA_OIF, RTA_GATEWAY, RTA_TABLE, RTA_MULTIPATH, RTA_VIA, RTA_NH_ID = 1, 4, 5, 15, 9, 18, 30
CLONED = 0x200
NODAD, STATIC, MAIN, UNICAST = 0x02, 4, 254, 1
RTA_PREFSRC, LOCAL_TABLE, HOST_SCOPE, LOCAL = 7, 255, 254, 2
LOOPBACK = 1  # the index of lo in every netns
INET, INET6 = 2, 10


def addresses() -> tuple[HostAddress, ...]:
    """Every address of this netns. Raises OSError."""
    found = []
    for body in _dump(GETADDR, NEWADDR, struct.pack("=BBBBI", 0, 0, 0, 0, 0)):
        family, length, _, _, _ = struct.unpack_from("=BBBBI", body)
        values = _attributes(body, 8)
        far = values.get(IFA_ADDRESS)
        near = values.get(IFA_LOCAL, far)
        if family in (INET, INET6) and near and far:
            found.append(HostAddress(address=address.packed(near), peer=address.packed(far), length=length))
    return tuple(found)


def routes() -> tuple[Route, ...]:
    """Every route of every table of this netns. Raises OSError."""
    found = []
    for body in _dump(GETROUTE, NEWROUTE, struct.pack("=BBBBBBBBI", 0, 0, 0, 0, 0, 0, 0, 0, 0)):
        family, length, _, _, _, protocol, _, kind, flags = struct.unpack_from("=BBBBBBBBI", body)
        if family not in (INET, INET6) or flags & CLONED:
            continue
        values = _attributes(body, 12)
        gateways = [values.get(key, b"") for key in (RTA_GATEWAY, RTA_VIA, RTA_MULTIPATH, RTA_NH_ID)]
        found.append(
            Route(
                prefix=address.packed(values.get(RTA_DST, bytes(4 if family == INET else 16)), length),
                device=struct.unpack("=I", values.get(RTA_OIF, bytes(4)))[0],
                gateway=next(filter(None, gateways), b""),
                kind=kind,
                protocol=protocol,
            )
        )
    return tuple(found)


def listener() -> int:
    """A descriptor that can be read whenever a link, an address or a route of this netns changes."""
    opened = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK, 0)
    opened.bind((0, GROUPS))
    return opened.detach()


def drain(descriptor: int) -> bool:
    """Take everything that a listener holds; whether there was anything. What it says is asked anew by a dump."""
    found = False
    while True:
        try:
            if not os.read(descriptor, 1 << 16):
                return found
        except BlockingIOError:
            return found
        except OSError:  # ENOBUFS: there was more than it could hold
            pass
        found = True


def add_address(device: int, raw: bytes, length: int) -> None:
    """Give an interface an address, valid at once: no other host is asked whether it has it. Raises OSError."""
    family = INET if len(raw) == 4 else INET6
    body = struct.pack("=BBBBI", family, length, NODAD, 0, device)
    _change(NEWADDR, body, (IFA_LOCAL, raw), (IFA_ADDRESS, raw))


def add_default(device: int, gateway: bytes) -> None:
    """Make gateway the default route of its family. Raises OSError."""
    family = INET if len(gateway) == 4 else INET6
    body = struct.pack("=BBBBBBBBI", family, 0, 0, 0, MAIN, STATIC, 0, UNICAST, 0)
    _change(NEWROUTE, body, (RTA_GATEWAY, gateway), (RTA_OIF, struct.pack("=I", device)))


def add_everything(device: int, source: bytes) -> None:
    """Have every address of the family of source end on device, as if it were this machine's. Raises OSError."""
    family = INET if len(source) == 4 else INET6
    body = struct.pack("=BBBBBBBBI", family, 0, 0, 0, LOCAL_TABLE, STATIC, HOST_SCOPE, LOCAL, 0)
    preferred = ((RTA_PREFSRC, source),) if family == INET else ()
    _change(NEWROUTE, body, (RTA_OIF, struct.pack("=I", device)), *preferred)


def _change(kind: int, body: bytes, *attributes: tuple[int, bytes]) -> None:
    for key, value in attributes:
        body += struct.pack("=HH", 4 + len(value), key) + value + bytes(-len(value) % 4)
    asked = _asked(kind, REQUEST | ACK | EXCL | CREATE, body)
    number = -struct.unpack_from("=i", os.read(asked, 4096), 16)[0]
    os.close(asked)
    if number:
        raise OSError(number, os.strerror(number), "rtnetlink")


def _dump(kind: int, wanted: int, body: bytes) -> Iterator[bytes]:
    asked = _asked(kind, REQUEST | DUMP, body)
    try:
        while True:
            for found, message in _messages(os.read(asked, 1 << 16)):
                if found == DONE:
                    return
                if found == ERROR:
                    number = -struct.unpack_from("=i", message)[0]
                    raise OSError(number, os.strerror(number), "rtnetlink")
                if found == wanted:
                    yield message
    finally:
        os.close(asked)


def _asked(kind: int, flags: int, body: bytes) -> int:
    """A socket to the kernel's rtnetlink with one question on its way."""
    opened = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, 0)
    descriptor = opened.detach()
    os.write(descriptor, struct.pack("=IHHII", 16 + len(body), kind, flags, 1, 0) + body)
    return descriptor


def _messages(data: bytes) -> Iterator[tuple[int, bytes]]:
    while len(data) >= 16:
        length, kind = struct.unpack_from("=IH", data)
        if length < 16:
            return
        yield kind, data[16:length]
        data = data[(length + 3) & ~3 :]


def _attributes(body: bytes, offset: int) -> dict[int, bytes]:
    found = {}
    while offset + 4 <= len(body):
        length, key = struct.unpack_from("=HH", body, offset)
        if length < 4:
            break
        found[key & 0x3FFF] = body[offset + 4 : offset + length]
        offset += (length + 3) & ~3
    return found
