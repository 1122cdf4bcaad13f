"""Machines that lack something, made for real: a mount namespace of our own, then an ordinary user in it again.

done = box.run([*WORLD, over(made, "/usr/bin/env") + USER + "claudebox doctor"])
"""

from __future__ import annotations

from pathlib import Path

# A shell that may mount, and the words with which it becomes an ordinary user of a nested user namespace.
WORLD = ("unshare", "--user", "--map-root-user", "--mount", "sh", "-c")
USER = "exec unshare --user --map-user=1000 --map-group=1000 "


def over(what: Path | str, place: Path | str) -> str:
    """The words that put something over a place of the system."""
    return f"mount --bind {what} {place} && "
