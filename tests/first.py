"""A program whose very first instructions are socket() and connect(): its status is the errno of the connection.

No interpreter, no loader, no C library: an ELF file of some 200 bytes, written by hand for x86-64.
"""

from __future__ import annotations

import os
import socket
import struct
from pathlib import Path

import pytest

BASE, HEADERS = 0x400000, 64 + 56


def program(address: str, port: int = 7) -> bytes:
    """The program that connects by TCP to an address and exits with the errno, 0 when it stands."""
    if os.uname().machine != "x86_64":
        pytest.skip("the program is written for x86-64")
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    packed = socket.inet_pton(family, address)
    name = struct.pack("=H", family) + struct.pack(">H", port)
    name += bytes(4) + packed + bytes(4) if family == socket.AF_INET6 else packed + bytes(8)
    code = (
        b"\xb8" + struct.pack("<I", 41)  # mov eax, socket
        + b"\xbf" + struct.pack("<I", family)  # mov edi
        + b"\xbe\x01\0\0\0" b"\x31\xd2" b"\x0f\x05"  # mov esi, SOCK_STREAM; xor edx, edx; syscall
        + b"\x89\xc7"  # mov edi, eax
        + b"\x48\x8d\x35" + struct.pack("<i", 23)  # lea rsi, [the address behind this code]
        + b"\xba" + struct.pack("<I", len(name))  # mov edx
        + b"\xb8" + struct.pack("<I", 42) + b"\x0f\x05"  # mov eax, connect; syscall
        + b"\x89\xc7\xf7\xdf"  # mov edi, eax; neg edi
        + b"\xb8" + struct.pack("<I", 60) + b"\x0f\x05"  # mov eax, exit; syscall
    )  # fmt: skip
    size = HEADERS + len(code) + len(name)
    header = b"\x7fELF\x02\x01\x01" + bytes(9)
    header += struct.pack("<HHIQQQIHHHHHH", 2, 62, 1, BASE + HEADERS, 64, 0, 0, 64, 56, 1, 0, 0, 0)
    segment = struct.pack("<IIQQQQQQ", 1, 5, 0, BASE, BASE, size, size, 0x1000)
    return header + segment + code + name


def write(path: Path, address: str, port: int = 7) -> Path:
    """Put that program into a file."""
    path.write_bytes(program(address, port))
    path.chmod(0o755)
    return path
