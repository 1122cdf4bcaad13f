"""Where the late mounts lie, and which of their mount points are missing on the host's side."""

from __future__ import annotations

import os

from claudebox import descriptors
from claudebox.model import Bind, Mount, SandboxPlan, Stub, Tmpfs, Why, is_late


def missing(plan: SandboxPlan) -> list[Stub]:
    """The mount points that are missing on the host's side, in the home or the project, parents first."""
    needed: dict[str, Stub] = {}
    for mount in plan.mounts:
        if not is_late(mount) or (isinstance(mount, Bind) and (mount.inside or mount.submount)):
            continue
        on = holder(plan, mount)
        if not isinstance(on, Bind):
            continue  # in a tmpfs of the sandbox: made there
        names = descriptors.parts(mount.target[len(on.target.rstrip("/")) :])
        here = on.source
        for index, name in enumerate(names):
            here = f"{here}/{name}"
            if here in needed or os.path.lexists(here):
                continue
            last = index == len(names) - 1
            file = last and isinstance(mount, Bind) and not os.path.isdir(mount.source)
            needed[here] = Stub(path=here, content=b"" if file else None, why=Why("a mount point"))
    return list(needed.values())


def holder(plan: SandboxPlan, mount: Mount) -> Bind | Tmpfs | None:
    """The mount on whose file system the mount point of another one lies."""
    found: Bind | Tmpfs | None = None
    for other in plan.mounts:
        if other is mount or not isinstance(other, Bind | Tmpfs):
            continue
        around = mount.target.startswith(other.target.rstrip("/") + "/")
        if around and (found is None or len(other.target) >= len(found.target)):
            found = other
    return found
