"""A full disk, read-only places, used-up limits: 125 with a sentence and a hint, earlier state intact, nothing left."""

from __future__ import annotations

import os

import pytest

from box import Box, Result
from capability import needs

pytestmark = needs("user", "userns", "bwrap", "git")

RUN = ("run", "-n", "offline", "--")

# Mounts as the user may in namespaces of its own; then claudebox runs as usual, without any capability.
MOUNTS = 'set -e; %s; exec setpriv --ambient-caps=-all --inh-caps=-all --bounding-set=-all "$0" "$@"'


def mounted(box: Box, mounts: str, *command: str) -> Result:
    """A command where these mounts are made first; in them $S is claudebox's own directory, $A the project."""
    environment = {"S": str(box.state), "A": str(box.app), "CB": str(box.program)}
    argv = ["unshare", "--user", "--map-current-user", "--keep-caps", "--mount", "sh", "-c", MOUNTS % mounts, *command]
    return box.run(argv, env=environment)


def failed(done: Result, *words: str) -> None:
    """One sentence, one hint, and only that."""
    assert done.status == 125, done
    lines = [line for line in done.stderr.splitlines() if line]
    assert lines[-2].startswith("claudebox: error: ") and lines[-1].startswith("hint: "), done.stderr
    assert "Traceback" not in done.stderr
    assert any(word in done.stderr for word in words), done.stderr


def works(box: Box) -> None:
    """The control, and that nothing stands in the way of the next launch."""
    done = box.claudebox(*RUN, "true")
    assert (done.status, done.stderr) == (0, "")


@pytest.fixture
def repository(box: Box) -> list[str]:
    """What is in `.git`; the fixture's test ends with the same."""
    return sorted(os.listdir(box.app / ".git"))


@pytest.mark.parametrize("limit", ["size=64k", *(f"nr_inodes={number}" for number in range(2, 40))])
def test_a_full_disk_at_every_step(box: Box, repository: list[str], limit: str) -> None:
    """The file system of claudebox's own directory takes so many files and no more: each is refused once."""
    box.state.mkdir(mode=0o700)
    fill = "; head -c 1m /dev/zero >$S/fill 2>/dev/null || true" if limit.startswith("size") else ""
    done = mounted(box, f"mount -t tmpfs -o mode=700,{limit} none $S{fill}", str(box.program), *RUN, "echo", "ran")
    if done.status:
        failed(done, "No space left on device")
        assert done.stdout == ""
    else:
        assert (done.stdout, done.stderr) == ("ran\n", "") and not fill
    assert sorted(os.listdir(box.app / ".git")) == repository
    works(box)


def test_a_disk_that_fills_up_keeps_what_there_was(box: Box, repository: list[str]) -> None:
    box.state.mkdir(mode=0o700)
    script = """
    set -e
    "$CB" run -n offline -- sh -c 'echo kept >~/kept'
    find $S -type f ! -path '*/locks/*' -exec cksum {} + | sort >before
    head -c 9m /dev/zero >$S/fill 2>/dev/null || true
    "$CB" run -n offline -- true && exit 1 || echo "status $?"
    rm $S/fill
    find $S -type f ! -path '*/locks/*' -exec cksum {} + | sort | diff before - >&2
    rm before
    "$CB" run -n offline -- cat .git/commondir
    "$CB" run -n offline -- sh -c 'cat ~/kept'
    """
    done = mounted(box, "mount -t tmpfs -o mode=700,size=8m none $S", "sh", "-c", script)
    assert (done.status, done.stdout) == (0, "status 125\n../.git\nkept\n"), done.stderr
    failed(Result(125, b"", done.stderr_bytes), "No space left on device")
    assert sorted(os.listdir(box.app / ".git")) == repository


READ_ONLY = "mount --bind {0} {0}; mount -o remount,bind,ro {0}"


def test_a_read_only_state(box: Box, repository: list[str]) -> None:
    works(box)
    failed(mounted(box, READ_ONLY.format("$S"), str(box.program), *RUN, "true"), "Read-only file system")
    assert sorted(os.listdir(box.app / ".git")) == repository
    works(box)


def test_a_read_only_home(box: Box) -> None:
    failed(mounted(box, READ_ONLY.format("$HOME"), str(box.program), *RUN, "true"), "Read-only file system")
    works(box)


def test_a_read_only_project(box: Box, repository: list[str]) -> None:
    failed(mounted(box, READ_ONLY.format("$A"), str(box.program), *RUN, "true"), "Read-only file system")
    assert sorted(os.listdir(box.app / ".git")) == repository
    works(box)


@pytest.mark.parametrize("limit", [f"-n {number}" for number in range(4, 40)])
def test_too_few_descriptors(box: Box, repository: list[str], limit: str) -> None:
    done = box.run(["sh", "-c", f'ulimit {limit}; exec "$0" "$@"', box.program, *RUN, "echo", "ran"])
    if "Traceback" in done.stderr or "Fatal Python error" in done.stderr:
        assert "claudebox/" not in done.stderr and int(limit[3:]) < 8, done.stderr  # Python itself did not start
        return
    if done.status:
        failed(done, "Too many open files", "could not", "cannot")
    else:
        assert done.stdout == "ran\n"
    assert sorted(os.listdir(box.app / ".git")) == repository
    works(box)


def test_no_more_processes(box: Box, repository: list[str]) -> None:
    done = box.run(["bash", "-c", 'ulimit -u 1; exec "$0" "$@"', box.program, *RUN, "true"])
    failed(done, "temporarily unavailable", "cannot start")
    assert sorted(os.listdir(box.app / ".git")) == repository
    works(box)


@pytest.mark.parametrize("megabytes", [40, 60, 80, 100, 140])
def test_too_little_memory(box: Box, repository: list[str], megabytes: int) -> None:
    line = f'ulimit -v {megabytes * 1024}; exec "$0" "$@"'
    done = box.run(["sh", "-c", line, box.program, *RUN, "echo", "ran"])
    assert done.stdout == ("ran\n" if done.status == 0 else "")
    assert "Traceback" not in done.stderr, done.stderr
    assert sorted(os.listdir(box.app / ".git")) == repository
    works(box)
