"""Entering a sandbox's namespaces from outside: a forked child does the work and says how it went."""

from __future__ import annotations

import ctypes
import fcntl
import os

from claudebox.errors import ClaudeboxError
from claudebox.record import NamedTuple

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


class Waiting(NamedTuple):
    """A fork of ours that waits for the pid of a sandbox. order: our end of what it reads; answer: of what it says."""

    pid: int
    order: int
    answer: int


def fork_waiting(group: int, work: Callable[[], None]) -> Waiting:
    """Fork a process that will run work in a sandbox's mount namespace, when `enter` names the sandbox.

    Forked early, while bwrap is at work: a launch waits 1.5 ms less for it. group: the process group that it
    joins, so that it dies with the sandbox. It ends when our end of order is closed, by our death too.
    """
    (order_r, order_w), (answer_r, answer_w) = os.pipe(), os.pipe()
    child = os.fork()
    if child == 0:
        message = b"?"
        try:
            os.setpgid(0, group)
            # Not the lifeline: while a copy of it is open, our death would be no end of file to the guard.
            for number in map(int, os.listdir("/proc/self/fd")):
                if number > 2 and number not in (order_r, answer_w):
                    _close(number)
            if order := os.read(order_r, 16):
                _enter(int(order))
                work()
            message = b"ok"
        except OSError as error:
            message = f"{error.filename or ''}: {error.strerror}".encode(errors="surrogateescape")
        except BaseException as error:
            message = repr(error).encode(errors="replace")
        finally:
            try:
                os.write(answer_w, message)
            finally:
                os._exit(0)
    os.close(order_r)
    os.close(answer_w)
    return Waiting(pid=child, order=order_w, answer=answer_r)


def _enter(pid: int) -> None:
    """Join the mount namespace of pid with the rights of its owner. setns(2) wants a process of one thread."""
    mnt = os.open(f"/proc/{pid}/ns/mnt", os.O_RDONLY | os.O_CLOEXEC)
    owner = fcntl.ioctl(mnt, NS_GET_USERNS)
    checked(LIBC.setns(owner, CLONE_NEWUSER), "entering the user namespace")
    checked(LIBC.setns(mnt, CLONE_NEWNS), "entering the mount namespace")


def enter(waiting: Waiting, pid: int) -> None:
    """Have a waiting fork do its work in the sandbox of pid. Raises ClaudeboxError with what it said."""
    try:
        os.write(waiting.order, str(pid).encode())
        answer = os.read(waiting.answer, 4096)
    except BrokenPipeError:
        answer = b""
    os.close(waiting.order)
    os.close(waiting.answer)
    os.waitpid(waiting.pid, 0)
    if answer != b"ok":
        text = answer.decode(errors="surrogateescape") or "it was killed"
        raise ClaudeboxError(f"the sandbox's mounts could not be made: {text}", "a link may have been planted there")
