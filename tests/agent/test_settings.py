"""The user's own settings in the real clients: hooks, commands, servers are effective inside; changes stay."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from box import Box
from capability import needs
from clients import Claude, terminal

pytestmark = [needs("claudebox", "claude", "userns", "bwrap", "git"), pytest.mark.timeout(240)]


def put(path: Path, value: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(value if isinstance(value, str) else json.dumps(value))


def hook(command: str) -> dict[str, Any]:
    return {"UserPromptSubmit": [{"hooks": [{"type": "command", "command": command}]}]}


def test_a_hook_and_a_command_of_the_hosts_are_effective_inside(box: Box, claude: Claude) -> None:
    claude("-p", "/mine")
    assert not (box.app / "hooked").exists() and not (box.app / "made").exists(), "the control: without settings"
    script = box.home / ".claude" / "hooks" / "mine"
    put(script, "#!/bin/sh\necho $HOME >hooked\n")
    script.chmod(0o755)
    put(box.home / ".claude" / "settings.json", {"model": "haiku", "hooks": hook("~/.claude/hooks/mine")})
    put(box.home / ".claude" / "commands" / "mine.md", "run: echo from a command >made\n")
    done = claude("-p", "/mine")
    assert done.status == 0, done
    assert "haiku" in claude.model.requests[-1]["model"]
    assert (box.app / "hooked").read_text() == f"{box.home}\n"
    assert (box.app / "made").read_text() == "from a command\n"
    assert sorted(os.listdir(box.home / ".claude")) == ["commands", "hooks", "settings.json"], (
        "nothing is written on the host"
    )


def test_a_server_of_the_hosts_is_known_inside(box: Box, claude: Claude) -> None:
    put(box.home / ".claude.json", {"theme": "light", "mcpServers": {"mine": {"command": "false"}}})
    done = claude("mcp", "list", unattended=False)
    assert "mine" in done.stdout, done


@needs("tmux")
def test_a_model_chosen_inside_stays_and_the_rest_follows(box: Box, claude: Claude) -> None:
    settings = box.home / ".claude" / "settings.json"
    put(settings, {"model": "opus", "cleanupPeriodDays": 30})
    options = [*map(os.fspath, claude.options()), "--", "--permission-mode", "default"]
    with terminal(box, [str(box.program), *options], claude.environment()) as type_:
        type_(until="❯")
        type_("/model haiku", until="/model haiku")
        type_("Enter", until="Set model to")
        type_("/exit", until="/exit")
        type_("Enter", until="status-0")
    (own,) = box.state.glob("instances/*/home/.claude/settings.json")
    assert json.loads(own.read_text())["model"] == "haiku"
    put(settings, {"model": "sonnet", "cleanupPeriodDays": 60})
    assert claude("-p", "hello").status == 0
    now = json.loads(own.read_text())
    assert (now["model"], now["cleanupPeriodDays"]) == ("haiku", 60)
    assert json.loads(settings.read_text()) == {"model": "sonnet", "cleanupPeriodDays": 60}
