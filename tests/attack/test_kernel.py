"""The kernel's own ways out: mounts, devices, settings, handles, keys. Each as the agent, and as root of a nested user
namespace, which it may make. The control shows that the attempt is a real one: it works, or fails otherwise."""

from __future__ import annotations

import errno
import json
import os

import pytest

from box import Box, Result
from capability import needs

pytestmark = [needs("userns", "bwrap", "git"), pytest.mark.uid0]
AS_AGENT: tuple[str, ...] = ()
# With all capabilities in a namespace of its own; the kernel maps uid 0 into none without CAP_SETFCAP.
MAPPED = () if os.getuid() == 0 else ("--map-user=1000", "--map-group=1000")
NESTED = ("unshare", "--user", *MAPPED, "--keep-caps", "--mount", "--pid", "--fork")
WHO = pytest.mark.parametrize("who", [AS_AGENT, NESTED], ids=["agent", "nested"])

PRELUDE = """
import ctypes, errno, json, os, sys
libc = ctypes.CDLL(None, use_errno=True)
def call(number, *arguments):
    ctypes.set_errno(0)
    result = libc.syscall(ctypes.c_long(number), *(ctypes.c_long(a) if isinstance(a, int) else a for a in arguments))
    return "done" if result >= 0 else errno.errorcode[ctypes.get_errno()]
def tried(act):
    try:
        act()
        return "done"
    except OSError as error:
        return errno.errorcode[error.errno]
"""


def inside(box: Box, who: tuple[str, ...], *words: str, tier: str = "offline") -> Result:
    return box.claudebox("run", "-y", "-n", tier, "--", *who, *words)


def probe(box: Box, who: tuple[str, ...], code: str, *words: str, control: bool = False) -> object:
    """What Python code hands to `say`."""
    argv = ("/usr/bin/python3", "-c", PRELUDE + "say = lambda value: print(json.dumps(value))\n" + code, *words)
    done = box.run([*who, *argv]) if control else inside(box, who, *argv)
    assert done.status == 0, done.stderr
    return json.loads(done.stdout)


REMOUNT = """
MS_REMOUNT, MS_BIND = 32, 4096
point = sys.argv[1].encode()
before = os.access(point, os.W_OK)
answers = [
    libc.mount(b"none", point, None, ctypes.c_ulong(MS_REMOUNT | MS_BIND), None),
    libc.umount2(point, 2),
    libc.mount(b"tmpfs", b"/tmp", b"tmpfs", ctypes.c_ulong(0), None),
]
try:
    with open(sys.argv[1], "a") as file:
        file.write("[core]\\n\\tfsmonitor = ./h\\n")
    wrote = True
except OSError:
    wrote = False
say([wrote, answers])
"""


@WHO
def test_a_mask_is_not_taken_away_from_inside(box: Box, who: tuple[str, ...]) -> None:
    """CVE-2021-41133 (flatpak): mount calls that the filter did not know changed what the sandbox saw."""
    config = box.app / ".git" / "config"
    before = config.read_text()
    wrote, answers = probe(box, who, REMOUNT, str(config))  # type: ignore[misc]
    assert not wrote and answers[:2] == [-1, -1] and config.read_text() == before
    assert (answers[2] == 0) == bool(who), "the control: root of a namespace of its own may mount"


MOVE = """
AT_FDCWD = -100
path = sys.argv[1].encode()
tree = libc.syscall(ctypes.c_long(428), ctypes.c_long(AT_FDCWD), path, ctypes.c_long(1))
away = "no tree" if tree < 0 else call(429, tree, b"", AT_FDCWD, b"/tmp", 4)
attributes = (0).to_bytes(8, "little") + (1).to_bytes(8, "little") + bytes(16)
say([call(442, AT_FDCWD, path, 0, attributes, 32), call(429, AT_FDCWD, path, AT_FDCWD, b"/tmp", 0), away != "done"])
"""


@WHO
def test_the_newer_mount_calls(box: Box, who: tuple[str, ...]) -> None:
    """CVE-2021-41133 (flatpak): the same by open_tree, move_mount and mount_setattr."""
    cleared, moved, _ = probe(box, who, MOVE, str(box.app / ".git" / "hooks"))  # type: ignore[misc]
    assert cleared in ("EPERM", "EINVAL") and moved in ("EPERM", "EINVAL")
    assert inside(box, who, "touch", ".git/hooks/x").status == 1
    assert box.run(["touch", ".git/hooks/x"]).status == 0, "the control"


RELEASE = """
os.makedirs("/tmp/c", exist_ok=True)
kinds = [(b"cgroup", b"memory"), (b"cgroup", b"pids"), (b"cgroup", b"rdma"), (b"cgroup2", None)]
made = []
for kind, options in kinds:
    if libc.mount(b"c", b"/tmp/c", kind, ctypes.c_ulong(0), options) == 0:
        made += ["release_agent"] if tried(lambda: open("/tmp/c/release_agent", "w").write("/x")) == "done" else []
        libc.umount2(b"/tmp/c", 2)
say(made)
"""


@WHO
def test_cgroups_mounted_from_inside(box: Box, who: tuple[str, ...]) -> None:
    """CVE-2022-0492 (kernel): a release agent, which the kernel runs on the host, was written from a namespace."""
    nested = (*who, *(("unshare", "--cgroup") if who else ()))
    assert probe(box, nested, RELEASE) == []


HANDLE = """
import struct
handle = struct.pack("=II", 8, 1) + struct.pack("=II", 2, 0)
say([call(304, os.open("/usr", os.O_RDONLY), handle, 0)])
"""


@WHO
@pytest.mark.skipif(os.uname().machine != "x86_64", reason="numbers of x86_64")
def test_files_by_their_handles(box: Box, who: tuple[str, ...]) -> None:
    """open_by_handle_at finds the root of a file system by its inode, whatever is mounted of it."""
    assert probe(box, who, HANDLE) == ["EPERM"]


SETTINGS = (
    "/proc/sys/kernel/core_pattern", "/proc/sys/kernel/modprobe", "/proc/sys/kernel/hotplug", "/proc/sysrq-trigger",
    "/proc/sys/fs/binfmt_misc/register", "/proc/sys/vm/overcommit_memory", "/proc/sys/kernel/yama/ptrace_scope",
    "/proc/sys/kernel/hostname", "/proc/sys/kernel/randomize_va_space", "/sys/kernel/uevent_helper",
    "/sys/fs/cgroup/release_agent", "/proc/kcore", "/proc/kmem", "/proc/acpi/wakeup", "/proc/timer_list",
)  # fmt: skip


@WHO
def test_settings_of_the_kernel(box: Box, who: tuple[str, ...]) -> None:
    """CVE-2025-52881 (runc): a write to a file of /proc went to core_pattern or sysrq-trigger instead."""
    code = "say([p for p in sys.argv[1:] if tried(lambda: os.close(os.open(p, os.O_WRONLY))) == 'done'])"
    assert probe(box, who, code, *SETTINGS) == []
    known = [path for path in SETTINGS if os.path.exists(path)]
    assert len(known) > 3, "the control: they are there on the host"


@WHO
def test_devices_that_were_made(box: Box, who: tuple[str, ...]) -> None:
    """A disk, memory, the kernel's log, as nodes of the agent's own."""
    code = """
import stat
made = [tried(lambda: os.mknod(f"/tmp/d{n}", kind | 0o600, os.makedev(*n))) for kind, n in (
    (stat.S_IFBLK, (8, 0)), (stat.S_IFBLK, (253, 0)), (stat.S_IFCHR, (1, 1)), (stat.S_IFCHR, (1, 11)))]
say([set(made) == {"EPERM"}, tried(lambda: os.mkfifo("/tmp/fifo"))])
"""
    assert probe(box, who, code) == [True, "done"]


KEYS = """
say([call(248, b"user", b"canary", b"x", 1, -3), call(250, 1, -4), call(249, b"user", b"canary", None, 0)])
"""


@WHO
@pytest.mark.skipif(os.uname().machine != "x86_64", reason="numbers of x86_64")
def test_keyrings_of_the_host(box: Box, who: tuple[str, ...]) -> None:
    assert probe(box, who, KEYS) == ["EPERM"] * 3
    assert "done" in probe(box, (), KEYS, control=True), "the control"  # type: ignore[operator]


CALLS = {
    "bpf": (321, 0, 0, 0), "userfaultfd": (323, 0), "io_uring_setup": (425, 1, 0),
    "perf_event_open": (298, 0, 0, -1, -1, 0),
    "kexec_load": (246, 0, 0, 0, 0), "init_module": (175, 0, 0, 0), "finit_module": (313, -1, 0, 0),
    "swapon": (167, 0, 0), "reboot": (169, 0, 0, 0, 0), "syslog": (103, 3, 0, 0), "acct": (163, 0),
    "quotactl": (179, 0, 0, 0, 0), "settimeofday": (164, 0, 0), "fanotify_init": (300, 0, 0), "iopl": (172, 3),
}  # fmt: skip


@WHO
@pytest.mark.skipif(os.uname().machine != "x86_64", reason="numbers of x86_64")
def test_calls_that_no_agent_needs(box: Box, who: tuple[str, ...]) -> None:
    """Root of a nested namespace may ask the kernel for more; the filter does not know who asks."""
    found = probe(box, who, f"say([call(*c) for c in {list(CALLS.values())}])")
    assert set(found) <= {"EPERM", "ENOSYS"}, dict(zip(CALLS, found, strict=True))  # type: ignore[call-overload]


FAMILIES = {
    "vsock": 40,
    "packet": 17,
    "alg": 38,
    "bluetooth": 31,
    "can": 29,
    "tipc": 30,
    "xdp": 44,
    "rds": 21,
    "key": 15,
}


@WHO
def test_socket_families(box: Box, who: tuple[str, ...]) -> None:
    """AF_VSOCK knows no network namespace, the others are large and seldom looked at."""
    kinds = [(family, kind) for family in FAMILIES.values() for kind in (1, 2, 3)]
    code = f"import socket\nsay([tried(lambda: socket.socket(*k)) for k in {kinds}])"
    found = probe(box, who, code)
    allowed = {errno.errorcode[number] for number in (errno.EAFNOSUPPORT, errno.EPROTONOSUPPORT)}
    assert set(found) <= allowed, found  # type: ignore[call-overload]
    assert probe(box, who, "import socket\nsay(tried(lambda: socket.socket(1, 1)))") == "done", "the control"


@WHO
def test_programs_that_would_gain(box: Box, who: tuple[str, ...]) -> None:
    """A setuid program of the system, and one of the agent's own."""
    script = "cp /usr/bin/id /tmp/id; chmod 6755 /tmp/id; /tmp/id -u; for p in su mount sudo; do command -v $p; done"
    done = inside(box, who, "sh", "-c", f"{script}; grep -h NoNewPrivs /proc/self/status")
    assert "NoNewPrivs:\t1" in done.stdout
    assert "/usr/bin/su\n" in done.stdout, "the control: there is one"


@WHO
def test_the_root_above_the_root(box: Box, who: tuple[str, ...]) -> None:
    """chroot out of a chroot; and what the root of the first process shows."""
    code = """
os.makedirs("/tmp/r", exist_ok=True)
answer = tried(lambda: os.chroot("/tmp/r"))
for _ in range(64):
    os.chdir("..")
tried(lambda: os.chroot("."))
say([answer, os.path.exists(sys.argv[1]), os.path.exists("/proc/1/root" + sys.argv[1])])
"""
    (box.home / "canary").touch()
    answer, outside, through = probe(box, who, code, str(box.home / "canary"))  # type: ignore[misc]
    assert (outside, through) == (False, False)
    assert (answer == "done") == bool(who), "the control: in a namespace of its own it may"


@WHO
def test_the_launchers_own_program(box: Box, who: tuple[str, ...]) -> None:
    """CVE-2019-5736 (runc): the host's runtime was overwritten through /proc/self/exe of the first process."""
    before = os.stat("/usr/bin/bwrap").st_mtime_ns
    code = """
paths = ("/proc/1/exe", "/proc/self/exe", "/usr/bin/bwrap")
say([tried(lambda: os.close(os.open(p, os.O_WRONLY | os.O_TRUNC))) for p in paths])
"""
    found = probe(box, who, code)
    assert "done" not in found and os.stat("/usr/bin/bwrap").st_mtime_ns == before  # type: ignore[operator]
