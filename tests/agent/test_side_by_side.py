"""Two real clients in one working tree by --force: nothing of what they share is corrupted."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import logins
from box import Box
from capability import SOAK, needs, repeat
from clients import Claude

pytestmark = [needs("claudebox", "claude", "userns", "bwrap", "git"), pytest.mark.timeout(3000 if SOAK else 300)]


def rows(file: Path) -> list[object]:
    """The lines of a file, each of which is a JSON object."""
    found = [json.loads(line) for line in file.read_bytes().splitlines()]
    assert all(isinstance(one, dict) for one in found)
    return found


def test_two_clients_in_one_tree(box: Box, claude: Claude) -> None:
    logins.log_in(box)
    rounds = repeat(50, 5)
    for number in range(rounds):
        argv = [box.program, *claude.options(), "--unattended", "--force", "--"]
        prompts = [f"run: echo {number} {which}; cat README" for which in ("one", "two")]
        running = [box.start([*argv, "-p", prompt], env=claude.environment()) for prompt in prompts]
        for process, which in zip(running, ("one", "two"), strict=True):
            out, err = process.communicate(timeout=120)
            assert process.returncode == 0 and f"{number} {which}".encode() in out, (number, out, err)
    (home,) = box.state.glob("instances/*/home")
    document = json.loads((home / ".claude.json").read_bytes())
    assert document["hasCompletedOnboarding"] is True
    conversations = list(home.glob(".claude/projects/*/*.jsonl"))
    assert len(conversations) == 2 * rounds and all(rows(one) for one in conversations)
    for file in home.glob(".claude/**/*.jsonl"):
        rows(file)
    copy = logins.copy(box)
    assert copy is not None and copy["accessToken"] == "sk-ant-oat01-access-1"
    assert logins.host(box)["refreshToken"] == "sk-ant-ort01-refresh-1"
    assert box.claudebox("instance", "repair").stderr == "there is nothing to mend\n"
    assert claude("--continue", "-p", "run: echo after").status == 0
