"""Entering a sandbox's namespaces from outside: a forked child does the work and says how it went."""

from __future__ import annotations

import ctypes
import fcntl
import os

from claudebox.errors import ClaudeboxError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

NS_GET_USERNS = 0xB701  # ioctl_ns(2): the owner can differ from the process's own user namespace
CLONE_NEWUSER, CLONE_NEWNS = 0x10000000, 0x00020000
LIBC = ctypes.CDLL(None, use_errno=True)


def checked(result: int, what: str) -> int:
    """The result of a libc call. Raises OSError with errno for a negative one."""
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), what)
    return result


def _close(number: int) -> None:
    try:
        os.close(number)
    except OSError:
        pass  # the descriptor of the listing itself


def in_mount_namespace(pid: int, group: int, work: Callable[[], None]) -> None:
    """Run work in the mount namespace of pid, with the rights of its owner, in a fork of ours.

    group: the process group that the fork joins, so that it dies with the sandbox. setns(2) into a user
    namespace wants a process of one thread. Raises ClaudeboxError with what the fork said.
    """
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        message = b"?"
        try:
            os.setpgid(0, group)
            # Not the lifeline: while a copy of it is open, our death would be no end of file to the guard.
            for number in map(int, os.listdir("/proc/self/fd")):
                if number > 2 and number != writer:
                    _close(number)
            mnt = os.open(f"/proc/{pid}/ns/mnt", os.O_RDONLY | os.O_CLOEXEC)
            owner = fcntl.ioctl(mnt, NS_GET_USERNS)
            checked(LIBC.setns(owner, CLONE_NEWUSER), "entering the user namespace")
            checked(LIBC.setns(mnt, CLONE_NEWNS), "entering the mount namespace")
            work()
            message = b""
        except OSError as error:
            message = f"{error.filename or ''}: {error.strerror}".encode(errors="surrogateescape")
        except BaseException as error:
            message = repr(error).encode(errors="replace")
        finally:
            os.write(writer, message or b"ok")
            os._exit(0)
    os.close(writer)
    answer = os.read(reader, 4096)
    os.close(reader)
    os.waitpid(child, 0)
    if answer != b"ok":
        text = answer.decode(errors="surrogateescape") or "it was killed"
        raise ClaudeboxError(f"the sandbox's mounts could not be made: {text}", "a link may have been planted there")
