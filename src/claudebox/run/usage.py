"""How much space a tree takes that an agent could have written: no link followed, depth and count bounded."""

from __future__ import annotations

import os
import stat
from typing import NamedTuple

DEEPEST = 200  # levels, each of which holds a descriptor open
MOST = 2_000_000  # entries


class Usage(NamedTuple):
    """size: bytes on disk; hidden: directories that could not be read, or lay too deep; largest: (path below the
    tree, bytes) of what lies at most two levels deep, the largest first."""

    size: int
    hidden: int
    largest: tuple[tuple[str, int], ...]


class _Count:
    """What was counted so far: bytes by the first two names of a path, files of several names once."""

    def __init__(self) -> None:
        self.sizes: dict[str, int] = {}
        self.seen: set[tuple[int, int]] = set()
        self.left = MOST
        self.hidden = 0

    def add(self, path: tuple[str, ...], state: os.stat_result) -> None:
        """Count one file or directory."""
        if state.st_nlink > 1 and not stat.S_ISDIR(state.st_mode):
            if (state.st_dev, state.st_ino) in self.seen:
                return
            self.seen.add((state.st_dev, state.st_ino))
        place = "/".join(path[:2])
        self.sizes[place] = self.sizes.get(place, 0) + state.st_blocks * 512


def measure(parent: int, name: str) -> Usage:
    """The usage of the directory name in parent. What vanishes meanwhile is not counted."""
    count = _Count()
    _walk(parent, name, (), count)
    largest = sorted(count.sizes.items(), key=lambda found: (-found[1], found[0]))
    return Usage(sum(count.sizes.values()), count.hidden, tuple((path, size) for path, size in largest if path))


def _walk(parent: int, name: str, path: tuple[str, ...], count: _Count) -> None:
    try:
        here = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=parent)
    except FileNotFoundError:
        return
    except OSError:
        count.hidden += 1
        return
    try:
        with os.scandir(here) as entries:
            for entry in entries:
                _one(here, entry, (*path, entry.name), count)
    except OSError:
        count.hidden += 1
    finally:
        os.close(here)


def _one(here: int, entry: os.DirEntry[str], path: tuple[str, ...], count: _Count) -> None:
    count.left -= 1
    try:
        state = entry.stat(follow_symlinks=False)
    except OSError:
        return
    count.add(path, state)
    if stat.S_ISDIR(state.st_mode):
        if len(path) >= DEEPEST or count.left <= 0:
            count.hidden += 1
        else:
            _walk(here, entry.name, path, count)
