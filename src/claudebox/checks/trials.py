"""What the kernel lets us do, tried in forks and in one sandbox of our own, started by a launch's own code."""

from __future__ import annotations

import ctypes
import errno
import os
import struct
from collections.abc import Callable

from claudebox import descriptors, process
from claudebox.checks import Sandbox, Userns
from claudebox.errors import ClaudeboxError
from claudebox.model import (
    Bind,
    Bounds,
    Directory,
    Instance,
    Isolation,
    Limits,
    NetworkPlan,
    SandboxPlan,
    Tmpfs,
    Tools,
    Why,
)
from claudebox.plan import filesystem, isolation, seccomp
from claudebox.run import guard, mounts
from claudebox.run.landlock import restrict_scopes
from claudebox.run.namespaces import (
    CLONE_NEWNET,
    CLONE_NEWNS,
    CLONE_NEWUSER,
    LIBC,
    checked,
    in_fork,
    in_network_namespace,
)
from claudebox.run.processes import Started, start_bwrap, wait_ready

MS_PRIVATE_ALL = 0x44000  # MS_REC | MS_PRIVATE, mount(2)
PR_SET_NO_NEW_PRIVS, PR_SET_SECCOMP, MODE_FILTER = 38, 22, 2
TUNSETIFF, TAP_NO_PI = 0x400454CA, 0x1002  # linux/if_tun.h
OWN_GROUP = 0
# Every kind of set, expression and verdict that the rules of a launch are made of.
RULES = """
table inet claudebox_doctor {
  set four { type ipv4_addr; flags interval; elements = { 10.0.0.0/8 }; }
  set six { type ipv6_addr; flags interval; elements = { fc00::/7 }; }
  chain refuse {
    meta l4proto 6 reject with tcp reset
    reject with icmpx type admin-prohibited
  }
  chain output {
    type filter hook output priority 0; policy drop;
    oifname "lo" accept
    exthdr rt exists goto refuse
    ip option lsrr exists goto refuse
    meta l4proto { 6, 17 } th dport 53 accept
    ip daddr @four goto refuse
    ip6 daddr @six goto refuse
    counter accept
  }
  chain input {
    type filter hook input priority 0; policy drop;
    tcp flags & (fin | syn | rst | ack) == syn drop
    icmp type { destination-unreachable } accept
    ct state established,related accept
    icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert } accept
    counter drop
  }
  chain before_input {
    type filter hook prerouting priority -300; policy accept;
    meta l4proto 6 notrack
  }
}
"""


def userns() -> Userns:
    """Make a user namespace with mounts and a network of its own, as bwrap does, and gather why it might not be."""
    return Userns(
        error=in_fork(OWN_GROUP, _make_userns),
        clone=read("/proc/sys/kernel/unprivileged_userns_clone"),
        maximum=read("/proc/sys/user/max_user_namespaces"),
        apparmor=read("/proc/sys/kernel/apparmor_restrict_unprivileged_userns"),
        container=container(),
        filtered="\nSeccomp:\t2" in read("/proc/self/status"),
    )


def _make_userns() -> None:
    uid, gid = os.getuid(), os.getgid()
    _named("unshare", lambda: checked(LIBC.unshare(CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWNET), ""))
    for name, text in (("uid_map", f"{uid} {uid} 1"), ("setgroups", "deny"), ("gid_map", f"{gid} {gid} 1")):
        _named(name, lambda name=name, text=text: _write(f"/proc/self/{name}", text))  # type: ignore[misc]
    _named("mount", lambda: checked(LIBC.mount(None, b"/", None, ctypes.c_ulong(MS_PRIVATE_ALL), None), ""))


def _named(step: str, work: Callable[[], object]) -> None:
    """Raises OSError that says STEP: ERRNO."""
    try:
        work()
    except OSError as error:
        raise OSError(error.errno, errno.errorcode.get(error.errno or 0, str(error)), step) from None


def _write(path: str, text: str) -> None:
    file = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    os.write(file, text.encode())
    os.close(file)


def container() -> str:
    """What kind of container we are in, as it says itself; "" for none."""
    for path, name in (("/run/.containerenv", "podman"), ("/.dockerenv", "docker")):
        if os.path.exists(path):
            return name
    return read("/run/systemd/container")


def read(path: str) -> str:
    """A small file of the kernel's, stripped; "" where it is not there."""
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read(1 << 16).strip()
    except OSError:
        return ""


def filter_loads(machine: str) -> str:
    """What goes wrong when the launch's filter is loaded; "" when it loads and refuses what it should."""
    return in_fork(OWN_GROUP, lambda: _load_filter(machine))


def _load_filter(machine: str) -> None:
    program = ctypes.create_string_buffer(seccomp.seccomp_program(machine))
    # struct sock_fprog: unsigned short len; struct sock_filter *filter
    header = ctypes.create_string_buffer(struct.pack("@HP", (len(program) - 1) // 8, ctypes.addressof(program)))
    checked(LIBC.prctl(PR_SET_NO_NEW_PRIVS, *map(ctypes.c_ulong, (1, 0, 0, 0))), "no_new_privs")
    checked(LIBC.prctl(PR_SET_SECCOMP, ctypes.c_ulong(MODE_FILTER), header, 0, 0), "loading the filter")
    column = seccomp.MACHINES[machine][1]
    keyctl = next(numbers[column] for name, _, numbers, _, _ in seccomp.CALLS if name == "keyctl")
    if LIBC.syscall(ctypes.c_long(keyctl or -1), 0, 0, 0, 0, 0) >= 0 or ctypes.get_errno() != errno.EPERM:
        raise OSError(0, "the filter is loaded and refuses nothing")


def scopes() -> str:
    """What goes wrong with Landlock's scopes; "" when they can be had."""
    return in_fork(OWN_GROUP, restrict_scopes)


# --- one sandbox --------------------------------------------------------------------------------


def sandbox(tools: Tools, machine: str, nft: str, deadline: float) -> Sandbox:
    """Start a sandbox of the system alone, by a launch's own code, and try in it what a launch does to one.

    deadline: as time.monotonic() counts; a start that takes longer is ended.
    """
    try:
        plan = specimen(tools, machine)
    except ClaudeboxError as error:
        return Sandbox(start=error.message)
    words = descriptors.memory_file("words", b"")
    watch = guard.start_guard(tools.sh)
    outer = 0
    try:
        started = start_bwrap(plan, {}, watch, errors=words)
        outer = started.outer
        return _in_sandbox(plan, watch, started, nft, deadline)
    except ClaudeboxError as error:
        said = os.pread(words, 4096, 0).decode(errors="replace").strip()
        return Sandbox(start=said.replace("\n", "; ") or error.message)
    finally:
        guard.leave(watch)
        os.close(words)
        _reap(outer)


def _in_sandbox(plan: SandboxPlan, watch: guard.Guard, started: Started, nft: str, deadline: float) -> Sandbox:
    if not _readable(started.ready, deadline):
        raise ClaudeboxError("bubblewrap did not say in time that the sandbox is ready")
    init = wait_ready(started, watch).init

    late = said(lambda: mounts.enter(mounts.waiting(plan, watch.pid), init))
    differs = None if late else said(lambda: mounts.verify(plan, init, mounts.roots_of(plan, {})))
    rules = in_network_namespace(init, watch.pid, lambda: load_rules(nft)) if nft else None
    tun = in_network_namespace(init, watch.pid, make_tap)
    return Sandbox(start="", late=late, differs=differs, rules=rules, tun=tun)


def said(work: Callable[[], object]) -> str:
    """What went wrong with work; "" when nothing did."""
    try:
        work()
    except ClaudeboxError as error:
        return error.message
    return ""


def _readable(descriptor: int, deadline: float) -> bool:
    import select
    import time

    return bool(select.select([descriptor], [], [], max(0.0, deadline - time.monotonic()))[0])


def _reap(pid: int) -> None:
    try:
        if pid:
            os.waitpid(pid, 0)
    except ChildProcessError:
        pass  # whoever waited for it to be ready did it


def specimen(tools: Tools, machine: str) -> SandboxPlan:
    """The plan of a sandbox with nothing in it but the system, and with both kinds of late mounts."""
    from claudebox.host import submounts, survey_system

    why = Why("tried by doctor")
    tried, system = "/run/tried", survey_system()
    made = filesystem.ordered(
        [
            *filesystem.base_system(system),
            *filesystem.private(1 << 20, console=False),
            Directory(target=tried, why=why),
            *filesystem.own_proc_sys(os.getuid()),
            Tmpfs(target=tried, access="ro", late=True, why=why),
            Bind(source="/var/tmp", target=f"{tried}/again", access="ro", late=True, inside=True, why=why),
        ],
        submounts([], system),
    )
    return SandboxPlan(
        instance=Instance(id="", root="/", directory="/"),
        command=("true",),
        directory="/",
        project="/",
        home="/",
        mounts=made,
        stages=filesystem.stages(made),
        stubs=(),
        home_files=(),
        environment=(),
        isolation=Isolation(
            namespaces=(*isolation.NAMESPACES, "net"),
            seccomp=seccomp.seccomp_program(machine),
            machine=machine,
            nested_userns=True,
            landlock_scopes=False,
        ),
        limits=Limits(processes=0, memory="", tmp=1 << 20),
        bounds=Bounds(processes=0),
        network=NetworkPlan(tier="offline", backend="none", resolver="none", why=why),
        helpers=(),
        packages=(),
        agent="",
        unattended=False,
        tools=tools,
        notes=(),
    )


def load_rules(nft: str) -> None:
    """Load rules of every kind, in the network namespace that we are in. Raises ClaudeboxError."""
    done = process.capture([nft, RULES], environment={"PATH": process.SYSTEM_PATH})
    if done.status != 0:
        lines = (done.errors or done.output).decode(errors="replace").strip().splitlines()
        raise ClaudeboxError(lines[0] if lines else f"nft ended with status {done.status}")


def make_tap() -> None:
    """Make a tap device, as slirp4netns and pasta do, in the network namespace that we are in."""
    import fcntl

    device = os.open("/dev/net/tun", os.O_RDWR | os.O_CLOEXEC)
    try:
        fcntl.ioctl(device, TUNSETIFF, struct.pack("16sH22x", b"tap0", TAP_NO_PI))
    finally:
        os.close(device)
