"""kill -9 of every process of a launch with a network, at random moments of its start and run.

All gone within 2 seconds, and the agent never had a network without its rules: the first thing that it does is to dial
what must be refused, and nobody there ever saw a packet. `scripts/soak network` kills a thousand.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

import capability
import first
import leak
import names
from capability import needs
from networks import Networks, Sandbox, sandboxes, users

pytestmark = [needs("userns", "netns", "bwrap", "git"), pytest.mark.uid0, pytest.mark.timeout(3600)]
ROUNDS = 84 if capability.SOAK else 3  # of each kind with each backend
ENDED = 5.0
AGENT = "./lan4; ./lan6; echo >>alive; while :; do ./lan4; ./lan6; ./public; sleep 0.01; done"
DIALLED = {"lan4": names.LAN4, "lan6": names.LAN6, "public": names.PUBLIC4}
BACKENDS = (b"slirp4netns", b"pasta", b"passt")


class Running:
    """A launcher on the world's host, with the processes below it."""

    def __init__(self, networks: Networks, one: Sandbox) -> None:
        self.errors = os.memfd_create("stderr")
        self.before = leak.state()
        self.began = time.monotonic()
        self.process = networks.start(
            one,
            "sh",
            "-c",
            AGENT,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=self.errors,
            start_new_session=True,  # an interrupt goes to the launcher's whole process group
        )
        self.pid = 0
        while not self.pid and self.process.poll() is None:
            self.pid = next(iter(children(self.process.pid)), 0)  # nsenter's fork, which becomes the launcher

    def said(self) -> str:
        return os.pread(self.errors, 1 << 16, 0).decode(errors="replace")

    def find(self, kind: str) -> int:
        """One process of this kind below the launcher, now; 0 when there is none."""
        below = children(self.pid)
        match kind:
            case "launcher":
                return self.pid
            case "bwrap":
                return next((pid for pid in below if b"bwrap" in command(pid)), 0)
            case "init":
                outer = self.find("bwrap")
                return next(iter(children(outer)), 0) if outer else 0
            case "backend":
                return next((pid for pid in below if any(name in command(pid) for name in BACKENDS)), 0)
            case "guard":
                guards = [pid for pid in below if b"while read" in command(pid)]
                return guards[-1] if len(guards) > 1 else 0
            case _:
                mine = command(self.pid)
                return next((pid for pid in below if command(pid) == mine), 0)

    def strike(self, kind: str, moment: float) -> bool:
        """Kill one of a kind after so many seconds, or as soon as there is one."""
        while time.monotonic() < self.began + moment:
            pass
        while self.process.poll() is None and time.monotonic() < self.began + ENDED:
            if victim := self.find(kind):
                try:
                    os.kill(victim, signal.SIGKILL)
                except ProcessLookupError:
                    continue
                return True
            if kind == "holder" and self.find("backend") and not self.find(kind):
                return False  # it has done its work
        return False

    def close(self) -> None:
        if self.process.poll() is None:
            for pid in (self.pid, self.process.pid):
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass
        self.process.wait()
        os.close(self.errors)


def children(pid: int) -> list[int]:
    try:
        return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []


def command(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


@contextmanager
def running(networks: Networks, one: Sandbox) -> Iterator[Running]:
    made = Running(networks, one)
    try:
        yield made
    finally:
        made.close()


@pytest.fixture
def project(networks: Networks) -> Iterator[Path]:
    """The project with the programs that dial."""
    app = networks.box(Sandbox("internet-only", "slirp4netns", users()[0])).app
    for name, address in DIALLED.items():
        first.write(app / name, address)
    yield app
    for name in (*DIALLED, "alive"):
        (app / name).unlink(missing_ok=True)


def whole(networks: Networks, one: Sandbox, project: Path) -> float:
    """Seconds until the agent has dialled; the control: it runs, and what is public answers."""
    networks.world.clear()
    with running(networks, one) as made:
        while not networks.world.seen("inet", kind="tcp"):
            assert made.process.poll() is None, made.said()
        took = time.monotonic() - made.began
        os.kill(made.pid, signal.SIGTERM)
        made.process.wait(ENDED)
    assert (project / "alive").exists()
    assert networks.world.seen("lan") == []
    return min(took, 1.0)


def settled(made: Running, where: str) -> None:
    """What must hold after a kill."""
    try:
        made.process.wait(ENDED)
    except subprocess.TimeoutExpired:
        pytest.fail(f"{where}: the launcher is still there: {made.said()}")
    assert leak.left(made.before) == [], f"{where}: {made.said()}"
    leak.reap()
    assert "Traceback" not in made.said() or "claudebox/" not in made.said(), f"{where}: {made.said()}"


@pytest.mark.parametrize("kind", ["launcher", "bwrap", "init", "backend", "guard", "holder"])
@pytest.mark.parametrize("one", sandboxes("internet-only", who=users()[:1]))
def test_kills_at_random_moments(networks: Networks, project: Path, one: Sandbox, kind: str) -> None:
    box = networks.box(one)
    networks.world.clear()
    assert box.run(["./lan4"]).status == 0 and networks.world.seen("lan"), "the control: dialled, it would be seen"
    chance, took = random.Random(f"{kind} {one}"), whole(networks, one, project)
    networks.world.clear()
    struck = 0
    for number in range(ROUNDS):
        moment = chance.uniform(0, 1.3 * took)
        with running(networks, one) as made:
            hit = made.strike(kind, moment)
            struck += hit
            if not hit or kind in ("backend", "holder", "guard"):
                time.sleep(chance.uniform(0, 0.2))  # time to do harm in
                try:
                    os.kill(made.pid, signal.SIGTERM)
                except ProcessLookupError:
                    pass
            settled(made, f"{number}: {kind} after {moment * 1000:.1f} of {took * 1000:.0f} ms")
    assert struck or kind == "holder"
    assert networks.world.seen("lan", "bridge", "vpn") == []
    done = networks.launch(one, "./public")
    assert done.status == 0 and "error" not in done.stderr, "the next launch works"


STOPS: dict[str, Callable[[int], Any]] = {
    "interrupt": lambda pid: os.kill(pid, signal.SIGINT),
    "terminate": lambda pid: os.kill(pid, signal.SIGTERM),
}


@pytest.mark.parametrize("how", STOPS)
@pytest.mark.parametrize("one", sandboxes("internet-only", who=users()[:1]))
def test_a_signal_at_every_step_of_the_start(networks: Networks, project: Path, one: Sandbox, how: str) -> None:
    took = whole(networks, one, project)
    networks.world.clear()
    rounds = 100 if capability.SOAK else 6
    for number in range(rounds):
        moment = took * (0.3 + number / rounds)  # before it the interpreter is not ours yet
        with running(networks, one) as made:
            while time.monotonic() < made.began + moment:
                pass
            STOPS[how](made.pid)
            settled(made, f"{how} after {moment * 1000:.1f} of {took * 1000:.0f} ms")
    assert networks.world.seen("lan", "bridge", "vpn") == []
