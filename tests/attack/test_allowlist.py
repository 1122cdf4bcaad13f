"""Tier allowlist: name and address x port x family. What is listed is reached, everything else is refused at once."""

from __future__ import annotations

import functools
from typing import Any

import pytest

import names
from capability import needs
from hellos import hello, in_records, with_ech
from networks import Networks, Sandbox, users

pytestmark = [needs("userns", "netns", "bwrap", "git", "nft", "tproxy"), pytest.mark.uid0, pytest.mark.batched]

QUICK = 100.0  # milliseconds
LISTED = (
    "public.test:7", "public4.test:7", "public6.test:7", "*.wild.test:7", "bücher.test:7", "tls.wild.test:443",
    "lan.test:*", "host.test:*", "ula.test:*", "loopback.test:*", "metadata.test:*", "mapped.test:*", "nat64.test:*",
    "sixtofour.test:*", "zero.test:*", "203.0.113.20:7", "[2001:db8:1::20]:7", "192.168.77.10:7", "absent.test:7",
)  # fmt: skip
OPTIONS = [word for one in LISTED for word in ("--allow", one)]
RESET = ("ECONNRESET", "ECONNREFUSED", "EHOSTUNREACH", "EPIPE")
ABSENT = ("gai -2", "gai -5")
WHO = pytest.mark.parametrize("who", users())

REACHED: dict[str, dict[str, Any]] = {
    "a name, IPv4": {"to": "public.test", "name": "4"},
    "a name, IPv6": {"to": "public.test", "name": "6"},
    "a name of IPv6 alone, asked by IPv4": {"to": "public6.test", "name": "4"},
    "a name of IPv4 alone, asked by IPv6": {"to": "public4.test", "name": "6"},
    "a name in capitals": {"to": "PUBLIC.test", "name": "4"},
    "below a wildcard": {"to": "a.wild.test", "name": "4"},
    "far below a wildcard": {"to": "a.b.c.wild.test", "name": "4"},
    "letters beyond ASCII": {"to": "xn--bcher-kva.test", "name": "4"},
    "a listed address": {"to": "203.0.113.20"},
    "a listed IPv6 address": {"to": "2001:db8:1::20"},
}
REFUSED: dict[str, tuple[dict[str, Any], tuple[str, ...]]] = {
    "another port": ({"to": "public.test", "name": "4", "port": 443}, RESET),
    "the wildcard's own name": ({"to": "wild.test", "name": "4"}, ABSENT),
    "another name": ({"to": "many.test", "name": "4"}, ABSENT),
    "another name, IPv6": ({"to": "rebind6.test", "name": "6"}, ABSENT),
    "a name that the host does not know": ({"to": "absent.test", "name": "4"}, ABSENT),
    "a public address": ({"to": names.PUBLIC4}, RESET),
    "a public IPv6 address": ({"to": names.PUBLIC6}, RESET),
    "a listed address on another port": ({"to": "203.0.113.20", "port": 443}, RESET),
    "a listed address in the LAN": ({"to": names.LAN4}, RESET),
    "the LAN": ({"to": "192.168.77.1"}, RESET),
    "the LAN, IPv6": ({"to": names.LAN6}, RESET),
    "the host": ({"to": "198.51.100.2"}, RESET),
    "metadata": ({"to": "169.254.169.254"}, RESET),
    "a mapped address": ({"to": "::ffff:192.168.77.10"}, RESET),
    "the gateway's listener": ({"to": "198.18.0.1", "port": 1}, RESET),
    "the gateway's IPv6 listener": ({"to": "fd00:cb00::1", "port": 1}, RESET),
    "an address that stands for no name": ({"to": "198.18.16.200"}, RESET),
    "the last one of that range": ({"to": "198.19.255.255"}, RESET),
    **{
        f"{name}, IPv{family}": ({"to": name, "name": family}, RESET)
        for name in ("lan.test", "host.test", "ula.test", "loopback.test", "metadata.test", "mapped.test",
                     "nat64.test", "sixtofour.test", "zero.test")
        for family in "46"
    },
}  # fmt: skip
TLS = {"to": "tls.wild.test", "name": "4", "port": 443, "how": "say"}
HELLOS: dict[str, tuple[bytes, bool]] = {
    "its own name": (hello("tls.wild.test"), True),
    "its own name in capitals": (hello("TLS.wild.test"), True),
    "in many records": (in_records(hello("tls.wild.test"), 40), True),
    "another name": (hello("public.test"), False),
    "a name below it": (hello("x.tls.wild.test"), False),
    "no name": (hello(None), False),
    "an encrypted name": (with_ech(hello("tls.wild.test")), False),
    "no TLS": (b"GET / HTTP/1.1\r\nHost: tls.wild.test\r\n\r\n", False),
}


def cases() -> list[dict[str, Any]]:
    made = [{"id": key, "how": "tcp", **case} for key, case in REACHED.items()]
    made += [{"id": key, "how": "tcp", **case} for key, (case, _) in REFUSED.items()]
    made += [{"id": f"hello: {key}", **TLS, "payload": said.hex()} for key, (said, _) in HELLOS.items()]
    made.append({"id": "hello: in pieces", **TLS, "payload": hello("tls.wild.test").hex(), "pieces": 100})
    made += [{"id": f"udp {to}", "how": "udp", "to": to} for to in (names.PUBLIC4, names.PUBLIC6, names.LAN4)]
    made += [{"id": f"dns {kind}", "how": "dns", "to": "198.18.0.1", "type": kind} for kind in (16, 15, 33, 65, 255)]
    return made


@functools.cache
def batch(networks: Networks, who: str) -> tuple[dict[str, dict[str, Any]], list[dict[str, Any]]]:
    """All cases in one sandbox, and what the servers saw of them."""
    networks.world.clear()
    answers = networks.probed(Sandbox("allowlist", "", who), cases(), options=OPTIONS)
    return answers, networks.world.seen()


@functools.cache
def beside(networks: Networks, who: str) -> dict[str, dict[str, Any]]:
    return networks.control(who, [one for one in cases() if one["how"] in ("tcp", "udp", "say")])


@WHO
@pytest.mark.parametrize("key", REACHED)
def test_reached(networks: Networks, who: str, key: str) -> None:
    answers, seen = batch(networks, who)
    assert answers[key]["error"] == "" and answers[key]["answer"].endswith(key)
    assert [entry for entry in seen if entry["data"] == key and entry["where"] == "inet"]


@WHO
@pytest.mark.parametrize("key", REFUSED)
def test_refused(networks: Networks, who: str, key: str) -> None:
    answers, seen = batch(networks, who)
    assert answers[key]["error"] in REFUSED[key][1]
    assert answers[key]["ms"] < QUICK, "refused, not dropped"
    assert [entry for entry in seen if entry["data"] == key] == []


@WHO
def test_the_control_reaches_what_is_refused(networks: Networks, who: str) -> None:
    """The same probes on the world's host: what is refused is there, and answers."""
    answers, own = beside(networks, who), ("198.18.", "198.19.", "fd00:cb00")
    for key, (case, errors) in REFUSED.items():
        ours = case["to"].startswith(own) or case["to"] in ("absent.test",) or "name" in case
        assert ours or answers[key]["error"] == "", key
        assert errors


@WHO
@pytest.mark.parametrize("key", [*HELLOS, "in pieces"])
def test_what_a_tls_client_says_first(networks: Networks, who: str, key: str) -> None:
    """The server's greeting comes at once; what the client says goes on only when it names the host."""
    answers, _ = batch(networks, who)
    answer, passes = answers[f"hello: {key}"], HELLOS.get(key, (b"", True))[1]
    assert (answer["error"] == "" and answer["answer"] == "inet the same") is passes
    assert passes or answer["error"] in RESET


@WHO
def test_no_datagram_leaves_and_no_packet_went_elsewhere(networks: Networks, who: str) -> None:
    answers, seen = batch(networks, who)
    for to in (names.PUBLIC4, names.PUBLIC6, names.LAN4):
        assert answers[f"udp {to}"]["error"] == "EPERM"
        assert beside(networks, who)[f"udp {to}"]["error"] == "", "the control"
    packets = [entry for entry in seen if entry["kind"] == "packet"]
    assert [entry for entry in packets if entry["where"] in ("lan", "bridge", "vpn")] == []
    public = ("203.0.113.", "2001:db8:1:")
    assert [entry for entry in packets if entry["where"] == "inet" and not entry["target"][0].startswith(public)] == []
    assert [entry for entry in packets if entry["where"] == "inet"], "the control: packets are seen"


@WHO
def test_the_hosts_resolver_is_asked_for_listed_names_and_addresses_alone(networks: Networks, who: str) -> None:
    answers, seen = batch(networks, who)
    asked = {entry["data"] for entry in seen if entry["kind"] == "dns"}
    assert asked and not asked & {"many.test", "rebind6.test", "wild.test"}
    for kind in (16, 15, 33, 65, 255):
        assert answers[f"dns {kind}"]["error"] == "" and int(answers[f"dns {kind}"]["answer"]) == 29, "NODATA"
