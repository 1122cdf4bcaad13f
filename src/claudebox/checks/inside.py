"""Runs inside a sandbox and tries what the probes on standard input say, each harmless; answers on standard output.

Standard library, no import of ours, one file: it is handed to a Python as its program. Input: a JSON list of
[what to do, [arguments]]; output: a JSON list of what came of each, in words: an errno's name, or what was got.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import json
import os
import re
import resource
import socket
import sys
from collections.abc import Callable
from typing import Any

CLONE_NEWUSER, CLONE_NEWNS = 0x10000000, 0x00020000
MS_REMOUNT, MS_BIND = 0x20, 0x1000
SIOCGIFFLAGS, SIOCSIFFLAGS = 0x8913, 0x8914
PATIENCE = 1.5  # seconds, of a connection to elsewhere
# What the shell at the gate sets, and what the kernel serves: bwrap's device files, what of /proc uid 0 could write.
SHELLS = {"PWD", "OLDPWD", "SHLVL", "_"}
BWRAPS = re.compile(r"/dev/.*|/proc/(sys|sysrq-trigger|irq|bus)")
LIBC = ctypes.CDLL(None, use_errno=True)


def named(number: int) -> str:
    """An error by its name."""
    return errno.errorcode.get(number, str(number))


def called(result: int) -> str:
    """What a C function's result says: `allowed`, or why not."""
    return "allowed" if result >= 0 else named(ctypes.get_errno())


# --- files ---------------------------------------------------------------------------------------


def read(path: str) -> str:
    """Read a byte."""
    with open(path, "rb") as file:
        file.read(1)
    return "read"


def write(path: str) -> str:
    """Open for writing, and write nothing."""
    os.close(os.open(path, os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY))
    return "writable"


def create(directory: str) -> str:
    """Make a file that is gone at once."""
    path = os.path.join(directory, f".claudebox-probe-{os.getpid()}")
    os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    os.unlink(path)
    return "writable"


def move(path: str) -> str:
    """Rename something, and back."""
    aside = path + ".claudebox-probe"
    os.rename(path, aside)
    os.rename(aside, path)
    return "moved"


def identical(*places: list[Any]) -> str:
    """Which of the host's files, by (name, path, device, inode), are here."""
    found = []
    for name, path, device, inode in places:
        try:
            seen = os.stat(path)
        except OSError:
            continue
        if (seen.st_dev, seen.st_ino) == (device, inode):
            found.append(name)
    return ", ".join(found) or "none"


def present(*paths: str) -> str:
    """Which of some paths are there."""
    return ", ".join(path for path in paths if os.path.lexists(path)) or "none"


def size(path: str) -> str:
    """Bytes of a file system."""
    found = os.statvfs(path)
    return str(found.f_frsize * found.f_blocks)


def search(path: str, text: str) -> str:
    """Whether a file of /proc holds a text."""
    with open(path, "rb") as file:
        return "found" if text.encode() in file.read() else "not there"


def refresh(path: str, dummy: str) -> str:
    """Whether a file of an agent's login has a refresh token in it; one that begins like dummy is none."""
    with open(path, encoding="utf-8", errors="replace") as file:
        found = re.findall(r'"refresh_?[tT]oken"\s*:\s*"([^"]*)', file.read(1 << 20))
    return "there" if [one for one in found if one and not one.startswith(dummy)] else "none"


def mounts(expected: dict[str, str]) -> str:
    """How the mounts differ from those of the plan, mount point → ro or rw."""
    found = {}
    with open("/proc/self/mountinfo", "rb") as file:
        for line in file.read().split(b"\n")[:-1]:
            fields = line.split(b" ")
            raw = re.sub(rb"\\([0-7]{3})", lambda octal: bytes([int(octal[1], 8)]), fields[4])
            found[os.fsdecode(raw)] = "ro" if b"ro" in fields[5].split(b",") else "rw"
    wrong = [f"{point} is missing" for point in expected if point not in found]
    for point, access in found.items():
        if point not in expected and not BWRAPS.fullmatch(point):
            wrong.append(f"{point} is not planned")
        elif expected.get(point, access) != access:
            wrong.append(f"{point} is {access}")
    return "; ".join(wrong) or "as planned"


# --- the process ---------------------------------------------------------------------------------


def environment(expected: list[str]) -> str:
    """How the variables that this process was started with differ from those of the plan."""
    with open("/proc/self/environ", "rb") as file:  # Python adds LC_CTYPE to its own
        mine = {os.fsdecode(one.split(b"=")[0]) for one in file.read().split(b"\0")[:-1]} - SHELLS
    more, less = sorted(mine - set(expected)), sorted(set(expected) - mine)
    return "; ".join([f"{n} is not planned" for n in more] + [f"{n} is missing" for n in less]) or "as planned"


def status(field: str) -> str:
    """A field of /proc/self/status."""
    with open("/proc/self/status", encoding="ascii", errors="replace") as file:
        return next(line.split(":", 1)[1].strip() for line in file if line.startswith(field + ":"))


def descriptors() -> str:
    """The open descriptors."""
    listing = os.open("/proc/self/fd", os.O_RDONLY | os.O_DIRECTORY)
    found = sorted(int(name) for name in os.listdir(listing) if int(name) != listing)
    os.close(listing)
    return " ".join(str(number) for number in found if is_open(number))


def is_open(number: int) -> bool:
    """Whether a descriptor is."""
    try:
        os.fstat(number)
    except OSError:  # the listing's own copy
        return False
    return True


def processes() -> str:
    """Processes that are neither the sandbox's first nor this one."""
    others = [int(name) for name in os.listdir("/proc") if name.isdigit()]
    names = []
    for pid in sorted(set(others) - {1, os.getpid()}):
        with open(f"/proc/{pid}/comm", encoding="utf-8", errors="replace") as file:
            names.append(f"{file.read().strip()} ({pid})")
    return ", ".join(names) or "none"


def signal(pid: int) -> str:
    """Whether a process of that number can be signalled: signal 0 is none."""
    os.kill(pid, 0)
    return "reached"


def limit(number: int) -> str:
    """A resource limit, soft and hard."""
    return " ".join(str(one) for one in resource.getrlimit(number))


# --- the kernel ----------------------------------------------------------------------------------


def call(number: int, *arguments: int) -> str:
    """A system call whose arguments make it fail where no filter does."""
    return called(LIBC.syscall(ctypes.c_long(number), *[ctypes.c_long(one) for one in arguments]))


def terminal(request: int) -> str:
    """A request of terminals to what is none: without a filter ENOTTY."""
    reader, writer = os.pipe()
    try:
        fcntl.ioctl(reader, request, b"\0" * 8)
    finally:
        os.close(reader)
        os.close(writer)
    return "allowed"


def opened(family: int, kind: int, protocol: int) -> str:
    """Whether a socket of a kind can be had."""
    socket.socket(family, kind, protocol).close()
    return "opened"


def nest() -> str:
    """A user namespace of our own, with all capabilities in it; what follows is tried there."""
    uid, gid = os.getuid(), os.getgid()
    if LIBC.unshare(CLONE_NEWUSER | CLONE_NEWNS) != 0:
        return named(ctypes.get_errno())
    for name, text in (("uid_map", f"0 {uid} 1"), ("setgroups", "deny"), ("gid_map", f"0 {gid} 1")):
        try:
            with open("/proc/self/" + name, "w", encoding="ascii") as file:
                file.write(text)
        except OSError:  # uid 0 without capabilities may map nobody (user_namespaces(7)), and has them all inside
            pass
    return "allowed"


def remount(path: str) -> str:
    """Make a read-only mount writable."""
    return called(LIBC.mount(None, path.encode(), None, ctypes.c_ulong(MS_REMOUNT | MS_BIND), None))


def unmount(path: str) -> str:
    """Take a mount away."""
    return called(LIBC.umount2(path.encode(), 0))


def interface() -> str:
    """Set the flags of the loopback interface to what they are: whoever may, may change any network setting."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
        flags = fcntl.ioctl(one, SIOCGIFFLAGS, b"lo".ljust(40, b"\0"))
        fcntl.ioctl(one, SIOCSIFFLAGS, flags)
    return "allowed"


# --- sockets and the network ---------------------------------------------------------------------


def interfaces() -> str:
    """The names of the network interfaces."""
    return " ".join(sorted(name for _, name in socket.if_nameindex()))


def unix(*paths: str) -> str:
    """Which sockets can be connected to; a path that begins with @ is an abstract one's."""
    reached = []
    for path in paths:
        with socket.socket(socket.AF_UNIX) as one:
            try:
                one.connect("\0" + path[1:] if path.startswith("@") else path)
            except OSError as error:
                if error.errno != errno.EPROTOTYPE:  # there, of another type
                    continue
            reached.append(path)
    return ", ".join(reached) or "none"


def tcp(*places: list[Any]) -> str:
    """Which of some (host, port) take a connection."""
    reached = []
    for host, port in places:
        try:
            socket.create_connection((host, port), PATIENCE).close()
        except OSError:
            continue
        reached.append(f"{host}:{port}")
    return ", ".join(reached) or "none"


WAYS: dict[str, Callable[..., str]] = {
    "read": read, "write": write, "create": create, "move": move, "identical": identical, "present": present,
    "refresh": refresh, "size": size, "search": search, "mounts": mounts, "environment": environment, "status": status,
    "descriptors": descriptors, "processes": processes, "signal": signal, "limit": limit, "call": call,
    "terminal": terminal, "opened": opened, "nest": nest, "remount": remount, "unmount": unmount,
    "interface": interface, "interfaces": interfaces, "unix": unix, "tcp": tcp,
}  # fmt: skip


def tried(way: str, arguments: list[Any]) -> str:
    """What came of one probe, in words."""
    try:
        return WAYS[way](*arguments)
    except OSError as error:
        return named(error.errno or 0)


def main() -> None:
    """All of them, in order: those behind `nest` run in the nested namespace."""
    probes = json.load(sys.stdin)
    json.dump([tried(way, arguments) for way, arguments in probes], sys.stdout)


if __name__ == "__main__":
    main()
