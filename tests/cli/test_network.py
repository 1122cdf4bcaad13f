"""`claudebox network`: why, log, learn and what is remembered, against a log of the test's own."""

from __future__ import annotations

import json
import os
import tomllib
from pathlib import Path
from typing import Any

import pytest

from box import Box
from capability import needs
from sessions import session

pytestmark = [needs("userns", "bwrap", "git")]

LOG = [
    {"time": 1700000001.0, "verdict": "allowed", "name": "api.anthropic.com", "port": 443, "reason": "listed"},
    {"time": 1700000002.0, "verdict": "allowed", "name": "docs.python.org", "port": 443, "reason": "listed"},
    {
        "time": 1700000003.0,
        "verdict": "refused",
        "name": "evil\u001b[31m.example",
        "port": 443,
        "reason": "no rule names it",
    },
    {
        "time": 1700000004.0,
        "verdict": "ended",
        "name": "docs.python.org",
        "port": 443,
        "up": 5,
        "down": 2048,
        "program": "curl",
    },
]


def config(box: Box, text: str) -> None:
    box.state.mkdir(mode=0o700, exist_ok=True)
    (box.state / "config.toml").write_text(text)
    (box.state / "config.toml").chmod(0o644)


def instance(box: Box) -> Path:
    """The project's instance, made by remembering the agent that is used anyway."""
    assert box.claudebox("use", "--agent", "claude").status == 0
    (found,) = (box.state / "instances").iterdir()
    return found


def log(box: Box, name: str = "4711-99.log", lines: list[dict[str, Any]] = LOG) -> Path:
    place = instance(box) / "network"
    place.mkdir(mode=0o700, exist_ok=True)
    (place / name).write_text("".join(json.dumps(one) + "\n" for one in lines))
    return place / name


def test_why_says_which_line_of_which_file(box: Box) -> None:
    config(box, '[network]\ntier = "allowlist"\nallow = [\n  "*.example.com",\n  "!a.example.com",\n  "@github",\n]\n')
    done = box.claudebox("network", "why", "b.example.com")
    assert (done.status, done.stderr) == (0, "")
    assert done.stdout.startswith("b.example.com:443  allowed by *.example.com, ~/.claudebox/config.toml:4\n")
    done = box.claudebox("network", "why", "a.example.com")
    assert done.status == 1 and "refused: !a.example.com takes it out (~/.claudebox/config.toml:5)" in done.stdout
    done = box.claudebox("network", "why", "example.com")
    assert done.status == 1 and "*.example.com is about the names below it, not about itself" in done.stdout
    assert box.claudebox("network", "why", "api.anthropic.com").status == 0
    found = json.loads(box.claudebox("network", "why", "github.com:22", "--json").stdout)
    assert found == {
        "schema_version": 1, "name": "github.com", "port": 22, "tier": "allowlist", "reached": True, "allowed": True,
        "reason": "github.com:22 (~/.claudebox/config.toml:6)", "rule": "github.com:22", "check": "none",
        "origin": "~/.claudebox/config.toml:6",
    }  # fmt: skip


def test_why_says_what_to_add(box: Box) -> None:
    done = box.claudebox("network", "why", "gitlab.com")
    assert done.status == 0  # of the default tier
    assert "every name that leads to a public address is reached" in done.stdout
    assert "claudebox network allow gitlab.com:443" in done.stdout and 'allow = ["gitlab.com:443"]' in done.stdout
    assert "it is in the set @gitlab" in done.stdout
    assert box.claudebox("network", "why", "gitlab.com", env={"CLAUDEBOX_NETWORK": "offline"}).status == 1


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["why"], "takes a name"),
        (["why", "*.example.com"], "takes a name or an address"),
        (["why", "https://example.com"], "without https://"),
        (["allow"], "takes a name"),
        (["allow", "*.com"], "anybody can have one"),
        (["allow", "example.com"], "no session works in"),
        (["allow", "example.com", "4711", "--save"], "no session of yours has the pid 4711"),
        (["allow", "--host-port", "0"], "a port from 1 to 65535"),
        (["log", "--save"], "--save goes with allow and deny"),
        (["log", "a", "b"], "takes one session"),
        (["log"], "has no instance"),
        (["learn", "4711"], "no session with the pid 4711 has a log"),
        (["frob"], "invalid choice"),
    ],
)
def test_what_is_refused(box: Box, words: list[str], says: str) -> None:
    done = box.claudebox("network", *words)
    assert done.status == 125 and says in done.stderr and "hint:" in done.stderr and done.stdout == ""


def test_a_log_is_shown_and_nothing_in_it_reaches_the_terminal(box: Box) -> None:
    log(box)
    done = box.claudebox("network", "log")
    assert (done.status, done.stderr) == (0, "")
    rows = done.stdout.splitlines()
    assert len(rows) == 5 and "5 B up, 2.0 KiB down" in rows[4] and "curl" in rows[4]
    assert "\x1b" not in done.stdout and "evil\\x1b[31m.example" in rows[3]
    denied = box.claudebox("network", "log", "--denied").stdout.splitlines()
    assert len(denied) == 2 and denied[1].split() == rows[3].split()
    found = json.loads(box.claudebox("network", "log", "4711", "--json").stdout)
    assert found["pid"] == 4711 and found["events"] == LOG
    log(box, "12-1.log", LOG[:1])
    os.utime(instance(box) / "network" / "12-1.log", (2000000000, 2000000000))
    assert json.loads(box.claudebox("network", "log", "--json").stdout)["pid"] == 12


def test_following_a_log_of_a_session_that_has_ended_ends(box: Box) -> None:
    log(box)
    done = box.claudebox("network", "log", "--follow", "--json", timeout=10)
    assert done.status == 0 and [json.loads(one) for one in done.stdout.splitlines()] == LOG


def test_a_log_is_followed_until_its_session_ends(box: Box) -> None:
    place = instance(box) / "network"
    place.mkdir(mode=0o700)
    with box.start(["sleep", "600"]) as session_:
        start = Path(f"/proc/{session_.pid}/stat").read_text().rpartition(")")[2].split()[19]
        file = place / f"{session_.pid}-{start}.log"
        file.write_text(json.dumps(LOG[0]) + "\n")
        with box.start([box.program, "network", "log", "-f", "--json"]) as following:
            assert following.stdout
            assert json.loads(following.stdout.readline()) == LOG[0]
            with file.open("a") as more:
                more.write(json.dumps(LOG[1]) + "\n")
            assert json.loads(following.stdout.readline()) == LOG[1]
            with file.open("a") as more:
                more.write(json.dumps(LOG[2]) + "\n")
            session_.kill()
            session_.wait()
            rest = following.stdout.read().splitlines()
            assert [json.loads(one) for one in rest] == [LOG[2]]
            assert following.wait() == 0


def test_what_was_learned_is_a_profile(box: Box) -> None:
    log(box)
    done = box.claudebox("network", "learn")
    assert (done.status, done.stderr) == (0, "")
    assert tomllib.loads(done.stdout) == {"network": {"tier": "allowlist", "allow": ["docs.python.org:443"]}}
    assert "\x1b" not in done.stdout
    profiles = box.state / "profiles"
    profiles.mkdir(mode=0o700)
    (profiles / "learned.toml").write_text(done.stdout)
    (profiles / "learned.toml").chmod(0o644)
    assert box.claudebox("profile", "check", "learned").status == 0
    names = json.loads(box.claudebox("network", "learn", "--json").stdout)["names"]
    assert {one["what"]: one["reached"] for one in names}["docs.python.org"] == 1


def test_what_is_saved_holds_for_the_project(box: Box) -> None:
    done = box.claudebox("network", "allow", "docs.python.org", "--host-port", "5432", "--publish", "8080:80", "--save")
    assert (done.status, done.stdout) == (0, "")
    assert "docs.python.org is allowed from the next launch on, which shows it" in done.stderr
    values = json.loads(box.claudebox("use", "--json").stdout)["values"]
    saved = {(one["name"], one["value"]) for one in values if one["origin"] == "claudebox network allow"}
    assert saved == {("allow", "docs.python.org"), ("host_ports", "5432"), ("publish", "8080:80")}
    done = box.claudebox("network", "why", "docs.python.org", "--json")
    assert json.loads(done.stdout)["allowed"] and json.loads(done.stdout)["origin"] == "claudebox network allow"
    assert box.claudebox("network", "deny", "docs.python.org", "--host-port", "5432", "--save").status == 0
    assert not json.loads(box.claudebox("network", "why", "docs.python.org", "--json").stdout)["allowed"]
    values = json.loads(box.claudebox("use", "--json").stdout)["values"]
    saved = {(one["name"], one["value"]) for one in values if one["origin"] == "claudebox network allow"}
    assert saved == {("allow", "!docs.python.org"), ("publish", "8080:80")}
    assert box.claudebox("use", "--clear").status == 0
    values = json.loads(box.claudebox("use", "--json").stdout)["values"]
    assert not any(one["origin"] == "claudebox network allow" for one in values)


def test_a_session_of_another_tier_lists_no_names(box: Box) -> None:
    with session(box) as launcher:
        done = box.claudebox("network", "allow", "docs.python.org")
        assert (
            done.status == 125 and f"session {launcher.pid} runs in tier offline, which lists no names" in done.stderr
        )
        done = box.claudebox("network", "why", "docs.python.org", str(launcher.pid))
        assert done.status == 1 and "in tier offline nothing is reached" in done.stdout


def test_help(box: Box) -> None:
    done = box.claudebox("network", "--help")
    assert done.status == 0 and "claudebox network log --denied" in done.stdout
    assert "network" in box.claudebox("--help").stdout


def test_a_set_that_follows_a_file_of_the_project_is_refused(box: Box) -> None:
    instance(box)
    config(box, '[network]\ntier = "allowlist"\nallow = ["@npm"]\n')
    (box.home / ".npmrc").write_text("registry=https://npm.example.com/\n")
    (box.home / ".npmrc").chmod(0o644)
    done = box.claudebox("network", "why", "npm.example.com")
    assert done.status == 0 and "~/.claudebox/config.toml:3, ~/.npmrc" in done.stdout
    assert box.claudebox("network", "why", "registry.npmjs.org").status == 1
    (box.app / "npmrc").write_text("registry=https://evil.example.com/\n")
    (box.home / ".npmrc").unlink()
    (box.home / ".npmrc").symlink_to(box.app / "npmrc")
    done = box.claudebox("network", "why", "evil.example.com")
    assert done.status == 125 and "a sandbox can write it" in done.stderr


@needs("nft")
def test_a_running_session_is_granted_more_and_less(box: Box) -> None:
    words = [box.program, "run", "-n", "allowlist", "-y", "--", "sh", "-c", "echo up; exec sleep 600"]
    with box.start(words) as launcher:
        try:
            assert launcher.stdout and launcher.stdout.readline() == b"up\n"
            pid = str(launcher.pid)
            assert box.claudebox("network", "why", "docs.python.org", pid).status == 1
            done = box.claudebox("network", "allow", "docs.python.org", pid)
            assert done.status == 0 and f"is allowed in session {pid}, from the next attempt on" in done.stderr
            assert box.claudebox("network", "why", "docs.python.org", pid).status == 0
            assert box.claudebox("network", "why", "api.anthropic.com", pid).status == 0
            assert box.claudebox("network", "deny", "docs.python.org", pid).status == 0
            assert box.claudebox("network", "why", "docs.python.org", pid).status == 1
        finally:
            launcher.terminate()
            launcher.wait(20)
