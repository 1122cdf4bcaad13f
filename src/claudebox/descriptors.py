"""Files through descriptors: every path that a sandbox could have changed is walked component by
component and follows no link. A leaf; the survey, the instance's home and the late mounts use it.
"""

from __future__ import annotations

import os
import stat

from claudebox.errors import ClaudeboxError, limits

DIRECTORY = os.O_PATH | os.O_NOFOLLOW | os.O_DIRECTORY | os.O_CLOEXEC
ANYTHING = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC
HIGH = 10  # F_DUPFD_CLOEXEC from here: the low numbers are a child's


def parts(path: str) -> list[str]:
    """The components of an absolute or relative path, without empty ones."""
    return [part for part in path.split("/") if part and part != "."]


def walk(start: int | None, names: list[str]) -> int:
    """An `O_PATH` descriptor of what lies below start (None: the root) along names.

    No component is followed through a symbolic link, the last one neither; the caller closes it.
    Raises OSError (ELOOP or ENOTDIR for a link on the way).
    """
    here = os.open("/", DIRECTORY) if start is None else os.open(".", DIRECTORY, dir_fd=start)
    try:
        for index, name in enumerate(names):
            if name == "..":
                raise OSError(40, "a path with ..", "/".join(names))
            last = index == len(names) - 1
            following = os.open(name, ANYTHING if last else DIRECTORY, dir_fd=here)
            os.close(here)
            here = following
        if stat.S_ISLNK(os.fstat(here).st_mode):
            raise OSError(40, "a symbolic link", "/".join(names))
    except OSError:
        os.close(here)
        raise
    return here


def high(descriptor: int) -> int:
    """The same open file at a number of HIGH or more; the given descriptor is closed."""
    import fcntl

    if descriptor >= HIGH:
        return descriptor
    try:
        moved: int = fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, HIGH)
    except OSError as error:
        if error.errno != 22:
            raise
        raise OSError(24, os.strerror(24)) from None  # EINVAL: the limit is below HIGH, so there are too many
    finally:
        os.close(descriptor)
    return moved


def pinned(path: str) -> int:
    """An `O_PATH` descriptor of an absolute, canonical path, at a high number. Raises OSError."""
    return high(walk(None, parts(path)))


def same(descriptor: int, path: str) -> bool:
    """Whether path, without following a link at its end, is what descriptor has open."""
    try:
        there, here = os.lstat(path), os.fstat(descriptor)
    except OSError:
        return False
    return (there.st_dev, there.st_ino) == (here.st_dev, here.st_ino)


def make_directory(parent: int, name: str, mode: int = 0o700) -> int:
    """Open the directory name in parent, made when it is absent; a link or a file there raises OSError."""
    try:
        os.mkdir(name, mode, dir_fd=parent)
    except FileExistsError:
        pass
    return os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=parent)


def make_directories(start: int, names: list[str]) -> int:
    """Open what lies below start along names, each made when it is absent; no link is followed. Raises OSError."""
    here = os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=start)
    try:
        for name in names:
            following = make_directory(here, name)
            os.close(here)
            here = following
    except OSError:
        os.close(here)
        raise
    return here


def read_file(parent: int, name: str, limit: int) -> bytes | None:
    """The content of a regular file in parent; None when there is none.

    Raises OSError for a link, and for anything that is no regular file or longer than limit bytes.
    """
    try:
        file = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=parent)
    except FileNotFoundError:
        return None
    try:
        state = os.fstat(file)
        if not stat.S_ISREG(state.st_mode):
            raise OSError(22, "no regular file", name)
        if state.st_size > limit:
            raise OSError(27, "too large", name)
        return read_all(file, limit)
    finally:
        os.close(file)


def read_all(file: int, limit: int) -> bytes:
    """What can be read from file, at most limit bytes. Raises OSError when there is more."""
    chunks: list[bytes] = []
    room = limit + 1
    while room > 0 and (chunk := os.read(file, min(room, 1 << 16))):
        chunks.append(chunk)
        room -= len(chunk)
    if room <= 0:
        raise OSError(27, "too large")
    return b"".join(chunks)


def write_all(file: int, content: bytes) -> None:
    """Write all of content to file. Raises OSError, for a full disk too."""
    view = memoryview(content)
    while view:
        view = view[os.write(file, view) :]


def create_file(parent: int, name: str, content: bytes, mode: int = 0o644, *, durable: bool = False) -> None:
    """A new file in parent that appears with all of its content. Raises OSError (FileExistsError: for a link too).

    Where the file system has no unnamed files (NFS) it is made and then filled.
    """
    unnamed = True
    try:
        file = os.open(".", os.O_TMPFILE | os.O_WRONLY | os.O_CLOEXEC, mode, dir_fd=parent)
    except OSError:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        file = os.open(name, flags, mode, dir_fd=parent)
        unnamed = False
    try:
        write_all(file, content)
        if durable:
            os.fsync(file)
        if unnamed:
            os.link(f"/proc/self/fd/{file}", name, dst_dir_fd=parent, follow_symlinks=True)
    finally:
        os.close(file)


def replace_file(parent: int, name: str, content: bytes, mode: int = 0o600, *, durable: bool = False) -> None:
    """Put content at name in parent by a temporary file and a rename; never half written.

    durable: not after a power cut either. Raises OSError; then what stood there stands still, and the temporary file
    is gone.
    """
    temporary = f".{name}.{os.getpid()}.tmp"
    try:
        _unlink(parent, temporary)  # of an earlier process with our pid that was killed here
    except OSError:  # a directory: an agent planted it
        temporary = f".{name}.{os.urandom(8).hex()}.tmp"
    try:
        create_file(parent, temporary, content, mode, durable=durable)
        os.rename(temporary, name, src_dir_fd=parent, dst_dir_fd=parent)
    except OSError:
        _unlink(parent, temporary)
        raise


def sweep_temporary(parent: int) -> None:
    """Remove what killed processes left of `replace_file` in parent, a directory of ours. Raises OSError."""
    for name in os.listdir(parent):
        if name.startswith(".") and name.endswith(".tmp"):
            pid = name.split(".")[-2]
            if pid.isdigit() and not os.path.exists(f"/proc/{pid}"):
                _unlink(parent, name)


def _unlink(parent: int, name: str) -> None:
    try:
        os.unlink(name, dir_fd=parent)
    except FileNotFoundError:
        pass


def memory_file(name: str, content: bytes) -> int:
    """An anonymous file at a high number, to be read from its start. Raises ClaudeboxError."""
    try:
        file = high(os.memfd_create(name, os.MFD_CLOEXEC))
        write_all(file, content)
        os.lseek(file, 0, os.SEEK_SET)
    except OSError as error:
        raise ClaudeboxError(f"cannot hold {name} in memory: {error.strerror}", limits(error)) from None
    return file
