"""What an agent can plant where the launcher writes the user's settings: nothing outside its home is touched."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from box import Box, Result
from capability import needs

pytestmark = [needs("userns", "bwrap", "git"), pytest.mark.uid0]
VICTIM = '{"of": "the host"}'


def inside(box: Box, script: str, **more: object) -> Result:
    return box.claudebox("run", "-n", "offline", "-y", "--", "sh", "-c", script, **more)  # type: ignore[arg-type]


def host_says(box: Box, model: str) -> None:
    (box.home / ".claude" / "plugins").mkdir(parents=True, exist_ok=True)
    (box.home / ".claude" / "settings.json").write_text(json.dumps({"model": model}))
    (box.home / ".claude.json").write_text(json.dumps({"theme": "light", "mcpServers": {model: {}}}))


@pytest.fixture
def victim(box: Box) -> Path:
    """A directory of the host with all the names that the launcher writes."""
    made = box.home / "victim"
    made.mkdir()
    for name in ("settings.json", "plugins", "commands", ".claude.json"):
        (made / name).write_text(VICTIM)
    host_says(box, "a")
    assert inside(box, "grep -q a ~/.claude/settings.json").status == 0, "the control: without what is planted"
    return made


def untouched(victim: Path) -> None:
    assert sorted(os.listdir(victim)) == [".claude.json", "commands", "plugins", "settings.json"]
    assert {path.read_text() for path in victim.iterdir()} == {VICTIM}


PLANTS = {
    "a link at the file": "ln -sfn {victim}/settings.json ~/.claude/settings.json",
    "a link to nothing": "ln -sfn {victim}/new ~/.claude/settings.json",
    "a link at the directory": "rm -rf ~/.claude; ln -s {victim} ~/.claude",
    "a FIFO": "rm ~/.claude/settings.json; mkfifo ~/.claude/settings.json",
    "a directory": "rm ~/.claude/settings.json; mkdir -p ~/.claude/settings.json/x",
    "a socket's place": "rm -rf ~/.claude; mkfifo ~/.claude",
    "a sparse file": "rm ~/.claude/settings.json; truncate -s 2G ~/.claude/settings.json",
}
DEEP = {
    "brackets": "[" * 60_000,
    "objects": '{"a":' * 60_000,
    "objects that end": '{"a":' * 900 + "1" + "}" * 900,
    "no UTF-8": "\udcff",
    "a huge number": '{"a": ' + "9" * 100_000 + "}",
    "half a pair": '{"a": "\\ud800"}',
}


@pytest.mark.parametrize("changed", [False, True], ids=["unchanged", "changed"])
@pytest.mark.parametrize("title", PLANTS)
def test_what_is_no_file_is_moved_aside(box: Box, victim: Path, title: str, changed: bool) -> None:
    assert inside(box, f"rm -rf ~/.claude/plugins; {PLANTS[title].format(victim=victim)}").status == 0
    host_says(box, "b" if changed else "a")
    if changed:  # and a mount belongs there, too
        (box.home / ".claude" / "commands").mkdir()
    done = inside(box, "cat ~/.claude/settings.json")
    assert done.status == 0 and json.loads(done.stdout) == {"model": "b" if changed else "a"}, done
    assert "it is now aside/" in done.stderr and "Traceback" not in done.stderr
    untouched(victim)
    (kept,) = box.state.glob("instances/*/aside/*")
    assert not kept.is_symlink() or str(victim) in os.readlink(kept), "kept, not followed"
    assert inside(box, "true").stderr == "", "said once"


@pytest.mark.parametrize("title", DEEP)
def test_what_is_no_settings_is_moved_aside_or_merged(box: Box, victim: Path, title: str) -> None:
    assert inside(box, "cat >~/.claude/settings.json", input=os.fsencode(DEEP[title])).status == 0
    host_says(box, "b")
    done = inside(box, "cat ~/.claude/settings.json")
    assert done.status == 0 and "Traceback" not in done.stderr
    if title == "half a pair":
        assert '"a"' in done.stdout and "b" not in done.stdout, "it is JSON: its model was removed inside"
    else:
        assert json.loads(done.stdout) == {"model": "b"} and "it is now aside/settings.json." in done.stderr


def test_links_where_else_the_launcher_writes(box: Box, victim: Path) -> None:
    plants = [
        f"rm -rf ~/.claude/plugins; ln -s {victim}/plugins ~/.claude/plugins",
        f"rm ~/.claude.json; ln -s {victim}/.claude.json ~/.claude.json",
        f"ln -s {victim} ~/.claude.json.lock",
        f"ln -s {victim}/.claude.json ~/.claude/.settings.json.1.tmp",
    ]
    assert inside(box, "; ".join(plants)).status == 0
    host_says(box, "b")
    (state,) = box.state.glob("instances/*/settings/state")
    state.unlink()  # as if nothing had ever been copied
    done = inside(box, "cat ~/.claude/settings.json; readlink ~/.claude.json")
    assert json.loads(done.stdout) == {"model": "b"}, done
    assert "/home/.claude.json was no place for settings; it is now aside/.claude.json." in done.stderr
    untouched(victim)


def test_the_names_of_temporary_files_are_no_way_to_lock_out(box: Box, victim: Path) -> None:
    names = " ".join(f".settings.json.{number}.tmp" for number in range(os.getpid(), os.getpid() + 3000))
    assert inside(box, f"cd ~/.claude; echo {names} | xargs mkdir").status == 0
    host_says(box, "b")
    done = inside(box, "cat ~/.claude/settings.json")
    assert (done.status, json.loads(done.stdout)) == (0, {"model": "b"}), done


def test_a_hard_link_is_replaced_and_not_written_through(box: Box, victim: Path) -> None:
    script = "ln ~/.claude/settings.json ~/other; ln ~/.claude.json ~/third"
    assert inside(box, script).status == 0
    host_says(box, "b")
    assert inside(box, "cat ~/.claude/settings.json ~/other").stdout.count('"b"') == 1


def test_nothing_of_the_home_reaches_the_host(box: Box, victim: Path) -> None:
    before = {path: path.read_bytes() for path in (box.home / ".claude").rglob("*") if path.is_file()}
    before[box.home / ".claude.json"] = (box.home / ".claude.json").read_bytes()
    evil = '{"model": "evil", "hooks": {"Stop": [{"command": "evil"}]}, "mcpServers": {"evil": {}}}'
    script = "cat >~/.claude/settings.json; cp ~/.claude/settings.json ~/.claude.json; echo evil >~/.claude/plugins/x"
    assert inside(box, script, input=evil).status == 0
    assert inside(box, "true").status == 0
    assert {path: path.read_bytes() for path in before} == before
    other = box.home / "code" / "other"
    other.mkdir()
    assert inside(box, "cat ~/.claude/settings.json ~/.claude.json", cwd=other).stdout.count("evil") == 0
