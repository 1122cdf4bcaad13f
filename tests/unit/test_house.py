"""The house for tests holds: a unit test cannot start a program, and its environment is clean."""

from __future__ import annotations

import os
import pty
import subprocess
from collections.abc import Callable
from os import posix_spawn

import pytest

import capability
import programs

WAYS: dict[str, Callable[[], object]] = {
    "posix_spawn": lambda: os.posix_spawn("/bin/true", ["true"], {}),
    "posix_spawn, imported before": lambda: posix_spawn("/bin/true", ["true"], {}),
    "posix_spawnp": lambda: os.posix_spawnp("true", ["true"], {}),
    "fork": lambda: os.fork() or os._exit(0),
    "forkpty": lambda: os.forkpty()[0] or os._exit(0),
    "execv": lambda: os.execv("/bin/true", ["true"]),
    "execve": lambda: os.execve("/bin/true", ["true"], {}),
    "execvp": lambda: os.execvp("true", ["true"]),
    "spawnv": lambda: os.spawnv(os.P_WAIT, "/bin/true", ["true"]),
    "system": lambda: os.system("true"),
    "popen": lambda: os.popen("true"),
    "Popen": lambda: subprocess.Popen(["true"]),
    "subprocess.run": lambda: subprocess.run(["true"], check=False),
    "pty.spawn": lambda: pty.spawn(["true"]),
}


@pytest.mark.tries_programs
@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS.keys())
def test_no_program_starts(way: Callable[[], object]) -> None:
    with pytest.raises(pytest.fail.Exception, match="starts no program"):
        way()


def test_what_was_tried_is_remembered_when_the_code_hides_it() -> None:
    with programs.forbidden() as tried:
        try:
            os.system("true")
        except BaseException:
            pass
    assert len(tried) == 1


def test_the_environment_is_clean() -> None:
    assert set(os.environ) <= {"PATH", "HOME", "LANG", "PYTEST_CURRENT_TEST"}


@pytest.mark.parametrize(("full", "normal"), [(1, 1), (50, 50), (51, 5), (200, 20), (2000, 200)])
def test_repeat(full: int, normal: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(capability, "SOAK", False)
    assert capability.repeat(full) == normal
    monkeypatch.setattr(capability, "SOAK", True)
    assert capability.repeat(full) == full


@pytest.mark.parametrize(
    ("required", "outcome"), [((), pytest.skip), (("absent",), pytest.fail), (("all",), pytest.fail)]
)
def test_a_missing_capability_skips_or_fails(
    required: tuple[str, ...], outcome: pytest.skip, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    def absent() -> None:
        raise capability.Missing("it is not there")

    monkeypatch.setitem(capability.PROBES, "absent", absent)
    monkeypatch.setattr(capability, "REQUIRED", frozenset(required))
    request.node.add_marker(capability.needs("absent"))
    with pytest.raises(outcome.Exception, match="it is not there"):
        capability.require(request.node)
