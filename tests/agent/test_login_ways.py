"""Why the login is not a mount: every other way of sharing the file breaks one of the bounds that the broker keeps.

The table in docs/login.md says the same.
"""

from __future__ import annotations

import shutil
import subprocess

import pytest

from capability import needs
from endpoint import Endpoint
from logins import NAME, host, log_in
from tokens import TEXT

pytestmark = [
    needs("claudebox", "claude", "userns", "netns", "bwrap", "git", "openssl", "user"),
    pytest.mark.timeout(300),
]

OPTION = {"the file, read-only": "--ro-bind", "the file, read-write": "--bind"}
# way: whether the login is the host's still after a refresh from inside; whether a session follows the host's refresh;
# whether no refresh token is inside
WAYS = {
    "the broker": (True, True, True),
    "the file, read-only": (False, False, False),
    "the file, read-write": (True, False, False),
    "a copy": (False, False, False),
}


def start(endpoint: Endpoint, way: str, script: str) -> subprocess.Popen[bytes]:
    """A script in a sandbox that has the login in that way."""
    if way == "the broker":
        return endpoint.start("run", "-y", "-n", "full", "--", "sh", "-c", script, stdin=subprocess.PIPE)
    box = endpoint.box
    inside = box.home / "inside"
    inside.mkdir()
    mounted: list[str] = []
    if way == "a copy":
        shutil.copy2(box.home / ".claude" / NAME, inside / NAME)
    else:
        (inside / NAME).touch(0o600)
        mounted = [OPTION[way], f"{box.home}/.claude/{NAME}", f"{inside}/{NAME}"]
    words = ["bwrap", "--dev-bind", "/", "/", *mounted, "--setenv", "CLAUDE_CONFIG_DIR", inside]
    return box.start([*words, "sh", "-c", script], env=endpoint.outside(), stdin=subprocess.PIPE)


@pytest.mark.parametrize("way", WAYS)
def test_a_refresh_from_inside_keeps_the_hosts_login(endpoint: Endpoint, way: str) -> None:
    log_in(endpoint.box, left=-10)
    start(endpoint, way, "claude -p hi").communicate(timeout=120)
    assert endpoint.log("refresh"), "it was refreshed"
    last = 1 + len(endpoint.log("refresh"))
    kept = host(endpoint.box)["refreshToken"] == f"sk-ant-ort01-refresh-{last}" and not endpoint.log("spent")
    assert kept == WAYS[way][0]


@pytest.mark.parametrize("way", WAYS)
def test_a_session_follows_a_refresh_of_the_hosts(endpoint: Endpoint, way: str) -> None:
    log_in(endpoint.box, left=270)  # a client refreshes it, the broker not yet
    with start(endpoint, way, "echo up; read x; claude -p hi") as running:
        assert running.stdout is not None and running.stdout.readline() == b"up\n"
        endpoint.box.run(["claude", "mcp", "list"], env=endpoint.outside())
        assert host(endpoint.box)["refreshToken"] == "sk-ant-ort01-refresh-2", "the host's client refreshed"
        out, err = running.communicate(b"\n", timeout=120)
    assert (out.decode() == f"{TEXT}\n" and not endpoint.log("spent")) == WAYS[way][1], (out, err)


@pytest.mark.parametrize("way", WAYS)
def test_no_refresh_token_is_inside(endpoint: Endpoint, way: str) -> None:
    log_in(endpoint.box)
    script = f'cat "${{CLAUDE_CONFIG_DIR:-$HOME/.claude}}/{NAME}"'
    out, err = start(endpoint, way, script).communicate(timeout=60)
    assert b"sk-ant-oat01-access-1" in out, err
    assert (b"sk-ant-ort01" not in out) == WAYS[way][2]
