"""A directory of the host's, copied once into an instance's home: bounded, following no link, whole or not at all."""

from __future__ import annotations

import os
import shutil
import stat
import time

from claudebox import console, descriptors
from claudebox.text import amount, printable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

MOST, LARGEST = 50_000, 512 << 20  # entries and bytes of one tree
QUIET = 1.0  # seconds until the user is told what takes so long
READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


class TooMuch(Exception):
    """A tree beyond the bounds; what it says is for the user."""


class Progress:
    """What one copy has taken so far. look: raises what ends the launch, when it has come."""

    def __init__(self, source: str, look: Callable[[], None]) -> None:
        self.source, self.look, self.entries, self.size = source, look, 0, 0
        self.began, self.told = time.monotonic(), False

    def count(self, size: int) -> None:
        """One more entry. Raises TooMuch, and what look raises."""
        self.entries += 1
        self.size += size
        if self.entries > MOST or self.size > LARGEST:
            raise TooMuch(f"{self.source} is not copied: it has more than {MOST} files or {amount(LARGEST)}")
        self.look()
        if not self.told and time.monotonic() - self.began > QUIET:
            self.told = True
            console.say(f"claudebox: copying {printable(self.source)} into the instance's home, once")


def copy_once(
    source: str, opened: int, waiting: int, parent: int, name: str, said: list[str], look: Callable[[], None]
) -> None:
    """Copy source to name in parent, unless something is there.

    opened: a descriptor of source; waiting: a directory that no sandbox sees, on the same file system, where the
    copy is made; look: called for every entry. Raises OSError, and what look raises: then there is no copy.
    """
    try:
        os.stat(name, dir_fd=parent, follow_symlinks=False)
        return  # the instance has its own
    except FileNotFoundError:
        pass
    made = f"{name}.copy"
    if os.path.lexists(f"/proc/self/fd/{waiting}/{made}"):
        shutil.rmtree(made, dir_fd=waiting)  # of a launch that was killed here
    try:
        from_fd = descriptors.walk(opened, [])
        os.mkdir(made, 0o700, dir_fd=waiting)
        to_fd = descriptors.walk(waiting, [made])
        try:
            _copy(from_fd, to_fd, Progress(source, look))
        finally:
            os.close(from_fd)
            os.close(to_fd)
        os.rename(made, name, src_dir_fd=waiting, dst_dir_fd=parent)
    except TooMuch as error:
        shutil.rmtree(made, dir_fd=waiting)
        said.append(f"{error}; copy by hand what you need of it")
    except BaseException:
        shutil.rmtree(made, dir_fd=waiting, ignore_errors=True)
        raise


def _copy(source: int, target: int, progress: Progress) -> None:
    """Copy what lies in source into target. Links are copied as what they say, sockets and devices not at all."""
    waiting = [""]  # directories by their paths: descriptors would run out
    while waiting:
        path = waiting.pop()
        here, there = _listing(path, source), _listing(path, target)
        try:
            for name in os.listdir(here):
                state = os.stat(name, dir_fd=here, follow_symlinks=False)
                progress.count(state.st_size if stat.S_ISREG(state.st_mode) else 0)
                if stat.S_ISDIR(state.st_mode):
                    os.mkdir(name, 0o700, dir_fd=there)
                    waiting.append(f"{path}/{name}")
                elif stat.S_ISREG(state.st_mode):
                    _copy_file(here, there, name, state)
                elif stat.S_ISLNK(state.st_mode):
                    os.symlink(os.readlink(name, dir_fd=here), name, dir_fd=there)
        finally:
            os.close(here)
            os.close(there)


def _listing(path: str, start: int) -> int:
    """A directory below start, to be listed."""
    found = descriptors.walk(start, descriptors.parts(path))
    try:
        return os.open(".", READ | os.O_DIRECTORY, dir_fd=found)
    finally:
        os.close(found)


def _copy_file(here: int, there: int, name: str, state: os.stat_result) -> None:
    source = os.open(name, READ, dir_fd=here)
    try:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        target = os.open(name, flags, 0o600 | state.st_mode & 0o100, dir_fd=there)
        try:
            left = state.st_size  # what is added meanwhile is not ours to count
            while left > 0 and (copied := os.sendfile(target, source, None, min(left, 1 << 24))):
                left -= copied
        finally:
            os.close(target)
    finally:
        os.close(source)
