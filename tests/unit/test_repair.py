"""What `instance repair` mends, and that it touches nothing else."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from claudebox.agents import load_agent
from claudebox.run import repair

LINES = [json.dumps({"type": "user", "text": f"line {number}"}) + "\n" for number in range(5)]
TALK = ".claude/projects/-app/talk.jsonl"


@pytest.fixture
def instance(tmp_path: Path) -> Path:
    talk = tmp_path / "home" / TALK
    talk.parent.mkdir(parents=True)
    talk.write_text("".join(LINES))
    (tmp_path / "home" / ".claude.json").write_text('{"theme": "dark"}\n')
    (tmp_path / "home" / ".claude" / ".credentials.json").write_text('{"torn')
    (tmp_path / "home" / ".claude" / "settings.json").write_text('{"torn')
    return tmp_path


def mend(instance: Path) -> list[str]:
    here = os.open(instance, os.O_RDONLY)
    try:
        return repair.mend(here, [load_agent(name, "") for name in ("claude", "codex")])
    finally:
        os.close(here)


def tree(instance: Path) -> dict[str, object]:
    found = {}
    for path in sorted((instance / "home").rglob("*")):
        state = path.lstat()
        found[str(path.relative_to(instance))] = (state.st_mode, state.st_ino, path.is_file() and path.read_bytes())
    return found


def test_what_is_whole_is_left_alone(instance: Path) -> None:
    before = tree(instance)
    assert mend(instance) == []
    assert tree(instance) == before
    assert os.listdir(instance / "aside") == []


@pytest.mark.parametrize(
    "tail", ['{"type": "us', '{"type": "user"}{"type"', "\0\0\0\0", "7\n", "[" * 100_000, "\udcff\n"]
)
def test_a_torn_line_is_cut_and_the_file_kept(instance: Path, tail: str) -> None:
    talk = instance / "home" / TALK
    talk.chmod(0o640)
    torn = "".join(LINES).encode() + os.fsencode(tail)
    talk.write_bytes(torn)
    login = instance / "home" / ".claude" / ".credentials.json"
    before = login.stat()
    (said,) = mend(instance)
    assert said.startswith(f"{TALK}: 1 torn line taken out; as it was: aside/talk.jsonl.")
    assert talk.read_text() == "".join(LINES)
    assert stat.S_IMODE(talk.stat().st_mode) == 0o640
    (kept,) = (instance / "aside").iterdir()
    assert kept.read_bytes() == torn
    assert (login.stat(), login.read_text()) == (before, '{"torn')
    assert mend(instance) == []


def test_a_torn_line_in_the_middle_goes_alone(instance: Path) -> None:
    talk = instance / "home" / TALK
    talk.write_text(LINES[0] + '{"a": \n' + LINES[1] + "\n" + LINES[2].rstrip("\n"))
    assert len(mend(instance)) == 1
    assert talk.read_text() == LINES[0] + LINES[1] + "\n" + LINES[2]


def test_a_file_of_the_users_own_is_not_judged(instance: Path) -> None:
    other = instance / "home" / "data.jsonl"
    other.write_text("no json\n")
    assert mend(instance) == []
    assert other.read_text() == "no json\n"


@given(st.binary(max_size=300), st.integers(1, 9))
def test_lines_lose_nothing(content: bytes, size: int) -> None:
    file = os.memfd_create("lines")
    os.write(file, content)
    assert b"".join(repair.lines(file)) == content
    assert all(b"\n" not in line[:-1] for line in repair.lines(file))
    os.close(file)


WHOLE = '{"theme": "dark", "projects": {}}'


@pytest.mark.parametrize(
    ("text", "backup", "after"),
    [
        (WHOLE + "rest of a longer one}", None, WHOLE),
        (WHOLE[:9], None, None),
        ("", None, None),
        (WHOLE[:9], ".claude/backups/.claude.json.backup.2", '{"backup": 2}'),
        (WHOLE[:9], ".claude.json.backup", '{"backup": 2}'),
    ],
)
def test_a_torn_document(instance: Path, text: str, backup: str | None, after: str | None) -> None:
    home = instance / "home"
    (home / ".claude.json").write_text(text)
    if backup:
        (home / backup).parent.mkdir(exist_ok=True)
        (home / backup).write_text('{"backup": 2}')
        older = home / (backup + "1")
        older.write_text('{"backup": 1}')
        os.utime(older, (5, 5))
        torn = home / (backup + "3")
        torn.write_text('{"backup')
    (said,) = mend(instance)
    assert said.startswith(".claude.json ") and "as it was: aside/claude.json." in said
    document = home / ".claude.json"
    assert (document.read_text() if document.exists() else None) == after
    (kept,) = (instance / "aside").iterdir()
    assert kept.read_text() == text


def test_modes(instance: Path) -> None:
    home = instance / "home"
    read_only = home / "go" / "mod" / "cache"
    read_only.mkdir(parents=True)
    read_only.chmod(0o555)
    (home / ".claude.json").chmod(0)
    (home / ".claude" / "projects").chmod(0)
    home.chmod(0)
    done = mend(instance)
    assert [said.partition(":")[0] for said in done] == ["the home", ".claude/projects", ".claude.json"]
    assert stat.S_IMODE(home.stat().st_mode) == 0o700
    assert stat.S_IMODE((home / ".claude" / "projects").stat().st_mode) == 0o700
    assert stat.S_IMODE((home / ".claude.json").stat().st_mode) == 0o600
    assert stat.S_IMODE(read_only.stat().st_mode) == 0o555, "meant so"
    read_only.chmod(0o755)


def test_links_are_not_followed(instance: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    victim = outside / "talk.jsonl"
    victim.write_text("torn")
    victim.chmod(0o200)
    home = instance / "home"
    (home / ".claude" / "projects" / "out").symlink_to(outside)
    (home / ".claude" / "projects" / "talk.jsonl").symlink_to(victim)
    (home / ".claude.json").unlink()
    (home / ".claude.json").symlink_to(victim)
    os.mkfifo(home / ".claude" / "fifo.jsonl")
    assert mend(instance) == []
    assert stat.S_IMODE(victim.stat().st_mode) == 0o200
    victim.chmod(0o600)
    assert victim.read_text() == "torn"


def test_names_of_full_length_keep_nobody_from_a_repair(instance: Path) -> None:
    talk = instance / "home" / TALK
    for begin in ("a", "é"):
        long = talk.with_name((begin * 255)[: 249 // len(begin.encode())] + ".jsonl")
        long.write_text('{"torn')
    talk.write_text('{"torn')
    assert len([one for one in mend(instance) if "torn line" in one]) == 3
    assert len(os.listdir(instance / "aside")) == 3
    assert not list((instance / "home").rglob("*.tmp"))
