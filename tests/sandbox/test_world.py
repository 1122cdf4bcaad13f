"""The test internet itself: a plain process on its host reaches everything, so that "no" elsewhere means something."""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import pytest

import leak
import names
from box import Box
from capability import needs
from world import World

pytestmark = [needs("netns"), pytest.mark.uid0]
PROBE = Path(__file__).parents[1] / "probe.py"
PLACES = {
    "the host's loopback": ("host", "127.0.0.1", "::1"),
    "the host on its LAN": ("host", "192.168.77.1", "2001:db8:77::1"),
    "the host towards the internet": ("host", "198.51.100.2", "2001:db8:0:1::2"),
    "the host's bridge": ("host", "172.17.0.1", "2001:db8:d0c::1"),
    "a machine of the LAN": ("lan", "192.168.77.10", "2001:db8:77::10"),
    "a public address on the LAN": ("lan", "192.0.2.10", "fd77::10"),
    "a container": ("bridge", "172.17.0.2", "2001:db8:d0c::2"),
    "the tunnel's other end": ("vpn", "10.8.0.1", "2001:db8:50::1"),
    "behind the tunnel": ("vpn", "192.0.2.200", "2001:db8:51::9"),
    "the gateway": ("inet", "198.51.100.1", "2001:db8:0:1::1"),
    "a public host": ("inet", names.PUBLIC4, names.PUBLIC6),
    "a metadata service": ("inet", "169.254.169.254", "fd00:ec2::254"),
    "NAT64 and CGNAT": ("inet", "100.100.100.200", "64:ff9b::c0a8:4d0a"),
}


def probe(world: World, box: Box, cases: list[dict[str, Any]], who: str = "root") -> list[dict[str, Any]]:
    done = world.box(box, who).run([sys.executable, "-I", PROBE, "-"], input=json.dumps(cases))
    assert done.status == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def users() -> list[str]:
    return ["user", "root"] if os.geteuid() else ["root"]


@pytest.fixture
def bare(tmp_path: Path) -> Box:
    """No claudebox and no project: only a directory."""
    (tmp_path / "code" / "app").mkdir(parents=True)
    return Box(tmp_path, tmp_path)


@pytest.mark.parametrize("who", users())
@pytest.mark.parametrize("how", ["tcp", "udp", "udp-connected", "icmp", "dns", "dns-tcp"])
def test_every_service_answers_and_writes_down(world: World, bare: Box, how: str, who: str) -> None:
    world.clear()
    cases = [
        {"id": f"{place}, IPv{version}", "how": how, "to": to}
        for place, (_, *addresses) in PLACES.items()
        for version, to in zip((4, 6), addresses, strict=True)
    ]
    results = probe(world, bare, cases, who)
    assert [(r["id"], r["error"]) for r in results if r["error"]] == []
    for (where, *addresses), place in zip(PLACES.values(), PLACES, strict=True):
        for version, to in zip((4, 6), addresses, strict=True):
            kind = {"tcp": "data", "udp-connected": "udp", "dns-tcp": "dns"}.get(how, how)
            arrived = world.seen(where, kind=kind, data="" if kind == "dns" else f"{place}, IPv{version}")
            assert any(entry["target"][0] == to for entry in arrived), (place, to)
            if where != "host":
                assert any(entry["target"][0] == to for entry in world.seen(where, kind="packet")), (place, to)


@pytest.mark.parametrize("who", users())
def test_names_resolve_and_change(world: World, bare: Box, who: str) -> None:
    world.clear()
    cases = [
        {"id": f"{name} {version}", "how": "resolve", "to": name, "name": version}
        for name in names.ZONE
        for version in "46"
    ]
    found = {r["id"]: r["answer"] for r in probe(world, bare, cases, who)}
    assert found["public.test 4"] == names.PUBLIC4 and found["public.test 6"] == names.PUBLIC6
    assert found["mapped.test 6"] == "::ffff:192.168.77.10" and found["mapped.test 4"].startswith("gai")
    assert len(found["many.test 4"].split()) == 120, "more than a datagram holds"
    rebind = {"id": "", "how": "resolve", "to": "rebind.test", "name": "4"}
    assert [r["answer"] for r in probe(world, bare, [rebind] * 3, who)] == [names.PUBLIC4, names.LAN4, names.PUBLIC4]


def test_the_world_has_no_way_out(world: World) -> None:
    links = [line.split()[0].partition("@")[0] for line in world.root("ip", "-br", "link").splitlines()]
    assert {"lo", "lan0", "veth0", "vpn0", "up0", "docker0"} <= set(links)
    assert world.root("ip", "-br", "-d", "link", "show", "type", "veth").count("@") == 4, "each leads to a side of it"
    assert [name for name in links if name.startswith(("eth", "en", "wl"))] == []


def test_an_order_that_fails_says_why(world: World) -> None:
    with pytest.raises(AssertionError, match="Cannot find device"):
        world.ip("link set nothing up\n")
    world.ip("addr add 192.0.2.99/32 dev lo\naddr del 192.0.2.99/32 dev lo\n")


def test_a_datagram_from_outside_arrives(world: World, bare: Box) -> None:
    world.clear()
    listener = world.box(bare, "root").start(
        [sys.executable, "-I", PROBE, "listen", names.PUBLIC4, "7"], stdin=-1, text=True
    )
    with listener:
        assert listener.stdout is not None and listener.stdin is not None
        assert "opened" in json.loads(listener.stdout.readline())["data"]
        (entry,) = world.seen("inet", kind="udp", data="opened")
        for where, address in (("inet", "198.51.100.2"), ("lan", "192.168.77.1"), ("host", "127.0.0.1")):
            assert world.send(where, address, entry["source"][1], f"from {where}") == ""
            assert json.loads(listener.stdout.readline())["data"] == f"from {where}"
        listener.stdin.close()


@pytest.mark.parametrize("families", [(4,), (6,)])
def test_a_world_of_one_family(families: tuple[int, ...], bare: Box) -> None:
    with World(families) as world:
        cases = [
            {"id": str(version), "how": "tcp", "to": to, "name": str(version)}
            for version, to in ((4, "public.test"), (6, "public.test"))
        ]
        results = probe(world, bare, cases)
    assert {int(r["id"]) for r in results if not r["error"]} == set(families)


def test_nothing_is_left_of_a_world() -> None:
    before = leak.state()
    started = time.monotonic()
    with World((4,)) as world:
        assert world.enter("root") and leak.left(before, patience=0)
        assert time.monotonic() - started < 5
    assert leak.left(before) == []
