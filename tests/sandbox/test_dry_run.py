"""What `--dry-run` prints, pasted for real: it runs, sees the project, and says what it lacks."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from box import Box
from capability import needs

pytestmark = needs("userns", "bwrap", "git")
DRY = ("run", "-n", "offline", "--dry-run")
NAMES = [
    b"plain",
    b"a b",
    b"'\"\\",
    b"x\ntouch made\nCLAUDEBOX\n",
    b"$(touch made)`touch made`${HOME}",
    b"!! !1 # ; & | > made *",
    b"-e --ro-bind \t\r\x1b[31m",
    b"\xff\xfe\xc3",
    "größe 箱\u202e".encode(),
]
PROBE = 'pwd; cat README; echo written >new; touch .git/config 2>/dev/null || echo "config kept"; echo "$@"'


def pasted(text: str) -> str:
    """What one would mark with the mouse: from the comment that says so to the end."""
    return text[text.index("# Paste from here") :]


def moved(box: Box, name: bytes) -> bytes:
    project = os.path.join(os.fsencode(box.home), b"code", name)
    os.rename(box.app, project)
    return project


@pytest.mark.uid0
@pytest.mark.parametrize("name", NAMES, ids=repr)
def test_a_paste_runs_and_sees_the_project(box: Box, name: bytes) -> None:
    project = moved(box, name)
    words = (b"two words", b"'", b"$(touch made)", b"\n", b"--x", b"\xff")
    shown = box.claudebox(*DRY, "--", "sh", "-c", PROBE, "sh", *words, cwd=project)  # type: ignore[arg-type]
    assert (shown.status, shown.stderr) == (0, "")
    done = box.run(["sh", "-c", pasted(shown.stdout)], cwd="/")
    output = project + b"\nAn example.\nconfig kept\n" + b" ".join(words) + b"\n"
    assert (done.status, done.stdout_bytes, done.stderr) == (0, output, "")
    assert Path(os.fsdecode(project), "new").read_text() == "written\n"
    assert not [name for where, _, names in os.walk(box.home) for name in names if name == "made"]


def test_a_paste_into_a_terminal(box: Box) -> None:
    """An interactive bash reads it line by line, history expansion and all; the sandbox has its terminal."""
    import pexpect

    project = moved(box, b"!! a'b\n$(id)")
    shown = box.claudebox(*DRY, "--", "sh", "-c", "test -t 0 && echo st''arted", cwd=project)  # type: ignore[arg-type]
    child = pexpect.spawn(
        "/bin/bash", ["--norc", "-i"], env={"PATH": "/usr/bin:/bin", "HOME": str(box.home), "TERM": "dumb"}, timeout=30
    )
    try:
        child.send(pasted(shown.stdout) + "echo status=$?.\nexit\n")
        child.expect_exact("started")
        child.expect_exact("status=0.")
        child.expect(pexpect.EOF)
    finally:
        child.close(force=True)


def test_secrets_come_from_the_pasting_shell(box: Box) -> None:
    options = ("-e", "TOKEN", "-e", "GREETING=--$(id) 'x'")
    shown = box.claudebox(
        *DRY, *options, "--", "sh", "-c", 'echo "$TOKEN"; tr "\\0" " " </proc/1/cmdline', env={"TOKEN": "s3c"}
    )
    assert "s3c" not in shown.stdout and "$(id)" not in shown.stdout
    text = pasted(shown.stdout)
    without = box.run(["bash", "-c", text], cwd="/")
    assert without.status != 0 and "a secret: export it" in without.stderr
    done = box.run(["bash", "-c", text], cwd="/", env={"TOKEN": "other $(id)", "GREETING": "x"})
    first, rest = done.stdout.split("\n", 1)
    assert (done.status, first) == (0, "other $(id)")
    assert "bwrap" in rest and "other" not in rest, "no value in the command line"


def test_nothing_of_the_shell_is_open_inside(box: Box) -> None:
    shown = box.claudebox(*DRY, "--", "sh", "-c", "echo /proc/self/fd/*")
    assert shown.status == 0
    done = box.run(["bash", "-c", f"exec 7</ 33</\n{pasted(shown.stdout)}"], cwd="/")
    assert (done.status, done.stdout) == (0, "/proc/self/fd/0 /proc/self/fd/1 /proc/self/fd/2 /proc/self/fd/3\n")


def test_what_is_lacking_is_said(box: Box) -> None:
    text = pasted(box.claudebox(*DRY, "--", "true").stdout)
    comments = "".join(line for line in text.splitlines() if line.startswith("#"))
    assert f"masks {box.app}/.git/commondir, which is not there: NOT MASKED" in comments
    assert re.search(r"by name", comments) and str(box.app) in comments
    (box.app / ".git" / "commondir").write_text("../.git\n")
    text = pasted(box.claudebox(*DRY, "--", "true").stdout)
    assert "NOT MASKED" not in text and f"--ro-bind {box.app}/.git/commondir" in text, "the control"
