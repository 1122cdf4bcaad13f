"""The servers of the test internet: plain sockets in several network namespaces, one poll loop, one log.

A socket stays in the namespace that it was made in, so one process serves them all. Each server answers with its
namespace's name and what it was sent, from the address that it was sent to, and each writes down what reached it.
Runs inside the world only (worldnet.py); nothing here dials.
"""

from __future__ import annotations

import contextlib
import os
import select
import socket
import struct
from collections.abc import Callable
from typing import Any

import names

TCP_PORTS = (7, 443)
UDP_PORTS = (7, 69, 443)
DNS_PORT = 53
GROUP4, GROUP6 = "239.7.7.7", "ff05::7:7"
PACKET_OUTGOING, LARGEST_LOG = 4, 50_000
NEIGHBOURS = range(130, 154)  # ICMPv6: multicast listeners, neighbour and router discovery
IPV6_RECVPKTINFO, IPV6_PKTINFO, IPV6_FREEBIND, IP_PKTINFO = 49, 50, 78, 8

Log = list[dict[str, Any]]


class Servers:
    """All sockets with their readers. log: what arrived, oldest first."""

    def __init__(self) -> None:
        self.poll = select.poll()
        self.readers: dict[int, tuple[socket.socket, Callable[[], None]]] = {}
        self.senders: dict[str, list[socket.socket]] = {}
        self.log: Log = []
        self.asked: dict[str, int] = {}

    def add(self, sock: socket.socket, reader: Callable[[], None]) -> None:
        """Call reader whenever sock has something."""
        sock.setblocking(False)
        self.readers[sock.fileno()] = sock, reader
        self.poll.register(sock, select.POLLIN)

    def drop(self, sock: socket.socket) -> None:
        """Forget a connection and close it."""
        del self.readers[sock.fileno()]
        self.poll.unregister(sock)
        sock.close()

    def turn(self, milliseconds: int) -> int:
        """Serve what is there, waiting that long for the first of it (-1: for ever); how much was served."""
        ready = [number for number, _ in self.poll.poll(milliseconds) if number in self.readers]
        for number in ready:
            if number in self.readers:
                with contextlib.suppress(OSError):
                    self.readers[number][1]()
        return len(ready)

    def record(self, where: str, kind: str, source: Any, target: Any, data: bytes = b"") -> None:
        """One line of the log. source, target: (address, port); data: the first 200 bytes."""
        if len(self.log) < LARGEST_LOG:
            entry = {"where": where, "kind": kind, "source": source[:2], "target": target[:2]}
            self.log.append({**entry, "data": data[:200].decode(errors="replace")})

    # --- what is served: called inside the namespace ---------------------------------------------

    def serve(self, where: str, families: tuple[int, ...], watched: tuple[str, ...]) -> None:
        """Every server in the namespace that this thread is in. watched: interfaces whose packets are logged."""
        for family in families:
            for port in (*TCP_PORTS, DNS_PORT):
                self._tcp(where, family, port)
            for port in (*UDP_PORTS, DNS_PORT):
                self._udp(where, family, port)
            self._icmp(where, family)
        for name in watched:
            self._packets(where, name)

    def _tcp(self, where: str, family: int, port: int) -> None:
        listener = socket.socket(family, socket.SOCK_STREAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        listener.bind(("", port))
        listener.listen(256)

        def accept() -> None:
            connection, source = listener.accept()
            target = connection.getsockname()
            self.record(where, "tcp", source, target)
            if port == DNS_PORT:
                self.add(connection, lambda: self._dns_stream(where, connection, source, target))
            else:
                connection.send(f"{where}\n".encode())
                self.add(connection, lambda: self._echo(where, connection, source, target))

        self.add(listener, accept)

    def _echo(self, where: str, connection: socket.socket, source: Any, target: Any) -> None:
        try:
            data = connection.recv(1 << 16)
        except ConnectionError:
            data = b""
        if not data:
            self.drop(connection)
            return
        self.record(where, "data", source, target, data)
        connection.send(data)

    def _dns_stream(self, where: str, connection: socket.socket, source: Any, target: Any) -> None:
        data = connection.recv(1 << 16)
        if len(data) > 2:
            name, answer = names.answer(data[2:], self.asked, stream=True)
            self.record(where, "dns", source, target, name.encode())
            connection.send(struct.pack(">H", len(answer)) + answer)
        self.drop(connection)

    def _udp(self, where: str, family: int, port: int) -> None:
        sock = socket.socket(family, socket.SOCK_DGRAM)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            sock.setsockopt(socket.IPPROTO_IPV6, IPV6_RECVPKTINFO, 1)
            sock.setsockopt(socket.IPPROTO_IPV6, IPV6_FREEBIND, 1)  # answers from a prefix that is local as a whole
        else:
            sock.setsockopt(socket.IPPROTO_IP, IP_PKTINFO, 1)
        sock.bind(("", port))
        if port == UDP_PORTS[0]:
            self.senders.setdefault(where, []).append(sock)
            _join(sock, family)

        def receive() -> None:
            data, extra, _, source = sock.recvmsg(1 << 16, 256)
            info = extra[0][2]
            to, back = _addresses(family, info)
            if port == DNS_PORT:
                name, reply = names.answer(data, self.asked, stream=False)
                self.record(where, "dns", source, (to, port), name.encode())
            else:
                reply = f"{where}:".encode() + data
                self.record(where, "udp", source, (to, port), data)
            sock.sendmsg([reply], back, 0, source)

        self.add(sock, receive)

    def _icmp(self, where: str, family: int) -> None:
        four = family == socket.AF_INET
        protocol = socket.IPPROTO_ICMP if four else socket.IPPROTO_ICMPV6
        sock = socket.socket(family, socket.SOCK_RAW, protocol)
        if not four:
            sock.setsockopt(socket.IPPROTO_IPV6, IPV6_RECVPKTINFO, 1)

        def receive() -> None:
            data, extra, _, source = sock.recvmsg(1 << 16, 256)
            if four:
                target, data = socket.inet_ntoa(data[16:20]), data[(data[0] & 15) * 4 :]
            else:
                target = _addresses(family, extra[0][2])[0]
            if data[0] == (8 if four else 128):  # the kernel answers
                self.record(where, "icmp", source, (target, 0), data[8:])

        self.add(sock, receive)

    def _packets(self, where: str, name: str) -> None:
        """Whatever arrives on an interface, also what no server takes: the proof that nothing came."""
        for kind in (0x0800, 0x86DD):
            sock = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(kind))
            sock.bind((name, kind))
            self.add(sock, self._packet_reader(where, sock, kind))

    def _packet_reader(self, where: str, sock: socket.socket, kind: int) -> Callable[[], None]:
        def receive() -> None:
            data, address = sock.recvfrom(1 << 16)
            if address[2] == PACKET_OUTGOING:
                return
            source, target, protocol = _header(kind, data)
            listeners = protocol == 2 or target == "ff02::16"  # of multicast: every kernel tells its groups
            if not listeners and not (protocol == 58 and len(data) > 40 and data[40] in NEIGHBOURS):
                self.record(where, "packet", (source, protocol), (target, protocol), data[:200])

        return receive

    def send(self, where: str, address: str, port: int, data: bytes) -> str:
        """A datagram out of a namespace, from port 7; the error's name, "" when it went."""
        for sock in self.senders[where]:
            if (sock.family == socket.AF_INET6) == (":" in address):
                try:
                    sock.sendto(data, (address, port))
                except OSError as error:
                    return error.strerror or str(error)
                return ""
        return "no socket of that family"


def enter(path: str) -> None:
    """This thread goes into a network namespace. CLONE_NEWNET; os.setns came with Python 3.12."""
    import ctypes

    libc = ctypes.CDLL(None, use_errno=True)
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        if libc.setns(descriptor, 0x40000000):
            raise OSError(ctypes.get_errno(), f"setns {path}")
    finally:
        os.close(descriptor)


def _join(sock: socket.socket, family: int) -> None:
    for number, name in socket.if_nameindex():
        with contextlib.suppress(OSError):
            if family == socket.AF_INET6:
                group = socket.inet_pton(socket.AF_INET6, GROUP6) + struct.pack("=i", number)
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_JOIN_GROUP, group)
            elif name != "lo":
                group = struct.pack("=4s4si", socket.inet_aton(GROUP4), bytes(4), number)
                sock.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, group)


def _addresses(family: int, info: bytes) -> tuple[str, list[tuple[int, int, bytes]]]:
    """Where a datagram was sent to, and what makes the answer come from there (not for a group)."""
    if family == socket.AF_INET6:
        address = socket.inet_ntop(socket.AF_INET6, info[:16])
        return address, [] if address.startswith("ff") else [(socket.IPPROTO_IPV6, IPV6_PKTINFO, info)]
    address = socket.inet_ntoa(info[8:12])
    back = struct.pack("=i4s4s", 0, info[8:12], bytes(4))
    group = 224 <= info[8] < 240 or info[4:8] != info[8:12]
    return address, [] if group else [(socket.IPPROTO_IP, IP_PKTINFO, back)]


def _header(kind: int, data: bytes) -> tuple[str, str, int]:
    """Source, target and protocol of a packet."""
    if kind == 0x0800:
        return socket.inet_ntoa(data[12:16]), socket.inet_ntoa(data[16:20]), data[9]
    return socket.inet_ntop(socket.AF_INET6, data[8:24]), socket.inet_ntop(socket.AF_INET6, data[24:40]), data[6]
