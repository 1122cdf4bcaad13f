"""What our own output does to a terminal: names, paths, values and errors that an agent or a repository chose."""

from __future__ import annotations

import os
import subprocess
import unicodedata
from collections.abc import Sequence
from pathlib import Path

import pytest

from box import Box, Result
from capability import needs

pytestmark = [needs("userns", "bwrap", "git"), pytest.mark.uid0]
# A title, the clipboard, a colour, a clear screen, an 8-bit escape, backspaces, a line of its own, and text that is
# shown in another order than it is read, or not at all.
NASTY = "\x1b]0;t\x07\x1b]52;c;aGk=\x07\x1b[31m\x1b[2J\x9b31m\b\b\rerror: none\x7f\u202egpj\u2066\u200b"
NAMES = {
    "escapes": NASTY,
    "bytes": os.fsdecode(b"\x9b31m\xff\xc2\x9b2J"),
    "lines": "x\nclaudebox: error: this line is the agent's",
}


def obeyed(said: str) -> list[str]:
    """The characters of an output that a terminal would obey, hide, or take as the end of our line."""
    return [repr(c) for c in said if c != "\n" and unicodedata.category(c) in ("Cc", "Cf", "Co", "Cs", "Zl", "Zp")]


def clean(box: Box, *args: str, cwd: Path | None = None, statuses: Sequence[int] = (0,)) -> Result:
    """Run claudebox; all that it says is text, and no line of it begins as the agent wants."""
    done = box.claudebox(*args, cwd=cwd or box.app)
    assert done.status in statuses, done
    said = done.stdout + done.stderr
    assert obeyed(said) == [], said
    assert "\nclaudebox: error: this line" not in "\n" + said
    return done


def test_the_control() -> None:
    assert {*obeyed(NASTY)} >= {"'\\x1b'", "'\\x9b'", "'\\r'", "'\\x7f'", "'\\u202e'", "'\\u200b'"}
    assert obeyed("\udc9b") and not obeyed("a line\nof text · ä\n")


@pytest.fixture(params=NAMES)
def named(request: pytest.FixtureRequest) -> str:
    return NAMES[request.param]


def test_the_name_of_the_project(box: Box, named: str) -> None:
    """CVE-2023-28101 (flatpak): escape sequences in what is shown before the user agrees hid a part of it."""
    hostile = box.home / "code" / named
    hostile.mkdir()
    for form in ((), ("--json",)):
        clean(box, "run", "-n", "offline", "--dry-run", *form, "--", "true", cwd=hostile)
    done = clean(box, "run", "-n", "offline", "--", "true", cwd=hostile)
    assert done.status == 0
    clean(box, "instance", "list")
    clean(box, "instance", "list", "--json")
    clean(box, "instance", "show", cwd=hostile)
    clean(box, "use", cwd=hostile)


def test_what_is_running(box: Box, named: str) -> None:
    """The command of a session, and its directory, in `ps` and in what a second launch says."""
    hostile = box.app / "sub" / named
    hostile.mkdir(parents=True)
    words = [box.program, "run", "-n", "offline", "--", "sh", "-c", "echo up; cat", named]
    with box.start(words, cwd=hostile, stdin=subprocess.PIPE) as session:
        assert session.stdout and session.stdout.readline() == b"up\n"
        shown = clean(box, "ps")
        assert shown.stdout.count("\n") == 2, shown.stdout
        clean(box, "ps", "--json")
        clean(box, "run", "-n", "offline", "--", "true", statuses=(125,))
        session.communicate(timeout=20)


def test_the_names_of_branches_and_files_of_a_repository(box: Box) -> None:
    """What git lets one name a branch; entries of worktrees, of which the plan has a mount each."""
    box.git("branch", "x\u202e\u200b\x9b31m")
    box.git("worktree", "add", "-q", "-b", "other", str(box.home / "w\x1b[31m\u202e"))
    clean(box, "run", "-n", "offline", "--dry-run", "--", "true")
    clean(box, "run", "-n", "offline", "--", "true", cwd=box.home / "w\x1b[31m\u202e")


def test_what_was_planted_in_the_home(box: Box, named: str) -> None:
    """Something of a hostile name that is moved aside, and what a link of that name says."""
    target = box.home / named.replace("\n", " ")
    target.mkdir()
    mount = ("-m", str(target).replace(":", "\\:"))
    clean(box, "run", "-y", "-n", "offline", *mount, "--", "true")
    (home,) = box.state.glob("instances/*/home")
    for entry in home.iterdir():
        if entry.name == target.name:
            entry.rmdir()
    (home / target.name).symlink_to(named)
    moved = clean(box, "run", "-y", "-n", "offline", *mount, "--", "true")
    assert "was no place for a mount" in moved.stderr


@pytest.mark.parametrize(
    "words",
    [
        ("run", "-n", "{}", "--", "true"),
        ("run", "-n", "offline", "-m", "/{}", "--", "true"),
        ("run", "-n", "offline", "-m", "/usr:/etc/{}:sideways", "--", "true"),
        ("run", "-n", "offline", "-e", "{}", "--", "true"),
        ("run", "-n", "offline", "-e", "{}=x", "--", "true"),
        ("run", "-n", "offline", "-C", "/{}", "--", "true"),
        ("--agent", "{}", "-n", "offline"),
        ("{}",),
        ("--{}",),
        ("stop", "{}"),
        ("instance", "show", "{}"),
        ("instance", "remove", "{}"),
        ("instance", "{}"),
        ("use", "--network", "{}"),
        ("use", "--agent", "{}"),
    ],
    ids=" ".join,
)
def test_words_that_are_refused(box: Box, words: tuple[str, ...]) -> None:
    """A script of the repository's may have chosen any word."""
    for name in NAMES.values():
        done = clean(box, *(word.format(name) for word in words), statuses=(1, 2, 125))
        assert "error" in done.stderr and "Traceback" not in done.stderr


def test_a_command_that_is_not_there(box: Box, named: str) -> None:
    """The gate's shell says it, in the sandbox: its words are the agent's. Ours are not."""
    done = box.claudebox("run", "-n", "offline", "--dry-run", "--", named)
    assert obeyed(done.stdout + done.stderr) == []


@pytest.mark.parametrize(
    "text", ['[limits]\nprocesses = "{}"\n', '"{}" = 1\n', "x = [\n{}", '[env]\nset = {{ "{}" = "x" }}']
)
def test_a_config_that_is_wrong(box: Box, text: str) -> None:
    box.state.mkdir(mode=0o700, exist_ok=True)
    escaped = "\\u001b]0;t\\u0007\\u202e\\u200b"
    for name in (escaped, "\u202e\u200b"):
        (box.state / "config.toml").write_text(text.format(name))
        clean(box, "run", "-n", "offline", "--", "true", statuses=(1, 2, 125))


def test_a_null_in_an_argument_hides_nothing(box: Box) -> None:
    """CVE-2021-43860 (flatpak): what stood behind a null byte was granted and not shown."""
    box.state.mkdir(mode=0o700, exist_ok=True)
    (box.state / "config.toml").write_text('[[mounts]]\nsource = "/srv\\u0000/etc"\n')
    done = clean(box, "run", "-n", "offline", "--", "true", statuses=(1, 2, 125))
    assert "config.toml:2" in done.stderr
    (box.state / "config.toml").write_text('[[mounts]]\nsource = "/usr/share"\n')
    clean(box, "run", "-y", "-n", "offline", "--", "true")
