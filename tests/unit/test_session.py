"""A session's record: written by hand, read with bounds, and whether its process still runs."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from builders import make_plan
from claudebox.commands.sessions import around, choose
from claudebox.errors import ClaudeboxError
from claudebox.run import session
from claudebox.run.session import Session

ANY = st.text(st.characters(exclude_categories=()), max_size=20)


def make(pid: int = 7, project: str = "/home/ada/app", **values: object) -> Session:
    made = Session(
        pid=pid, started=5, instance="0" * 16, project=project, directory=project, tier="offline", agent="claude",
        command=("/usr/bin/claude", "--continue"), terminal="/dev/pts/3", since=1_700_000_000,
    )  # fmt: skip
    return made._replace(**values)  # type: ignore[arg-type]


@given(ANY, st.lists(ANY, max_size=3), st.integers(0, 1 << 62))
def test_a_record_is_read_back_as_it_was(text: str, words: list[str], number: int) -> None:
    one = make(project=text, command=tuple(words), messages=tuple(words), started=number)
    assert session.from_text(session.as_text(one).encode()) == one


WHOLE = json.loads(session.as_text(make()))


@pytest.mark.parametrize(
    "text",
    [b"", b"{", b"[]", b"7", b"\xff", b"[" * 5000, json.dumps({**WHOLE, "pid": "7"}).encode(),
     json.dumps({**WHOLE, "pid": True}).encode(), json.dumps({**WHOLE, "command": "rm"}).encode(),
     json.dumps({**WHOLE, "messages": [7]}).encode(), json.dumps({**WHOLE, "project": ["x"]}).encode(),
     json.dumps({key: WHOLE[key] for key in WHOLE if key != "tier"}).encode()],
)  # fmt: skip
def test_what_is_no_record_is_none(text: bytes) -> None:
    assert session.from_text(text) is None


def test_a_command_is_bounded() -> None:
    assert session.bounded(("a", "b c")) == ("a", "b c")
    long = session.bounded(("a", "x" * 5000, "never"))
    assert long == ("a", "x" * (session.WORDS - 2) + "…")
    assert len(session.bounded(("",) * 100_000)) <= session.WORDS + 1


def test_start_time() -> None:
    me = os.getpid()
    assert session.start_time(me) == session.start_time(me) > 0
    assert session.start_time(1 << 22) == 0


@pytest.fixture
def instance(tmp_path: Path) -> Path:
    (tmp_path / "sessions").mkdir()
    (tmp_path / "locks").mkdir()
    (tmp_path / "locks" / "repository").touch()
    return tmp_path


def put(instance: Path, one: Session) -> Path:
    path = instance / "sessions" / f"{one.pid}.json"
    path.write_text(session.as_text(one))
    return path


def test_only_a_process_with_the_same_start_and_the_lock_lives(instance: Path) -> None:
    mine = make(os.getpid(), started=session.start_time(os.getpid()))
    here = os.open(instance, os.O_RDONLY)
    put(instance, mine)
    assert session.live(here) == [], "this process does not hold the lock"
    with open(instance / "locks" / "repository"):
        assert session.live(here) == [mine]
        put(instance, mine._replace(started=mine.started + 1))
        assert session.live(here) == [], "the pid was used again"
    os.close(here)


def test_a_sweep_leaves_what_lives(instance: Path) -> None:
    sessions = instance / "sessions"
    mine = put(instance, make(os.getpid(), started=session.start_time(os.getpid())))
    (sessions / f"{os.getpid()}.socket").touch()
    writing = sessions / f".{os.getppid()}.json.{os.getppid()}.tmp"  # by a launch that starts just now
    writing.touch()
    kept = set(os.listdir(sessions))
    put(instance, make(1 << 22))
    put(instance, make(os.getppid() if os.getppid() > 1 else 1, started=1))
    for name in (f".{1 << 22}.json.{1 << 22}.tmp", f"{1 << 22}.socket", "odd", "9" * 100, "\udcff"):
        (sessions / name).touch()
    (sessions / "a-link.json").symlink_to(mine)
    writing.unlink()  # its record is another process's of the same pid: gone with it
    here = os.open(instance, os.O_RDONLY)
    with open(instance / "locks" / "repository"):
        session.sweep(here)
        assert set(os.listdir(sessions)) == kept - {writing.name}
        writing.touch()
        session.sweep(here)
    os.close(here)
    assert set(os.listdir(sessions)) == kept


def test_the_innermost_project_is_meant() -> None:
    outer, inner = make(1, "/p"), make(2, "/p/sub")
    assert around([outer, inner], "/p/sub/deep") == [inner]
    assert around([outer, inner], "/p/subway") == [outer]
    assert around([outer, inner], "/elsewhere") == []


def test_what_was_named_is_chosen() -> None:
    found = [make(1, "/p"), make(2, "/q"), make(3, "/q")]
    assert choose(found, "2") == [found[1]]
    assert choose(found, "/q") == found[1:]
    with pytest.raises(ClaudeboxError, match=r"no session of yours has the pid 9\n  1  /p"):
        choose(found, "9")
    with pytest.raises(ClaudeboxError, match="no session works in /elsewhere"):
        choose(found, "/elsewhere")


def test_messages_are_bounded_and_on_the_disk_at_once(instance: Path) -> None:
    here = os.open(instance, os.O_RDONLY)
    record = session.Record(make_plan(), here)
    (path,) = (instance / "sessions").iterdir()
    for number in range(session.MESSAGES + 5):
        record.add(f"{number} " + "é\n" * session.LENGTH)
    found = session.from_text(path.read_bytes())
    assert found is not None and len(found.messages) == session.MESSAGES
    assert found.messages[0].startswith("5 é\n") and len(found.messages[0]) == session.LENGTH
    assert len(path.read_bytes()) < session.LIMIT
    (instance / "sessions").chmod(0o500)
    record.add("the disk is full")  # no error: the session goes on
    (instance / "sessions").chmod(0o700)
    record.remove()
    assert os.listdir(instance / "sessions") == []
    os.close(here)


def test_a_record_that_cannot_be_written_stops_the_launch(instance: Path) -> None:
    (instance / "sessions").rmdir()
    (instance / "sessions").touch()
    here = os.open(instance, os.O_RDONLY)
    with pytest.raises(ClaudeboxError, match=r"cannot write to .*/sessions"):
        session.Record(make_plan(), here)
    os.close(here)
