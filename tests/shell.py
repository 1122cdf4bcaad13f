"""An interactive shell on a terminal, as a person sits at one, for tests of signals and job control."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pexpect
import pytest

import leak
from box import Box, environment

PROMPT = "host> "
RUN = "run -n offline --"
ASLEEP = "while :; do sleep 0.1; done"


class Shell:
    """An interactive bash on a terminal of its own, in the box's project. $CB is claudebox."""

    def __init__(self, box: Box) -> None:
        env = environment(box.home, {"PS1": PROMPT, "CB": str(box.program), "TERM": "dumb"})
        self.bash: Any = pexpect.spawn(
            "/bin/bash", ["--norc", "--noprofile", "--noediting"],
            cwd=str(box.app), env=env, encoding="utf-8", timeout=20, dimensions=(24, 80),
        )  # fmt: skip
        self.bash.delaybeforesend = None
        self.prompt()

    def prompt(self) -> str:
        """Wait for the prompt; what came before it."""
        self.bash.expect_exact(PROMPT)
        return str(self.bash.before)

    def start(self, line: str, up: str = "U-P") -> None:
        """Type a line, and wait for what its command prints."""
        self.bash.sendline(line)
        self.bash.expect(f"{up}\r?\n")

    def status(self) -> int:
        """The status of the last command, at a prompt."""
        self.bash.sendline("echo $?=status")
        self.bash.expect(r"(\d+)=status\r")
        found = int(self.bash.match.group(1))
        self.prompt()
        return found

    def stopped(self, agent: str, saying: str = "Stopped") -> None:
        """Wait until the shell says so, and the agent has stopped: until then it could eat what is typed."""
        self.bash.expect(saying)
        self.prompt()
        self.until_state(agent, "T")

    def foreground(self, line_end: str) -> None:
        """Type fg, and wait for the line of the job that it prints."""
        self.bash.sendline("fg")
        self.bash.expect(f"{line_end}\r")

    def until_job_stopped(self) -> None:
        """Wait until the launcher, the shell's only child, has stopped as well: it does so after the agent."""
        deadline = time.monotonic() + 10
        while set(states := [state for parent, state in leak.parents().values() if parent == self.bash.pid]) != {"T"}:
            assert time.monotonic() < deadline, states
            time.sleep(0.01)

    def until_state(self, agent: str, letter: str) -> None:
        """Wait until the processes with `agent` in their command line that run inside are in a state of proc(5)."""
        deadline = time.monotonic() + 10
        while True:
            table = leak.parents()
            states = [table[pid][1] for pid in leak.descendants(self.bash.pid) if pid in table and inside(pid, agent)]
            if states and set(states) == {letter}:
                return
            assert time.monotonic() < deadline, states
            time.sleep(0.01)


def inside(pid: int, agent: str) -> bool:
    """Whether a process is the agent itself, and none of the launcher's or bwrap's."""
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")[:-1]
    except OSError:
        return False
    return bool(words) and words[-1] == agent.encode() and b"--" not in words


@pytest.fixture
def shell(box: Box) -> Iterator[Shell]:
    made = Shell(box)
    yield made
    made.bash.close(force=True)


def write(box: Box, name: str, text: str) -> None:
    """A script for the agent, in the project."""
    (box.app / name).write_text(text)
