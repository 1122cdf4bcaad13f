"""The effective settings → rows for a person: each value, and where it comes from."""

from __future__ import annotations

from claudebox.model import MountRequest, Profile, Setting

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

Row = tuple[str, str, str]


def rows(profile: Profile, limits: tuple[tuple[str, Setting[Any]], ...] = (), *, defaults: bool = False) -> list[Row]:
    """(what, value, origin) of the first ones always, of the others where a layer gave one; defaults: of those that
    are built in as well, and the values of variables. limits: name → setting, as the profile holds the values alone."""
    found = [("profile", one.value, str(one.origin)) for one in profile.profiles]
    found += [row(name, getattr(profile, field)) for name, field in (("network", "tier"), ("agent", "agent"))]
    found.append(row("unattended", profile.unattended))
    single = [(name, getattr(profile, name)) for name in ("backend", "nix_daemon", "nested_userns", "git_config")]
    found += [row(name, one) for name, one in (*single, *limits) if defaults or one.origin.where]
    found += [row("package", one) for one in profile.packages]
    found += [("mount", mount(one), str(one.origin)) for one in profile.mounts]
    found += [row("env", one) for one in profile.env_pass]
    for one in profile.env_set:
        name, value = one.value
        found.append(("env", f"{name}={value if defaults else '…'}", str(one.origin)))
    found += [("allow_lan", one.value.written, str(one.origin)) for one in profile.allow_lan]
    found += [("allow", one.value.written, str(one.origin)) for one in profile.allow]
    found += [("host_ports", str(one.value), str(one.origin)) for one in profile.host_ports]
    found += [("publish", f"{one.value.host}:{one.value.inside}", str(one.origin)) for one in profile.publish]
    return found


def mount(one: MountRequest) -> str:
    """A mount as a person reads it."""
    words = [one.access, *(["socket"] if one.kind == "socket" else []), *(["optional"] if one.optional else [])]
    return f"{one.source} → {one.target} ({', '.join(words)})"


def row(name: str, setting: Setting[Any]) -> Row:
    """One value as a person reads it."""
    value = setting.value
    shown = (
        ("yes" if value else "no") if name == "unattended" else str(value).lower() if value in (True, False) else value
    )
    return name, str(shown), str(setting.origin)
