"""The exit check around real sessions: silent without cause, after a kill, beside others, with odd repositories."""

from __future__ import annotations

import json
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from box import Box, Result
from capability import needs

pytestmark = [needs("userns", "bwrap", "git", "late_mounts"), pytest.mark.uid0]

RED = "claudebox: danger: changed while the session ran, and run on this host without being asked:"
KILLED = RED.replace("danger: ", "danger: of a session that was killed: ")
EMBED = "git init -q sub; git -C sub -c user.name=A -c user.email=a@b.example commit -q --allow-empty -m x; git add sub"


def inside(box: Box, script: str, *options: str, cwd: Path | None = None) -> Result:
    return box.claudebox("run", "-n", "offline", *options, "--", "sh", "-c", script, cwd=cwd or box.app)


@contextmanager
def session(box: Box, where: Path, *options: str) -> Iterator[subprocess.Popen[bytes]]:
    """A session that runs a line, says so, and waits for another."""
    script = 'echo up; read -r line; eval "$line"; echo done; read -r line; eval "$line"'
    started = box.start(
        [box.program, "run", "-n", "offline", *options, "--", "sh", "-c", script], cwd=where, stdin=subprocess.PIPE
    )
    try:
        assert started.stdout is not None
        assert started.stdout.readline() == b"up\n", started.communicate(timeout=5)
        yield started
    finally:
        if started.poll() is None:
            started.kill()
        started.communicate(timeout=10)


def tell(started: subprocess.Popen[bytes], line: str) -> None:
    """Have the session run a line, until it is done."""
    assert started.stdin is not None and started.stdout is not None
    started.stdin.write(line.encode() + b"\n")
    started.stdin.flush()
    assert started.stdout.readline() == b"done\n"


def end(started: subprocess.Popen[bytes]) -> Result:
    out, err = started.communicate(b"true\n", timeout=20)
    return Result(started.returncode, out, err)


def kill(started: subprocess.Popen[bytes]) -> None:
    started.send_signal(signal.SIGKILL)
    started.communicate(timeout=10)


def records(box: Box) -> list[Path]:
    """What lies in the instances' sessions/."""
    return sorted(box.state.glob("instances/*/sessions/*"))


# --- nothing to say --------------------------------------------------------------------------------

WORK = """set -e
echo new >new; git add -A; git commit -qm Inside; git switch -qc other; git switch -q -; git merge -q other
git stash list; git rebase -q HEAD~1; git tag x; git gc -q; git worktree prune; chmod +x new
mkdir -p a/b; echo x >a/b/c
"""


@pytest.mark.parametrize("script", ["true", WORK, "touch README; git status; rm -f .git/FETCH_HEAD"])
def test_work_is_no_reason_for_a_report(box: Box, script: str) -> None:
    done = inside(box, script)
    assert (done.status, done.stderr) == (0, "")
    assert records(box) == []


def test_what_was_there_before_is_no_reason(box: Box) -> None:
    box.run(["sh", "-c", f"{EMBED}; echo x >.envrc; echo x >Makefile; ln -s /x .git/odd; mkdir .vscode"])
    (box.app / ".vscode" / "tasks.json").write_text("{}")
    done = inside(box, "touch .envrc; mv Makefile x; mv x Makefile; cp .envrc y; cat y >.envrc")
    assert (done.status, done.stderr) == (0, "")
    assert (box.app / ".git" / "odd").is_symlink(), "whoever made it: it was there before the session"


def test_what_is_gone_is_no_reason(box: Box) -> None:
    box.run(["sh", "-c", f"{EMBED}; echo x >.envrc"])
    assert inside(box, "rm -rf .envrc sub; git rm -qf --cached sub").stderr == ""


def test_a_working_tree_that_is_added_is_a_note(box: Box) -> None:
    done = inside(box, "git worktree add -q tree")
    assert "danger: changed" in done.stderr and "tree/.git: new; leads git to a repository" in done.stderr
    assert "note: also changed, and run when asked for: .git/worktrees/tree/gitdir" in done.stderr


def test_the_status_and_the_output_are_the_commands_own(box: Box) -> None:
    done = inside(box, "echo out; echo x >.envrc; exit 7")
    assert (done.status, done.stdout) == (7, "out\n")
    assert done.stderr.startswith(RED + "\n  .envrc: new; ")


def test_the_report_for_programs(box: Box) -> None:
    done = inside(box, "echo out; echo x >.envrc; ln -s /x .git/odd", "--json")
    assert (done.status, done.stdout) == (0, "out\n")
    found = json.loads(done.stderr)["exit_report"]
    assert [(one["path"], one["row"], one["unasked"]) for one in found["changes"] if one["row"] != "link"] == [
        (f"{box.app}/.envrc", "direnv", True)
    ]
    assert found["moved"][0]["path"] == f"{box.app}/.git/odd"
    assert inside(box, "true", "--json").stderr == "", "nothing when nothing changed"


def test_a_dry_run_looks_at_nothing_and_names_what_leads_into_the_project(box: Box) -> None:
    box.git("config", "core.hooksPath", ".husky/_")
    done = box.claudebox("run", "-n", "offline", "--dry-run", "--json", "--", "true")
    (note,) = [one["text"] for one in json.loads(done.stdout)["notes"] if "your git runs" in one["text"]]
    assert f"{box.app}/.husky/_ (core.hooksPath)" in note
    assert not list(box.state.glob("instances/*"))


# --- after a kill ----------------------------------------------------------------------------------


def test_after_a_kill_the_next_start_reports(box: Box) -> None:
    victim = box.home / "victim"
    with session(box, box.app) as first:
        assert [path.name for path in records(box)] == [f"{first.pid}.json", f"{first.pid}.snapshot"]
        tell(first, f"echo x >.envrc; ln -sf {victim} .git/COMMIT_EDITMSG; echo x >.git/MERGE_MSG")
        kill(first)
    with session(box, box.app) as second:
        shown = box.claudebox("ps").stdout
        assert "of a session that was killed: changed while" in " ".join(shown.split()), shown
        done = end(second)
    assert KILLED + "\n  .envrc: new; " in done.stderr
    assert f"  .git/COMMIT_EDITMSG -> {victim}; now " in done.stderr
    assert "run on this host" not in inside(box, "true").stderr, "once"
    assert box.run(["git", "commit", "-q", "--allow-empty"], env={"GIT_EDITOR": "true"}).status == 0
    assert not victim.exists() and records(box) == []


def test_after_a_kill_any_session_of_the_instance_reports(box: Box) -> None:
    box.git("worktree", "add", "-q", "../tree")
    tree = box.app.parent / "tree"
    with session(box, tree) as first:
        tell(first, "echo x >.envrc")
        kill(first)
    done = inside(box, "true")
    assert f"{KILLED}\n  .envrc: new; " in done.stderr and f"git -C {tree}" not in done.stderr
    assert f"cat -v -- {tree}/.envrc" in done.stderr


def test_after_a_kill_without_a_change_nothing_is_said(box: Box) -> None:
    with session(box, box.app) as first:
        kill(first)
    assert len(records(box)) == 2
    assert inside(box, "true").stderr == ""
    assert records(box) == []


def test_a_project_that_is_gone_is_said_to_be(box: Box) -> None:
    box.git("worktree", "add", "-q", "../tree")
    tree = box.app.parent / "tree"
    with session(box, tree) as first:
        kill(first)
    box.git("worktree", "remove", "--force", "../tree")
    done = inside(box, "true")
    assert done.status == 0 and f"cannot be told: cannot look at {tree}" in done.stderr


def test_what_nobody_could_read_is_said_at_the_next_start(box: Box) -> None:
    with session(box, box.app) as first:
        tell(first, "echo x >.envrc; ln -s /x .git/odd")
        assert first.stderr is not None
        first.stderr.close()
        first.stderr = None
        assert end(first).status == 0
    assert not (box.app / ".git" / "odd").is_symlink(), "moved aside all the same"
    again = inside(box, "true").stderr
    assert KILLED.replace("that was killed", "whose end nobody could read") + "\n  .envrc: new; " in again
    assert ".git/odd -> /x; now " in again
    assert inside(box, "true").stderr == "" and records(box) == []


# --- several sessions ------------------------------------------------------------------------------


def test_each_session_reports_what_changed_while_it_ran(box: Box) -> None:
    box.git("worktree", "add", "-q", "../tree")
    tree = box.app.parent / "tree"
    with session(box, box.app) as first, session(box, tree) as second:
        tell(first, "echo x >.envrc")
        tell(second, "echo x >.mcp.json; ln -s /x $(git rev-parse --git-common-dir)/odd")
        with session(box, tree, "--force") as third:
            tell(third, "true")
            assert end(third).stderr == "", "it was all there when it began"
        one, two = end(first), end(second)
    assert ".envrc: new" in one.stderr and ".mcp.json" not in one.stderr
    assert ".mcp.json: new" in two.stderr and ".envrc" not in two.stderr
    assert ".git/odd -> /x; now " in one.stderr and ".git/odd" not in two.stderr, "of both; the first moved it"
    assert records(box) == []


def test_a_living_sessions_record_is_left_alone(box: Box) -> None:
    box.git("worktree", "add", "-q", "../tree")
    with session(box, box.app) as first:
        tell(first, "echo x >.envrc")
        assert inside(box, "true", cwd=box.app.parent / "tree").stderr == ""
        assert "  .envrc: new; " in end(first).stderr


# --- odd repositories ------------------------------------------------------------------------------


def objects_of_sha256(box: Box) -> Path:
    top = box.home / "code" / "top"
    box.git("init", "-q", "--object-format=sha256", str(top))
    box.git("commit", "-q", "--allow-empty", "-m", "x", cwd=top)
    return top


def tree_of_sha256(box: Box) -> Path:
    box.git("worktree", "add", "-q", "../tree", cwd=objects_of_sha256(box))
    return box.home / "code" / "tree"


def split_index(box: Box) -> Path:
    box.git("config", "core.splitIndex", "true")
    box.git("update-index", "--split-index")
    return box.app


def split_index_with_a_rest(box: Box) -> Path:
    box.git("config", "splitIndex.maxPercentChange", "100")
    return split_index(box)


def plain(box: Box) -> Path:
    return box.app


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (plain, "sub: new; git enters it as a submodule"),
        (objects_of_sha256, "sub: new; git enters it as a submodule"),
        (tree_of_sha256, "sub: new; git enters it as a submodule"),
        (split_index, "sub: new; git enters it as a submodule"),
        (split_index_with_a_rest, "an index whose submodules cannot be listed"),
    ],
)
def test_the_submodules_of_any_index(box: Box, make: object, said: str) -> None:
    top = make(box)  # type: ignore[operator]
    hash = "--object-format=sha256" if make in (objects_of_sha256, tree_of_sha256) else ""
    script = EMBED.replace("init -q", f"init -q {hash}")
    done = inside(box, script, cwd=top)
    assert said in done.stderr, done.stderr
    assert inside(box, "true", cwd=top).stderr == ""
    assert "160000" in box.git("ls-files", "-s", cwd=top), "the control"


def test_no_configuration_of_the_repository_is_read_for_it(box: Box) -> None:
    """Neither git nor anything else that it names runs when the gitlinks are listed."""
    ran = box.home / "ran"
    program = box.home / "program"
    program.write_text(f"#!/bin/sh\ntouch {ran}\n")
    program.chmod(0o755)
    box.run(["sh", "-c", EMBED])
    for where in (".git/config", "sub/.git/config"):
        box.git("config", "--file", where, "core.fsmonitor", str(program))
    ran.unlink(missing_ok=True)
    assert inside(box, "true").status == 0
    assert not ran.exists()
    box.git("status")
    assert ran.exists(), "the control"


def test_a_corrupt_index_ends_nothing(box: Box) -> None:
    (box.app / ".git" / "index").write_bytes(b"DIRC\0\0\0\2" + b"\0\0\xe0\0" * 3)
    assert inside(box, "true").status == 0
    done = inside(box, "printf '\\0\\0\\340\\0' >>.git/index")
    assert "an index whose submodules cannot be listed" in done.stderr


def test_what_is_no_file_is_not_waited_for(box: Box) -> None:
    script = (
        "mkfifo .envrc .git/index.x; rm .git/index; mkfifo .git/index; truncate -s 1T Makefile; mkdir .exrc;"
        "python3 -c 'import socket; socket.socket(socket.AF_UNIX).bind(\".mcp.json\")'; ln -s /dev/zero .npmrc"
    )
    done = inside(box, script)
    assert done.status == 0
    for word in (".envrc: new, fifo", ".exrc: new, directory", ".mcp.json: new, socket", "Makefile", ".npmrc"):
        assert word in done.stderr, done.stderr
    assert "cat" not in done.stderr


def test_a_flood_is_said_to_be_one(box: Box) -> None:
    done = inside(box, "mkdir a && cd a && seq 60000 | xargs touch")
    assert done.status == 0 and "there is more now than is looked at" in done.stderr


def test_a_full_disk_stops_the_launch_before_the_agent_runs(box: Box) -> None:
    assert inside(box, "true").status == 0
    (directory,) = box.state.glob("instances/*/sessions")
    blocked = directory / "x"
    blocked.mkdir()
    # as the kernel says it of a disk that is full: no file of ours grows
    done = box.run(["sh", "-c", 'ulimit -f 0; exec "$0" run -n offline -- touch ran', box.program], cwd=box.app)
    assert done.status == 125 and not (box.app / "ran").exists(), done
