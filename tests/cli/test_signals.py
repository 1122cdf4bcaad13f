"""Signals to the launcher: before the token the command never runs, afterwards it has its time and not more."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

import leak
from box import Box
from capability import needs
from shell import ASLEEP, RUN, Shell

pytestmark = needs("userns", "bwrap", "git", "pty")

# Stands for a bwrap that takes its time: it says that it is there, and goes on when it may.
SLOW = """#!/bin/sh
case "$*" in --args*)
    touch HOME/held
    until [ -e HOME/go ]; do sleep 0.02; done
esac
exec /usr/bin/bwrap "$@"
"""


def slow_bwrap(box: Box) -> str:
    """A PATH with that bwrap in front."""
    directory = box.home / "slow"
    directory.mkdir()
    (directory / "bwrap").write_text(SLOW.replace("HOME", str(box.home)))
    (directory / "bwrap").chmod(0o755)
    return f"{directory}:/usr/local/bin:/usr/bin:/bin"


def until(path: Path) -> None:
    deadline = time.monotonic() + 20
    while not path.exists():
        assert time.monotonic() < deadline, path
        time.sleep(0.01)


@contextmanager
def started(box: Box, *command: str, **options: Any) -> Iterator[subprocess.Popen[bytes]]:
    """A launcher, which ends with the block."""
    with box.start([box.program, *RUN.split(), *command], **options) as launcher:
        try:
            yield launcher
        finally:
            launcher.kill()


@contextmanager
def running(box: Box, agent: str) -> Iterator[subprocess.Popen[bytes]]:
    """A launcher whose agent has said that it is up."""
    with started(box, "bash", "-c", agent, stdin=subprocess.PIPE) as launcher:
        assert launcher.stdout is not None
        assert launcher.stdout.readline() == b"up\n"
        yield launcher


@pytest.mark.parametrize("name", ["INT", "QUIT", "HUP", "TERM", "USR1", "USR2"])
def test_a_signal_before_the_token(box: Box, name: str) -> None:
    """It does not wait for a bwrap that hangs, either."""
    before, number = leak.state(), signal.Signals[f"SIG{name}"]
    env = {"PATH": slow_bwrap(box)}
    with started(box, "touch", "ran", env=env) as launcher:
        until(box.home / "held")
        launcher.send_signal(number)
        out, err = launcher.communicate(timeout=10)
    assert (launcher.returncode, out, err) == (128 + number, b"", b"")
    assert leak.left(before) == []
    (box.home / "go").touch()
    assert not (box.app / "ran").exists()
    assert box.claudebox(*RUN.split(), "touch", "ran", env=env).status == 0, "the control"
    assert (box.app / "ran").exists()


def test_interrupt_typed_before_the_token_ends_a_loop_of_the_shell(box: Box, shell: Shell) -> None:
    shell.bash.sendline(f"PATH={slow_bwrap(box)}; for i in 1 2; do $CB {RUN} touch ran; echo went-on-$i; done")
    until(box.home / "held")
    shell.bash.sendintr()
    assert "went-on-1" not in shell.prompt()
    assert shell.status() == 130
    assert not (box.app / "ran").exists()


def test_stop_typed_before_the_token_stops_the_job(box: Box, shell: Shell) -> None:
    shell.bash.sendline(f"PATH={slow_bwrap(box)} $CB {RUN} sh -c 'echo U-P; exit 3'")
    until(box.home / "held")
    shell.bash.sendcontrol("z")
    (box.home / "go").touch()
    shell.bash.expect("Stopped")
    shell.prompt()
    shell.bash.sendline("fg")
    shell.bash.expect("U-P\r\n")
    shell.prompt()
    assert shell.status() == 3


@pytest.mark.parametrize(("name", "seconds"), [("TERM", 10), ("HUP", 1)])
def test_an_agent_that_ignores_it_is_killed_whole(box: Box, name: str, seconds: float) -> None:
    agent = f"trap '' TERM HUP; setsid sh -c 'trap \"\" TERM HUP; {ASLEEP}' & echo up; {ASLEEP}"
    before = leak.state()
    with running(box, agent) as launcher:
        began = time.monotonic()
        launcher.send_signal(signal.Signals[f"SIG{name}"])
        assert launcher.wait(20) == 137
        took = time.monotonic() - began
    assert seconds - 0.1 < took < seconds + 2
    assert leak.left(before) == []


@pytest.mark.parametrize("name", ["USR1", "USR2", "QUIT", "HUP", "INT"])
def test_a_signal_reaches_the_agent_once(box: Box, name: str) -> None:
    agent = f"trap 'echo got' {name}; echo up; until read line; do :; done; exit 5"
    with running(box, agent) as launcher:
        launcher.send_signal(signal.Signals[f"SIG{name}"])
        assert launcher.stdout is not None and launcher.stdout.readline() == b"got\n"
        out, err = launcher.communicate(b"\n", timeout=20)
    assert (launcher.returncode, out, err) == (5, b"", b"")


def test_quit_typed_at_the_terminal(shell: Shell) -> None:
    shell.start(f'"$CB" {RUN} sh -c "echo U-P; {ASLEEP}"')
    shell.bash.send("\x1c")
    shell.prompt()
    assert shell.status() == 131


@pytest.mark.parametrize("victim", ["guard", "bwrap"])
def test_a_killed_helper_of_the_launcher_ends_it(box: Box, victim: str) -> None:
    words = {"guard": b"while read -r pid", "bwrap": b"--args"}[victim]
    before = leak.state()
    with running(box, f"trap '' HUP; echo up; {ASLEEP}") as launcher:
        (found, *_) = (
            pid for pid in sorted(leak.descendants(launcher.pid)) if words in Path(f"/proc/{pid}/cmdline").read_bytes()
        )
        os.kill(found, signal.SIGKILL)
        assert launcher.wait(5) == 137
    assert leak.left(before) == []
