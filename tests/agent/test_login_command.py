"""`claudebox auth login` with the real client: the code is pasted, and the host has the login."""

from __future__ import annotations

import os
from typing import Any

import pexpect
import pytest

from box import environment
from capability import needs
from endpoint import Endpoint
from logins import NAME, host
from tokens import TEXT

pytestmark = [
    needs("claudebox", "claude", "userns", "netns", "bwrap", "git", "openssl", "user", "pty"),
    pytest.mark.timeout(300),
]
PROXY = {"HTTPS_PROXY": "http://127.0.0.1:8080", "NO_PROXY": "127.0.0.1"}  # names of the endpoint are the host's alone


def on_a_terminal(endpoint: Endpoint, *argv: str) -> Any:
    box = endpoint.box
    words = [*box.enter, "env", "-C", os.fspath(box.app), os.fspath(box.program), *argv]
    env = environment(box.home, {**endpoint.environment(), "TERM": "xterm", "CLAUDEBOX_NETWORK": "full", **PROXY})
    child = pexpect.spawn(words[0], words[1:], env=env, encoding="utf-8", timeout=60, dimensions=(50, 1000))
    child.delaybeforesend = None
    return child


def test_the_code_can_be_pasted(endpoint: Endpoint) -> None:
    box = endpoint.box
    child = on_a_terminal(endpoint, "auth", "login")
    child.expect("prompted > ")
    child.send("a-code#a-state\r")
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 0, child.before
    found = host(box)
    assert (found["accessToken"], found["refreshToken"]) == ("sk-ant-oat01-access-2", "sk-ant-ort01-refresh-2")
    assert (box.home / ".claude" / NAME).stat().st_mode & 0o777 == 0o600
    assert not list((box.state / "instances").iterdir()), "nothing is left of that sandbox"
    assert not list(box.home.glob(".claudebox-login-*"))
    assert endpoint.claude("-p", "hi").stdout == f"{TEXT}\n"


def test_one_that_is_given_up_changes_nothing(endpoint: Endpoint) -> None:
    child = on_a_terminal(endpoint, "auth", "login")
    child.expect("prompted > ")
    child.sendintr()
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus != 0
    assert not (endpoint.box.home / ".claude" / NAME).exists()
    assert not list((endpoint.box.state / "instances").iterdir())
