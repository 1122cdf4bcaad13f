"""Writing the settings into a home: what stands when it cannot be finished, and which binds reach a secret."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from claudebox import descriptors
from claudebox.agents import AgentSpec
from claudebox.errors import ClaudeboxError
from claudebox.model import BUILTIN, Host, Instance, SandboxPlan, SettingsFile, UserSettings, Why
from claudebox.plan import settings as plan_settings
from claudebox.run import settings
from claudebox.usersettings import STATE


class Plan:
    """As much of a SandboxPlan as is written."""

    def __init__(self, directory: Path, *files: SettingsFile) -> None:
        self.instance = Instance(id="1" * 16, root="/p", directory=str(directory))
        self.settings = files


class Place:
    """An instance's directory with a home."""

    def __init__(self, top: Path) -> None:
        self.top, self.home = top, top / "home"
        for name in ("home", "aside"):
            (top / name).mkdir()
        self.here = os.open(top, os.O_RDONLY)
        self.inner = os.open(self.home, os.O_RDONLY)

    def write(self, text: str | None, stamp: str = "1") -> list[str]:
        remembered = (f"file\t.a/s.json\t{stamp}",)
        file = SettingsFile(
            path=".a/s.json", source="/h/.a/s.json", text=text, keys=(), remembered=remembered, why=Why("w", BUILTIN)
        )
        plan: SandboxPlan = Plan(self.top, file)  # type: ignore[assignment]
        return [
            *settings.clear_way(plan, self.here, self.inner),
            *settings.write(plan, self.here, self.inner, {}, lambda: None),
        ]

    def says(self) -> tuple[str, str, str]:
        """The home's file, the base of the merge, and what is remembered."""
        paths = (self.home / ".a/s.json", self.top / "settings/.a/s.json", self.top / STATE)
        return tuple(path.read_text() if path.exists() else "" for path in paths)  # type: ignore[return-value]


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    before = len(os.listdir("/proc/self/fd"))
    made = Place(tmp_path.resolve())
    yield made
    os.close(made.here)
    os.close(made.inner)
    assert len(os.listdir("/proc/self/fd")) == before, "no descriptor is left open"


@pytest.mark.parametrize("at", [1, 2, 3])
def test_a_full_disk_stops_the_launch_and_the_next_one_goes_on(
    place: Place, at: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    place.write('{"a": 1, "b": 1}')
    (place.home / ".a/s.json").write_text('{"a": 1, "b": 2}')
    before, real, count = place.says(), descriptors.replace_file, 0

    def full(*arguments: object) -> None:
        nonlocal count
        count += 1
        if count >= at:
            raise OSError(28, "No space left on device")
        real(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(descriptors, "replace_file", full)
    with pytest.raises(ClaudeboxError, match="No space left on device"):
        place.write('{"a": 3, "b": 3}', stamp="2")
    assert [now == was for now, was in zip(place.says(), before, strict=True)] == [at < 2, at < 3, True]
    monkeypatch.undo()
    assert place.write('{"a": 3, "b": 3}', stamp="2") == []
    own, base, state = place.says()
    assert own.split() == ["{", '"a":', "3,", '"b":', "2", "}"] and base == '{"a": 3, "b": 3}' and "\t2\n" in state


def test_what_another_agent_remembers_stays(place: Place) -> None:
    place.write("{}")
    (place.top / STATE).write_text("file\t.b/x\t7\nnote\tinfo\tb\ntree\t.b/t\nfile\t.a/s.json\t0\nnote\tinfo\told\n")
    place.write('{"a": 1}', stamp="2")
    assert place.says()[2] == "file\t.b/x\t7\nnote\tinfo\tb\ntree\t.b/t\nfile\t.a/s.json\t2\n"


def test_an_unchanged_file_is_not_written(place: Place) -> None:
    place.write('{"a": 1}')
    before = [(path, path.lstat().st_mtime_ns) for path in sorted(place.top.rglob("*"))]
    assert place.write(None) == []
    assert [(path, path.lstat().st_mtime_ns) for path in sorted(place.top.rglob("*"))] == before
    (place.home / ".a/s.json").unlink()
    place.write(None)
    assert place.says()[0] == '{"a": 1}', "removed inside: the host's again"


def test_nothing_said_makes_no_file(place: Place) -> None:
    assert place.write("") == [] and not (place.home / ".a").exists()


SPEC = AgentSpec(
    name="a", title="A", executables=("a",), config_dir=".a", credentials=(".a/login", ".local/login")
)  # fmt: skip


class Survey:
    """As much of a Host as the question needs."""

    settings = UserSettings(directory="/home/ada/.a")
    sensitive = (("/home/ada/.ssh", "SSH keys"), ("/home/ada/.a", "the agent's login"))

    class user:
        home = "/home/ada"


@pytest.mark.parametrize(
    ("source", "what"),
    [
        ("/home/ada/.a/CLAUDE.md", ""),
        ("/home/ada/dotfiles/CLAUDE.md", ""),
        ("/home/ada/.a/login", "the agent's login"),
        ("/home/ada/.a", "the agent's login"),
        ("/home/ada/.local", "the agent's login"),
        ("/home/ada/.ssh/notes", "SSH keys"),
        ("/home/ada", "SSH keys"),
    ],
)
def test_which_secret_a_bind_reaches(source: str, what: str) -> None:
    host: Host = Survey()  # type: ignore[assignment]
    assert plan_settings.sensitive(source, host, SPEC) == what
