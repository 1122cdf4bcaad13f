"""The plan → versioned JSON and the exact commands."""

from __future__ import annotations

import json
import shlex
from typing import Any

from claudebox.model import Bind, Mount, Proc, SandboxPlan, SettingsFile, SettingsTree, Symlink, Tmpfs, is_late
from claudebox.render import bwrap, network
from claudebox.text import printable

SCHEMA_VERSION = 1


def as_json(plan: SandboxPlan) -> str:
    """The plan as `--dry-run --json` prints it. Bytes that are not UTF-8 appear as surrogate escapes."""
    isolation = plan.isolation
    value = {
        "schema_version": SCHEMA_VERSION,
        "instance": plan.instance._asdict(),
        "command": plan.command,
        "directory": plan.directory,
        "mounts": [mount(m) for m in plan.mounts],
        "environment": [
            {
                "name": v.name,
                "value": None if v.secret else v.value,
                "secret": v.secret,
                "reason": v.why.reason,
                "origin": str(v.why.origin),
            }
            for v in plan.environment
        ],
        "network": network.values(plan.network),
        "packages": plan.packages,
        "isolation": {
            "namespaces": isolation.namespaces,
            "seccomp": isolation.seccomp.hex(),
            "machine": isolation.machine,
            "nested_userns": isolation.nested_userns,
            "landlock_scopes": isolation.landlock_scopes,
        },
        "limits": plan.limits._asdict(),
        "stubs": [{"path": s.path, "reason": s.why.reason} for s in plan.stubs],
        "settings": [setting(one) for one in plan.settings],
        "notes": [n._asdict() for n in plan.notes],
        "commands": {"bwrap": whole(plan), "helpers": [list(h.argv) for h in plan.helpers]},
    }
    return json.dumps(value, indent=2) + "\n"


def setting(one: SettingsFile | SettingsTree) -> dict[str, Any]:
    """What of the user's settings is copied: never its content."""
    return {
        "kind": "tree" if isinstance(one, SettingsTree) else "file",
        "source": one.source or None,
        "path": one.path,
        "keys": None if isinstance(one, SettingsTree) else list(one.keys) or None,
        "changed": not one.done if isinstance(one, SettingsTree) else one.text is not None,
        "reason": one.why.reason,
    }


def mount(value: Mount) -> dict[str, Any]:
    """One mount of the schema."""
    bind = value if isinstance(value, Bind) else None
    return {
        "kind": type(value).__name__.lower(),
        "source": bind.source if bind else value.to if isinstance(value, Symlink) else None,
        "target": value.target,
        "access": value.access if isinstance(value, Bind | Tmpfs) else "rw" if isinstance(value, Proc) else "ro",
        "late": is_late(value),
        "reason": value.why.reason,
        "origin": str(value.why.origin),
        "sensitive": (bind.sensitive or None) if bind else None,
    }


def whole(plan: SandboxPlan) -> list[str]:
    """bwrap's command line with its options in place of the descriptor that carries them."""
    program, _, _, *rest = bwrap.command(plan)
    return [program, *bwrap.options(plan), *rest]


def script(plan: SandboxPlan) -> str:
    """The exact command, one option a line, and the late mounts in order.

    Paths may hold anything: nothing of one reaches the terminal raw or leaves its quotes or its comment.
    """
    program, _, _, *rest = bwrap.command(plan)
    lines: list[str] = []
    for option in bwrap.options(plan):
        if option.startswith("--") or not lines:
            lines.append(option)
        else:
            lines[-1] += " " + quoted(option)
    text = " \\\n  ".join([quoted(program), *lines, " ".join(map(quoted, rest))])
    late = [m for m in plan.mounts if is_late(m)]
    comments = [f"#   {m.access} {printable(m.target)}" for m in late if isinstance(m, Bind | Tmpfs)]
    after = "\n# then, before the gate opens, through descriptors:\n" + "\n".join(comments) if comments else ""
    if copied := [one for one in plan.settings if not (isinstance(one, SettingsTree) and one.done)]:
        after += "\n# and into the instance's home, before that:\n"
        after += "".join(f"#   {printable(one.path)}\n" for one in copied)
    shown = f"\n# bwrap (its options go through a descriptor; <fd:…> are descriptors)\n{text}{after}\n"
    return shown + network.commands(plan)


def quoted(argument: str) -> str:
    """An argument for a shell: as shlex quotes it, or as $'...' of bytes where it has control characters."""
    if argument.isprintable():
        return shlex.quote(argument)
    shown = (
        chr(b) if 32 <= b < 127 and b not in b"\\'" else f"\\x{b:02x}"
        for b in argument.encode(errors="surrogateescape")
    )
    return "$'" + "".join(shown) + "'"
