"""Unix sockets of the host that somebody could talk to by a path below what is granted: a mount does not stop
connect(2), a read-only one neither. The kernel lists those of our network namespace (unix(7), proc_net(5))."""

from __future__ import annotations

import os
import stat

from claudebox.errors import ClaudeboxError

LISTENS = 0x10000  # __SO_ACCEPTCON, net.h
DATAGRAM = 2  # takes messages from anybody without listening
MOST = 100  # each becomes a mount


def survey(tops: list[str], table: str = "/proc/net/unix") -> tuple[str, ...]:
    """Canonical paths of sockets at or below tops, which are canonical. Raises ClaudeboxError for too many.

    A name that was bound as a relative one is looked for below each of tops alone: the kernel keeps no more of it.
    """
    found: set[str] = set()
    directories: dict[str, str] = {}
    try:
        with open(table, "rb") as file:
            lines = file.read().split(b"\n")[1:]
    except OSError:
        return ()
    for line in lines:
        fields = line.split(None, 7)
        if len(fields) < 8 or fields[7].startswith(b"@"):
            continue
        try:
            flags, kind = int(fields[3], 16), int(fields[4], 16)
        except ValueError:  # the rest of a name with a newline in it
            continue
        if flags & LISTENS or kind == DATAGRAM:
            name = os.fsdecode(fields[7])
            found.update(filter(None, (_shown(one, tops, directories) for one in _places(name, tops))))
    if len(found) > MOST:
        hint = "end what listens there, or start somewhere else"
        raise ClaudeboxError(f"{len(found)} sockets of the host lie in what the sandbox would see", hint)
    return tuple(sorted(found))


def _places(name: str, tops: list[str]) -> list[str]:
    return [name] if name.startswith("/") else [f"{top}/{name}" for top in tops]


def _shown(name: str, tops: list[str], directories: dict[str, str]) -> str:
    """The canonical path of a socket that is still there and below one of tops; else ""."""
    parent, _, last = name.rpartition("/")
    if parent not in directories:
        directories[parent] = os.path.realpath(parent or "/")
    path = f"{directories[parent].rstrip('/')}/{last}"
    if not any(path == top or path.startswith(top.rstrip("/") + "/") for top in tops):
        return ""
    try:
        return path if stat.S_ISSOCK(os.lstat(path).st_mode) else ""
    except OSError:
        return ""
