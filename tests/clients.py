"""The real clients in the sandbox, told what to do by the canned model that ships with the scripts."""

from __future__ import annotations

import os
import shlex
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from box import Argument, Box, Result
from capability import PATH, agent_path

sys.path.insert(0, str(Path(__file__).parents[1] / "scripts"))

from canned_model import CannedModel, Scenario

INSIDE = "/run/model.sock"


def program_path(agent: str) -> str:
    """PATH of a user who installed that client; npm's clients of node need node as well."""
    return f"{agent_path(agent).parent}:{PATH}"


@dataclass(frozen=True)
class Claude:
    """Claude Code in the box's project; each line `run: COMMAND` of a prompt is run by its Bash tool."""

    box: Box
    model: CannedModel

    def options(self) -> list[Argument]:
        """What makes the client talk to the model: its socket and three variables."""
        return [
            "-n", "offline", "-y",
            "-m", f"{self.model.address}:{INSIDE}",
            "-e", f"ANTHROPIC_UNIX_SOCKET={INSIDE}",
            "-e", "ANTHROPIC_BASE_URL=http://canned.invalid",
            "-e", "ANTHROPIC_AUTH_TOKEN",
        ]  # fmt: skip

    def environment(self) -> dict[str, str]:
        return {"PATH": program_path("claude"), "ANTHROPIC_AUTH_TOKEN": "canned"}

    def __call__(
        self,
        *arguments: Argument,
        unattended: bool = True,
        env: Mapping[str, str] | None = None,
        cwd: Argument | None = None,
    ) -> Result:
        """`claudebox … -- ARGUMENTS`."""
        mode = ["--unattended"] if unattended else []
        argv = [*self.options(), *mode, "--", *arguments]
        return self.box.claudebox(*argv, env={**self.environment(), **(env or {})}, cwd=cwd, timeout=100)

    def run(self, *commands: str) -> list[str]:
        """What its Bash tool sends back of each command, in one conversation."""
        before = len(self.model.requests)
        done = self("-p", "\n".join(f"run: {command}" for command in commands))
        assert done.status == 0, done.stderr
        results = [text for entry in self.model.requests[before:] for text in entry.get("results", ())]
        assert len(results) == len(commands), self.model.requests[before:]
        return results


@pytest.fixture
def model(box: Box) -> Iterator[CannedModel]:
    """A canned model on a unix socket in the box's home."""
    with CannedModel(Scenario(from_prompt=True), unix=os.fspath(box.home / "model.sock")) as served:
        yield served


@pytest.fixture
def tcp_model() -> Iterator[CannedModel]:
    """A canned model on a port of 127.0.0.1."""
    with CannedModel(Scenario(from_prompt=True)) as served:
        yield served


@pytest.fixture
def claude(box: Box, model: CannedModel) -> Claude:
    return Claude(box, model)


class Screen:
    """A real terminal (tmux) of 120 by 40 with a program in it."""

    def __init__(self, box: Box, env: Mapping[str, str]) -> None:
        self.box, self.env = box, {**env, "TMUX_TMPDIR": os.fspath(box.home)}

    def tmux(self, *arguments: str) -> str:
        return self.box.run(["tmux", "-L", "agent", "-f", "/dev/null", *arguments], env=self.env).stdout

    def __call__(self, *keys: str, until: str, timeout: float = 40) -> str:
        """Type keys; the screen once it holds until."""
        for key in keys:
            self.tmux("send-keys", key)
        deadline = time.monotonic() + timeout
        while until not in (shown := self.tmux("capture-pane", "-p")):
            assert time.monotonic() < deadline, f"no {until!r} on the screen:\n{shown}"
            time.sleep(0.1)
        return shown


@contextmanager
def terminal(box: Box, argv: Sequence[str], env: Mapping[str, str]) -> Iterator[Screen]:
    """A terminal that runs argv and then says its status: `type(keys…, until=)` returns the screen that holds that."""
    screen = Screen(box, env)
    line = f"{shlex.join(argv)}; echo status-$?; sleep 60"
    screen.tmux("new-session", "-d", "-x", "120", "-y", "40", "-c", os.fspath(box.app), line)
    try:
        yield screen
    finally:
        screen.tmux("kill-server")
