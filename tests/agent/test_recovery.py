"""After a torn write the real Claude Code goes on where it was, once `instance repair` has been at work."""

from __future__ import annotations

import json

import pytest

from box import Box
from capability import needs
from clients import Claude

pytestmark = [needs("claudebox", "claude", "userns", "bwrap", "git"), pytest.mark.timeout(240)]


def test_a_torn_conversation_and_document_go_on_after_a_repair(box: Box, claude: Claude) -> None:
    first = claude("-p", "run: echo one")
    assert (first.status, first.stdout) == (0, "prompt 1\none\n"), first.stderr
    (home,) = box.state.glob("instances/*/home")
    (conversation,) = home.glob(".claude/projects/*/*.jsonl")
    whole = conversation.read_bytes()
    conversation.write_bytes(whole + b'{"type": "user", "message": {"content": "cut he')
    document = home / ".claude.json"
    document.write_bytes(document.read_bytes()[:-40])
    before = {path: path.read_bytes() for path in home.glob(".claude/*.json")}  # settings, and a login if there is one

    done = box.claudebox("instance", "repair")
    assert done.status == 0, done
    assert f"{conversation.relative_to(home)}: 1 torn line taken out" in done.stderr
    assert ".claude.json " in done.stderr
    assert conversation.read_bytes() == whole
    assert not document.exists() or isinstance(json.loads(document.read_bytes()), dict)
    assert {path: path.read_bytes() for path in home.glob(".claude/*.json")} == before

    second = claude("--continue", "-p", "run: echo two")
    assert (second.status, second.stdout) == (0, "prompt 2\ntwo\n"), second
    assert claude.model.requests[-1]["prompts"][0].strip() == "run: echo one"
    assert box.claudebox("instance", "repair").stderr == "there is nothing to mend\n"
