"""Destination x protocol x family x backend x tier x user: one launch for each sandbox, one row for each probe.

Every refused row has its control (the same probe on the world's host is answered), fails at once with the errno
of its kind, and no server and no link has seen it.
"""

from __future__ import annotations

from typing import Any

import pytest

import destinations
import names
from capability import needs
from destinations import NAMES, OWN, PRIVATE, PUBLIC, QUICK, Destination
from networks import Networks, Sandbox, sandboxes

pytestmark = [needs("userns", "netns", "bwrap", "git"), pytest.mark.uid0, pytest.mark.batched]


def rows(which: tuple[Destination, ...]) -> list[Any]:
    return [pytest.param(row, how, id=f"{row.name}/{how}") for row, how in destinations.pairs(which)]


def arrived(seen: list[dict[str, Any]], row: Destination, how: str) -> list[dict[str, Any]]:
    """What of the log belongs to a row: its word, or anything to its address by its protocol on a watched link."""
    number = {"tcp": 6, "udp": 17, "icmp": 58 if row.family == 6 else 1}[how.partition("-")[0]]
    to = row.to.removeprefix("::ffff:") if row.family == 4 else row.to
    return [
        entry
        for entry in seen
        if f"{row.name}/{how}" in entry["data"]
        or (entry["kind"] == "packet" and entry["target"] == [to, number] and row.where != "host")
    ]


@pytest.mark.parametrize(("row", "how"), rows(PRIVATE))
@pytest.mark.parametrize("one", sandboxes("internet-only"))
def test_refused(networks: Networks, one: Sandbox, row: Destination, how: str) -> None:
    key = f"{row.name}/{how}"
    answers, seen = networks.batch(one)
    assert networks.beside(one.who)[key]["error"] == "", "the control"
    assert answers[key]["error"] in destinations.refusal(row, how)
    assert answers[key]["ms"] < QUICK, "refused, not dropped"
    assert arrived(seen, row, how) == []


@pytest.mark.parametrize(("row", "how"), rows(PUBLIC))
@pytest.mark.parametrize("one", sandboxes("internet-only"))
def test_public(networks: Networks, one: Sandbox, row: Destination, how: str) -> None:
    answers, seen = networks.batch(one)
    key = f"{row.name}/{how}"
    if one.backend == "slirp4netns" and row.family == 6 and how == "icmp":
        assert answers[key]["error"] != "", "it carries no ping of IPv6, as docs/network.md says"
        return
    assert answers[key]["error"] == ""
    assert key in answers[key]["answer"]
    assert arrived(seen, row, how)


@pytest.mark.parametrize(("row", "how"), rows(OWN))
@pytest.mark.parametrize("one", sandboxes("internet-only", "offline"))
def test_loopback_is_the_sandboxes_own(networks: Networks, one: Sandbox, row: Destination, how: str) -> None:
    answers, seen = networks.batch(one)
    key = f"{row.name}/{how}"
    assert networks.beside(one.who)[key]["error"] == "", "the control"
    assert answers[key]["error"] == "ECONNREFUSED", "nobody listens there"
    assert answers[key]["ms"] < QUICK
    assert [entry for entry in seen if key in entry["data"]] == []


@pytest.mark.parametrize(("name", "family"), destinations.named_pairs())
@pytest.mark.parametrize("one", sandboxes("internet-only"))
def test_by_name(networks: Networks, one: Sandbox, name: str, family: str) -> None:
    """A name resolves, whatever it resolves to; what is refused is the connection."""
    answers, seen = networks.batch(one)
    key = f"{name} by IPv{family}"
    assert networks.beside(one.who)[key]["error"] == "", "the control"
    assert [entry for entry in seen if entry["kind"] == "dns" and entry["data"] == name]
    assert answers[key]["error"] in (("",) if NAMES[name] else ("ECONNREFUSED",))
    assert bool([entry for entry in seen if key in entry["data"]]) is NAMES[name]


@pytest.mark.parametrize("one", sandboxes("internet-only"))
def test_no_packet_went_elsewhere(networks: Networks, one: Sandbox) -> None:
    """Whatever the probes tried, on the links of LAN, bridge and tunnel there was nothing, and on the uplink
    only what belongs to public addresses."""
    _, seen = networks.batch(one)
    packets = [entry for entry in seen if entry["kind"] == "packet"]
    assert [entry for entry in packets if entry["where"] in ("lan", "bridge", "vpn")] == []
    public = ("203.0.113.", "2001:db8:1:")
    assert [entry for entry in packets if entry["where"] == "inet" and not entry["target"][0].startswith(public)] == []
    assert [entry for entry in packets if entry["where"] == "inet"], "the control: packets are seen"
    loopback = [entry for entry in packets if entry["where"] == "host" and entry["target"][1] in (6, 17)]
    assert {entry["target"][0] for entry in loopback} <= {"127.0.0.53", "127.0.0.1"}, "the resolver, and its answers"


@pytest.mark.parametrize(("row", "how"), rows((*PRIVATE, *PUBLIC)))
@pytest.mark.parametrize("one", sandboxes("offline"))
def test_offline(networks: Networks, one: Sandbox, row: Destination, how: str) -> None:
    answers, seen = networks.batch(one)
    key = f"{row.name}/{how}"
    if row.scope[1]:
        assert answers[key]["error"] == "no interface with this name"
    else:
        assert answers[key]["error"] in ("ENETUNREACH", *(("EACCES",) if how == "icmp" else ())), (
            "no ping socket either"
        )
    assert answers[key]["ms"] < QUICK
    assert arrived(seen, row, how) == []


@pytest.mark.parametrize(("name", "family"), destinations.named_pairs())
@pytest.mark.parametrize("one", sandboxes("offline"))
def test_offline_has_no_names(networks: Networks, one: Sandbox, name: str, family: str) -> None:
    answers, seen = networks.batch(one)
    assert answers[f"{name} by IPv{family}"]["error"].startswith("gai")
    assert [entry for entry in seen if entry["kind"] == "dns"] == []


@pytest.mark.parametrize(("row", "how"), rows((*PRIVATE, *PUBLIC, *OWN)))
@pytest.mark.parametrize("one", sandboxes("full"))
def test_full(networks: Networks, one: Sandbox, row: Destination, how: str) -> None:
    """What the host reaches: the control of the whole matrix, in a sandbox."""
    answers, seen = networks.batch(one)
    key = f"{row.name}/{how}"
    assert answers[key]["error"] == ""
    assert [entry for entry in seen if key in entry["data"]]


def test_the_matrix_is_as_large_as_it_must_be() -> None:
    assert len(rows(PRIVATE)) >= 100
    assert {row.family for row in PRIVATE} == {4, 6} and len(names.ZONE) >= len(NAMES)
