"""What stands around a launch: who one is inside, git with its remotes, and a repository left as it was."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from box import Box, Result
from capability import needs

pytestmark = [needs("userns", "bwrap", "git"), pytest.mark.uid0]


def inside(box: Box, script: str, *options: str, cwd: Path | None = None) -> Result:
    return box.claudebox("run", "-n", "offline", *options, "--", "sh", "-c", script, cwd=cwd)


def test_the_user_is_the_same_inside(box: Box) -> None:
    script = "id -u; id -g; id -un; getent passwd | wc -l"
    here = box.run(["sh", "-c", "id -u; id -g; id -un"])
    assert inside(box, script).stdout == here.stdout + "1\n"


def test_python_finds_the_user_by_number(box: Box) -> None:
    code = "import os, pwd; e = pwd.getpwuid(os.getuid()); print(e.pw_dir, e.pw_uid)"
    done = box.claudebox("run", "-n", "offline", "--", "/usr/bin/python3", "-c", code)
    assert (done.status, done.stdout) == (0, f"{box.home} {os.getuid()}\n")


def test_arguments_arrive_as_they_are(box: Box) -> None:
    words = [b"a b", b"", b"$HOME", b"'\"", b"\xff\n", b"--", b"-n"]
    done = box.claudebox("run", "-n", "offline", "--", "printf", "%s|", *words)
    assert done.stdout_bytes == b"".join(word + b"|" for word in words)


def test_input_and_both_outputs_are_the_commands(box: Box) -> None:
    done = box.claudebox("run", "-n", "offline", "--", "sh", "-c", "cat; echo bad >&2", input=b"\0\xff in")
    assert (done.status, done.stdout_bytes, done.stderr) == (0, b"\0\xff in", "bad\n")


@pytest.mark.parametrize(("number", "status"), [(1, 129), (2, 130), (6, 134), (9, 137), (15, 143)])
def test_a_signal_is_in_the_status(box: Box, number: int, status: int) -> None:
    assert inside(box, f"kill -{number} $$").status == status


def test_fetch_and_push_with_a_remote_in_the_project(box: Box) -> None:
    box.git("clone", "-q", "--bare", ".", "remote.git")
    box.git("remote", "add", "origin", str(box.app / "remote.git"))
    script = "set -e; git fetch -q origin; git switch -qc topic; git commit -q --allow-empty -m New; git push -q origin"
    done = inside(box, script)
    assert (done.status, done.stderr) == (0, "")
    assert box.git("rev-parse", "HEAD") == box.git("--git-dir=remote.git", "rev-parse", "topic")


def test_three_launches_leave_the_repository_as_it_was(box: Box) -> None:
    (box.app / "README").write_text("Changed.\n")
    (box.app / "new").write_text("untracked\n")
    status, listing = box.git("status", "--porcelain"), sorted(os.listdir(box.app / ".git"))
    for _ in range(3):
        done = inside(box, "git status --porcelain")
        assert (done.status, done.stdout) == (0, status)
    assert box.git("status", "--porcelain") == status != ""
    assert sorted(os.listdir(box.app / ".git")) == listing


def test_a_missing_hooks_directory_is_missing_again(box: Box) -> None:
    hooks = box.app / ".git" / "hooks"
    for name in hooks.iterdir():
        name.unlink()
    hooks.rmdir()
    assert inside(box, "test -d .git/hooks").status == 0, "a mask lies there meanwhile"
    assert not hooks.exists()


def test_without_a_repository_nothing_is_added(box: Box) -> None:
    plain = box.home / "code" / "plain"
    plain.mkdir()
    done = inside(box, "echo x >made; ls -A", cwd=plain)
    assert (done.status, done.stdout) == (0, "made\n")
    assert os.listdir(plain) == ["made"]
