"""Which launch is judged, and what it needs: data. Pure."""

from __future__ import annotations

from claudebox.checks import Row

# A tier that a launch refuses in this release is judged as another. Take a line out when its tier works.
JUDGED_AS: dict[str, str] = {}

ALWAYS = (
    "home", "state", "locks", "space", "config", "kernel", "user namespaces", "bubblewrap", "env", "seccomp",
    "sandbox", "late mounts", "agent",
)  # fmt: skip
# Each is a list of alternatives: one of them will do.
NEEDS: dict[str, tuple[tuple[str, ...], ...]] = {
    "offline": (),
    "full": (),
    "internet-only": (("nftables",), ("/dev/net/tun",), ("slirp4netns", "pasta")),
    "allowlist": (("nftables",),),
}


def judged(tier: str) -> str:
    """The tier whose needs count for somebody whose default is tier."""
    return JUDGED_AS.get(tier, tier)


def rows(found: list[Row], tier: str) -> tuple[Row, ...]:
    """The rows with `needed` as the tier has it: of alternatives those that work, or all when none does."""
    wanted = {(name,) for name in ALWAYS} | set(NEEDS[tier])
    works = {row.name for row in found if row.finding.status in ("ok", "warning")}
    needed = set()
    for names in wanted:
        needed |= works.intersection(names) or set(names)
    return tuple(row._replace(needed=row.name in needed) for row in found)


def ready(found: tuple[Row, ...]) -> bool:
    """Whether the launch that was judged can start."""
    return all(row.finding.status in ("ok", "warning") for row in found if row.needed)
