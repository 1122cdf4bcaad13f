"""What an agent may try with the tools of the system from inside, as a user and as uid 0; and its first instruction."""

from __future__ import annotations

import itertools
import json
from typing import Any

import pytest

import first
import names
from capability import SYSTEM_PATH, lacking, needs, repeat
from networks import PROBE, PYTHON, Networks, Sandbox, sandboxes, users
from unfiltered import Unfiltered, unfiltered

pytestmark = [needs("userns", "netns", "bwrap", "git"), pytest.mark.uid0]
every_backend = pytest.mark.parametrize("one", sandboxes("internet-only"))

# Runs lists of words, says how each ended. In the sandbox and, as the control, as root of an unfiltered netns.
ATTEMPTS = """
import json, subprocess, sys
for words in json.loads(sys.argv[1]):
    done = subprocess.run(words, env={"PATH": %r}, capture_output=True, text=True, errors="replace")
    print(json.dumps({"words": words, "status": done.returncode, "said": done.stderr.strip()}), flush=True)
""" % (SYSTEM_PATH,)  # noqa: UP031
# The owner of the netns by NS_GET_USERNS, then into it: as uid 0 one is in it already, and gains nothing either way.
OWNER = """
import ctypes, fcntl, sys
owner = fcntl.ioctl(open('/proc/self/ns/net'), 0xb701)
sys.exit(ctypes.CDLL(None).setns(owner, 0x10000000))
"""
WAYS = [
    "ip route add 192.168.77.0/24 via 10.0.2.2",
    "ip route add default via 10.0.2.2 metric 5",
    "ip -6 route add 2001:db8:77::/64 dev tap0",
    "ip addr add 192.168.77.5/24 dev tap0",
    "ip neigh add 10.0.2.9 lladdr 02:00:00:00:00:01 dev tap0",
    "ip rule add pref 9 lookup main",
    "ip link add bridge9 type bridge",
    "ip link set tap0 mtu 1400",
    "tc qdisc add dev tap0 root pfifo",
    "nft list ruleset",
    "nft add table inet mine",
    "nft flush ruleset",
    "sh -c 'echo 1 >/proc/sys/net/ipv4/ip_forward'",
    "sh -c 'echo 1 >/proc/sys/net/ipv4/conf/all/route_localnet'",
    "nsenter --net=/proc/self/ns/net true",
    "ip link set tap0 down",
]
NESTED = [
    "unshare --user --map-root-user nft flush ruleset",
    "unshare --user --map-root-user ip link set tap0 down",
    "unshare --user --map-root-user nsenter --net=/proc/1/ns/net true",
    "unshare --user --map-root-user --net ip link add v0 type veth peer name v1 netns 1",
    "nsenter --net=/proc/1/ns/net true",
    "nsenter --user=/proc/1/ns/user true",
    "ip netns add other",
    "ip tuntap add dev tap9 mode tap",
]


def words(line: str) -> list[str]:
    import shlex

    return shlex.split(line)


def ended(output: str) -> dict[str, tuple[int, str]]:
    rows = map(json.loads, output.splitlines())
    return {" ".join(row["words"]): (row["status"], row["said"]) for row in rows}


@pytest.fixture(scope="module")
def allowed(networks: Networks) -> dict[str, tuple[int, str]]:
    """The control: each of these works for whoever owns the netns."""
    if reason := lacking("slirp4netns") or lacking("tun"):
        pytest.skip(reason)
    with unfiltered(networks.world, "slirp4netns") as control:
        return ended(_attempt(control, WAYS))


def _attempt(control: Unfiltered, lines: list[str]) -> str:
    import subprocess
    import sys

    done = subprocess.run(
        [*control.enter, sys.executable, "-I", "-c", ATTEMPTS, json.dumps([*map(words, lines)])],
        env={"PATH": SYSTEM_PATH}, capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    return done.stdout


@every_backend
def test_nothing_can_be_changed(networks: Networks, one: Sandbox, allowed: dict[str, tuple[int, str]]) -> None:
    assert [line for line, (status, _) in allowed.items() if status != 0] == [], "the control"
    probe = [
        {"id": "lan", "how": "tcp", "to": names.LAN4},
        {"id": "lan 6", "how": "tcp", "to": names.LAN6},
        {"id": "public", "how": "tcp", "to": names.PUBLIC4},
        {"id": "public 6", "how": "tcp", "to": names.PUBLIC6},
    ]
    lines = [*map(words, [*WAYS, *NESTED]), [PYTHON, "-c", OWNER]]
    script = f'{PYTHON} -c "$1" "$2"; echo; {PYTHON} -I {PROBE.name} "$3"'
    done = networks.launch(one, "sh", "-c", script, "sh", ATTEMPTS, json.dumps(lines), json.dumps(probe))
    attempts, _, answers = done.stdout.partition("\n\n")
    rows = ended(attempts)
    assert len(rows) == len(lines), done.stderr
    # an empty list of rules is no success: one cannot see them
    worked = [line for line, (status, _) in rows.items() if status == 0 and line != "nft list ruleset"]
    assert worked == []
    assert [line for line, (status, said) in rows.items() if status == 127 or "not found" in said] == []
    found = {row["id"]: row["error"] for row in map(json.loads, answers.splitlines())}
    assert found == {"lan": "ECONNREFUSED", "lan 6": "ECONNREFUSED", "public": "", "public 6": ""}


@every_backend
def test_a_netns_of_the_agents_own_leads_nowhere(networks: Networks, one: Sandbox) -> None:
    case = json.dumps([{"id": "x", "how": "tcp", "to": names.PUBLIC4}, {"id": "y", "how": "tcp", "to": names.LAN4}])
    script = 'unshare --user --net "$@" && exec "$@"'
    done = networks.launch(one, "sh", "-c", script, "sh", PYTHON, "-I", PROBE.name, case)
    errors = [json.loads(line)["error"] for line in done.stdout.splitlines()]
    assert errors == ["ENETUNREACH", "ENETUNREACH", "", "ECONNREFUSED"], done.stderr


@pytest.mark.parametrize("one", sandboxes("internet-only", "offline"))
def test_abstract_sockets_of_the_host(networks: Networks, one: Sandbox) -> None:
    case: dict[str, Any] = {"id": "x", "how": "abstract", "to": "claudebox-host-service"}
    networks.world.clear()
    assert networks.probed(one, [case])["x"]["error"] == "ECONNREFUSED"
    assert networks.world.seen("host", kind="abstract") == []
    assert networks.control(one.who, [case])["x"]["answer"] == "host", "the control"


@needs("landlock_scopes")
@pytest.mark.parametrize("one", sandboxes("full"))
def test_abstract_sockets_of_the_host_in_tier_full(networks: Networks, one: Sandbox) -> None:
    case: dict[str, Any] = {"id": "x", "how": "abstract", "to": "claudebox-host-service"}
    assert networks.probed(one, [case])["x"]["error"] == "EPERM"
    assert networks.control(one.who, [case])["x"]["answer"] == "host", "the control"


# --- the first instruction -------------------------------------------------------------------------

FIRST = {names.PUBLIC4: 0, names.PUBLIC6: 0, names.LAN4: 111, names.LAN6: 111}
TIMES = repeat(200)


@pytest.mark.parametrize("address", FIRST)
@pytest.mark.parametrize("one", sandboxes("internet-only", who=users()[:1]))
def test_the_first_instruction_is_a_connection(networks: Networks, one: Sandbox, address: str) -> None:
    """The network stands before the agent runs, and its rules do: for the first packet too."""
    box = networks.box(one)
    first.write(box.app / "first", address)
    try:
        networks.world.clear()
        assert box.run(["./first"]).status == 0, "the control: on the world's host it connects"
        networks.world.clear()
        times = TIMES if FIRST[address] == 0 else max(1, TIMES // 4)
        ends = [networks.launch(one, "./first").status for _ in range(times)]
    finally:
        (box.app / "first").unlink()
    assert {end: len([*same]) for end, same in itertools.groupby(sorted(ends))} == {FIRST[address]: times}
    assert bool(networks.world.seen("lan")) is False
    assert len(networks.world.seen("inet", kind="tcp")) == (times if FIRST[address] == 0 else 0)
