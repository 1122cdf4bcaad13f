"""What is tried inside a sandbox, as a table: plan → probes, each with the one answer that it should get. Pure.

The probes are harmless: they open and write nothing, make what is gone at once, and call what the kernel refuses
for its arguments alone. `checks/inside.py` has the ways in which they are tried.
"""

from __future__ import annotations

import errno
from typing import Any, NamedTuple

from claudebox.model import Bind, Dev, Proc, SandboxPlan, Tmpfs
from claudebox.plan import broker, seccomp
from claudebox.plan.filesystem import below

ABSENT, DENIED, READ_ONLY, PERMISSION = "ENOENT", "EACCES", "EROFS", "EPERM"
ABSTRACT = ("/tmp/.X11-unix/X0", "/tmp/.ICE-unix/0")  # where a desktop's listen
DEVICES = ("/sys/kernel", "/dev/mem", "/dev/kmsg", "/dev/sda", "/dev/nvme0n1", "/dev/kvm", "/dev/fuse", "/dev/net/tun")
PAGES = (4096, 16384, 65536)  # the kernel counts in them
# Their arguments below are ones that no kernel takes: nothing happens where no filter refuses.
REFUSED = ("keyctl", "add_key", "perf_event_open", "move_pages", "bpf", "userfaultfd", "io_uring_setup")
FAR = (("github.com", 443), ("api.anthropic.com", 443))
WAY_PORTS = (53, 80, 443)
METADATA = "169.254.169.254"
# Whether a tier reaches (the internet, the host's own network).
REACHES = {"offline": (False, False), "internet-only": (True, False), "full": (True, True)}
NOTHING = "none"


class Probe(NamedTuple):
    """One thing that is tried. expected: the answers that are right, the first of which is shown."""

    name: str
    way: str
    arguments: tuple[Any, ...]
    expected: tuple[str, ...]


class Beside(NamedTuple):
    """What stands on the host while it is tried. uid: ours; secrets: (path, device, inode) of what is known to hold
    one and is there; variable: a name and a value of our environment; file: one of claudebox's own; abstract: a
    socket's name; port: of the loopback interface; pid: ours."""

    uid: int
    secrets: tuple[tuple[str, int, int], ...]
    variable: tuple[str, str]
    file: str
    abstract: str
    port: int
    pid: int


class Outside(NamedTuple):
    """What --online tries. gateways: of the host's default routes; here: (address, port) where we listen."""

    gateways: tuple[str, ...]
    here: tuple[tuple[str, int], ...]


def probes(plan: SandboxPlan, beside: Beside, outside: Outside | None) -> tuple[Probe, ...]:
    """All of them for this plan, in the order in which they are tried: those of a nested namespace come last."""
    found = [
        *_files(plan, beside),
        *_repository(plan),
        *_process(plan, beside),
        *_kernel(plan),
        *_sockets(plan, beside),
    ]
    if outside:
        found += _outside(plan.network.tier, outside)
    return (*found, *_nested(plan))


def _files(plan: SandboxPlan, beside: Beside) -> list[Probe]:
    hidden = [one for one in beside.secrets if not _granted(plan, one[0])]
    return [
        Probe("mounts", "mounts", (_mounts(plan),), ("as planned",)),
        Probe("known secrets of the host", "identical", _named(hidden), (NOTHING,)),
        Probe("claudebox's own directory", "read", (beside.file,), (ABSENT,)),
        Probe("the same through the first process", "read", (f"/proc/1/root{beside.file}",), (ABSENT, DENIED)),
        Probe("password hashes", "read", ("/etc/shadow",), (ABSENT, DENIED)),
        Probe("the system's programs", "create", ("/usr",), (READ_ONLY,)),
        Probe("the system's configuration", "create", ("/etc",), (READ_ONLY,)),
        Probe("the root directory", "create", ("/",), (READ_ONLY,)),
        Probe("the project", "create", (plan.project,), ("writable",)),
        Probe("the home of this project", "create", (plan.home,), ("writable",)),
        Probe("size of /tmp", "size", ("/tmp",), tuple(str(-(-plan.limits.tmp // page) * page) for page in PAGES)),
        Probe("devices of the host", "present", tuple(path for path in DEVICES if not _shown(plan, path)), (NOTHING,)),
    ]


def _mounts(plan: SandboxPlan) -> dict[str, str]:
    """Mount point → access, the last mount of each place."""
    found: dict[str, str] = {}
    for mount in plan.mounts:
        if isinstance(mount, Bind | Tmpfs):
            found[mount.target] = mount.access
        elif isinstance(mount, Proc | Dev):
            found[mount.target] = "rw" if isinstance(mount, Proc) else "ro"
    return found


def _shown(plan: SandboxPlan, path: str) -> bool:
    return any(below(path, mount.target) for mount in plan.mounts if isinstance(mount, Bind))


def _granted(plan: SandboxPlan, path: str) -> bool:
    binds = [mount.source for mount in plan.mounts if isinstance(mount, Bind) and not mount.inside]
    return any(below(path, source) or below(source, path) for source in binds)


def _named(places: list[tuple[str, int, int]]) -> tuple[tuple[str, str, int, int], ...]:
    return tuple((path, path, device, inode) for path, device, inode in places)


def masks(plan: SandboxPlan) -> list[Bind]:
    """What is mounted over itself to change what may be done with it."""
    return [mount for mount in plan.mounts if isinstance(mount, Bind) and mount.inside and not mount.covers]


def _repository(plan: SandboxPlan) -> list[Probe]:
    """What the host's git obeys: each mask of the repository, and that it cannot be moved away."""
    if not plan.repository:
        return []
    found = [
        Probe(f"git: {name}", "create" if name == "hooks" else "write", (f"{plan.repository}/{name}",), (READ_ONLY,))
        for name in ("hooks", "config", "config.worktree", "commondir")
        if any(mount.target == f"{plan.repository}/{name}" and mount.access == "ro" for mount in masks(plan))
    ]
    if plan.repository != plan.project:
        found.append(Probe("git: moving it away", "move", (plan.repository,), ("EBUSY", READ_ONLY)))
    return found


def _process(plan: SandboxPlan, beside: Beside) -> list[Probe]:
    names = [variable.name for variable in plan.environment]
    name, value = beside.variable
    found = [
        Probe("variables", "environment", (names,), ("as planned",)),
        Probe("descriptors", "descriptors", (), ("0 1 2",)),
        Probe("other processes", "processes", (), (NOTHING,)),
        Probe("claudebox's process", "signal", (beside.pid,), ("ESRCH",)),
        Probe("capabilities", "status", ("CapEff",), ("0" * 16,)),
        Probe("capabilities to gain", "status", ("CapBnd",), ("0" * 16,)),
        Probe("no new privileges", "status", ("NoNewPrivs",), ("1",)),
        Probe("core files", "limit", (4,), ("1 1",)),
        Probe("processes to start", "limit", (6,), (f"{plan.bounds.processes} {plan.bounds.processes}",)),
    ]
    if plan.login:
        found.append(
            Probe("a refresh token", "refresh", (f"{plan.home}/{plan.login.file}", broker.DUMMY), (NOTHING, ABSENT))
        )
    if name not in names:  # it can be granted by name
        words = ("/proc/1/environ", value)
        found.append(Probe("variables of the first process", "search", words, ("not there", DENIED)))
    return found


def _kernel(plan: SandboxPlan) -> list[Probe]:
    column = seccomp.MACHINES[plan.isolation.machine][1]
    found = [Probe("the filter of system calls", "status", ("Seccomp",), ("2",))]
    for name, verdict, numbers, _, _ in seccomp.CALLS:
        if name in REFUSED:
            words = (numbers[column], -1, -1, -1, -1, -1)
            found.append(Probe(f"system call {name}", "call", words, (errno.errorcode[verdict],)))
    for name, request, _, _ in seccomp.REQUESTS:
        found.append(Probe(f"terminal: {name}", "terminal", (request,), (PERMISSION,)))
    for name, family, kind in (("AF_VSOCK", 40, 1), ("AF_PACKET", 17, 3), ("AF_ALG", 38, 5)):
        found.append(Probe(f"sockets of {name}", "opened", (family, kind, 0), ("EAFNOSUPPORT",)))
    return [
        *found,
        Probe("netlink to the firewall", "opened", (16, 3, 12), ("EPROTONOSUPPORT",)),
        Probe("handler of crashes", "write", ("/proc/sys/kernel/core_pattern",), (READ_ONLY, DENIED, ABSENT)),
        Probe("the kernel's sysrq", "write", ("/proc/sysrq-trigger",), (READ_ONLY, DENIED, ABSENT)),
    ]


def _sockets(plan: SandboxPlan, beside: Beside) -> list[Probe]:
    tier = plan.network.tier
    shared = "net" not in plan.isolation.namespaces
    masked = sorted({mount.target for mount in plan.mounts if isinstance(mount, Bind) and mount.covers})
    own = f"@{beside.abstract}"
    unscoped = shared and not plan.isolation.landlock_scopes
    found = [
        Probe("an abstract socket of the host", "unix", (own,), (own if unscoped else NOTHING,)),
        Probe("masked sockets of the host", "unix", tuple(masked), (NOTHING,)),
    ]
    if not unscoped:
        found.append(Probe("sockets of the desktop", "unix", tuple(f"@{name}" for name in ABSTRACT), (NOTHING,)))
    here = f"127.0.0.1:{beside.port}"
    open_to = shared or beside.port in plan.network.host_ports
    found.append(Probe("the host's loopback", "tcp", (("127.0.0.1", beside.port),), (here if open_to else NOTHING,)))
    if tier == "offline":
        found.append(Probe("interfaces", "interfaces", (), ("lo",)))
    elif plan.network.interface:
        names = " ".join(sorted(("lo", plan.network.interface.device)))
        found.append(Probe("interfaces", "interfaces", (), (names,)))
    return found


def _outside(tier: str, outside: Outside) -> list[Probe]:
    """What leaves the machine where nothing stops it: only when it was typed."""
    far, near = REACHES[tier]
    found = []
    for name, port in FAR:
        found.append(Probe(f"online: {name}", "tcp", ((name, port),), (f"{name}:{port}" if far else NOTHING,)))
    for address, port in outside.here:
        text = f"{address}:{port}" if near else NOTHING
        found.append(Probe(f"online: this machine as {address}", "tcp", ((address, port),), (text,)))
    if not near:  # whether anything listens there is not for us to say
        for address in outside.gateways:
            places = tuple((address, port) for port in WAY_PORTS)
            found.append(Probe(f"online: the gateway {address}", "tcp", places, (NOTHING,)))
        found.append(Probe("online: a cloud's metadata", "tcp", ((METADATA, 80),), (NOTHING,)))
    return found


def _nested(plan: SandboxPlan) -> list[Probe]:
    """What all capabilities in a user namespace of the sandbox's own gain: nothing."""
    if not plan.isolation.nested_userns:
        return [Probe("a nested user namespace", "nest", (), ("ENOSPC", PERMISSION))]
    mask = next((mount.target for mount in masks(plan) if mount.access == "ro"), "/usr")
    return [
        Probe("a nested user namespace", "nest", (), ("allowed",)),
        Probe("nested: the system's programs made writable", "remount", ("/usr",), (PERMISSION,)),
        Probe("nested: a mask made writable", "remount", (mask,), (PERMISSION,)),
        Probe("nested: a mask taken away", "unmount", (mask,), (PERMISSION, "EINVAL")),
        Probe("nested: the network's settings", "interface", (), (PERMISSION,)),
        Probe("nested: the system's programs", "create", ("/usr",), (READ_ONLY,)),
        Probe("nested: password hashes", "read", ("/etc/shadow",), (ABSENT, DENIED)),
    ]
