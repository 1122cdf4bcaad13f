"""Opening what will be mounted, once, and judging the links that lead to it."""

from __future__ import annotations

import os
import stat

from claudebox import descriptors
from claudebox.errors import ClaudeboxError
from claudebox.model import Pin

HOPS = 40  # as the kernel


def pin(path: str) -> Pin:
    """Open a canonical path once. Raises ClaudeboxError when a component of it is (now) a link."""
    try:
        fd = descriptors.pinned(path)
    except OSError as error:
        raise ClaudeboxError(
            f"cannot open {path}: {error.strerror}", "it changed while we looked, or is a link"
        ) from None
    mode = os.fstat(fd).st_mode
    return Pin(path=path, fd=fd, directory=stat.S_ISDIR(mode), socket=stat.S_ISSOCK(mode))


def check_links(path: str, untrusted: tuple[str, ...]) -> None:
    """Refuse a path with a symbolic link, also behind other links, that lies where a sandbox could have put it.

    untrusted: canonical directories. Raises ClaudeboxError.
    """
    here, names, hops = "/", descriptors.parts(path)[::-1], 0
    while names:
        name = names.pop()
        if name == "..":  # here holds no link any more
            here = os.path.dirname(here)
            continue
        there = os.path.join(here, name)
        try:
            target = os.readlink(there)
        except OSError:  # no link, or not there at all
            here = there
            continue
        hops += 1
        if any(there.startswith(root.rstrip("/") + "/") for root in untrusted):
            raise ClaudeboxError(f"{there} is a link that a sandbox could have planted", "name the real path instead")
        if hops > HOPS:
            raise ClaudeboxError(f"{path} leads through more than {HOPS} links", "name the real path instead")
        here = "/" if target.startswith("/") else here
        names += descriptors.parts(target)[::-1]
