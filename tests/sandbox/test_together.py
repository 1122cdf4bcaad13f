"""Sessions of one repository side by side: each tree has its lock, what they share goes with the last one."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from box import Box, Result
from capability import needs

pytestmark = [needs("userns", "bwrap", "git", "late_mounts"), pytest.mark.uid0]


@pytest.fixture
def tree(box: Box) -> Path:
    box.git("worktree", "add", "-q", "../tree", "-b", "side")
    return box.app.parent / "tree"


@contextmanager
def session(box: Box, where: Path, *options: str) -> Iterator[subprocess.Popen[bytes]]:
    """A session that waits for a line, and then runs it."""
    script = 'echo up; read -r line; eval "$line"'
    words = [box.program, "run", "-n", "offline", *options, "--", "sh", "-c", script]
    started = box.start(words, cwd=where, stdin=subprocess.PIPE)
    try:
        assert started.stdout is not None
        assert started.stdout.readline() == b"up\n", started.communicate(timeout=5)
        yield started
    finally:
        if started.poll() is None:
            started.kill()
        started.communicate(timeout=10)


def end(started: subprocess.Popen[bytes], line: str = "true") -> Result:
    out, err = started.communicate(line.encode() + b"\n", timeout=20)
    return Result(started.returncode, out, err)


def launch(box: Box, where: Path, *options: str) -> Result:
    return box.claudebox("run", "-n", "offline", *options, "--", "true", cwd=where)


def test_worktrees_run_side_by_side(box: Box, tree: Path) -> None:
    with session(box, box.app) as first, session(box, tree) as second:
        assert end(second, "git commit -q --allow-empty -m Second").status == 0
        assert end(first, "git commit -q --allow-empty -m First").status == 0
    assert box.git("log", "-1", "--format=%s") == "First\n"
    assert box.git("log", "-1", "--format=%s", cwd=tree) == "Second\n"


def test_a_second_session_in_one_tree_is_refused_and_told_the_ways_on(box: Box, tree: Path) -> None:
    with session(box, tree) as first:
        (tree / "below").mkdir()
        for where in (tree, tree / "below"):
            done = launch(box, where)
            assert done.status == 125 and f"pid {first.pid}" in done.stderr
            assert all(way in done.stderr for way in ("claudebox stop", "git worktree add", "--force"))
        assert launch(box, tree, "--force").status == 0
        assert end(first, "git status --porcelain").status == 0
    assert launch(box, tree).status == 0


def test_who_joined_holds_the_tree_when_the_first_one_has_left(box: Box, tree: Path) -> None:
    with session(box, tree) as first, session(box, tree, "--force") as joined:
        assert end(first).status == 0
        done = launch(box, tree)
        assert done.status == 125 and f"another session works in this tree (pid {joined.pid}" in done.stderr
        assert f"claudebox stop {joined.pid};" in done.stderr
        assert end(joined).status == 0
    assert launch(box, tree).status == 0, "the control"


@pytest.mark.parametrize("side", ["", "--no-auth"], ids=["served", "no-auth"])
def test_a_session_without_a_login_is_not_beside_one_with_it(box: Box, tree: Path, side: str) -> None:
    """They have one home, and a login that is published there would lift the mask."""
    ours, other = [word for word in (side,) if word], [] if side else ["--no-auth"]
    with session(box, tree, *ours) as first:
        for options in (other, [*other, "--force"]):
            for where in {box.app, tree} if "--force" in options else {box.app}:
                done = launch(box, where, *options)
                assert done.status == 125 and f"pid {first.pid}" in done.stderr and "have one home" in done.stderr, done
        assert launch(box, box.app, *ours).status == 0, "the control: its own side"
        first.send_signal(signal.SIGKILL)
        first.communicate(timeout=10)
    assert launch(box, box.app, *other).status == 0, "a kill frees it"


@pytest.mark.parametrize("killed", [False, True], ids=["leaves", "killed"])
def test_what_is_shared_stays_for_the_one_that_is_left(box: Box, tree: Path, killed: bool) -> None:
    """Without that the first one's end would detach the mask of the second, whose agent could then write."""
    stub, before = box.app / ".git" / "commondir", sorted((box.app / ".git").iterdir())
    attack = f"echo ../elsewhere >'{stub}'; rm -f '{stub}'; echo tried"
    with session(box, box.app) as first, session(box, tree) as second:
        if killed:
            first.send_signal(signal.SIGKILL)
            first.communicate(timeout=10)
        else:
            assert end(first).status == 0
        assert stub.exists(), "of both"
        assert end(second, attack).stdout == "tried\n"
    assert sorted((box.app / ".git").iterdir()) == before
    stub.write_text("../.git\n")
    assert box.run(["sh", "-c", attack]).stdout == "tried\n" and not stub.exists(), "the control"


def test_what_both_left_is_swept_by_the_next(box: Box, tree: Path) -> None:
    before = sorted((box.app / ".git").iterdir())
    with session(box, box.app) as first, session(box, tree) as second:
        for one in (first, second):
            one.send_signal(signal.SIGKILL)
            one.communicate(timeout=10)
    assert (box.app / ".git" / "commondir").exists()
    assert launch(box, tree).status == 0
    assert sorted((box.app / ".git").iterdir()) == before


@pytest.mark.parametrize("kind", ["directory", "file"])
def test_a_mount_point_that_another_session_removes_is_mounted_again(box: Box, tree: Path, kind: str) -> None:
    source, target = box.home / "source", box.home / "granted"
    if kind == "directory":
        source.mkdir()
        (source / "f").write_text("granted\n")
    else:
        source.write_text("granted\n")
    read = "cat ~/granted/f" if kind == "directory" else "cat ~/granted"
    remove = "rmdir ~/granted" if kind == "directory" else "rm ~/granted"
    with session(box, box.app, "-y", "-m", f"{source}:{target}") as first:
        assert first.stdin and first.stdout
        for round in range(2):  # a clone is left for the next time
            with session(box, tree) as second:
                assert end(second, f"{remove}; echo $?").stdout == "0\n", "to the other it is an ordinary name"
            wait_for_message(box, first.pid, round + 1)
            first.stdin.write(f'{read}; read -r line; eval "$line"\n'.encode())
            first.stdin.flush()
            assert first.stdout.readline() == b"granted\n", end(first)
        done = end(first, "touch ~/granted/f ~/granted; exit 3")
    assert done.status == 3 and "mounted again" in done.stderr and "Read-only" in done.stderr


def wait_for_message(box: Box, pid: int, count: int) -> None:
    """Until a session's record has so many messages."""
    deadline = time.monotonic() + 10
    while True:
        (record,) = box.state.glob(f"instances/*/sessions/{pid}.json")
        if len(json.loads(record.read_text())["messages"]) >= count:
            return
        assert time.monotonic() < deadline, record.read_text()
        time.sleep(0.02)


def test_a_link_where_the_mount_point_was_ends_the_session(box: Box, tree: Path) -> None:
    source = box.home / "source"
    source.mkdir()
    with session(box, box.app, "-y", "-m", f"{source}:{box.home}/granted") as first:
        with session(box, tree) as second:
            script = "cd; while :; do rmdir granted && ln -sT .claude granted && break; done 2>/dev/null; echo done"
            assert end(second, script).stdout == "done\n"
        first.wait(20)
        done = end(first)
    assert (done.status == 137 and "was ended" in done.stderr) or done.status == 0
    assert not list(source.iterdir())
