"""Object stores that a repository borrows from: `objects/info/alternates`, read by hand and as hostile.

An agent can write that file, and nothing in the named store says that it is lent: so what lies elsewhere is mounted
only after a person accepted it by its path (gitrepository-layout(5)).
"""

from __future__ import annotations

import os

from claudebox import descriptors

MOST, DEEP = 20, 5  # stores; stores of stores, as git follows them
LIMIT = 1 << 16  # bytes of a file


def find(root: str, common: str) -> tuple[tuple[str, str], ...]:
    """(path as it is named, canonical path) of each store that lies neither in the project nor in its git directory.

    root: the project; common: its git directory; canonical. What does not look like a store is none.
    """
    found: dict[str, str] = {}
    read: set[str] = set()
    level = [f"{common}/objects"]
    for _ in range(DEEP):
        level = [path for store in level for path in _named(store, read)]
        for path in level:
            real = os.path.realpath(path)
            if len(found) < MOST and not (f"{real}/").startswith((f"{root}/", f"{common}/")):
                found.setdefault(path, real)
    return tuple(sorted(found.items()))


def _named(store: str, read: set[str]) -> list[str]:
    """What the file of a store names, each once. read: canonical paths of those that were read."""
    real = os.path.realpath(store)
    if real in read or len(read) > MOST:
        return []
    read.add(real)
    try:
        info = descriptors.pinned(f"{real}/info")
        try:
            text = descriptors.read_file(info, "alternates", LIMIT) or b""
        finally:
            os.close(info)
    except OSError:
        return []
    lines = [line for line in os.fsdecode(text).split("\n") if line and line[0] != "#"]
    return [path for path in (os.path.normpath(os.path.join(store, line)) for line in lines[:MOST]) if _is_store(path)]


def _is_store(path: str) -> bool:
    return all(os.path.isdir(f"{path}/{name}") for name in ("info", "pack"))
