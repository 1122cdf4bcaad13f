"""What was typed behind `claudebox network`, for the modules of its commands."""

from __future__ import annotations

from typing import Any, NamedTuple

from claudebox import console
from claudebox.model import User


class Call(NamedTuple):
    """What was typed behind `claudebox network COMMAND`, and by whom. what: the name, "" without one; which: a pid or
    a project; ours: claudebox's own directory."""

    ours: str
    user: User
    environment: dict[str, str]
    what: str
    which: str
    host_ports: tuple[str, ...]
    publish: tuple[str, ...]
    save: bool
    denied: bool
    follow: bool
    json: bool


def print_json(value: dict[str, Any]) -> None:
    """A document on stdout."""
    import json

    console.write(json.dumps({"schema_version": 1, **value}, indent=2) + "\n", 1)
