"""How many processes and how much memory, and what of the kernel holds it.

RLIMIT_NPROC counts per user namespace when it is set inside one, and can be neither raised there nor escaped by
nesting; but the kernel does not apply it to uid 0. RLIMIT_AS is no bound: an agent maps a hundred times what it uses.
"""

from __future__ import annotations

from claudebox.model import Bounds, CgroupLimit, Host, Note, Profile

# What takes the limit, by version of cgroups and controller; memory is bounded with its swap.
FILES = {
    (2, "memory"): ("memory.max", "memory.swap.max"),
    (2, "pids"): ("pids.max",),
    (1, "memory"): ("memory.limit_in_bytes", "memory.memsw.limit_in_bytes"),
    (1, "pids"): ("pids.max",),
}
OPTIONAL = ("memory.swap.max", "memory.memsw.limit_in_bytes")  # missing where the kernel does not count swap


def build(profile: Profile, host: Host) -> Bounds:
    """What is bounded on this machine: the tasks always, unless uid 0 has no cgroup; memory where a cgroup can."""
    limits = profile.limits
    amounts = {"memory": memory(limits.memory, host.memory), "pids": limits.processes}
    made = []
    for place in host.cgroups:
        amount = amounts[place.controller]
        settings = tuple(
            (name, 0 if name == "memory.swap.max" else amount) for name in FILES[place.version, place.controller]
        )
        made.append(CgroupLimit(parent=place.directory, controller=place.controller, settings=settings))
    # As uid 0 too: a process that leaves it, where a machine lets it, is bounded again.
    return Bounds(processes=limits.processes, cgroups=tuple(made))


def notes(bounds: Bounds, profile: Profile, host: Host) -> list[Note]:
    """Which of the limits holds, and by what."""
    held = {one.controller for one in bounds.cgroups}
    found = []
    if host.user.uid == 0 and "pids" not in held:
        text = "the number of processes is not bounded: uid 0 has no RLIMIT_NPROC, and no cgroup can be had here"
        found.append(Note("danger", text))
    if "memory" in held:
        found.append(Note("info", f"memory is bounded to {profile.limits.memory} by a cgroup"))
    else:
        text = "memory is not bounded: no cgroup can be had here (a desktop of systemd's gives its programs one)"
        found.append(Note("info", text))
    return found


def memory(written: str, machine: int) -> int:
    """Bytes of a size, or of a percentage of the machine's."""
    if written.endswith("%"):
        return machine * int(written[:-1]) // 100
    from claudebox.typed import size

    return size(written)
