"""Tries destinations, one line of JSON each: the program that runs in the sandbox, and beside it as the control.

    python3 -I probe.py '[{"id": "lan", "how": "tcp", "to": "192.168.77.10", "port": 7}]'

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
    sock = socket.socket(socket.AF_INET6 if ":" in address[0] else socket.AF_INET, kind, protocol)
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
        sock.connect(address)
        said = sock.recv(100).decode(errors="replace").strip()
        sock.sendall(case["id"].encode())
        return f"{said} {sock.recv(1000).decode(errors='replace')}"


def udp(case: Case) -> str:
    """Unconnected: the answer may come from anywhere (a group's, from a member)."""
    address = target(case)
    with made(case, address, socket.SOCK_DGRAM) as sock:
        sock.sendto(case["id"].encode() + b"." * case.get("padding", 0), address)
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
    with made(case, address, socket.SOCK_RAW, case.get("protocol", socket.IPPROTO_UDP)) as sock:
        sock.sendto(struct.pack(">HHHH", 40000, 7, 8 + len(case["id"]), 0) + case["id"].encode(), address)
        return "sent"


def abstract(case: Case) -> str:
    """A socket of the abstract namespace."""
    with socket.socket(socket.AF_UNIX) as sock:
        sock.connect("\0" + case["to"])
        return sock.recv(100).decode().strip()


HOW = {
    "tcp": tcp, "udp": udp, "udp-connected": udp_connected, "icmp": icmp, "dns": dns, "dns-tcp": dns_tcp,
    "resolve": resolve, "opened": opened, "raw": raw, "abstract": abstract,
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


def listen(output: Any) -> None:
    """Open a UDP socket to an address by sending to it, say the port, then say each datagram until standard input
    ends: `listen ADDRESS PORT`."""
    with socket.socket(family_of(sys.argv[2]), socket.SOCK_DGRAM) as sock:
        sock.sendto(b"opened", (sys.argv[2], int(sys.argv[3])))
        while True:
            ready, _, _ = select.select([sock, 0], [], [])
            if sock in ready:
                data, source = sock.recvfrom(4096)
                print(json.dumps({"from": source[0], "data": data.decode(errors="replace")}), file=output, flush=True)
            if 0 in ready and not os.read(0, 100):
                return


def main() -> None:
    """Cases as the first argument, or `-` for standard input."""
    if sys.argv[1] == "listen":
        listen(sys.stdout)
        return
    text = sys.stdin.read() if sys.argv[1] == "-" else sys.argv[1]
    for case in json.loads(text):
        print(json.dumps(tried(case)), flush=True)


if __name__ == "__main__":
    main()
