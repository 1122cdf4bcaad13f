"""What a sandbox sees of itself, beside what its plan says: mount points with their access."""

from __future__ import annotations

import os
import re
from typing import Any

# What bwrap makes on its own: device files, and what of /proc uid 0 could write.
BWRAPS = re.compile(r"/dev/(null|zero|full|random|urandom|tty|pts|console)|/proc/(sys|sysrq-trigger|irq|bus)")
# The shell at the gate and the probe's own.
OWN = {"PWD", "_", "SHLVL", "OLDPWD"}


def unescaped(field: str) -> str:
    """A path of mountinfo: bytes as octal numbers."""
    raw = re.sub(rb"\\([0-7]{3})", lambda found: bytes([int(found[1], 8)]), os.fsencode(field))
    return os.fsdecode(raw)


def mounts_inside(mountinfo: str) -> dict[str, tuple[str, str]]:
    """Mount point → access and file system type, the last mount of each place."""
    found = {}
    for line in mountinfo.splitlines():
        before, after = line.split(" - ")
        fields = before.split(" ")
        access = "ro" if "ro" in fields[5].split(",") else "rw"
        found[unescaped(fields[4])] = (access, after.split(" ")[0])
    return found


def planned(plan: dict[str, Any]) -> dict[str, tuple[str, str]]:
    """The same of the plan; of a bind only the access is known."""
    kinds = {"bind": "", "file": "tmpfs", "tmpfs": "tmpfs", "proc": "proc", "dev": "tmpfs"}
    return {m["target"]: (m["access"], kinds[m["kind"]]) for m in plan["mounts"] if m["kind"] in kinds}
