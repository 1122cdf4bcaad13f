"""Tries destinations, one line of JSON each: the program that runs in the sandbox, and beside it as the control.

    python3 -I probe.py '[{"id": "lan", "how": "tcp", "to": "192.168.77.10", "port": 7}]'
    python3 -I probe.py lines       one case a line on standard input, each answered at once
    python3 -I probe.py listen ADDRESS PORT

Of itself: standard library, one file. A result has `error` (the errno's name, `timeout`, or "" when an answer
came), `ms` until then, and `answer`. A connection says its id, so that a server's log names the case.
"""

from __future__ import annotations

import errno
import json
import os
import select
import socket
import struct
import sys
import time
from typing import Any

PATIENCE = 1.5  # seconds, of one case
IPV6_RECVERR = 25
Case = dict[str, Any]


def family_of(address: str) -> int:
    return socket.AF_INET6 if ":" in address else socket.AF_INET


def target(case: Case) -> tuple[Any, ...]:
    """The socket address of a case; a scope is an interface's name, a name is looked up."""
    host, port = case["to"], case.get("port", 7)
    if "name" in case:
        family = {"4": socket.AF_INET, "6": socket.AF_INET6}[case["name"]]
        return tuple(socket.getaddrinfo(host, port, family, socket.SOCK_STREAM)[0][4])
    if ":" not in host:
        return (host, port)
    return (host, port, 0, socket.if_nametoindex(case["scope"]) if "scope" in case else 0)


def made(case: Case, address: tuple[Any, ...], kind: int, protocol: int = 0) -> socket.socket:
    """A socket for a case, with the options that it asks for."""
    family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
    sock = socket.socket(family, kind, case.get("protocol", protocol))
    sock.settimeout(case.get("patience", PATIENCE))
    for level, name, value in case.get("options", ()):
        sock.setsockopt(level, name, bytes.fromhex(value) if isinstance(value, str) else value)
    if "device" in case:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, case["device"].encode() + b"\0")
    if "source" in case:
        sock.bind(tuple(case["source"]))
    return sock


def tcp(case: Case) -> str:
    address = target(case)
    with made(case, address, socket.SOCK_STREAM) as sock:
        if case.get("fast_open"):
            fast_open(sock, case["id"].encode(), address)
        else:
            sock.connect(address)
        said = sock.recv(100).decode(errors="replace").strip()
        sock.sendall(case["id"].encode())
        return f"{said} {sock.recv(1000).decode(errors='replace')}"


def fast_open(sock: socket.socket, data: bytes, address: tuple[Any, ...]) -> None:
    """Data in the SYN."""
    sock.settimeout(None)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(PATIENCE * 1000))
    sock.sendto(data, socket.MSG_FASTOPEN, address)


def say(case: Case) -> str:
    """Bytes of our own after the greeting; whether the very same came back."""
    address = target(case)
    with made(case, address, socket.SOCK_STREAM) as sock:
        sock.connect(address)
        greeting = sock.recv(100).decode(errors="replace").strip()
        data = bytes.fromhex(case["payload"])
        size = case.get("pieces", 1 << 20)
        for at in range(0, len(data), size):
            sock.sendall(data[at : at + size])
        back = b""
        while len(back) < len(data) and (more := sock.recv(1 << 16)):
            back += more
        return f"{greeting} {'the same' if back == data else 'other'}"


def udp(case: Case) -> str:
    """Unconnected: the answer may come from anywhere (a group's, from a member)."""
    address = target(case)
    with made(case, address, socket.SOCK_DGRAM) as sock:
        data = bytes.fromhex(case["payload"]) if "payload" in case else case["id"].encode()
        sock.sendto(data + b"." * case.get("padding", 0), address)
        return sock.recv(1 << 16).decode(errors="replace").rstrip(".")


def udp_connected(case: Case) -> str:
    address = target(case)
    with made(case, address, socket.SOCK_DGRAM) as sock:
        sock.connect(address)
        sock.send(case["id"].encode())
        return sock.recv(1000).decode(errors="replace")


def icmp(case: Case) -> str:
    """An echo by a datagram socket, as ping sends it without privileges."""
    address = target(case)
    six = ":" in address[0]
    protocol = socket.IPPROTO_ICMPV6 if six else socket.IPPROTO_ICMP
    with made(case, address, socket.SOCK_DGRAM, protocol) as sock:
        if six:  # as ping(8): sendmsg of an IPv6 echo tells of no refusal, the error queue does
            sock.setsockopt(socket.IPPROTO_IPV6, IPV6_RECVERR, 1)
        sock.sendto(struct.pack(">BBHHH", 128 if six else 8, 0, 0, 0, 1) + case["id"].encode(), address)
        return sock.recv(1000)[8:].decode(errors="replace")


def dns(case: Case) -> str:
    """A question to a server, by UDP: the answer's size."""
    address = target({"port": 53, **case})
    with made(case, address, socket.SOCK_DGRAM) as sock:
        sock.sendto(question(case), address)
        return str(len(sock.recv(4096)))


def dns_tcp(case: Case) -> str:
    address = target({"port": 53, **case})
    with made(case, address, socket.SOCK_STREAM) as sock:
        sock.connect(address)
        query = question(case)
        sock.sendall(struct.pack(">H", len(query)) + query)
        return str(len(sock.recv(4096)))


def question(case: Case) -> bytes:
    name = case.get("ask", "public.test")
    labels = b"".join(bytes([len(label)]) + label.encode() for label in name.split("."))
    return struct.pack(">HHHHHH", 7, 0x0100, 1, 0, 0, 0) + labels + b"\0" + struct.pack(">HH", case.get("type", 1), 1)


def resolve(case: Case) -> str:
    """What a name resolves to, as the C library sees it."""
    family = {"4": socket.AF_INET, "6": socket.AF_INET6}[case["name"]]
    try:
        found = socket.getaddrinfo(case["to"], 7, family, socket.SOCK_STREAM)
    except socket.gaierror as error:
        return f"gai {error.errno}"
    return " ".join(sorted({str(entry[4][0]) for entry in found}))


def opened(case: Case) -> str:
    """Only a socket, of any kind: whether it can be had."""
    socket.socket(case["family"], case["type"], case.get("protocol", 0)).close()
    return "opened"


def raw(case: Case) -> str:
    """A raw socket that sends; without an answer, sending is success."""
    address = target({**case, "port": 0})
    with made(case, address, socket.SOCK_RAW, socket.IPPROTO_UDP) as sock:
        sock.sendto(struct.pack(">HHHH", 40000, 7, 8 + len(case["id"]), 0) + case["id"].encode(), address)
        return "sent"


def abstract(case: Case) -> str:
    """A socket of the abstract namespace."""
    with socket.socket(socket.AF_UNIX) as sock:
        sock.connect("\0" + case["to"])
        return sock.recv(100).decode().strip()


HELD: dict[str, socket.socket] = {}


def hold(case: Case) -> str:
    """A connection that stays open, under the case's `name`."""
    address = target({key: value for key, value in case.items() if key != "name"})
    sock = HELD[case["name"]] = made(case, address, socket.SOCK_STREAM)
    sock.connect(address)
    return sock.recv(100).decode().strip()


def use(case: Case) -> str:
    """Says something on a held connection, and what comes back."""
    sock = HELD[case["name"]]
    sock.settimeout(case.get("patience", PATIENCE))
    sock.sendall(case["id"].encode())
    return sock.recv(1000).decode(errors="replace")


HOW = {
    "tcp": tcp, "say": say, "udp": udp, "udp-connected": udp_connected, "icmp": icmp, "dns": dns, "dns-tcp": dns_tcp,
    "resolve": resolve, "opened": opened, "raw": raw, "abstract": abstract, "hold": hold, "use": use,
}  # fmt: skip


def tried(case: Case) -> Case:
    """One case with its result."""
    started, error, answer = time.perf_counter(), "", ""
    try:
        answer = HOW[case["how"]](case)
    except TimeoutError as problem:
        error = errno.errorcode.get(problem.errno, "") if problem.errno else "timeout"
    except socket.gaierror as problem:
        error = f"gai {problem.errno}"
    except OSError as problem:
        error = errno.errorcode.get(problem.errno or 0, str(problem))
    ms = round(1000 * (time.perf_counter() - started), 3)
    return {"id": case["id"], "error": error, "ms": ms, "answer": answer}


def listen(address: str, port: int) -> None:
    """Open a UDP socket to an address by sending to it. Says each datagram that comes; sends each line of input."""
    with socket.socket(family_of(address), socket.SOCK_DGRAM) as sock:
        sock.sendto(b"opened", (address, port))
        while True:
            ready, _, _ = select.select([sock, 0], [], [])
            if sock in ready:
                data, source = sock.recvfrom(4096)
                print(json.dumps({"from": source[0], "data": data.decode(errors="replace")}), flush=True)
            if 0 in ready:
                if not (line := os.read(0, 1000)):
                    return
                sock.sendto(line.strip(), (address, port))


def main() -> None:
    """Cases as the first argument, or `-` for standard input."""
    if sys.argv[1] == "listen":
        listen(sys.argv[2], int(sys.argv[3]))
        return
    if sys.argv[1] == "lines":
        print("ready", flush=True)
        for line in sys.stdin:
            print(json.dumps(tried(json.loads(line))), flush=True)
        return
    text = sys.stdin.read() if sys.argv[1] == "-" else sys.argv[1]
    for case in json.loads(text):
        print(json.dumps(tried(case)), flush=True)


if __name__ == "__main__":
    main()
