"""What of a project the host's git obeys already, as its configuration and hooks stand: read as text, nothing is run.

Links among the hooks, `include.path` and `core.hooksPath` that lead into the project: what lies there can be written
by an agent, and no mask lies on it, because git may track it.
"""

from __future__ import annotations

import os

from claudebox import descriptors
from claudebox.plan import gitconfig

LIMIT = 1 << 20
MOST, EACH = 100, 200  # files that include each other, and what each names: an agent may write some of them


def find(root: str, common: str, home: str) -> tuple[tuple[str, str], ...]:
    """(path in the project, what leads there), each once. root: the project; common: its git directory; canonical."""
    found: dict[str, str] = {}
    for path, why in (*_hooks(common), *_named(f"{common}/config", root, home, set())):
        for one in (os.path.normpath(path), os.path.realpath(path)):
            if one.startswith(root + "/") and not (one + "/").startswith(common + "/"):
                found.setdefault(one, why)
    return tuple(sorted(found.items()))


def _hooks(common: str) -> list[tuple[str, str]]:
    """Where links among the hooks lead."""
    try:
        with os.scandir(f"{common}/hooks") as entries:
            names = [entry.name for entry in entries if entry.is_symlink()]
        return [(os.path.join(common, "hooks", os.readlink(f"{common}/hooks/{n}")), f"the hook {n}") for n in names]
    except OSError:
        return []


def _named(config: str, root: str, home: str, read: set[str]) -> list[tuple[str, str]]:
    """What a configuration names, and what the files that it includes name. read: those that were read already."""
    real = os.path.realpath(config)
    if real in read or len(read) >= MOST:
        return []
    read.add(real)
    found = []
    named = [one for one in gitconfig.settings(_read(config)) if one[2] in ("path", "hookspath") and "\0" not in one[3]]
    for section, _, key, written in named[:EACH]:
        value = gitconfig.plain(written)
        if value.startswith("~/"):
            value = home + value[1:]
        if section == "core" and key == "hookspath":
            found.append((os.path.join(root, value), "core.hooksPath"))
        elif section in ("include", "includeif") and key == "path":
            path = os.path.join(os.path.dirname(config), value)
            found.append((path, "include.path"))
            found += _named(path, root, home, read)
    return found


def _read(path: str) -> bytes:
    directory, _, name = os.path.realpath(path).rpartition("/")
    try:
        parent = descriptors.pinned(directory or "/")
        try:
            text = descriptors.read_file(parent, name, LIMIT) or b""
        finally:
            os.close(parent)
    except OSError:
        return b""
    lower = text.lower()
    return text if b"include" in lower or b"hookspath" in lower else b""
