"""Other hosts than the matrix has: one family alone, a device that may not be opened, networks that come and go in
IPv6, a tunnel that takes all; many sandboxes at once. And what the rules are worth: the backends without them."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

import destinations
import leak
import names
from box import made_box
from capability import needs, repeat
from networks import BACKENDS, PROBE, PYTHON, Networks, Sandbox, sandboxes, users
from unfiltered import unfiltered
from world import World, tool

pytestmark = [needs("userns", "netns", "bwrap", "git"), pytest.mark.uid0]
every_backend = pytest.mark.parametrize("one", sandboxes("internet-only"))
FOLLOWED = 1.0  # seconds


# --- one family --------------------------------------------------------------------------------------


@pytest.fixture(scope="module", params=[(4,), (6,)], ids=["IPv4", "IPv6"])
def other(request: pytest.FixtureRequest, claudebox: Path) -> Iterator[tuple[int, Networks]]:
    """A world with one family alone, and a home in it."""
    leak.become_subreaper()
    with World(request.param) as world, made_box(claudebox) as box:
        yield request.param[0], Networks(world, box)


@every_backend
def test_a_host_of_one_family(other: tuple[int, Networks], one: Sandbox) -> None:
    family, networks = other
    rows = [row for row in destinations.PRIVATE if row.family == family and row.where != "inet"]
    private = destinations.cases(tuple(rows), inside=True)
    public = {4: names.PUBLIC4, 6: names.PUBLIC6}
    cases = [{"id": f"public {f} {how}", "how": how, "to": to} for f, to in public.items() for how in ("tcp", "udp")]
    cases += [{"id": f"name {f}", "how": "tcp", "to": "public.test", "name": str(f)} for f in public]
    networks.world.clear()
    answers = networks.probed(one, private + cases)
    mine = {key: answers[key]["error"] for key in (f"public {family} tcp", f"public {family} udp", f"name {family}")}
    assert set(mine.values()) == {""}, mine
    packets = {tuple(e["target"]) for e in networks.world.seen("lan", "bridge", "vpn", kind="packet")}
    assert packets == ({(names.LAN6, 17)} if family == 6 else set()), "but for the question to the host's resolver"
    refused = {key: (a["error"], a["ms"]) for key, a in answers.items() if key in {c["id"] for c in private}}
    assert {key: value for key, value in refused.items() if not value[0] or value[1] > destinations.QUICK} == {}
    theirs = answers[f"public {10 - family} tcp"]
    assert theirs["error"] and theirs["ms"] < 1000, "the family that the host has not fails at once"
    if family == 4:
        assert theirs["error"] == "ENETUNREACH" and theirs["ms"] < destinations.QUICK


# --- the device --------------------------------------------------------------------------------------


@pytest.mark.parametrize("one", sandboxes("internet-only", who=users()[:1]))
def test_a_device_that_may_not_be_opened(networks: Networks, one: Sandbox) -> None:
    if one.who == "root":
        return  # uid 0 opens it whatever its mode is
    box = networks.box(one)
    closed = box.home / "closed"
    closed.touch(0o000)
    networks.world.root("mount", "--bind", str(closed), "/dev/net/tun")
    try:
        done = networks.launch(one, "true")
    finally:
        networks.world.root("umount", "/dev/net/tun")
        closed.unlink()
    assert (done.status, done.stdout) == (125, "")
    assert "/dev/net/tun, which cannot be opened" in done.stderr and "chmod 0666 /dev/net/tun" in done.stderr
    assert networks.launch(one, "true").status == 0, "the control"


# What a container's uid 0 has not, of docker's and podman's defaults; a user namespace it may make, or nothing works.
CONTAINED = "-net_admin,-sys_admin,-sys_module,-sys_ptrace,-sys_resource,-dac_read_search,-net_broadcast"


@pytest.mark.parametrize("one", sandboxes("internet-only", who=("root",)))
def test_uid_0_of_a_container_without_net_admin(networks: Networks, one: Sandbox) -> None:
    """The netns is owned by a user namespace of ours, where everything is allowed whatever the container lacks."""
    box = networks.box(one)
    cases = json.dumps([{"id": "p", "how": "tcp", "to": names.PUBLIC4}, {"id": "l", "how": "tcp", "to": names.LAN4}])
    fewer = [tool("setpriv"), f"--bounding-set={CONTAINED}", "--inh-caps=-all"]
    lacking = box.run([*fewer, tool("ip"), "link", "add", "new1", "type", "bridge"])
    assert lacking.status != 0 and "not permitted" in lacking.stderr, "the control: it may not"
    done = box.run([*fewer, box.program, "run", "-n", one.tier, "-y", "--", PYTHON, "-I", PROBE.name, cases])
    assert done.status == 0, done.stderr
    assert [json.loads(line)["error"] for line in done.stdout.splitlines()] == ["", "ECONNREFUSED"]


@needs("user")  # the real root's limit is the machine's
@pytest.mark.parametrize("one", sandboxes("internet-only", who=("user",)))
def test_inotify_used_up_costs_a_message_and_nothing_else(networks: Networks, one: Sandbox) -> None:
    """As fifty sandboxes do it to the next one: what is watched for a message must not stop a launch."""
    limit = "/proc/sys/user/max_inotify_instances"  # of the world's user namespace alone
    before = networks.world.root("cat", limit).strip()
    networks.world.root("sh", "-c", f"echo 0 >{limit}")
    try:
        done = networks.launch(one, "echo", "ran")
    finally:
        networks.world.root("sh", "-c", f"echo {before} >{limit}")
    assert (done.status, done.stdout) == (0, "ran\n"), done.stderr
    assert "judged only at its end" in done.stderr
    assert ("resolvers become others will not be noticed" in done.stderr) == (one.backend == "pasta")


# --- what comes and goes -----------------------------------------------------------------------------

NEW6, NEW4 = "2001:db8:1:7::7", "203.0.113.99"
# What makes the address one of the host's own networks: family, lines of ip(8), and those that take it back.
COMING = {
    "an address": (6, "addr add 2001:db8:1:7::1/64 dev lan0 nodad", "addr del 2001:db8:1:7::1/64 dev lan0"),
    "a route": (6, "route add 2001:db8:1:7::/64 dev vpn0", "route del 2001:db8:1:7::/64 dev vpn0"),
    "a route in a table": (6, "route add 2001:db8:1:7::/64 dev vpn0 table 42", "route del 2001:db8:1:7::/64 table 42"),
    "an interface": (4, f"link add new0 type bridge\naddr add {NEW4}/28 dev new0\nlink set new0 up", "link del new0"),
    "a peer": (4, f"addr add 10.9.9.9 peer {NEW4}/32 dev vpn0", f"addr del 10.9.9.9 peer {NEW4}/32 dev vpn0"),
}


@every_backend
@pytest.mark.parametrize("what", COMING)
def test_a_network_that_comes_and_goes(networks: Networks, one: Sandbox, what: str) -> None:
    family, come, go = COMING[what]
    new, public = (NEW6, names.PUBLIC6) if family == 6 else (NEW4, names.PUBLIC4)
    world = networks.world
    with networks.talk(one) as talk:
        assert talk.error("hold", new, name="held") == talk.error("use", new, name="held") == "", "the control"
        assert talk.error("udp", new) == ""
        world.ip(come + "\n", family=family)
        try:
            took = talk.until(["ECONNREFUSED"], "tcp", new, within=FOLLOWED)
            assert talk.error("udp", new) == "EPERM"
            assert talk.error("use", new, name="held") != "", "the connection that stood is cut"
            world.clear()
            assert talk.error("use", new, name="held", patience=0.2) != ""
            assert world.seen(data="use") == []
            assert talk.error("tcp", public) == talk.error("udp", public) == "", "only that"
        finally:
            world.ip(go + "\n", family=family)
        talk.until([""], "tcp", new, within=FOLLOWED)
        status, said = talk.end()
    assert status == 0 and "network" not in said and one.backend not in said, (took, said)


@every_backend
def test_a_tunnel_that_takes_all(networks: Networks, one: Sandbox) -> None:
    """As a VPN for everything does: what is public stays so, by the tunnel; what is on its own link is refused."""
    world, halves = networks.world, ("0.0.0.0/1", "128.0.0.0/1")
    world.ip("addr add 203.0.113.10/32 dev lo\n", "vpn")  # the public host is reached through the tunnel then
    with networks.talk(one) as talk:
        assert talk.error("tcp", names.PUBLIC4) == ""
        for half in halves:
            world.ip(f"route add {half} via 10.8.0.1 dev vpn0\n")
        try:
            world.clear()
            talk.until([""], "tcp", names.PUBLIC4, within=FOLLOWED)
            assert world.seen("vpn", kind="tcp"), "by the tunnel"
            assert talk.error("tcp", "10.8.0.1") == talk.error("tcp", "192.0.2.10") == "ECONNREFUSED"
            assert talk.error("tcp", names.LAN4) == "ECONNREFUSED"
        finally:
            for half in halves:
                world.ip(f"route del {half} via 10.8.0.1 dev vpn0\n")
            world.ip("addr del 203.0.113.10/32 dev lo\n", "vpn")
        talk.end()


# --- many at once, and none of the rules -------------------------------------------------------------


@pytest.mark.parametrize("one", sandboxes("internet-only", who=users()[:1]))
def test_many_at_once(networks: Networks, one: Sandbox) -> None:
    box, number = networks.box(one), repeat(100)
    projects = [box.home / "code" / f"p{n}" for n in range(number)]
    for project in projects:
        project.mkdir(exist_ok=True)
        (project / PROBE.name).write_bytes(PROBE.read_bytes())
    cases = json.dumps([{"id": "p", "how": "tcp", "to": names.PUBLIC4}, {"id": "l", "how": "tcp", "to": names.LAN4}])
    networks.world.clear()
    began = time.monotonic()
    argv = [box.program, "run", "-n", one.tier, "--", PYTHON, "-I", PROBE.name, cases]
    started = [box.start(argv, cwd=project) for project in projects]
    ended = [(p.communicate(timeout=60), p.returncode) for p in started]
    assert time.monotonic() - began < 2 * number
    assert [(err, status) for (_, err), status in ended if status or b"error" in err] == []
    found = [[json.loads(line)["error"] for line in out.splitlines()] for (out, _), _ in ended]
    assert found == [["", "ECONNREFUSED"]] * number
    assert len(networks.world.seen("inet", kind="tcp")) == number and networks.world.seen("lan") == []


@pytest.mark.parametrize("backend", [pytest.param(b, marks=needs("nft", "tun", b)) for b in BACKENDS])
def test_without_the_rules_it_is_all_open(networks: Networks, backend: str) -> None:
    """The rules refuse what the backend would carry: without them LAN, host, tunnel and metadata answer."""
    rows = tuple(row._replace(hows=("tcp", "udp")) for row in destinations.PRIVATE if not row.scope[1])
    cases = [{**case, "patience": 0.3} for case in destinations.cases(rows, inside=True)]
    with unfiltered(networks.world, backend) as control:
        answers = control.probed(cases)
    reached = [key for key, answer in answers.items() if not answer["error"]]
    assert len(reached) >= len(cases) - 6, sorted(set(answers) - set(reached))
