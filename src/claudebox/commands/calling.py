"""What a command of `claudebox auth` was called with, and how it answers a script."""

from __future__ import annotations

from typing import Any, NamedTuple

from claudebox import console
from claudebox.agents import AgentSpec
from claudebox.model import User


class Call(NamedTuple):
    """What was typed behind `claudebox auth COMMAND`, and by whom. store: the host's directory with the login."""

    ours: str
    user: User
    environment: dict[str, str]
    spec: AgentSpec
    store: str
    project: str
    online: bool
    all: bool
    yes: bool
    json: bool


def print_json(value: dict[str, Any]) -> None:
    """A document on stdout."""
    import json

    console.write(json.dumps({"schema_version": 1, **value}, indent=2) + "\n", 1)
