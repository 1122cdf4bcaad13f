"""Landlock's scopes: nothing below this point reaches abstract sockets or processes outside of it.

Abstract unix sockets belong to the network namespace, so tier `full` shares the host's: D-Bus, X11 and
whatever else listens on one. A ruleset that handles no files and no ports, only scopes, stops connections to
them and signals to outside, and lets everything else be (landlock(7), ABI 6, Linux 6.12): mounts, nested
sandboxes, own abstract sockets, debuggers among own processes. Who stands outside may still signal in.

The launcher must not be in the domain: it stops and continues its neighbours in a pipeline. A domain belongs
to a thread, and a child has that of the thread which started it. So one thread restricts itself, starts
bwrap, and stays. That costs 0.2 ms; a fork that restricts itself and then becomes bwrap costs 1.5 ms.

The other tiers go without: their sandboxes have a network and a pid namespace of their own, which leaves to the scope
the signals to the own process group (bwrap and the guard), and ctypes before bwrap costs each launch 1.7 ms, of which
0.45 can be hidden behind git.
"""

from __future__ import annotations

import _thread
import ctypes
import os
import struct

from claudebox.errors import ClaudeboxError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

SCOPES_ABI = 6  # the first with scopes

# The same numbers on every machine (asm-generic/unistd.h), linux/landlock.h, linux/prctl.h.
_CREATE_RULESET, _RESTRICT_SELF = 444, 446
_CREATE_RULESET_VERSION = 1
_SCOPE_ABSTRACT_UNIX_SOCKET, _SCOPE_SIGNAL = 1, 2
_PR_SET_NO_NEW_PRIVS = 38


def landlock_abi() -> int:
    """The version of Landlock in the running kernel, 0 when it has none or it is off."""
    try:
        return _call("syscall", _CREATE_RULESET, None, 0, _CREATE_RULESET_VERSION)
    except ClaudeboxError:
        return 0


def restrict_scopes() -> None:
    """Scope the calling thread, and everything that it starts from now on, for good.

    Sets no_new_privs, as bwrap does for the agent: a setuid bwrap then runs as any other program, and needs
    user namespaces. Raises ClaudeboxError where the kernel refuses.
    """
    # struct landlock_ruleset_attr: handled_access_fs, handled_access_net, scoped
    attributes = struct.pack("=QQQ", 0, 0, _SCOPE_ABSTRACT_UNIX_SOCKET | _SCOPE_SIGNAL)
    ruleset = _call("syscall", _CREATE_RULESET, attributes, len(attributes), 0)
    try:
        _call("prctl", _PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
        _call("syscall", _RESTRICT_SELF, ruleset, 0)
    finally:
        os.close(ruleset)


def start_scoped(start: Callable[[], int]) -> int:
    """Call start, which starts a program and returns its pid, in a scoped thread of this process; its result.

    The thread stays until the process ends: `--die-with-parent` follows the thread, not the process. It has
    the signal mask of the caller, so block before what you want to receive yourself.
    Raises what start raises, and ClaudeboxError where there are no scopes: then nothing was started.
    """
    pids: list[int] = []
    errors: list[BaseException] = []
    done, forever = _thread.allocate_lock(), _thread.allocate_lock()
    done.acquire()
    forever.acquire()

    def run() -> None:
        try:
            restrict_scopes()
            pids.append(start())
        except BaseException as error:  # belongs to the caller, whatever it is
            errors.append(error)
        done.release()
        if pids:
            forever.acquire()

    try:
        _thread.start_new_thread(run, ())
    except RuntimeError as error:  # RLIMIT_NPROC
        raise ClaudeboxError("cannot start a thread", hint="ulimit -u says how many there may be") from error
    done.acquire()
    if errors:
        raise errors[0]
    return pids[0]


def _call(function: str, *arguments: int | bytes | None) -> int:
    """One function of libc; whole registers, as the kernel reads them."""
    libc = ctypes.CDLL(None, use_errno=True)
    result: int = getattr(libc, function)(*(ctypes.c_long(a) if isinstance(a, int) else a for a in arguments))
    if result < 0:
        reason = os.strerror(ctypes.get_errno())
        raise ClaudeboxError(
            f"this kernel does not scope abstract sockets and signals with Landlock: {reason}",
            hint="Linux 6.12 or later, with landlock in /sys/kernel/security/lsm",
        )
    return result
