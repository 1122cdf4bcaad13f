"""Between what was shown and what is launched nothing changes; no name passes for another line or another letter."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pexpect
import pytest

from box import Box, environment
from capability import needs

pytestmark = needs("bwrap", "pty")

ASKED = r"everything: "
LOOK = (
    "cat ~/.claude/plugins/what /one/what /two ~/.claude/settings.json; echo; echo value-$GIVEN; cat /three 2>&1; true"
)


def asked(box: Box, *args: object, **env: str) -> Any:
    """A launch that stands at its question."""
    child = pexpect.spawn(
        str(box.program), ["run", "-n", "offline", *map(str, args)], cwd=str(box.app),
        env=environment(box.home, {"TERM": "dumb", **env}), encoding="utf-8", timeout=20, dimensions=(60, 80),
    )  # fmt: skip
    child.delaybeforesend = None
    child.expect(ASKED)
    return child


def finished(child: Any) -> str:
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 0, child.before
    return str(child.before)


@pytest.fixture
def granted(box: Box) -> tuple[Path, Path, Path]:
    """A directory, a file behind a link, and the user's settings: what is shown."""
    (box.home / "one").mkdir()
    (box.home / "one" / "what").write_text("shown-directory\n")
    (box.home / "real").write_text("shown-file\n")
    (box.home / "two").symlink_to("real")
    settings = box.home / ".claude" / "settings.json"
    settings.parent.mkdir()
    settings.write_text('{"model": "shown-settings"}')
    (box.home / ".claude" / "plugins").mkdir()
    (box.home / ".claude" / "plugins" / "what").write_text("shown-plugin\n")
    return box.home / "one", box.home / "two", settings


def swap(box: Box, one: Path, two: Path, settings: Path) -> None:
    """All of it is something else now."""
    secret = box.home / ".ssh"
    secret.mkdir()
    (secret / "what").write_text("swapped-secret\n")
    one.rename(box.home / "gone")
    one.symlink_to(secret)
    two.unlink()
    two.symlink_to(secret / "what")
    (box.home / "real").rename(box.home / "real-gone")
    (box.home / "real").symlink_to(secret / "what")
    settings.write_text('{"model": "swapped-settings"}')
    plugins = settings.parent / "plugins"
    plugins.rename(box.home / "plugins-gone")
    plugins.mkdir()
    (plugins / "what").write_text("swapped-plugin\n")
    (box.state / "config.toml").write_text(f'[[mounts]]\nsource = "{secret}/what"\ntarget = "/three"\n')


@pytest.mark.parametrize("when", ["while the question stands", "before it"])
def test_what_was_shown_is_what_is_launched(box: Box, granted: tuple[Path, Path, Path], when: str) -> None:
    words = ("-m", f"{granted[0]}:/one", "-m", f"{granted[1]}:/two", "-e", "GIVEN", "--", "sh", "-c", LOOK)
    box.state.mkdir(mode=0o700)
    if when == "before it":
        swap(box, *granted)
    child = asked(box, *words, GIVEN="shown")
    if when != "before it":
        assert "SECRET" not in child.before
        swap(box, *granted)
    child.sendline("a")
    said = finished(child)
    if when == "before it":
        assert said.count("swapped-") == 5, "the control: read after the swap it is all of it"
    else:
        assert "swapped" not in said, said
        for word in ("shown-plugin", "shown-directory", "shown-file", "shown-settings", "value-shown", "No such file"):
            assert word in said


def test_a_variable_cannot_be_changed_from_outside(box: Box) -> None:
    """Its value was taken at the start; a launcher's environment is its own."""
    child = asked(box, "-e", "GIVEN", "--", "sh", "-c", "echo value-$GIVEN", GIVEN="first")
    os.environ["GIVEN"] = "second"
    try:
        child.sendline("a")
        assert "value-first" in finished(child)
    finally:
        del os.environ["GIVEN"]


NAMES = {
    "a line of its own": "a\n+  mount     nothing, read-only",
    "goes up and clears": "a\x1b[A\x1b[2K\rb",
    "title": "a\x1b]0;t\x07",
    "8-bit": "a\x9b2Kb",
    "right to left": "a\u202ecod\u2066",
    "invisible": "a\u200b\u00adb",
    "looks alike": "\u0430\u0440\u0440",
    "looks like an arrow": "a\u2192b",
    "runs over the edge": "x" * 66 + "+  mount     nothing",
}


@pytest.mark.parametrize("name", NAMES.values(), ids=NAMES)
def test_no_name_passes_for_what_it_is_not(box: Box, name: str) -> None:
    place = box.home / name
    place.mkdir()
    child = asked(box, "-m", place, "--", "true")
    said = child.before.replace("\r\n", "\n")
    child.sendline("a")
    finished(child)
    assert all(line.isprintable() for line in said.split("\n"))
    marks = [line for line in said.split("\n") if line.startswith("+")]
    assert len(marks) == 1 and marks[0].startswith("+  mount"), said
    assert max(map(len, said.split("\n")[1:-1])) <= 80, "the terminal breaks no line at its left edge"
    if not name.isascii():
        assert name not in said
