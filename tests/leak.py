"""What a test left behind: processes, mounts, temporary files.

Processes are found by ancestry. The test process is the subreaper of all that it starts, so a daemon,
and a sandbox whose launcher was killed, stay its descendants, whatever environment they have; what other
users and other runs start is never in the way.
"""

from __future__ import annotations

import ctypes
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import pytest

PR_SET_CHILD_SUBREAPER = 36
PATIENCE = 2.0  # nothing may be left that long after its launcher
PLACES = ("/tmp", "/var/tmp", "/dev/shm")
OTHERS = ("pytest-", "hypothesis-", "tmux-", "pymp-")


class State(NamedTuple):
    """What there is at one moment: pids below us, mounts, our temporary files."""

    processes: frozenset[int]
    mounts: frozenset[str]
    files: frozenset[str]


def become_subreaper() -> None:
    """From now on orphans below this process become its children."""
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def parents() -> dict[int, tuple[int, str]]:
    """pid → (parent, state letter) of every process that we see."""
    found = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                stat = Path("/proc", entry, "stat").read_text(errors="replace")
            except OSError:
                continue
            state, parent = stat.rpartition(")")[2].split()[:2]
            found[int(entry)] = (int(parent), state)
    return found


def descendants(root: int | None = None) -> frozenset[int]:
    """Every living process below root (default: this one)."""
    table = parents()
    root = os.getpid() if root is None else root
    found: set[int] = set()
    for pid, (_, state) in table.items():
        line, at = [], pid
        while at in table and at != root and at not in line:
            line.append(at)
            at = table[at][0]
        if at == root and state not in "ZX":
            found.update(line)
    return frozenset(pid for pid in found if table[pid][1] not in "ZX")


def describe(pid: int) -> str:
    """One line about a process."""
    try:
        words = Path("/proc", str(pid), "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        parent = parents().get(pid, (0, ""))[0]
    except OSError:
        return f"process {pid} (gone by now)"
    return f"process {pid} (parent {parent}): {words.strip() or 'no command line'}"


def mounts() -> frozenset[str]:
    """The mounts of this mount namespace, without their numbers."""
    lines = Path("/proc/self/mountinfo").read_text(errors="replace").splitlines()
    # firejail, which the benchmark compares with, leaves its own for good
    return frozenset(" ".join(line.split()[2:]) for line in lines if " /run/firejail" not in line)


def files() -> frozenset[str]:
    """Our entries of the shared temporary directories; as uid 0, which all of the machine uses, those with our name."""
    found = set()
    for place in PLACES:
        try:
            entries = list(os.scandir(place))
        except OSError:
            continue
        for entry in entries:
            try:
                ours = entry.stat(follow_symlinks=False).st_uid == os.geteuid()
            except OSError:
                continue
            if ours and not entry.name.startswith(OTHERS) and (os.geteuid() != 0 or "claudebox" in entry.name):
                found.add(entry.path)
    return frozenset(found)


def state() -> State:
    """All of it, now."""
    return State(descendants(), mounts(), files())


def left(before: State, patience: float = PATIENCE) -> list[str]:
    """One line per thing that is there and was not before, after `patience` seconds for it to go."""
    deadline = time.monotonic() + patience
    while True:
        now = state()
        # one empty scan proves nothing: a process is missed while it is born. Look again before believing it.
        if not (extra := _extra(before, now)):
            time.sleep(0.02)
            if not (extra := _extra(before, state())):
                return []
        if time.monotonic() > deadline:
            return extra
        time.sleep(0.02)


def _extra(before: State, now: State) -> list[str]:
    return [
        *map(describe, sorted(now.processes - before.processes)),
        *(f"mount: {line}" for line in sorted(now.mounts - before.mounts)),
        *(f"file: {path}" for path in sorted(now.files - before.files)),
    ]


@contextmanager
def checked() -> Iterator[None]:
    """Fails the test when this block leaves anything; what it left is ended, so that the next one starts clean."""
    become_subreaper()
    before = state()
    yield
    extra = left(before)
    if extra:
        kill(descendants() - before.processes)
    reap()
    if extra:
        pytest.fail("left behind after the test:\n  " + "\n  ".join(extra), pytrace=False)


def reap() -> None:
    """Take the exit status of orphans that came to us, so that no zombie piles up."""
    while True:
        try:
            if os.waitpid(-1, os.WNOHANG) == (0, 0):
                return
        except ChildProcessError:
            return


def kill(pids: frozenset[int]) -> None:
    """End what a failed test left, so that the next one starts clean."""
    for pid in pids:
        try:
            os.kill(pid, 9)
        except OSError:
            pass
