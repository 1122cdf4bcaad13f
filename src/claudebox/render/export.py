"""The plan → versioned JSON, with the exact commands."""

from __future__ import annotations

import json
from typing import Any

from claudebox.model import (
    Bind,
    Login,
    Mount,
    Package,
    Proc,
    SandboxPlan,
    SettingsFile,
    SettingsTree,
    Symlink,
    Tmpfs,
    is_late,
)
from claudebox.render import bwrap, network

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
        "login": None if plan.login is None else login(plan.login),
        "packages": [package(one) for one in plan.packages],
        "isolation": {
            "namespaces": isolation.namespaces,
            "seccomp": isolation.seccomp.hex(),
            "machine": isolation.machine,
            "nested_userns": isolation.nested_userns,
            "landlock_scopes": isolation.landlock_scopes,
        },
        "limits": {
            **plan.limits._asdict(),
            "cgroups": [{"parent": c.parent, "settings": dict(c.settings)} for c in plan.bounds.cgroups],
        },
        "stubs": [{"path": s.path, "reason": s.why.reason} for s in plan.stubs],
        "settings": [setting(one) for one in plan.settings],
        "notes": [n._asdict() for n in plan.notes],
        "commands": {"bwrap": whole(plan), "helpers": [list(h.argv) for h in plan.helpers], **nix(plan)},
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


def package(value: Package) -> dict[str, Any]:
    """One nix package of the schema: what of it is on PATH, null until it is realised."""
    return {
        "name": value.name,
        "paths": None if value.paths is None else list(value.paths),
        "reason": value.why.reason,
        "origin": str(value.why.origin),
    }


def login(value: Login) -> dict[str, Any]:
    """The login of the schema. The refresher's values that are the host's own are left out."""
    return {
        "store": value.store,
        "file": value.file,
        "reason": value.why.reason,
        "origin": str(value.why.origin),
        "refresher": value.refresher,
        "environment": [{"name": v.name, "value": None if v.secret else v.value} for v in value.environment],
    }


def nix(plan: SandboxPlan) -> dict[str, list[list[str]]]:
    """What realises the packages that are not, where there are any, as far as it is known before."""
    if plan.nix is None:
        return {}
    return {"nix": [[*plan.nix.start, one.name] for one in plan.packages if one.paths is None]}


def whole(plan: SandboxPlan) -> list[str]:
    """bwrap's command line with its options in place of the descriptor that carries them."""
    program, _, _, *rest = bwrap.command(plan)
    return [program, *bwrap.options(plan), *rest]
