"""Bad input gets one sentence and one hint; odd but valid input works."""

from __future__ import annotations

import hashlib
import os
import subprocess
from pathlib import Path

import pytest

from box import Box, Result
from capability import needs

OFFLINE = ("run", "-n", "offline")


def refused(done: Result, sentence: str, hint: str = "") -> None:
    """One sentence with one hint, and nothing else."""
    assert done.status == 125, done
    assert done.stdout == ""
    first, second = done.stderr.splitlines()
    assert first.startswith("claudebox: error: ")
    assert sentence in first
    assert second.startswith("hint: ")
    assert hint in second


@pytest.mark.parametrize("place", ["/", "home", "state"])
def test_no_project(box: Box, place: str) -> None:
    box.state.mkdir(mode=0o700)
    directory = {"/": Path("/"), "home": box.home, "state": box.state}[place]
    refused(box.claudebox(*OFFLINE, "--", "true", cwd=directory), "cannot be a project", "own directory")


def test_deleted_directory(box: Box) -> None:
    gone = box.home / "gone"
    gone.mkdir()
    script = 'rmdir "$PWD"; exec "$0" run -n offline -- true'
    refused(box.run(["sh", "-c", script, box.program], cwd=gone), "the current directory was deleted", "cd to")


@pytest.mark.parametrize("name", ["README", "missing"])
def test_not_a_directory(box: Box, name: str) -> None:
    refused(box.claudebox(*OFFLINE, "-C", name, "--", "true"), f"{name} is not a directory", "choose")


def test_no_home(box: Box) -> None:
    refused(box.claudebox(*OFFLINE, "--", "true", env={"HOME": None}), "HOME is not set", "export HOME=")


def test_state_is_a_link(box: Box) -> None:
    (box.home / "elsewhere").mkdir(mode=0o700)
    box.state.symlink_to("elsewhere")
    refused(box.claudebox(*OFFLINE, "--", "true"), ".claudebox is not a directory", "mv ")


def test_state_writable_by_the_group(box: Box) -> None:
    box.state.mkdir()
    box.state.chmod(0o770)
    refused(box.claudebox(*OFFLINE, "--", "true"), "can be written by others", "chmod 700 ")


def test_unknown_option(box: Box) -> None:
    refused(box.claudebox("--netwrok", "offline"), "--netwrok", "did you mean --network?")


def test_option_of_the_agent(box: Box) -> None:
    refused(box.claudebox("-p", "hello"), "-p", "behind --")


def test_missing_agent(box: Box) -> None:
    empty = box.home / "bin"
    empty.mkdir()
    for name in ("sh", "env", "bwrap", "git"):
        (empty / name).symlink_to(Path("/usr/bin", name))
    done = box.claudebox("-n", "offline", "--agent", "opencode", env={"PATH": str(empty)})
    refused(done, "is not installed here")


def test_unknown_agent(box: Box) -> None:
    refused(box.claudebox("-n", "offline", "--agent", "cluade"), 'there is no agent "cluade"', "claude")


def test_broken_config(box: Box) -> None:
    box.state.mkdir(mode=0o700)
    (box.state / "config.toml").write_text("# a comment\nnetwork = [\n")
    done = box.claudebox(*OFFLINE, "--", "true")
    refused(done, "config.toml:3")


@needs("bwrap")
@pytest.mark.parametrize(
    "name",
    [b"two words", b'it\'s "quoted"', b"a\nline", b"$(touch ran)`touch ran`", b"\xff\xfe"],
    ids=["space", "quotes", "newline", "substitution", "bytes"],
)
def test_odd_project_names(box: Box, name: bytes) -> None:
    project = os.path.join(os.fsencode(box.home), name)
    os.mkdir(project)
    done = box.claudebox(*OFFLINE, "--", "sh", "-c", "pwd; echo made > file", cwd=project)
    assert (done.status, done.stdout_bytes) == (0, project + b"\n"), done.stderr
    assert os.listdir(project) == [b"file"]


@needs("bwrap")
def test_streams_are_identical(box: Box) -> None:
    sent = os.urandom(1 << 20) * 20
    done = box.claudebox(*OFFLINE, "--", "cat", input=sent)
    assert done.status == 0, done.stderr
    assert hashlib.sha256(done.stdout_bytes).digest() == hashlib.sha256(sent).digest()


@needs("bwrap")
def test_second_session(box: Box) -> None:
    args = [box.program, *OFFLINE, "--", "sh", "-c", "echo up; read line"]
    with box.start(args, stdin=subprocess.PIPE) as first:
        assert first.stdout is not None
        assert first.stdout.readline() == b"up\n"
        second = box.claudebox(*OFFLINE, "--", "true")
        joined = box.claudebox(*OFFLINE, "--force", "--", "true")
        first.communicate(b"\n", timeout=20)
    refused(second, f"another session works in this tree (pid {first.pid}, for ")
    assert joined.status == 0
    assert box.claudebox(*OFFLINE, "--", "true").status == 0


@needs("userns", "bwrap", "git")
@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_closed_standard_descriptors_are_dev_null_inside(box: Box, closed: str) -> None:
    """Otherwise the first file that bwrap or the agent opens would become its input or output."""
    # a program's own look: a shell's redirections would stand in for what is closed
    script = (
        "import os; paths = [f'/proc/self/fd/{n}' for n in range(3)]; "
        "shown = [os.readlink(p) if os.path.exists(p) else 'none' for p in paths]; "
        "file = open('fds', 'w'); file.write(' '.join(shown)); file.close(); os._exit(7)"
    )
    line = f'exec "$0" run -n offline -- /usr/bin/python3 -c "$1" {closed}'
    done = box.run(["sh", "-c", line, box.program, script])
    assert done.status == 7, done.stderr
    assert "Traceback" not in done.stderr
    shown = (box.app / "fds").read_text().split()
    numbers = {"<&-": [0], ">&-": [1], "2>&-": [2]}.get(closed, [0, 1, 2])
    assert len(shown) == 3 and "none" not in shown
    assert [shown[n] for n in numbers] == ["/dev/null"] * len(numbers)


def test_an_error_with_a_closed_output_keeps_its_status(box: Box) -> None:
    done = box.run(["sh", "-c", 'exec "$0" bogus >&-', box.program])
    assert done.status == 125
    assert "Traceback" not in done.stderr and "hint:" in done.stderr


HOSTILE = "x\ntouch \x1b[31m$(id)'"


@needs("userns", "bwrap", "git")
def test_no_path_leaves_its_line_in_a_dry_run(box: Box) -> None:
    """What is pasted must be what was shown: no line break out of a comment, no escape sequence to the terminal."""
    project = box.home / "code" / HOSTILE
    box.app.rename(project)
    for options in ((), ("--json",)):
        done = box.claudebox(*OFFLINE, "--dry-run", *options, "--", "echo", "\x1b[0m'\n", cwd=project)
        assert done.status == 0
        assert "\x1b" not in done.stdout
        assert not [line for line in done.stdout.splitlines() if line.startswith("touch")]


@needs("userns", "bwrap", "git")
def test_a_stub_below_a_hostile_path_is_removed(box: Box) -> None:
    project = box.home / "code" / HOSTILE
    box.app.rename(project)
    assert box.claudebox(*OFFLINE, "--", "test", "-s", ".git/commondir", cwd=project).status == 0, "the control"
    assert not (project / ".git" / "commondir").exists()


def test_no_mount_of_our_own_code_or_into_the_git_directory(box: Box) -> None:
    code = next(Path(box.program).resolve().parents[1].glob("lib/python3*/site-packages"))
    refused(box.claudebox(*OFFLINE, "-m", f"{code}:/code:rw", "--", "true"), "claudebox's own code", "ro")
    hooks = box.app / ".git" / "hooks"
    refused(box.claudebox(*OFFLINE, "-m", f"{hooks}:/h:rw", "--", "true"), "second path", "leave it out")
    assert box.claudebox(*OFFLINE, "-y", "-m", f"{code}:/code", "--", "test", "-d", "/code/claudebox").status == 0, (
        "control"
    )
