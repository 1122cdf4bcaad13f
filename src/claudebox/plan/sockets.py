"""Sockets of the host below what is granted: something empty is mounted over each, unless it was granted by name."""

from __future__ import annotations

from claudebox.model import Bind, Host, Mount, Note, Tmpfs, Why
from claudebox.plan.filesystem import below, strictly_below

NOTHING = "/dev/null"  # the sandbox's own; what is mounted over a socket is no device any more


def masks(mounts: list[Mount], host: Host) -> list[Mount]:
    """A late mount for every path of the sandbox that leads to a socket of the host."""
    made: list[Mount] = []
    for path in host.listening:
        why = Why(f"masked: the host listens on {path}")
        for target in targets(path, mounts):
            made.append(Bind(source=NOTHING, target=target, access="ro", late=True, inside=True, covers=path, why=why))
    return made


def targets(path: str, mounts: list[Mount]) -> list[str]:
    """Where a path of the host is in the sandbox, unless the socket itself is what a mount shows."""
    places = [m for m in mounts if isinstance(m, Tmpfs) or (isinstance(m, Bind) and not m.inside)]
    if any(isinstance(m, Bind) and m.source == path for m in places):
        return []
    found = []
    for mount in places:
        if not isinstance(mount, Bind) or not strictly_below(path, mount.source):
            continue
        target = mount.target.rstrip("/") + path[len(mount.source.rstrip("/")) :]
        around = [m for m in places if below(target, m.target)]
        if max(around, key=lambda m: len(m.target)) is mount:
            found.append(target)
    return list(dict.fromkeys(found))


def notes(mounts: list[Mount]) -> list[Note]:
    """Each of them, in red: one that the host makes later is not masked."""
    paths = dict.fromkeys(m.covers for m in mounts if isinstance(m, Bind) and m.covers)
    return [
        Note("danger", f"the host listens on {path}: it is masked, and none that it makes later is") for path in paths
    ]
