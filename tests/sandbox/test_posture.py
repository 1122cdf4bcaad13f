"""The posture of a sandbox, seen from inside, whole, against posture/TIER-USER.json: namespaces, capabilities,
seccomp, limits, mounts, descriptors, environment, sysctls, devices, interfaces, sockets of the host.

    CLAUDEBOX_POSTURE=update pytest tests/sandbox/test_posture.py     writes them anew: `git diff` is then what to read

What differs between machines is left out or named by its kind: which files of /etc there are, and file systems.
"""

from __future__ import annotations

import json
import os
import socket
from pathlib import Path
from typing import Any

import pytest

from box import Box
from capability import needs

pytestmark = [needs("userns", "bwrap", "git"), pytest.mark.uid0]
EXPECTED = Path(__file__).with_name("posture")
UPDATE = os.environ.get("CLAUDEBOX_POSTURE") == "update"  # read once: a fixture empties the environment
NAMESPACES = ("cgroup", "ipc", "mnt", "net", "pid", "user", "uts")

PROBE = r"""
import ctypes, json, os, resource, socket, stat, sys
def status(name):
    return next(l.split(":", 1)[1].strip() for l in open("/proc/self/status") if l.startswith(name + ":"))
def kind(number):
    mode = os.fstat(number).st_mode
    return "pipe" if stat.S_ISFIFO(mode) else "device" if stat.S_ISCHR(mode) else "other"
def connects(family, address):
    try:
        with socket.socket(family) as one:
            one.connect(address)
        return "reached"
    except OSError as error:
        return error.strerror
def writable(top):
    files = [os.path.join(directory, name) for directory, _, names in os.walk(top) for name in names]
    return [path[len(top) + 1:] for path in files if os.access(path, os.W_OK)]
abstract, path = sys.argv[1:]
here = sorted(int(n) for n in os.listdir("/proc/self/fd"))
json.dump({
    "namespaces": {n: os.readlink("/proc/self/ns/" + n) for n in os.listdir("/proc/self/ns")},
    "status": {n: status(n) for n in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb", "NoNewPrivs", "Seccomp",
                                      "Seccomp_filters", "NSpid")},
    "first process": open("/proc/1/comm").read().strip(),
    "user": [os.getuid(), os.getgid()],
    "umask": os.umask(0),
    "dumpable": ctypes.CDLL(None).prctl(3),
    "limits": {"core": resource.getrlimit(4), "processes": resource.getrlimit(6)},
    "descriptors": {n: kind(n) for n in here if n < 3 or os.path.exists("/proc/self/fd/%d" % n)},
    "environment": sorted(os.environ),
    "directory": os.getcwd(),
    "devices": sorted(os.listdir("/dev")),
    "interfaces": [name for _, name in socket.if_nameindex()],
    "sysctls": writable("/proc/sys"),
    "unix sockets": len(open("/proc/net/unix").readlines()) - 1,
    "abstract socket of the host": connects(socket.AF_UNIX, "\0" + abstract),
    "socket of the host in the project": connects(socket.AF_UNIX, path),
    "vsock": connects(40, (2, 1)),
    "mounts": [line.split() for line in open("/proc/self/mountinfo")],
}, sys.stdout)
"""


def mounts(found: list[list[str]], names: dict[str, str]) -> dict[str, str]:
    """Mount point → its flags, and the file system where it is the kernel's own."""
    result = {}
    for fields in found:
        point, flags, kind = fields[4], fields[5].split(","), fields[fields.index("-") + 1]
        for path, name in names.items():
            point = point.replace(path, name)
        if point.startswith("/etc/"):
            point = "/etc/*"
        own = [kind] if kind in ("tmpfs", "proc", "devpts", "mqueue") and point != "/etc/*" else []
        wanted = {"ro", "rw", "nosuid", "nodev", *(["noexec"] if own else [])}
        kept = sorted(wanted.intersection(flags))
        result[point] = " ".join([*own, *kept]) if point not in result else _same(result[point], " ".join(kept), point)
    return dict(sorted(result.items()))


def _same(before: str, now: str, point: str) -> str:
    """All of /etc has the same flags; a mount point anywhere else has one mount."""
    assert point != "/etc/*" or before == now, (point, before, now)
    return before if point == "/etc/*" else f"{before}, {now}"


def posture(box: Box, tier: str) -> dict[str, Any]:
    """What a sandbox of this tier sees of itself and of the host."""
    abstract, path = f"claudebox-posture-{os.getpid()}", box.app / "s"
    with socket.socket(socket.AF_UNIX) as one, socket.socket(socket.AF_UNIX) as two:
        one.bind("\0" + abstract)
        two.bind(str(path))
        one.listen()
        two.listen()
        words = ("/usr/bin/python3", "-c", PROBE, abstract, str(path))
        done = box.claudebox("run", "-y", "-n", tier, "--", *words)
    assert done.status == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    links = found["namespaces"]
    found["namespaces"] = {
        n: "the host's" if links[n] == os.readlink(f"/proc/self/ns/{n}") else "own" for n in NAMESPACES
    }
    ours = next(line for line in Path("/proc/self/status").read_text().splitlines() if "Seccomp_filters" in line)
    found["status"]["Seccomp_filters"] = int(found["status"]["Seccomp_filters"]) - int(ours.split()[1])
    # The depth of pid namespaces, and the number in the innermost one alone.
    found["status"]["NSpid"] = len(found["status"]["NSpid"].split())
    found["user"] = ["own", "own"] if found["user"] == [os.getuid(), os.getgid()] else found["user"]
    names = {str(box.app): "PROJECT", str(box.home): "HOME"}
    found["directory"] = names.get(found["directory"], found["directory"])
    found["mounts"] = mounts(found["mounts"], names)
    found["descriptors"] = dict(found["descriptors"])
    # By their directories: which ones there are follows the kernel's version and configuration.
    found["sysctls"] = sorted({os.path.dirname(name) for name in found["sysctls"]})
    if tier == "full":
        for name in ("interfaces", "unix sockets"):
            found[name] = "the host's"
    return found


@pytest.mark.parametrize(
    "tier",
    [
        "offline",
        pytest.param("internet-only", marks=needs("slirp4netns", "nft", "tun")),
        pytest.param("full", marks=needs("landlock_scopes")),
    ],
)
def test_the_posture(box: Box, tier: str) -> None:
    found = json.dumps(posture(box, tier), indent=1, sort_keys=True) + "\n"
    file = EXPECTED / f"{tier}-{'root' if os.getuid() == 0 else 'user'}.json"
    if UPDATE:
        file.parent.mkdir(exist_ok=True)
        file.write_text(found)
    assert found.splitlines() == file.read_text().splitlines()
