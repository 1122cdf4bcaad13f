"""The broker at work, in this process: what it does when the disk or inotify lets it down, and what it says then."""

from __future__ import annotations

import json
import os
import select
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from claudebox.agents import load_agent
from claudebox.model import Login, Why
from claudebox.plan.login import shape
from claudebox.run import credentials, login, notify
from claudebox.run.login import Broker

NAME = ".credentials.json"


class Host:
    """The host's directory, an instance's, and a broker between them."""

    def __init__(self, directory: Path) -> None:
        self.store, self.instance = directory / "host", directory / "instance"
        for made in (self.store, self.instance / "home", self.instance / "aside"):
            made.mkdir(parents=True)
        self.copy = self.instance / "home" / ".claude" / NAME
        self.broker: Broker | None = None

    def log_in(self, number: int, left: float = 8 * 3600) -> None:
        found = {"accessToken": f"access-{number}", "refreshToken": "r", "expiresAt": int((time.time() + left) * 1000)}
        made = self.store / "made"
        made.write_text(json.dumps({"claudeAiOauth": found}))
        made.chmod(0o600)
        made.rename(self.store / NAME)

    def serve(self) -> Broker:
        grant = Login(
            store=str(self.store), file=f".claude/{NAME}", lock="lock", refresher=(), environment=(), needed=True,
            why=Why(""), shape=shape(load_agent("claude", "")),
        )  # fmt: skip
        here = os.open(self.instance, os.O_RDONLY)
        home = os.open(self.instance / "home", os.O_RDONLY)
        self.broker = Broker(grant, str(self.instance.parent), here, home)
        return self.broker

    def turn(self, seconds: float = 5) -> None:
        """Wait for what wakes the broker, and let it act."""
        assert self.broker is not None
        poll = select.poll()
        for descriptor in self.broker.acts:
            poll.register(descriptor, select.POLLIN)
        for descriptor, _ in poll.poll(seconds * 1000):
            if act := self.broker.acts.get(descriptor):
                act()

    def published(self) -> str:
        return json.loads(self.copy.read_text())["claudeAiOauth"]["accessToken"] if self.copy.exists() else ""


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    made = Host(tmp_path)
    yield made
    if made.broker:
        made.broker.close()


def test_where_inotify_is_used_up_it_looks_now_and_then_and_says_so(
    host: Host, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def used_up(*_: Any) -> None:
        raise OSError(24, "Too many open files")

    assert login.UNWATCHED == 60_000
    monkeypatch.setattr(notify, "Changes", used_up)
    monkeypatch.setattr(login, "UNWATCHED", 50)
    host.log_in(1)
    host.serve()
    deadline = time.monotonic() + 10
    while "inotify is used up" not in (said := capfd.readouterr().err) and time.monotonic() < deadline:
        host.turn()
    assert said.count("seen within 60 s") == 1
    host.log_in(2)
    while host.published() != "access-2" and time.monotonic() < deadline:
        host.turn()
    (host.store / NAME).unlink()
    while host.published() and time.monotonic() < deadline:
        host.turn()
    assert not host.published() and "inotify" not in capfd.readouterr().err, "said once"


@pytest.mark.parametrize("number", [28, 30, 122], ids=["full", "read-only", "over quota"])
def test_a_home_that_cannot_be_written_is_said_once_and_served_later(
    host: Host, number: int, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def fails(*_: Any) -> None:
        raise OSError(number, os.strerror(number))

    host.log_in(1)
    broker = host.serve()
    broker._begin_to_watch()
    assert host.published() == "access-1"
    with monkeypatch.context() as broken:
        broken.setattr(os, "fsync", fails)
        for again in (2, 3):
            host.log_in(again)
            host.turn()
        assert host.published() == "access-1", "what was there is whole"
        said = capfd.readouterr().err
        assert said.count("cannot be written") == 1 and os.strerror(number) in said
        assert not list(host.instance.glob(".*.tmp"))
    host.log_in(4)
    host.turn()
    assert host.published() == "access-4"


def test_a_file_of_somebody_elses_is_not_used(
    host: Host, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    host.log_in(1)
    monkeypatch.setattr(credentials.os, "geteuid", lambda: 1 << 20)
    host.serve()
    assert not host.published() and "belongs to somebody else" in capfd.readouterr().err


@pytest.mark.parametrize("stolen", ["copy", "lock"])
def test_what_is_no_plain_file_is_moved_aside(host: Host, stolen: str) -> None:
    """While the session runs; and nothing of it is opened for writing."""
    host.log_in(1)
    broker = host.serve()
    broker._begin_to_watch()
    place = host.copy if stolen == "copy" else host.copy.with_name("lock")
    place.unlink() if stolen == "copy" else place.rmdir()
    os.mkfifo(place)
    deadline = time.monotonic() + 10
    while place.is_fifo() and time.monotonic() < deadline:
        host.turn()
    assert host.published() == "access-1" and [one.is_fifo() for one in (host.instance / "aside").iterdir()] == [True]


def test_a_clock_that_is_set_back_wakes_and_loses_nothing(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    host.log_in(1, left=3600)
    broker = host.serve()
    day = 24 * 3600 * 1000
    now = notify.now
    monkeypatch.setattr(notify, "now", lambda: now() - day)
    broker._rang()
    assert broker.state == "good" and host.published() == "access-1"
    monkeypatch.setattr(notify, "now", lambda: now() + day)
    broker._rang()
    assert broker.state == "expired" and host.published() == "access-1", "an expired one is not taken away"
