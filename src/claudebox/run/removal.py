"""Removing an instance: renamed first, then emptied through descriptors, whatever an agent left in its home.

A directory is emptied by moving its subdirectories up beside it, into a line of directories that are emptied one
after the other: no link is followed, and no depth of nesting takes more than two descriptors.
"""

from __future__ import annotations

import itertools
import os
import stat
import time
from collections.abc import Iterator

from claudebox import descriptors

PREFIX = ".removed-"  # what `kept.names` passes over
BATCH = 1000  # entries at a time: an agent can make millions


def remove(instances: int, name: str) -> None:
    """Remove an instance. instances: the directory of all; its lock is held by the caller.

    Once it is renamed it is no instance any more; what an interruption leaves, `finish` removes. Raises OSError.
    """
    grave = f"{PREFIX}{name}-{time.time_ns()}"
    os.mkdir(grave, 0o700, dir_fd=instances)
    os.rename(name, f"{grave}/{name}", src_dir_fd=instances, dst_dir_fd=instances)
    empty(instances, grave)


def finish(instances: int) -> int:
    """Remove what interrupted removals left; how many there were. Raises OSError."""
    graves = [name for name in os.listdir(instances) if name.startswith(PREFIX)]
    for name in graves:
        empty(instances, name)
    return len(graves)


def empty(parent: int, name: str) -> None:
    """Remove the directory name in parent with all that is in it. Raises OSError."""
    top = opened(parent, name)
    try:
        numbers = itertools.count(time.time_ns())
        while found := _batch(top):
            for entry in found:
                if _is_directory(top, entry):
                    _empty_one(top, entry, numbers)
                else:
                    os.unlink(entry, dir_fd=top)
    finally:
        os.close(top)
    os.rmdir(name, dir_fd=parent)


def _empty_one(top: int, name: str, numbers: Iterator[int]) -> None:
    """Unlink the files of a directory in top, move its directories into top under new names, remove it."""
    here = opened(top, name)
    try:
        while found := _batch(here):
            for entry in found:
                if _is_directory(here, entry):
                    os.close(opened(here, entry))  # another parent is written into it: it has to be writable
                    os.rename(entry, str(next(numbers)), src_dir_fd=here, dst_dir_fd=top)
                else:
                    os.unlink(entry, dir_fd=here)
    finally:
        os.close(here)
    os.rmdir(name, dir_fd=top)


def opened(parent: int, name: str) -> int:
    """A descriptor of a directory in parent that is readable and writable now, whatever its mode was.

    Raises OSError, for a link and what is no directory too.
    """
    held = os.open(name, descriptors.DIRECTORY, dir_fd=parent)
    try:
        mode = stat.S_IMODE(os.fstat(held).st_mode)
        if mode & 0o700 != 0o700:
            os.chmod(f"/proc/self/fd/{held}", mode | 0o700)  # chmod(2) by name could follow a link
        return os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=held)
    finally:
        os.close(held)


def _batch(directory: int) -> list[str]:
    with os.scandir(directory) as entries:
        return [entry.name for entry in itertools.islice(entries, BATCH)]


def _is_directory(parent: int, name: str) -> bool:
    return stat.S_ISDIR(os.stat(name, dir_fd=parent, follow_symlinks=False).st_mode)
