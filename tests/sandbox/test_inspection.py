"""`doctor --sandbox`: it holds on this machine; and each probe can fail: with a bubblewrap that leaves a defence out
the rows of that defence are red, and no others."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from typing import Any

import pytest

from box import Box, Result
from capability import needs
from logins import log_in
from networks import Networks, sandboxes

pytestmark = [needs("userns", "bwrap", "git"), pytest.mark.uid0]
ENOUGH, SECONDS = 40, 3.0
ROOT = os.geteuid() == 0

# A bubblewrap that drops options, also from the descriptor that --args names: `--seccomp=2` is the option and one word.
LAX = """#!%s -IB
import os, sys
drop = dict(word.split("=") for word in %r.split())
def left(words):
    rest, kept = list(words), []
    while rest:
        taken = int(drop.get(rest[0], 0))
        if not taken:
            kept.append(rest[0])
        del rest[: max(taken, 1)]
    return kept
argv = sys.argv[1:]
if "--args" in argv:
    number = int(argv[argv.index("--args") + 1])
    data = b""
    while chunk := os.read(number, 65536):
        data += chunk
    cut = argv.index("--")
    argv[:cut] = left(argv[:cut])
    fresh = os.memfd_create("options")
    os.write(fresh, b"".join(os.fsencode(word) + b"\\0" for word in left(os.fsdecode(data).split("\\0")[:-1])))
    os.lseek(fresh, 0, 0)
    os.dup2(fresh, number)
    os.close(fresh)
os.execve("/usr/bin/bwrap", ["bwrap", *argv], {})
"""


def inspected(done: Result) -> dict[str, dict[str, Any]]:
    """The probes by name."""
    assert done.stderr == "", done.stderr
    document = json.loads(done.stdout)
    assert (document["schema_version"], done.status) == (1, 0 if document["holds"] else 1)
    found = {row["name"]: row for row in document["probes"]}
    assert len(found) == len(document["probes"]) >= ENOUGH
    assert all(row["holds"] == (row["got"] in row["expected"]) for row in found.values())
    return found


def red(found: dict[str, dict[str, Any]]) -> dict[str, str]:
    return {name: row["got"] for name, row in found.items() if not row["holds"]}


def settings(box: Box, text: str) -> None:
    box.state.mkdir(mode=0o700, exist_ok=True)
    (box.state / "config.toml").write_text(text)


def tier(box: Box, name: str) -> None:
    settings(box, f'[network]\ntier = "{name}"\n')


@pytest.mark.parametrize(
    "name",
    [
        "offline",
        pytest.param("internet-only", marks=needs("slirp4netns", "nft", "tun")),
        pytest.param("full", marks=needs("landlock_scopes")),
    ],
)
def test_it_holds_here(box: Box, name: str) -> None:
    tier(box, name)
    before = box.git("status", "--porcelain", "--ignored"), sorted(os.listdir(box.app / ".git"))
    began = time.monotonic()
    done = box.claudebox("doctor", "--sandbox", "--json")
    took = time.monotonic() - began
    assert red(inspected(done)) == {}
    assert took < SECONDS
    assert json.loads(done.stdout)["tier"] == name
    assert (box.git("status", "--porcelain", "--ignored"), sorted(os.listdir(box.app / ".git"))) == before
    assert list((box.state / "instances").glob("*/sessions/*")) == []


def test_the_table(box: Box) -> None:
    tier(box, "offline")
    done = box.claudebox("doctor", "--sandbox")
    first, *_, last = done.stdout.splitlines()
    assert (done.status, done.stderr, "\x1b" in done.stdout) == (0, "", False)
    assert first == f"a sandbox of {box.app}, tier offline"
    assert last.startswith("all ") and last.endswith(" hold")
    assert "ok  the filter of system calls" in done.stdout


def test_options_that_do_not_go_together(box: Box) -> None:
    done = box.claudebox("doctor", "--online")
    assert (done.status, done.stdout) == (125, "")
    assert done.stderr.splitlines()[-1] == "hint: claudebox doctor --sandbox --online"


def test_nothing_is_asked_and_nothing_accepted(box: Box) -> None:
    """What a launch would ask about is in the sandbox that is tried, and is asked about afterwards as before."""
    (box.home / "data").mkdir()
    settings(box, f'[network]\ntier = "offline"\n[[mounts]]\nsource = "{box.home}/data"\n')
    assert red(inspected(box.claudebox("doctor", "--sandbox", "--json"))) == {}
    done = box.claudebox("run", "--", "true")
    assert done.status == 125 and "is to be accepted" in done.stderr


def test_a_granted_secret_is_no_finding(box: Box) -> None:
    (box.home / ".ssh").mkdir()
    (box.home / ".aws").mkdir()
    settings(box, f'[network]\ntier = "offline"\n[[mounts]]\nsource = "{box.home}/.ssh"\n')
    assert red(inspected(box.claudebox("doctor", "--sandbox", "--json"))) == {}


def test_a_login_that_is_served_has_no_refresh_token(box: Box) -> None:
    tier(box, "offline")
    log_in(box)
    found = inspected(box.claudebox("doctor", "--sandbox", "--json"))
    assert red(found) == {} and found["a refresh token"]["got"] == "none", "it is there, and is none"


def test_no_nested_user_namespace_where_none_is_wanted(box: Box) -> None:
    settings(box, '[network]\ntier = "offline"\n[sandbox]\nnested_userns = false\n')
    found = inspected(box.claudebox("doctor", "--sandbox", "--json"))
    assert red(found) == {} and found["a nested user namespace"]["got"] != "allowed"


def test_beside_a_session(box: Box) -> None:
    tier(box, "offline")
    words = ["run", "--", "sh", "-c", "echo up; read -r _"]
    with box.start([box.program, *words], stdin=subprocess.PIPE) as session:
        assert session.stdout is not None and session.stdout.readline() == b"up\n"
        assert red(inspected(box.claudebox("doctor", "--sandbox", "--json"))) == {}
        session.communicate(b"\n", timeout=20)
    assert session.returncode == 0


def test_not_in_a_project(box: Box) -> None:
    done = box.claudebox("doctor", "--sandbox", cwd=box.home)
    assert (done.status, done.stdout) == (125, "")
    assert done.stderr.startswith("claudebox: error: ")


# --- that they can fail --------------------------------------------------------------------------


def lax(box: Box, drop: str) -> dict[str, str]:
    """PATH begins with a bubblewrap that leaves options out."""
    made = box.home / "tools" / "bwrap"
    made.parent.mkdir()
    made.write_text(LAX % (os.path.realpath(sys.executable), drop))
    made.chmod(0o755)
    return {"PATH": f"{made.parent}:/usr/bin:/bin"}


CALLS = ("add_key", "keyctl", "perf_event_open", "io_uring_setup")
FILTER = {
    *(f"system call {name}" for name in CALLS), "the filter of system calls", "terminal: TIOCSTI",
    "terminal: TIOCLINUX", "terminal: TIOCSETD", "netlink to the firewall", "sockets of AF_PACKET",
}  # fmt: skip


def test_the_control_holds_too(box: Box) -> None:
    tier(box, "offline")
    assert red(inspected(box.claudebox("doctor", "--sandbox", "--json", env=lax(box, "")))) == {}


@pytest.mark.parametrize(
    ("drop", "expected"),
    [
        ("--seccomp=2", FILTER),
        ("--unshare-net=1", {"an abstract socket of the host", "the host's loopback", "interfaces"}),
        ("--cap-drop=2", {"capabilities", "capabilities to gain"} if ROOT else set()),
        ("--remount-ro=2", {"the root directory", "the system's configuration"}),
    ],
    ids=["seccomp", "net", "capabilities", "read-only"],
)
def test_without_a_defence_its_rows_are_red(box: Box, drop: str, expected: set[str]) -> None:
    tier(box, "offline")
    done = box.claudebox("doctor", "--sandbox", "--json", env=lax(box, drop))
    if done.status == 125:  # the launch itself noticed
        assert "the sandbox is not what was planned" in done.stderr
        return
    found = set(red(inspected(done)))
    assert expected <= found and (found or drop == "--cap-drop=2"), found


# --- on the test internet ------------------------------------------------------------------------


@pytest.mark.parametrize("one", sandboxes("offline", "internet-only", "full"))
def test_online(networks: Networks, one: Any) -> None:
    """The two names are reached where the tier has the internet; the way there and this machine are not."""
    box = networks.box(one)
    config = (box.state / "config.toml").read_text()
    backend = f'backend = "{one.backend}"\n' if one.backend else ""
    settings(box, f'[network]\ntier = "{one.tier}"\n{backend}')
    try:
        found = inspected(box.claudebox("doctor", "--sandbox", "--online", "--json"))
    finally:
        (box.state / "config.toml").write_text(config)
    assert red(found) == {}
    far, here = found["online: github.com"], found["online: this machine as 192.168.77.1"]
    assert (far["got"] == "none") is (one.tier == "offline")
    assert (here["got"] == "none") is (one.tier != "full"), "and full is the control"
    if one.tier != "full":
        assert found["online: the gateway 198.51.100.1"]["got"] == "none"
        way = networks.control(one.who, [{"id": "way", "how": "dns-tcp", "to": "198.51.100.1"}])
        assert way["way"]["error"] == "", "the control: it is there"


def test_without_online_nothing_leaves(networks: Networks) -> None:
    one = next(one.values[0] for one in sandboxes("internet-only"))
    box = networks.box(one)
    networks.world.clear()
    assert red(inspected(box.claudebox("doctor", "--sandbox", "--json"))) == {}
    assert [seen for seen in networks.world.seen() if seen["kind"] in ("tcp", "udp", "dns")] == []
