"""A host's login with made-up tokens, and what a sandbox has of it."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

from box import Box

KEY = "claudeAiOauth"
HOUR = 3600.0
NAME = ".credentials.json"


def login(number: int = 1, left: float = 8 * HOUR, **changes: Any) -> dict[str, Any]:
    """A login; left: seconds until it expires."""
    return {
        "accessToken": f"sk-ant-oat01-access-{number}",
        "refreshToken": f"sk-ant-ort01-refresh-{number}",
        "expiresAt": int((time.time() + left) * 1000),
        "scopes": ["user:inference", "user:profile"],
        "subscriptionType": "max",
        **changes,
    }


def log_in(box: Box, number: int = 1, left: float = 8 * HOUR, **changes: Any) -> Path:
    """Put a login into the host's file, as the client does: by a rename. The file."""
    return put(box, json.dumps({KEY: login(number, left, **changes)}).encode())


def put(box: Box, content: bytes, mode: int = 0o600) -> Path:
    """Put a content into the host's file."""
    directory = box.home / ".claude"
    directory.mkdir(mode=0o700, exist_ok=True)
    made, file = directory / f"{NAME}.made", directory / NAME
    made.write_bytes(content)
    made.chmod(mode)
    os.rename(made, file)
    return file


def host(box: Box) -> dict[str, Any]:
    """What the host's file says."""
    return json.loads((box.home / ".claude" / NAME).read_bytes())[KEY]  # type: ignore[no-any-return]


def instance(box: Box) -> Path:
    """The directory of the box's one instance."""
    (found,) = (box.state / "instances").iterdir()
    return found


def copy_file(box: Box) -> Path:
    """The sandbox's file."""
    return instance(box) / "home" / ".claude" / NAME


def copy(box: Box) -> dict[str, Any] | None:
    """The login in the sandbox's file; None without one."""
    file = copy_file(box)
    return json.loads(file.read_bytes()).get(KEY) if file.exists() else None


def lock(box: Box) -> Path:
    """The lock beside it."""
    return copy_file(box).with_name(".oauth_refresh.lock")
