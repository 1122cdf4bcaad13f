"""Namespaces, the seccomp program, and what this machine cannot give."""

from __future__ import annotations

from claudebox.model import Host, Isolation, Note, Profile, Tier
from claudebox.plan.seccomp import seccomp_program

SCOPES_ABI = 6  # Landlock scopes abstract unix sockets and signals from there on
NAMESPACES = ("user", "pid", "ipc", "uts", "cgroup")

# bubblewrap below this creates and resolves mount points through links that an agent planted
# (CVE-2026-87766): nothing is mounted by name in a tree that an agent can write, so it does not reach us.
FIXED_BWRAP = (0, 12)


def build(profile: Profile, host: Host, tier: Tier) -> Isolation:
    """The isolation of this launch. Raises ClaudeboxError for a machine without a seccomp table."""
    return Isolation(
        namespaces=NAMESPACES if tier == "full" else (*NAMESPACES, "net"),
        seccomp=seccomp_program(host.kernel.machine),
        machine=host.kernel.machine,
        nested_userns=profile.nested_userns.value,
        landlock_scopes=tier == "full" and host.kernel.landlock_abi >= SCOPES_ABI,
    )


def notes(profile: Profile, host: Host, tier: Tier) -> list[Note]:
    """Every weakening of the isolation, in plain words."""
    found = []
    if tier == "full" and host.kernel.landlock_abi < SCOPES_ABI:
        text = "this kernel has no Landlock scopes: abstract sockets of the host (X11, D-Bus) can be reached"
        found.append(Note("weakening", text))
    if host.user.uid == 0:
        found.append(Note("info", "as uid 0 /proc/sys is read-only, so a sandbox inside cannot mount a /proc"))
    if host.tools.bwrap_version < FIXED_BWRAP:
        version = ".".join(map(str, host.tools.bwrap_version))
        text = f"bubblewrap {version} follows planted links (CVE-2026-87766); mounts that it could reach are made late"
        found.append(Note("info", text))
    if not profile.nested_userns.value:
        found.append(Note("info", "no user namespaces inside: the sandboxes of agents and browsers fail there"))
    return found
