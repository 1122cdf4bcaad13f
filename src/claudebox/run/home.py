"""The instance's home, which an agent wrote before: first-start answers, what is moved aside. Through descriptors."""

from __future__ import annotations

import os
import stat
import time

from claudebox import descriptors
from claudebox.errors import ClaudeboxError
from claudebox.model import Bind, SandboxPlan, Tmpfs
from claudebox.plan.filesystem import below
from claudebox.run.instance import repair_hint
from claudebox.run.points import holder as holder_of


def clear_way(plan: SandboxPlan, here: int, home: int) -> list[str]:
    """Move aside what an earlier session left where a mount point belongs; a sentence for each.

    Refusing instead would let an agent lock its user out with one link. In the project the launch stops:
    what lies there is the user's. here: the instance's directory; home: its `home`. Raises ClaudeboxError.
    """
    said = []
    for mount in plan.mounts:
        if not isinstance(mount, Bind | Tmpfs) or not mount.late or not below(mount.target, plan.home):
            continue
        holder = holder_of(plan, mount)
        if holder is None or holder.target != plan.home:
            continue
        if isinstance(mount, Bind) and (mount.inside or mount.submount):
            continue
        names = descriptors.parts(mount.target[len(plan.home) :])
        directory = isinstance(mount, Tmpfs) or os.path.isdir(mount.source)
        try:
            moved = clear(home, here, names, directory=directory)
        except OSError as error:
            place = f"{plan.instance.directory}/home/{'/'.join(names)}"
            hint = repair_hint(error, "an agent may have left it so")
            raise ClaudeboxError(f"cannot use {place}: {error.strerror}", hint) from None
        if moved:
            said.append(f"{plan.instance.directory}/home/{moved[0]} was no place for a mount; it is now {moved[1]}")
    return said


def clear(home: int, here: int, names: list[str], *, directory: bool) -> tuple[str, str] | None:
    """Walk names from home; the first that is no directory (or, at the end, not of the kind) is moved aside."""
    parent = os.open(".", descriptors.DIRECTORY, dir_fd=home)
    try:
        for index, name in enumerate(names):
            try:
                mode = os.stat(name, dir_fd=parent, follow_symlinks=False).st_mode
            except FileNotFoundError:
                return None
            last = index == len(names) - 1
            wanted = stat.S_ISDIR if directory or not last else stat.S_ISREG
            if not wanted(mode):
                return "/".join(names[: index + 1]), put_aside(parent, here, name)
            if last:
                return None
            inner = os.open(name, descriptors.DIRECTORY, dir_fd=parent)
            os.close(parent)
            parent = inner
    finally:
        os.close(parent)
    return None


def put_aside(parent: int, here: int, name: str) -> str:
    """Move name out of the home; where it is now, from the instance's directory. Raises OSError."""
    kept = f"aside/{name}.{time.time_ns()}"
    os.rename(name, kept, src_dir_fd=parent, dst_dir_fd=here)
    return kept


def write_files(plan: SandboxPlan, home: int) -> None:
    """Write the plan's files into the home where they are missing. Raises ClaudeboxError."""
    for file in plan.home_files:
        *directories, name = descriptors.parts(file.path)
        try:
            _write_missing(home, directories, name, file.content)
        except OSError as error:
            place = f"{plan.instance.directory}/home/{file.path}"
            hint = repair_hint(error, "look at what stands there")
            raise ClaudeboxError(f"cannot write {place}: {error.strerror}", hint) from None


def _write_missing(home: int, directories: list[str], name: str, content: bytes) -> None:
    parent = descriptors.make_directories(home, directories)
    try:
        descriptors.create_file(parent, name, content, 0o600)
    except FileExistsError:
        pass
    finally:
        os.close(parent)
