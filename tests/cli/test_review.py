"""The review on a terminal and without one: what is asked, each answer, what is kept of it."""

from __future__ import annotations

import os
import stat
import tomllib
from pathlib import Path
from typing import Any

import pexpect
import pytest

from box import Box, environment
from capability import needs

pytestmark = needs("bwrap", "pty")

RUN = ("run", "-n", "offline")
ASKED = r"everything: "


@pytest.fixture
def data(box: Box) -> Path:
    """A directory beside the project, with one file."""
    made = box.home / "data"
    made.mkdir()
    (made / "file").write_text("data\n")
    return made


def start(box: Box, *args: object, columns: int = 200, **env: str) -> Any:
    """claudebox on a terminal of its own."""
    child = pexpect.spawn(
        str(box.program), [*map(str, args)], cwd=str(box.app), env=environment(box.home, {"TERM": "xterm", **env}),
        encoding="utf-8", timeout=20, dimensions=(60, columns),
    )  # fmt: skip
    child.delaybeforesend = None
    return child


def ended(child: Any) -> tuple[int, str]:
    """Its status, and what it said to its end."""
    child.expect(pexpect.EOF)
    said = str(child.before).replace("\r\n", "\n")
    child.close()
    return child.exitstatus, said


def answered(box: Box, answer: str, *args: object, **env: str) -> tuple[int, str]:
    """A launch whose question is answered, its status and all that it said."""
    child = start(box, *args, **env)
    child.expect(ASKED)
    asked = str(child.before)
    child.sendline(answer)
    status, said = ended(child)
    return status, asked.replace("\r\n", "\n") + said


def accepted(box: Box) -> list[list[str]] | None:
    """What instance.toml says was accepted."""
    (path,) = box.state.glob("instances/*/instance.toml")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    found = tomllib.loads(path.read_text())
    return found["accepted"]["grants"] if "accepted" in found else None


def mount(data: Path, access: str = "ro") -> tuple[str, ...]:
    return (*RUN, "-m", f"{data}:/data:{access}", "--", "cat", "/data/file")


def test_the_defaults_are_shown_once_and_ask_nothing(box: Box) -> None:
    status, said = ended(start(box, *RUN, "--", "echo", "went"))
    assert status == 0 and "what this launch grants for" in said and said.endswith("went\n")
    assert accepted(box) == []
    status, said = ended(start(box, *RUN, "--", "echo", "went"))
    assert (status, said) == (0, f"claudebox: offline · claude · {box.app}\nwent\n")


def test_a_script_is_asked_nothing_and_reads_nothing(box: Box) -> None:
    done = box.claudebox(*RUN, "--", "echo", "went")
    assert (done.status, done.stdout, done.stderr) == (0, "went\n", "")
    assert accepted(box) is None, "nobody has seen it"


def test_accept_holds_from_then_on(box: Box, data: Path) -> None:
    status, said = answered(box, "a", *mount(data))
    assert status == 0 and said.endswith("data\n")
    assert "+  mount" in said and f"{data} at /data, read-only" in said
    assert "  project" in said, "the first time the whole list"
    status, said = ended(start(box, *mount(data)))
    assert (status, said) == (0, f"claudebox: offline · claude · {box.app}\ndata\n")
    assert box.claudebox(*mount(data)).stderr == "", "in scripts too"


def test_growth_shows_the_difference_and_less_asks_nothing(box: Box, data: Path) -> None:
    answered(box, "a", *mount(data))
    assert ended(start(box, *RUN, "--", "true"))[0] == 0
    status, said = answered(box, "a", *mount(data, "rw"))
    assert status == 0 and "grants more than was accepted" in said and "  project" not in said
    assert f"{data} at /data, read-write" in said
    assert ended(start(box, *mount(data))) == (0, f"claudebox: offline · claude · {box.app}\ndata\n")


@pytest.mark.parametrize("answer", ["r", "", "n"])
def test_refused(box: Box, data: Path, answer: str) -> None:
    status, said = answered(box, answer, *RUN, "-m", data, "--", "touch", "went")
    assert status == 125 and "the review was refused" in said
    assert not (box.app / "went").exists() and accepted(box) is None


def test_the_end_of_the_input_and_an_interrupt_are_no_yes(box: Box, data: Path) -> None:
    for send, wanted in (("sendeof", 125), ("sendintr", None)):
        child = start(box, *RUN, "-m", data, "--", "touch", "went")
        child.expect(ASKED)
        getattr(child, send)()
        assert ended(child)[0] == wanted
    assert not (box.app / "went").exists() and accepted(box) is None


def test_what_was_typed_before_does_not_answer(box: Box, data: Path) -> None:
    child = start(box, *mount(data))
    child.send("a\na\n")
    child.expect(ASKED)
    child.sendline("r")
    assert ended(child)[0] == 125


def test_for_this_session_only(box: Box, data: Path) -> None:
    status, said = answered(box, "s", *mount(data))
    assert status == 0 and said.endswith("data\n") and accepted(box) is None
    assert answered(box, "r", *mount(data))[0] == 125


def test_everything_and_the_command(box: Box, data: Path) -> None:
    ended(start(box, *RUN, "--", "true"))
    child = start(box, *mount(data))
    child.expect(ASKED)
    assert "  project" not in child.before
    child.sendline("?")
    child.expect(ASKED)
    assert "  project" in child.before and f"{data} at /data" in child.before
    child.sendline("b")
    child.expect(ASKED)
    assert "bwrap" in child.before and "--unshare-" in child.before
    child.sendline("what")
    child.expect(ASKED)
    child.sendline("a")
    assert ended(child)[0] == 0


def test_an_edit_decides_anew(box: Box, data: Path) -> None:
    config, editor = box.state / "config.toml", box.home / "bin" / "editor"
    box.claudebox(*RUN, "--", "true")
    config.write_text(f'[[mounts]]\nsource = "{data}"\ntarget = "/data"\naccess = "rw"\n')
    editor.parent.mkdir()
    editor.write_text('#!/bin/sh\npwd\nsed -i s/rw/ro/ "$1"\n')
    editor.chmod(0o755)
    child = start(box, *RUN, "--", "sh", "-c", "cat /data/file; echo x >/data/new", EDITOR=str(editor))
    child.expect(ASKED)
    assert "/data, read-write" in child.before and "~/.claudebox/config.toml:1" in child.before
    child.sendline("e")
    child.expect(ASKED)
    assert child.before.startswith("e\r\n/\r\n"), "an editor obeys files where it starts"
    assert "/data, read-only" in child.before
    child.sendline("a")
    status, said = ended(child)
    assert status != 0 and "data\n" in said and "Read-only" in said
    assert not (data / "new").exists()


def test_an_error_in_what_was_edited_can_be_edited_again(box: Box, data: Path) -> None:
    config, editor = box.state / "config.toml", box.home / "bin" / "editor"
    box.claudebox(*RUN, "--", "true")
    config.write_text(f'[[mounts]]\nsource = "{data}"\ntarget = "/data"\naccess = "rw"\n')
    editor.parent.mkdir()
    turns = 'if grep -q write "$1"; then sed -i s/write/ro/ "$1"; else sed -i s/rw/write/ "$1"; fi'
    editor.write_text(f"#!/bin/sh\n{turns}\n")
    editor.chmod(0o755)
    for last in ("e", "r"):
        child = start(box, *RUN, "--", "cat", "/data/file", EDITOR=str(editor))
        child.expect(ASKED)
        child.sendline("e")
        child.expect_exact("[e]dit again, [r]efuse:")
        assert "~/.claudebox/config.toml:4" in child.before and "rw" in child.before, "the error and what is right"
        child.sendline(last)
        if last == "e":
            child.expect(ASKED)
            assert "/data, read-only" in child.before
            child.sendline("s")
            status, said = ended(child)
            assert status == 0 and "data\n" in said
            config.write_text(config.read_text().replace('"ro"', '"rw"'))
        else:
            status, said = ended(child)
            assert status == 125 and "not launched: the review was refused" in said


def test_an_editor_of_the_projects_is_not_started(box: Box, data: Path) -> None:
    planted = box.app / "planted-editor"
    planted.write_text(f"#!/bin/sh\ntouch {box.home}/planted\n")
    planted.chmod(0o755)
    for named in (str(planted), "planted-editor", "editor-of-nobody"):
        status, said = answered(box, "e", *mount(data), EDITOR=named, PATH=f"{box.app}:{os.environ['PATH']}")
        assert status == 125 and "a sandbox could have put it there" in said
    assert not (box.home / "planted").exists()


def test_without_a_terminal_it_is_refused_with_the_list(box: Box, data: Path) -> None:
    done = box.claudebox(*RUN, "-m", f"{data}:/data", "--", "touch", "went")
    assert (done.status, done.stdout) == (125, "")
    assert f"{data} at /data, read-only" in done.stderr and "\x1b" not in done.stderr
    assert done.stderr.endswith("or accept the list above with -y\n")
    assert not (box.app / "went").exists()


def test_yes_accepts_and_says_nothing_in_a_script(box: Box, data: Path) -> None:
    for options in (("-y",), ()):
        done = box.claudebox(*RUN, *options, "-m", f"{data}:/data", "--", "cat", "/data/file")
        assert (done.status, done.stdout, done.stderr) == (0, "data\n", "")
    assert accepted(box) == [["mount", "ro", "", str(data), "/data"]]


def test_always_asks_always(box: Box) -> None:
    for _ in range(2):
        status, said = answered(box, "a", *RUN, "--review", "always", "--", "echo", "went")
        assert status == 0 and "  project" in said and said.endswith("went\n")
    assert box.claudebox(*RUN, "--review", "always", "--", "true").status == 125
    assert box.claudebox(*RUN, "--review", "always", "-y", "--", "true").status == 0


def test_a_secret_is_red_and_says_so_then_and_later(box: Box) -> None:
    (box.home / ".ssh").mkdir()
    (box.home / "link").symlink_to(".ssh")
    options = (*RUN, "-m", f"{box.home}/link:/keys", "--", "true")
    _, said = answered(box, "a", *options)
    red = next(line for line in said.split("\n") if "SECRET" in line)
    assert red.startswith("\x1b[1;31m+  mount") and "SSH keys" in red and red.endswith("\x1b[0m")
    assert ended(start(box, *options))[1] == f"claudebox: offline · claude · {box.app} · SECRET {box.home}/link ro\n"


def test_a_secret_of_the_users_own(box: Box, data: Path) -> None:
    box.state.mkdir(mode=0o700)
    (box.state / "config.toml").write_text('[sandbox]\nsecrets = ["~/data/file"]\n')
    status, said = answered(box, "r", *mount(data))
    assert status == 125
    assert "SECRET" in said and "it reaches what ~/.claudebox/config.toml:2 calls a secret" in said


@pytest.mark.parametrize("env", [{"NO_COLOR": "1"}, {"TERM": "dumb"}], ids=str)
@pytest.mark.parametrize("columns", [80, 200])
def test_plain_terminals(box: Box, columns: int, env: dict[str, str]) -> None:
    long = box.home / ("d" * 120) / ("e" * 60)
    long.mkdir(parents=True)
    child = start(box, *RUN, "-m", long, "--", "true", columns=columns, **env)
    child.expect(ASKED)
    said = child.before
    child.sendline("r")
    assert ended(child)[0] == 125
    assert "\x1b" not in said
    # the first line and the question are ours and may be long
    assert max(map(len, said.split("\r\n")[1:-1])) <= columns


def test_dry_runs_ask_nothing_and_keep_nothing(box: Box, data: Path) -> None:
    for options in (("--dry-run",), ("--dry-run", "--json")):
        done = box.claudebox(*RUN, "-m", data, *options, "--review", "always", "--", "true")
        assert (done.status, done.stderr) == (0, "")
    assert not box.state.exists()


def test_the_first_launch_says_that_the_hosts_conversations_stay_there(box: Box) -> None:
    says = "your conversations with Claude Code on the host are not in this sandbox"
    status, said = ended(start(box, *RUN, "--", "true"))
    assert status == 0 and says not in said, "the control: there are none"
    (box.state / "instances").rename(box.home / "before")
    name = "".join(one if one.isalnum() else "-" for one in str(box.app))
    kept = box.home / ".claude" / "projects" / name / "one.jsonl"
    kept.parent.mkdir(parents=True)
    kept.write_text("{}\n")
    assert ended(start(box, *RUN, "--", "true"))[1].count(says) == 1
    assert says not in ended(start(box, *RUN, "--", "true"))[1], "once"
