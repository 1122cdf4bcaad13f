"""The user's settings on the host, read once and known again; and what of them reaches the plan."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from claudebox.agents import AgentSpec
from claudebox.model import UserFile, UserSettings
from claudebox.plan import settings as plan_settings
from claudebox.usersettings import STATE, survey_settings

SPEC = AgentSpec(
    name="a", title="A", executables=("a",), config_dir=".a", config_variable="A_DIR", read_only=("M.md", "dir"),
    copy=("s.json",), copy_once=("tree",), drop=(("helper", "a program"),), first_start_file=".a.json",
    first_start_copy=("theme",), first_start_follow=("servers",), credentials=(".a/login",),
)  # fmt: skip


class Home:
    """A home with settings of the agent, and the directory of an instance."""

    def __init__(self, top: Path) -> None:
        self.home, self.instance = top / "home", top / "instance"
        (self.home / ".a" / "tree").mkdir(parents=True)
        (self.instance / "settings").mkdir(parents=True)
        (self.home / ".a" / "s.json").write_text('{"model": "x", "helper": "/bin/h"}')
        (self.home / ".a.json").write_text('{"theme": "light", "servers": {"s": {}}, "user": "me"}')
        (self.home / ".a" / "M.md").write_text("text")

    def survey(self, **environment: str) -> UserSettings:
        found, pins = survey_settings(SPEC, str(self.home), environment, (), str(self.instance))
        copied = [source for _, source, done in found.trees if not done]
        assert [pin.path for pin in pins] == [*(source for _, source in found.shown), *copied]
        for pin in pins:
            os.close(pin.fd)
        return found

    def remember(self, *files: UserFile) -> None:
        lines = [line for file in files for line in plan_settings.remembered(file)]
        (self.instance / STATE).write_text("\n".join([*lines, ""]))


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path.resolve())


def test_a_first_look(home: Home) -> None:
    found = home.survey()
    settings, state = found.files
    assert json.loads(settings.text or "") == {"model": "x"} and json.loads(state.text or "") == {"servers": {"s": {}}}
    assert [note.text.rpartition("/")[2] for note in settings.notes] == [
        "s.json comes along: model", "s.json is left out: a program",
    ]  # fmt: skip
    assert state.answers == (("theme", '"light"'),) and state.keys == ("servers",)
    assert found.shown == ((f"{home.home}/.a/M.md", f"{home.home}/.a/M.md"),)
    assert found.trees == ((".a/tree", f"{home.home}/.a/tree", False),)


def test_what_did_not_change_is_known_and_not_read(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    first = home.survey().files
    home.remember(*first)
    monkeypatch.setattr("claudebox.descriptors.read_all", None)
    again = home.survey().files
    assert [file.text for file in again] == [None, None]
    assert [file._replace(text=file.text) for file in again] == [file._replace(text=None) for file in first]


@pytest.mark.parametrize("change", ["content", "rules", "gone", "replaced"])
def test_what_changed_is_read_again(home: Home, change: str, monkeypatch: pytest.MonkeyPatch) -> None:
    home.remember(*home.survey().files)
    path = home.home / ".a" / "s.json"
    if change == "content":
        path.write_text('{"model": "y"}')
    elif change == "replaced":
        path.with_suffix(".new").write_bytes(path.read_bytes())
        path.with_suffix(".new").rename(path)
    elif change == "gone":
        path.unlink()
    else:
        monkeypatch.setitem(globals(), "SPEC", SPEC._replace(drop=()))
    assert [file.text is None for file in home.survey().files] == [False, True]


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"{", "line 1"), (b"\xff", "not UTF-8"), (b"[]", "no object"), (b'{"a":' * 60_000, "nested"),
        (b" " * (1 << 20) + b"{}", "too large"),
    ],
)  # fmt: skip
def test_what_cannot_be_read_does_not_come_along(home: Home, content: bytes, why: str) -> None:
    (home.home / ".a" / "s.json").write_bytes(content)
    file = home.survey().files[0]
    assert (file.text, file.stamp, plan_settings.remembered(file)) == (None, "", ())
    assert "does not come along now: " in file.notes[0].text and why in file.notes[0].text


@pytest.mark.parametrize("kind", ["fifo", "directory"])
def test_what_is_no_file_does_not_hold_us(home: Home, kind: str) -> None:
    path = home.home / ".a" / "s.json"
    path.unlink()
    os.mkfifo(path) if kind == "fifo" else path.mkdir()
    assert "no regular file" in home.survey().files[0].notes[0].text


@pytest.mark.parametrize("text", ["", "file\t.a/s.json", "\t\t\n\xff", "file\t.a/s.json\tx\nnote\n\n\n"])
def test_a_state_that_makes_no_sense_costs_a_look(home: Home, text: str) -> None:
    (home.instance / STATE).write_text(text, encoding="latin-1")
    assert all(file.text is not None for file in home.survey().files)


def test_a_note_is_one_line_whatever_the_host_says(home: Home) -> None:
    (home.home / ".a" / "s.json").write_text(json.dumps({"a\nfile\t.a.json\tx": {"\x1b[2J": 1}}))
    first = home.survey().files
    home.remember(*first)
    assert home.survey().files[0].notes == first[0].notes


def test_a_directory_that_is_named_by_the_variable(home: Home) -> None:
    other = home.home / "other"
    other.mkdir()
    (other / ".a.json").write_text('{"theme": "dark"}')
    found = home.survey(A_DIR=str(other))
    assert found.directory == str(other) and found.files[1].answers == (("theme", '"dark"'),)
    assert (found.files[0].text, found.shown, found.trees) == ("", (), ())
    assert home.survey(A_DIR="relative").directory == f"{home.home}/.a"


def test_no_agent_directory_no_settings(home: Home) -> None:
    spec = AgentSpec(name="b", title="B", executables=("b",))
    assert survey_settings(spec, str(home.home), {}, (), str(home.instance)) == (UserSettings(), [])
