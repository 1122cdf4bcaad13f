"""Where in the host's cgroup tree we may make a cgroup for a sandbox, found by looking: nothing is made here.

Version 2 (cgroups(7)): below a directory that passes the controllers on, and whose `cgroup.procs` we may write:
the kernel wants that of the common ancestor of where a process is and where it goes. systemd's user manager gives
its user such a tree; a login over ssh is outside of it. Version 1: one tree for each controller, root's as a rule.
"""

from __future__ import annotations

import os

from claudebox.model import Cgroup

MOUNTED = "/sys/fs/cgroup"
CONTROLLERS = ("memory", "pids")


def survey(mounted: str = MOUNTED, own: str = "/proc/self/cgroup") -> tuple[Cgroup, ...]:
    """One place for each controller that can be had. mounted: where the trees are; own: says where we are in them."""
    try:
        with open(own, encoding="utf-8", errors="surrogateescape") as file:
            lines = [line.rstrip("\n").split(":", 2) for line in file]
    except OSError:
        return ()
    found: dict[str, Cgroup] = {}
    for _, names, path in lines:
        wanted = [name for name in names.split(",") if name in CONTROLLERS]
        if not names:
            found |= _unified(mounted, path)
        elif wanted and (place := _writable(f"{mounted}/{names}", path)):
            found |= {name: Cgroup(directory=place, controller=name, version=1) for name in wanted}
    return tuple(found[name] for name in CONTROLLERS if name in found)


def _unified(mounted: str, path: str) -> dict[str, Cgroup]:
    found: dict[str, Cgroup] = {}
    while place := _writable(mounted, path):
        for name in _passed_on(place):
            found.setdefault(name, Cgroup(directory=place, controller=name, version=2))
        if path == "/" or len(found) == len(CONTROLLERS):
            break
        path = os.path.dirname(path)
    return found


def _writable(mounted: str, path: str) -> str:
    """The directory of a cgroup in which we may make one, and move a process of ours; "" if we may not."""
    if ".." in path.split("/"):  # outside of the cgroup namespace that we are in
        return ""
    place = mounted + path.rstrip("/")
    return place if os.access(place, os.W_OK | os.X_OK) and os.access(f"{place}/cgroup.procs", os.W_OK) else ""


def _passed_on(place: str) -> list[str]:
    try:
        with open(f"{place}/cgroup.subtree_control", encoding="ascii") as file:
            return [name for name in file.read().split() if name in CONTROLLERS]
    except OSError:
        return []
