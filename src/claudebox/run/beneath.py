"""Opening and reading below a directory in one call that follows no link: openat2(2)."""

from __future__ import annotations

import ctypes
import os
import stat
import struct

from claudebox import descriptors
from claudebox.digest import sha256
from claudebox.run.namespaces import LIBC, checked

OPENAT2 = 437
NO_SYMLINKS, BENEATH = 0x04, 0x08
LIST = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
READ = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC  # a FIFO is opened at once
SIZE = ctypes.c_size_t(24)
HOW = {flags: struct.pack("=QQQ", flags, 0, NO_SYMLINKS | BENEATH) for flags in (LIST, READ)}
LARGEST = 1 << 20  # bytes of a file that is read; a larger one is known by its inode, size and times
KINDS = {stat.S_IFIFO: "fifo", stat.S_IFSOCK: "socket", stat.S_IFDIR: "directory", stat.S_IFCHR: "device"}


def opened(top: int, path: str, flags: int) -> int:
    """A descriptor of what lies at path below top; no component of it is a link. Raises OSError."""
    return checked(LIBC.syscall(OPENAT2, top, os.fsencode(path or "."), HOW[flags], SIZE), path)


def content(parent: int, name: str, limit: int = LARGEST) -> bytes | None:
    """What a regular file of a bounded size holds; None for anything else, or nothing."""
    try:
        return descriptors.read_file(parent, name, limit)
    except OSError:
        return None


def state(parent: int, name: str) -> str:
    """What a file is: its mode and a digest of its content, where a link leads, or its kind; "" where nothing is."""
    try:
        found = os.stat(name, dir_fd=parent, follow_symlinks=False)
        if stat.S_ISLNK(found.st_mode):
            return f"link {os.readlink(name, dir_fd=parent)}"
        if not stat.S_ISREG(found.st_mode):
            return KINDS.get(stat.S_IFMT(found.st_mode), "special")
        if found.st_size > LARGEST:
            return f"large {found.st_ino} {found.st_size} {found.st_mtime_ns} {found.st_ctime_ns}"
    except OSError:
        return ""
    text = content(parent, name)
    return "unreadable" if text is None else digest(text, found.st_mode & 0o111)


def digest(text: bytes, mode: int = 0) -> str:
    """A text's state. mode: bits of it that matter too."""
    return f"{mode:03o} {sha256(text).hexdigest()[:32]}"
