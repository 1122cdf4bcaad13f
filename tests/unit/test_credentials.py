"""The login's files: what a kill leaves of one is removed by the next sweep."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from claudebox import descriptors
from claudebox.agents import load_agent
from claudebox.model import Login, Why
from claudebox.plan.broker import CopySeen, HostSeen, Tokens
from claudebox.plan.login import shape
from claudebox.run.credentials import Files, Seen

LOGIN = Login(
    store="/nowhere",
    file=".claude/.credentials.json",
    lock="lock",
    refresher=(),
    environment=(),
    needed=True,
    why=Why(""),
    shape=shape(load_agent("claude", "")),
)


class Killed(BaseException):
    """As a kill -9 at that moment."""


def test_a_kill_leaves_no_token_for_good(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "home").mkdir()
    here, home = os.open(tmp_path, os.O_RDONLY), os.open(tmp_path / "home", os.O_RDONLY)

    def kill(_: int) -> None:
        raise Killed

    monkeypatch.setattr(os, "fsync", kill)
    monkeypatch.setattr(os, "getpid", lambda: 1 << 22)  # no process has it
    tokens = Tokens(access="an access token", refresh="r", expires=1 << 50, kept=())
    seen = Seen(HostSeen("good", tokens), CopySeen("absent", {}), b"", tokens.expires, None, home)
    with pytest.raises(Killed):
        Files(LOGIN, here, home).publish(seen)
    assert any(b"an access token" in path.read_bytes() for path in tmp_path.glob(".*")), "the control: it was written"
    descriptors.sweep_temporary(here)
    assert [path.name for path in tmp_path.iterdir()] == ["home"]
    os.close(here)
    os.close(home)
