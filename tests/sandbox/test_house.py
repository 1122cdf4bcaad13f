"""The house for kernel tests holds: leaks are seen, the environment of a run is clean."""

from __future__ import annotations

import os
import subprocess
import time

import pytest

import leak
from box import Box, environment, make_project
from capability import PROBES, lacking, needs


def test_a_process_left_behind_is_seen_and_gone_when_it_ends() -> None:
    before = leak.state()
    process = subprocess.Popen(["sleep", "60"])
    try:
        found = leak.left(before, patience=0.1)
        assert [line for line in found if f"process {process.pid} " in line and "sleep 60" in line] == found != []
    finally:
        process.kill()
        process.wait()
    assert leak.left(before) == []


def test_an_orphan_in_a_session_of_its_own_is_seen() -> None:
    before = leak.state()
    subprocess.run(["sh", "-c", "setsid sleep 61 & exit 0"], check=True)
    found = leak.left(before, patience=0.2)
    orphans = leak.descendants() - before.processes
    leak.kill(orphans)
    assert len(orphans) == 1
    assert "sleep 61" in found[0]


def test_a_process_that_is_about_to_end_is_waited_for() -> None:
    before = leak.state()
    subprocess.run(["sh", "-c", "sleep 0.4 & exit 0"], check=True)
    started = time.monotonic()
    assert leak.left(before) == []
    assert time.monotonic() - started > 0.2


@needs("bwrap")
@pytest.mark.uid0
def test_a_sandbox_left_behind_is_seen() -> None:
    before = leak.state()
    bwrap = subprocess.Popen(["bwrap", "--unshare-all", "--ro-bind", "/", "/", "--dev", "/dev", "sleep", "62"])
    try:
        found = []
        deadline = time.monotonic() + 10
        while len(found) < 3 and time.monotonic() < deadline:  # outer, pid 1, sleep
            found = leak.left(before, patience=0)
        assert len(found) == 3
    finally:
        leak.kill(leak.descendants() - before.processes)
        bwrap.wait()
    assert leak.left(before) == []


def test_a_temporary_file_left_behind_is_seen() -> None:
    before = leak.state()
    path = f"/tmp/claudebox-left-{os.getpid()}"
    with open(path, "w"):
        pass
    try:
        assert leak.left(before, patience=0) == [f"file: {path}"]
    finally:
        os.unlink(path)


@needs("git")
def test_a_box_has_a_project_and_a_clean_environment(tmp_path: os.PathLike[str]) -> None:
    box = Box(home=tmp_path, program=tmp_path)  # type: ignore[arg-type]
    make_project(box)
    assert box.git("log", "--format=%s by %an").splitlines() == ["Start by Ada Example"]
    assert box.git("status", "--porcelain") == ""
    shown = set(box.run(["env"]).stdout.splitlines())
    assert {line for line in shown if not line.startswith(("PWD=", "_=", "SHLVL="))} == {
        f"{name}={value}" for name, value in environment(box.home).items()
    }
    assert box.run(["sh", "-c", "cat; exit 3"], input=b"\xff\0").stdout_bytes == b"\xff\0"
    assert box.run(["sh", "-c", "kill -9 $$"]).status == -9


@pytest.mark.uid0
@pytest.mark.parametrize("name", sorted({*PROBES} - {"claudebox", "claude", "codex", "gemini", "opencode"}))
def test_a_probe_answers_in_time_and_leaves_nothing(name: str) -> None:
    started = time.monotonic()
    assert isinstance(lacking(name), str)
    assert time.monotonic() - started < 15
