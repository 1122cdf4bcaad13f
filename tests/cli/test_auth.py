"""`claudebox auth` as it is typed: what it shows, what it refuses, and that no token is ever in it."""

from __future__ import annotations

import json

import pytest

import logins
from box import Box, Result
from capability import needs
from logins import copy, copy_file, lock, log_in, login

pytestmark = [needs("claudebox", "userns", "bwrap"), pytest.mark.timeout(120)]


def auth(box: Box, *words: str, status: int = 0) -> Result:
    done = box.claudebox("auth", *words)
    assert done.status == status, done
    for secret in ("access-", "refresh-", "sk-ant"):
        assert secret not in done.stdout + done.stderr
    return done


def run(box: Box) -> None:
    assert box.claudebox("run", "-n", "offline", "--", "true").status == 0


def test_status_without_a_login(box: Box) -> None:
    done = auth(box, "status", status=1)
    assert "not logged in" in done.stdout and "claudebox auth login" in done.stdout
    assert not box.state.exists(), "it writes nothing"


@pytest.mark.uid0
def test_status_of_a_login(box: Box) -> None:
    log_in(box)
    done = auth(box, "status")
    assert "logged in" in done.stdout and "max" in done.stdout and "in 7 h" in done.stdout
    shown = json.loads(auth(box, "status", "--json").stdout)
    assert (shown["schema_version"], shown["state"], shown["plan"]) == (1, "good", "max")
    assert shown["expires"] == logins.host(box)["expiresAt"] // 1000


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"{", "is no JSON object"),
        (b'{"claudeAiOauth": {"v": 2}}', "does not know"),
        (json.dumps({logins.KEY: login(accessToken="", refreshToken="", expiresAt=0)}).encode(), "no longer valid"),
    ],
)
def test_status_of_what_is_none(box: Box, content: bytes, says: str) -> None:
    logins.put(box, content)
    assert says in auth(box, "status", status=1).stdout


def test_status_names_sessions_and_own_logins(box: Box) -> None:
    log_in(box)
    run(box)
    copy_file(box).write_text(json.dumps({logins.KEY: login(77)}))
    with box.start([box.program, "run", "-n", "offline", "--", "sh", "-c", "echo up; read x"], stdin=-1) as running:
        assert running.stdout is not None and running.stdout.readline() == b"up\n"
        text = auth(box, "status").stdout
        running.communicate(b"\n", timeout=20)
    assert f"pid {running.pid}, {box.app}" in text
    assert f"claudebox auth import -C {box.app}" in text


def test_forget_takes_ours_and_leaves_the_hosts(box: Box) -> None:
    file = log_in(box)
    before = file.read_bytes()
    run(box)
    copy_file(box).write_text(json.dumps({**json.loads(copy_file(box).read_text()), "mcpOAuth": {"a": 1}}))
    assert str(box.app) in auth(box, "forget").stderr
    assert copy(box) is None and not lock(box).exists()
    assert json.loads(copy_file(box).read_text()) == {"mcpOAuth": {"a": 1}}
    assert file.read_bytes() == before
    assert "no login" in auth(box, "forget", "--all").stderr


def test_forget_asks_before_it_loses_one(box: Box) -> None:
    run(box)
    copy_file(box).parent.mkdir(exist_ok=True)
    copy_file(box).write_text(json.dumps({logins.KEY: login(77)}))
    auth(box, "forget", status=125)
    assert copy(box) is not None
    auth(box, "forget", "-y")
    assert copy(box) is None


def test_not_while_a_session_runs(box: Box) -> None:
    log_in(box)
    with box.start([box.program, "run", "-n", "offline", "--", "sh", "-c", "echo up; read x"], stdin=-1) as running:
        assert running.stdout is not None and running.stdout.readline() == b"up\n"
        for word in ("forget", "import"):
            assert "session" in auth(box, word, status=125).stderr
        running.communicate(b"\n", timeout=20)


def test_import_of_nothing(box: Box) -> None:
    log_in(box)
    run(box)
    assert "has no login of its own" in auth(box, "import", status=125).stderr


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("status", "--all"), "--all goes with forget"),
        (("login", "--online"), "--online goes with status"),
        (("import", "gemini"), "claudebox auth login gemini"),
        (("status", "-C", "."), "-C goes with import and forget"),
        (("status", "nobody"), 'no agent "nobody"'),
        (("stauts",), "invalid choice"),
    ],
)
def test_what_does_not_go_together(box: Box, words: tuple[str, ...], says: str) -> None:
    assert says in auth(box, *words, status=125).stderr
