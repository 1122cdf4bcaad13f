"""What wakes a launcher for the login: inotify(7) and timerfd_create(2), by ctypes. Nothing here polls."""

from __future__ import annotations

import ctypes
import os
import struct
import time

from claudebox.run.namespaces import LIBC, checked

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

MODIFY, ATTRIB, CLOSE_WRITE, MOVED_FROM, MOVED_TO, CREATE, DELETE = 0x2, 0x4, 0x8, 0x40, 0x80, 0x100, 0x200
DELETE_SELF, MOVE_SELF, OVERFLOW, IGNORED = 0x400, 0x800, 0x4000, 0x8000
ONLY_DIRECTORY = 0x1000000
CHANGES = CLOSE_WRITE | MOVED_FROM | MOVED_TO | CREATE | DELETE | ATTRIB | DELETE_SELF | MOVE_SELF
GONE = DELETE_SELF | MOVE_SELF | OVERFLOW | IGNORED  # of the directory itself: whoever watches looks again

REALTIME, ABSOLUTE, CANCEL_ON_SET = 0, 1, 2


class Changes:
    """The changes of some names in some directories. For other directories: `close`, and make another."""

    def __init__(self, directories: Sequence[int | str], names: Sequence[str], *, more: int = 0) -> None:
        """directories: descriptors of them, or paths; more: of inotify(7) besides CHANGES.

        Raises OSError: one is none, or inotify is used up.
        """
        self.names = {os.fsencode(name) for name in names}
        self.descriptor = checked(LIBC.inotify_init1(os.O_CLOEXEC | os.O_NONBLOCK), "inotify")
        try:
            for directory in directories:
                path = directory if isinstance(directory, str) else f"/proc/self/fd/{directory}"
                mask = ctypes.c_uint(CHANGES | more | ONLY_DIRECTORY)
                checked(LIBC.inotify_add_watch(self.descriptor, os.fsencode(path), mask), "inotify")
        except OSError:
            os.close(self.descriptor)
            raise

    def arrived(self) -> tuple[bool, bool]:
        """Whether one of the names changed, or a directory; and whether a directory itself was moved or is gone."""
        named = gone = False
        try:
            while data := os.read(self.descriptor, 1 << 16):
                for mask, name in _events(data):
                    gone = gone or bool(mask & GONE)
                    named = named or name in self.names
        except BlockingIOError:
            pass
        return named or gone, gone

    def close(self) -> None:
        """End the watch."""
        os.close(self.descriptor)


def _events(data: bytes) -> list[tuple[int, bytes]]:
    found, at = [], 0
    while at < len(data):
        _, mask, _, length = struct.unpack_from("=iIII", data, at)
        at += 16
        found.append((mask, data[at : at + length].rstrip(b"\0")))
        at += length
    return found


class Alarm:
    """Wakes at a moment of the wall clock, in milliseconds since 1970: a laptop's sleep counts, and when the clock is
    set it wakes as well."""

    def __init__(self) -> None:
        """Raises OSError."""
        flags = ctypes.c_int(os.O_CLOEXEC | os.O_NONBLOCK)
        self.descriptor = checked(LIBC.timerfd_create(ctypes.c_int(REALTIME), flags), "timerfd_create")

    def at(self, moment: int | None) -> None:
        """Set it; None: never."""
        whole, rest = divmod(0 if moment is None else max(1, moment), 1000)
        value = struct.pack("@llll", 0, 0, whole, rest * 1_000_000)
        flags = ctypes.c_int(ABSOLUTE | CANCEL_ON_SET)
        checked(LIBC.timerfd_settime(self.descriptor, flags, value, None), "timerfd_settime")

    def arrived(self) -> None:
        """Take what woke us; ECANCELED when the clock was set."""
        try:
            os.read(self.descriptor, 8)
        except OSError:
            pass


def now() -> int:
    """The wall clock, in milliseconds since 1970."""
    return time.time_ns() // 1_000_000
