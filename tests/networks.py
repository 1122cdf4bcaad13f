"""Sandboxes on the host of the test internet, and probes in them and beside them.

    def test_lan(networks):
        one = networks.sandbox("internet-only", "pasta", "user")
        assert networks.probed(one, [{"id": "lan", "how": "tcp", "to": "192.168.77.10"}])["lan"]["error"]

One home and one project for the whole run; a launch is a batch of probes.
"""

from __future__ import annotations

import functools
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest

import destinations
import leak
from box import Box, Result, made_box
from capability import needs
from world import World

PROBE = Path(__file__).with_name("probe.py")
PYTHON = "/usr/bin/python3"  # the one that a sandbox has
BACKENDS = ("slirp4netns", "pasta")
TIME = 120.0
Answers = dict[str, dict[str, Any]]


class Sandbox(NamedTuple):
    """What is launched: backend "" for the tiers that have none; who: `user` or `root`."""

    tier: str
    backend: str
    who: str

    def __str__(self) -> str:
        return "-".join(filter(None, self))


def users() -> tuple[str, ...]:
    """Who launches: as an ordinary user also the world's own root, as uid 0 the real one alone."""
    return ("user", "root") if os.geteuid() else ("root",)


def sandboxes(*tiers: str, backends: Sequence[str] = BACKENDS, who: Sequence[str] = ()) -> list[Any]:
    """Parameters: every tier with every backend that it has and every user, each with what it needs."""
    made = []
    for tier in tiers:
        for backend in backends if tier == "internet-only" else ("",):
            for user in who or users():
                one = Sandbox(tier, backend, user)
                needed = ("nft", "tun", backend) if backend else ("bwrap",)
                made.append(pytest.param(one, id=str(one), marks=needs(*needed)))
    return made


class Talk:
    """The probe in a running sandbox, one case after the other. Use it with `with`; its end is checked."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self.process = process
        assert self._line() == "ready"

    def _line(self) -> str:
        assert self.process.stdout is not None and self.process.stderr is not None
        line = self.process.stdout.readline().decode().strip()
        assert line, f"it ended: {self.process.stderr.read().decode()}"
        return line

    def ask(self, **case: Any) -> dict[str, Any]:
        """Try one case and give its result."""
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps({"id": case["how"], **case}).encode() + b"\n")
        self.process.stdin.flush()
        return dict(json.loads(self._line()))

    def error(self, how: str, to: str, **more: Any) -> str:
        """The error of a case, "" when it was answered."""
        return str(self.ask(how=how, to=to, **more)["error"])

    def until(self, wanted: Sequence[str], how: str, to: str, *, within: float = 1.0, **more: Any) -> float:
        """Ask until the error is one of the wanted ones; the seconds that it took, which are not more than within."""
        started = time.monotonic()
        while (error := self.error(how, to, patience=0.1, **more)) not in wanted:
            assert time.monotonic() - started < within + 5, f"{how} to {to} is still {error!r}"
        took = time.monotonic() - started
        assert took < within
        return took

    def end(self) -> tuple[int, str]:
        """Let the agent end: the launcher's status and what it said."""
        _, said = self.process.communicate(timeout=30)
        return self.process.returncode, said.decode()


class Networks:
    """The world, and a home on its host."""

    def __init__(self, world: World, box: Box) -> None:
        self.world = world
        self._box = box
        shutil.copy(PROBE, box.app / PROBE.name)
        self.batch = functools.cache(self._batch)
        self.beside = functools.cache(self._beside)

    def box(self, one: Sandbox) -> Box:
        """The home for this sandbox, with its backend in config.toml."""
        self._box.state.mkdir(mode=0o700, exist_ok=True)
        config = f'[network]\nbackend = "{one.backend}"\n' if one.backend else ""
        (self._box.state / "config.toml").write_text(config)
        return self.world.box(self._box, one.who)

    def launch(self, one: Sandbox, *command: str | Path, options: Sequence[str] = (), **more: Any) -> Result:
        """Run a command in this sandbox to its end."""
        more = {"timeout": TIME, **more}
        return self.box(one).claudebox("run", "-n", one.tier, "-y", *options, "--", *command, **more)

    def start(
        self, one: Sandbox, *command: str | Path, options: Sequence[str] = (), **more: Any
    ) -> subprocess.Popen[bytes]:
        """Start a command in this sandbox; the launcher is the child of what is returned."""
        box = self.box(one)
        return box.start([box.program, "run", "-n", one.tier, "-y", *options, "--", *command], **more)

    def probed(self, one: Sandbox, cases: list[destinations.Case], **more: Any) -> Answers:
        """Probes in a sandbox, one launch: id → result."""
        done = self.launch(one, PYTHON, "-I", PROBE.name, "-", input=json.dumps(cases), **more)
        assert done.status == 0, done.stderr
        return _answers(done.stdout)

    def control(self, who: str, cases: list[destinations.Case]) -> Answers:
        """The same probes by a plain process on the world's host."""
        box = self.world.box(self._box, who)
        done = box.run([sys.executable, "-I", PROBE.name, "-"], input=json.dumps(cases), timeout=TIME)
        assert done.status == 0, done.stderr
        return _answers(done.stdout)

    @contextmanager
    def talk(self, one: Sandbox, **more: Any) -> Iterator[Talk]:
        """A sandbox whose probe waits for cases."""
        command = (PYTHON, "-I", PROBE.name, "lines")
        with self.start(one, *command, stdin=subprocess.PIPE, **more) as process:
            try:
                yield Talk(process)
            finally:
                if process.poll() is None and process.stdin is not None:
                    process.stdin.close()
                    process.stdin = None

    # --- the batches of the matrix ---------------------------------------------------------------

    def _batch(self, one: Sandbox) -> tuple[Answers, list[dict[str, Any]]]:
        """Every probe of the matrix in one sandbox, and what the servers saw of it."""
        self.world.clear()
        with leak.checked():
            answers = self.probed(one, destinations.everything(inside=one.tier != "full"))
        return answers, self.world.seen()

    def _beside(self, who: str) -> Answers:
        return self.control(who, destinations.everything(inside=False))


def _answers(text: str) -> Answers:
    return {result["id"]: result for result in map(json.loads, text.splitlines())}


@pytest.fixture(scope="session")
def networks(world: World, claudebox: Path) -> Iterator[Networks]:
    """One home on the world's host for all tests of the network."""
    with made_box(claudebox) as box:
        yield Networks(world, box)
