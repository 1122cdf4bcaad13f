"""Kills at random moments of the start: nothing is left within 2 seconds, and the next launch works.

`scripts/soak kills` runs ten times as many.
"""

from __future__ import annotations

import fcntl
import os
import random
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

import leak
from box import Box
from capability import needs, repeat

pytestmark = [needs("userns", "bwrap", "git"), pytest.mark.timeout(3600)]

AGENT = "while :; do echo >>alive; sleep 0.02; done"
ROUNDS = repeat(2080) // 16  # of each kind in each tier
ENDED = 5.0  # seconds for a launcher that notices by itself


class Session:
    """A launcher as the leader of a session with a terminal of its own, in its foreground."""

    def __init__(self, box: Box, tier: str, backend: str) -> None:
        self.box, self.backend = box, backend
        self.master, theirs = os.openpty()
        self.errors = os.memfd_create("stderr")
        self.before = leak.state()
        self.began = time.monotonic()
        self.launcher = box.start(
            [box.program, "run", "-n", tier, "-y", "--", "sh", "-c", AGENT],
            stdin=theirs, stdout=subprocess.DEVNULL, stderr=self.errors, start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, 0x540E, 0),  # TIOCSCTTY
        )  # fmt: skip
        os.close(theirs)

    def hang_up(self) -> None:
        """Close the terminal's other side."""
        if self.master >= 0:
            os.close(self.master)
            self.master = -1

    def said(self) -> str:
        return os.pread(self.errors, 1 << 16, 0).decode(errors="replace")

    def wait_until(self, moment: float) -> None:
        """Busy: a sleep is late by more than some of the windows are wide."""
        while time.monotonic() < self.began + moment:
            pass

    def find(self, *commands: str) -> int:
        """The process below the launcher along these commands, as soon as there is one; 0 if it ended before."""
        while self.launcher.poll() is None:
            at = self.launcher.pid
            for command in commands:
                at = next((pid for pid in children(at) if starts(pid, command)), 0)
                if not at:
                    break
            if at:
                return at
        return 0

    def close(self) -> None:
        self.launcher.kill()
        self.launcher.wait()
        self.hang_up()
        os.close(self.errors)


@contextmanager
def session(box: Box, tier: str, backend: str = "") -> Iterator[Session]:
    made = Session(box, tier, backend)
    try:
        yield made
    finally:
        made.close()


def children(pid: int) -> list[int]:
    """Of all its threads: in tier full a thread of its own starts bwrap."""
    try:
        return [
            int(word)
            for task in Path(f"/proc/{pid}/task").iterdir()
            for word in (task / "children").read_text().split()
        ]
    except OSError:
        return []


def starts(pid: int, command: str) -> bool:
    try:
        return command.encode() in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False


def kill(pid: int) -> None:
    """A process that we found a moment ago, below a launcher of ours."""
    if pid:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            pass


def launcher(made: Session, moment: float) -> None:
    made.wait_until(moment)
    made.launcher.kill()


def guard(made: Session, moment: float) -> None:
    _victim(made, moment, "while read -r pid")


def outer(made: Session, moment: float) -> None:
    _victim(made, moment, "bwrap")


def init(made: Session, moment: float) -> None:
    _victim(made, moment, "bwrap", "bwrap")


def _victim(made: Session, moment: float, *commands: str) -> None:
    found = made.find(*commands)
    made.began = time.monotonic()
    made.wait_until(moment / 3)  # it lives for the last part of the start
    kill(found)


def interrupt(made: Session, moment: float) -> None:
    made.wait_until(moment)
    os.write(made.master, b"\x03")
    try:
        made.launcher.wait(2)
    except subprocess.TimeoutExpired:
        if "KeyboardInterrupt" in made.said():  # the interpreter's own start swallowed it; a person types it again
            os.write(made.master, b"\x03")


def hangup(made: Session, moment: float) -> None:
    made.wait_until(moment)
    made.hang_up()


def terminate(made: Session, moment: float) -> None:
    made.wait_until(moment)
    made.launcher.terminate()


def both(made: Session, moment: float) -> None:
    """The launcher and then, while the guard is at it, bwrap."""
    found = made.find("bwrap")
    made.began = time.monotonic()
    made.wait_until(moment / 3)
    made.launcher.kill()
    kill(found)


def backend(made: Session, moment: float) -> None:
    """What carries the packets, while it starts or soon after; it is started once more, or the launch fails."""
    _victim(made, moment, made.backend)
    made.began = time.monotonic()
    made.wait_until(moment / 3)
    made.launcher.terminate()


def beside(made: Session, moment: float) -> None:
    """The guard of what is beside the sandbox, the second one, and then the launcher."""
    while made.launcher.poll() is None:
        guards = [pid for pid in children(made.launcher.pid) if starts(pid, "while read -r pid")]
        if len(guards) == 2:
            made.began = time.monotonic()
            made.wait_until(moment / 3)
            kill(guards[1])
            break
    made.launcher.terminate()


KINDS: list[Callable[[Session, float], None]] = [launcher, guard, outer, init, interrupt, hangup, terminate, both]


def duration(box: Box, tier: str) -> float:
    """Seconds until the agent runs."""
    with session(box, tier) as made:
        while not (box.app / "alive").exists():
            assert made.launcher.poll() is None, made.said()
            time.sleep(0.001)
        return time.monotonic() - made.began


def locked(box: Box) -> bool:
    """Whether somebody holds the repository's lock."""
    for path in box.state.glob("instances/*/locks/*"):
        with open(path) as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return True
    return False


def after(box: Box, made: Session, where: str) -> None:
    """What must hold after a kill."""
    try:
        made.launcher.wait(ENDED)
    except subprocess.TimeoutExpired:
        pytest.fail(f"{where}: the launcher is still there: {made.said()}")
    assert leak.left(made.before) == [], f"{where}: {made.said()}"
    leak.reap()
    assert not locked(box), where
    alive = box.app / "alive"
    size = alive.stat().st_size if alive.exists() else 0
    said = made.said()
    # the interpreter's own start, before a line of ours runs, has none of our files in its traceback
    assert "Traceback" not in said or "claudebox/" not in said, f"{where}: {said}"
    assert (alive.stat().st_size if alive.exists() else 0) == size, f"{where}: somebody writes"


CASES = [
    *(pytest.param(kind, tier, "", id=f"{kind.__name__}-{tier}") for kind in KINDS for tier in ("offline", "full")),
    # nothing in it dials
    *(
        pytest.param(kind, "internet-only", name, id=f"{kind.__name__}-{name}", marks=needs("nft", "tun", name))
        for kind in (*KINDS, backend, beside)
        for name in ("slirp4netns", "pasta")
    ),
]


@pytest.mark.parametrize(("kind", "tier", "name"), CASES)
def test_kills_at_random_moments(box: Box, kind: Callable[[Session, float], None], tier: str, name: str) -> None:
    if name:
        box.state.mkdir(mode=0o700)
        (box.state / "config.toml").write_text(f'[network]\nbackend = "{name}"\n')
    (box.app / ".gitignore").write_text("alive\n")
    status, listing = box.git("status", "--porcelain"), sorted(os.listdir(box.app / ".git"))
    begun = leak.state()
    chance = random.Random(f"{kind.__name__} {tier}")
    whole = max(duration(box, tier) for _ in range(2))
    for number in range(ROUNDS):
        moment = chance.uniform(0, 1.2 * whole)
        with session(box, tier, name) as made:
            kind(made, moment)
            after(box, made, f"{number}: {kind.__name__} after {moment * 1000:.2f} of {whole * 1000:.0f} ms")
    done = box.claudebox("run", "-n", tier, "-y", "--", "sh", "-c", "git status --porcelain")
    assert (done.status, done.stdout, done.stderr.count("error")) == (0, status, 0), done
    assert box.git("status", "--porcelain") == status
    assert sorted(os.listdir(box.app / ".git")) == listing
    assert leak.left(begun) == []
    assert list(box.state.rglob(".*.tmp")) == []
