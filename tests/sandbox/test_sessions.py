"""`claudebox ps` and `stop` with running sandboxes, and the record that both read."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

import leak
from box import Box
from capability import needs
from machine import USER, WORLD
from sessions import UP, session

pytestmark = [needs("userns", "bwrap", "git"), pytest.mark.uid0]


def listed(box: Box) -> list[dict[str, Any]]:
    done = box.claudebox("ps", "--json")
    assert (done.status, done.stderr) == (0, "")
    found: list[dict[str, Any]] = json.loads(done.stdout)["sessions"]
    return found


def records(box: Box) -> list[Path]:
    return list(box.state.glob("instances/*/sessions/*.json"))


def until(check: Any) -> None:
    deadline = time.monotonic() + 20
    while not check():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_session_shows_while_it_runs(box: Box) -> None:
    before = time.time()
    assert listed(box) == []
    with session(box) as launcher:
        (one,) = listed(box)
        assert abs(one.pop("since") - before) < 60 and one.pop("started") > 0
        assert one == {
            "pid": launcher.pid, "instance": records(box)[0].parent.parent.name, "project": str(box.app),
            "directory": str(box.app), "tier": "offline", "agent": "claude", "command": ["sh", "-c", UP],
            "terminal": "", "messages": [],
        }  # fmt: skip
        table = box.claudebox("ps").stdout
        assert str(launcher.pid) in table and str(box.app) in table and "offline" in table
        assert launcher.communicate(b"word\n")[0] == b"down\n"
    assert launcher.returncode == 0
    assert listed(box) == [] and records(box) == []
    assert box.claudebox("ps").stderr == "no session is running\n"


def test_a_killed_session_does_not_show_and_its_record_goes_with_the_next_launch(box: Box) -> None:
    with session(box) as launcher:
        launcher.kill()
        launcher.wait()
        assert len(records(box)) == 1
        assert listed(box) == []
    assert box.claudebox("run", "-n", "offline", "--", "true").status == 0
    assert records(box) == []


def test_a_pid_that_was_used_again_is_no_session_and_is_not_stopped(box: Box) -> None:
    with session(box) as launcher:
        (path,) = records(box)
        record = json.loads(path.read_text())
        path.write_text(json.dumps({**record, "started": record["started"] - 1}))
        assert listed(box) == []
        done = box.claudebox("stop", str(launcher.pid))
        assert done.status == 125 and "no session of yours has the pid" in done.stderr
        assert launcher.poll() is None
        path.write_text(json.dumps(record))
        assert len(listed(box)) == 1, "the control: as it was"


def test_stop_ends_the_session_of_this_project(box: Box) -> None:
    (box.app / "sub").mkdir()
    with session(box) as launcher:
        done = box.claudebox("stop", "--json", cwd=box.app / "sub")
        assert launcher.poll() is not None, "stop returns when it is gone"
        assert (done.status, done.stderr) == (0, "")
        assert json.loads(done.stdout)["sessions"] == [
            {"pid": launcher.pid, "project": str(box.app), "signal": "SIGTERM"}
        ]
    assert launcher.returncode == 128 + signal.SIGTERM
    assert listed(box) == []


def test_stop_without_a_session_says_so(box: Box) -> None:
    done = box.claudebox("stop")
    assert (done.status, done.stdout) == (125, "")
    first, second = done.stderr.splitlines()
    assert first == f"claudebox: error: no session works in {box.app}"
    assert second == "hint: no session is running at all"
    assert box.claudebox("stop", "--all").status == 0


def test_stop_lists_the_others(box: Box) -> None:
    elsewhere = box.home / "code" / "plain"
    elsewhere.mkdir()
    with session(box) as launcher:
        done = box.claudebox("stop", cwd=elsewhere)
        assert done.status == 125
        assert f"  {launcher.pid}  {box.app}  (offline, sh -c" in done.stderr
        assert launcher.poll() is None


def test_stop_all_ends_two(box: Box) -> None:
    elsewhere = box.home / "code" / "plain"
    elsewhere.mkdir()
    with session(box) as one, session(box, cwd=elsewhere) as two:
        assert {found["pid"] for found in listed(box)} == {one.pid, two.pid}
        assert box.claudebox("stop", "--all").status == 0
        assert (one.poll(), two.poll()) == (143, 143)


def test_a_deaf_agent_is_killed_by_its_launcher_and_that_is_said(box: Box) -> None:
    with session(box, "trap '' TERM; echo up; while :; do sleep 1; done") as launcher:
        started = time.monotonic()
        done = box.claudebox("stop", str(launcher.pid))
        assert 9 < time.monotonic() - started < 15
        assert done.status == 0
        assert done.stderr == f"waiting for {launcher.pid}; killed after 15 s\n"
        assert launcher.poll() == 137


def test_a_stopped_session_ends_too(box: Box) -> None:
    with session(box) as launcher:
        os.kill(launcher.pid, signal.SIGSTOP)
        until(lambda: leak.parents()[launcher.pid][1] == "T")
        assert box.claudebox("stop").status == 0
        assert launcher.poll() == 143


def test_a_launcher_that_hangs_is_killed_with_its_sandbox(box: Box) -> None:
    """SIGCONT wakes it, so it is stopped again and again: it hardly runs, and SIGTERM is not acted on in time."""
    with session(box) as launcher:
        os.kill(launcher.pid, signal.SIGSTOP)
        keeper = subprocess.Popen(
            ["sh", "-c", f"while kill -STOP {launcher.pid} 2>/dev/null; do :; done"], stderr=subprocess.DEVNULL
        )
        try:
            done = box.claudebox("stop", "--json", str(launcher.pid))
        finally:
            keeper.kill()
            keeper.wait()
        assert json.loads(done.stdout)["sessions"][0]["signal"] == "SIGKILL"
        assert launcher.poll() == -signal.SIGKILL


def test_a_second_launch_names_who_holds_the_project(box: Box) -> None:
    with session(box) as launcher:
        done = box.claudebox("run", "-n", "offline", "--", "true")
        assert done.status == 125
        first, second = done.stderr.splitlines()
        assert first.startswith(f"claudebox: error: another session works in this tree (pid {launcher.pid}, for ")
        assert "sh -c echo up" in first
        assert second == f"hint: claudebox stop {launcher.pid}; or git worktree add, for a tree of its own; or --force"


@needs("user")
def test_a_record_that_cannot_be_written_stops_the_launch(box: Box) -> None:
    assert box.claudebox("run", "-n", "offline", "--", "true").status == 0
    (sessions,) = box.state.glob("instances/*/sessions")
    before = {path: path.is_file() and path.read_bytes() for path in sessions.parent.iterdir()}
    sessions.chmod(0o500)
    try:
        done = box.claudebox("run", "-n", "offline", "--", "echo", "ran")
    finally:
        sessions.chmod(0o700)
    assert (done.status, done.stdout) == (125, "")
    first, second = done.stderr.splitlines()
    assert first == f"claudebox: error: cannot write to {sessions}: Permission denied"
    assert second == "hint: free some space"
    assert {path: path.is_file() and path.read_bytes() for path in sessions.parent.iterdir()} == before


@pytest.mark.parametrize("words", [("ps", "--jsn"), ("stop", "--al")])
def test_an_unknown_option_names_its_neighbour(box: Box, words: tuple[str, ...]) -> None:
    done = box.claudebox(*words)
    assert done.status == 125
    assert "did you mean --" in done.stderr


@pytest.mark.parametrize("command", ["ps", "stop"])
def test_help_has_examples(box: Box, command: str) -> None:
    done = box.claudebox(command, "--help")
    assert done.status == 0
    assert f"examples:\n  claudebox {command}" in done.stdout


FULL = """
run() { "$CB" run -n offline -- "$@"; echo "status $?"; }
state() { find "$HOME/.claudebox" ! -name fill ! -path "*/locks/*" -print -type f -exec cksum {} + | sort; }
run echo first
state >"$HOME/before"
head -c 1M /dev/zero >"$HOME/.claudebox/fill" 2>/dev/null
run echo second
state | diff "$HOME/before" - && echo unchanged
rm "$HOME/.claudebox/fill"
run echo third
"""


@needs("user")
def test_on_a_full_disk_the_launch_stops_and_what_was_there_stands(box: Box) -> None:
    box.state.mkdir(mode=0o700)
    mount = f"mount -t tmpfs -o size=256k,mode=700 small {box.state} && "
    done = box.run([*WORLD, mount + USER + 'sh -c "$0"', FULL], env={"CB": str(box.program)})
    assert done.stdout == "first\nstatus 0\nstatus 125\nunchanged\nthird\nstatus 0\n", done
    first, second = done.stderr.splitlines()
    assert first.startswith("claudebox: error: cannot write to ") and first.endswith("No space left on device")
    assert second == "hint: free some space"


def test_two_working_trees_are_two_sessions_of_one_instance(box: Box) -> None:
    tree = box.home / "code" / "tree"
    box.git("worktree", "add", "-q", str(tree))
    with session(box) as main, session(box, cwd=tree) as linked:
        assert {(one["pid"], one["project"]) for one in listed(box)} == {
            (main.pid, str(box.app)), (linked.pid, str(tree)),
        }  # fmt: skip
        paths = {box.claudebox("instance", "path", cwd=where).stdout for where in (box.app, tree)}
        assert len(paths) == 1
        (one,) = json.loads(box.claudebox("instance", "list", "--json").stdout)["instances"]
        assert sorted(one["sessions"]) == sorted([main.pid, linked.pid])
        assert box.claudebox("stop", cwd=tree).status == 0
        assert (main.poll(), linked.poll()) == (None, 143)
        done = box.claudebox("instance", "remove", "-y", cwd=tree)
        assert done.status == 125 and f"pid {main.pid}" in done.stderr
        assert main.communicate(b"\n")[0] == b"down\n"
    assert records(box) == []


def test_two_sessions_in_one_tree_are_stopped_by_pid_or_project(box: Box) -> None:
    with session(box) as first:
        joined = box.start(
            [box.program, "run", "-n", "offline", "--force", "--", "sh", "-c", UP], stdin=subprocess.PIPE
        )
        assert joined.stdout is not None and joined.stdout.readline() == b"up\n"
        done = box.claudebox("stop")
        assert done.status == 125 and "several sessions work in this project" in done.stderr
        assert f"  {first.pid}  " in done.stderr and f"  {joined.pid}  " in done.stderr
        assert box.claudebox("stop", str(first.pid)).status == 0
        assert (first.poll(), joined.poll()) == (143, None)
        assert box.claudebox("stop", str(box.app)).status == 0
        assert joined.poll() == 143
        joined.communicate()
