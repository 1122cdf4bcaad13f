"""Other ways past the rules than by plainly dialling: names, options, sockets, the backend. Each with its control."""

from __future__ import annotations

import itertools
import json
import os
import socket
import struct
from typing import Any

import pytest

import names
from capability import needs
from destinations import BROADCAST
from networks import PROBE, PYTHON, Networks, Sandbox, sandboxes
from unfiltered import unfiltered

pytestmark = [needs("userns", "netns", "bwrap", "git"), pytest.mark.uid0]
every_backend = pytest.mark.parametrize("one", sandboxes("internet-only"))
LAN4, LAN6 = names.LAN4, names.LAN6


def refused(answers: dict[str, dict[str, Any]], *allowed: str, slow: tuple[str, ...] = ()) -> None:
    """All of them failed at once. allowed: errors beside those of a refusal; slow: those whose refusal the kernel
    tells late or never, because the packet that it would answer is none that it understands."""
    errors = {key: (result["error"], 0 if key in slow else result["ms"]) for key, result in answers.items()}
    known = ("ECONNREFUSED", "EPERM", "EACCES", "ENETUNREACH", *allowed)
    assert {key: value for key, value in errors.items() if value[0] not in known or value[1] > 100} == {}


def nowhere(networks: Networks) -> None:
    """Nothing went to LAN, bridge or tunnel, and nothing to the host's servers."""
    assert networks.world.seen("lan", "bridge", "vpn") == []
    assert [e for e in networks.world.seen("host") if e["kind"] not in ("dns", "packet")] == []


# --- names -----------------------------------------------------------------------------------------


@every_backend
@pytest.mark.parametrize(("name", "family"), [("rebind.test", "4"), ("rebind6.test", "6")])
def test_a_name_that_changes_its_answer(networks: Networks, one: Sandbox, name: str, family: str) -> None:
    cases = [{"id": f"turn {n}", "how": "tcp", "to": name, "name": family} for n in (1, 2, 3)]
    networks.world.clear()
    answers = networks.probed(one, cases)
    assert [answers[f"turn {n}"]["error"] for n in (1, 3)] == ["", ""]
    refused({"2": answers["turn 2"]})
    assert networks.world.seen("lan") == []
    networks.world.clear()
    assert [result["error"] for result in networks.control(one.who, cases).values()] == ["", "", ""], "the control"
    assert networks.world.seen("lan")


@every_backend
def test_other_resolvers(networks: Networks, one: Sandbox) -> None:
    """A resolver of the LAN, the host or the provider is none of the sandbox's; a public one is a public host."""
    blocked = (LAN4, LAN6, "fd77::10", "192.168.77.1", "198.51.100.2", "198.51.100.1", "2001:db8:0:1::1", "172.17.0.1")
    private = [{"id": f"{to} {how}", "how": how, "to": to} for to in blocked for how in ("dns", "dns-tcp")]
    public = [
        {"id": f"{to} {how}", "how": how, "to": to}
        for to in ("203.0.113.53", "2001:db8:1::53")
        for how in ("dns", "dns-tcp")
    ]
    networks.world.clear()
    answers = networks.probed(one, private + public)
    refused({case["id"]: answers[case["id"]] for case in private})
    assert [answers[case["id"]]["error"] for case in public] == [""] * 4
    nowhere(networks)
    assert [r["error"] for r in networks.control(one.who, private).values()] == [""] * len(private), "the control"


@every_backend
def test_an_answer_too_large_for_a_datagram(networks: Networks, one: Sandbox) -> None:
    found = networks.probed(one, [{"id": "many", "how": "resolve", "to": "many.test", "name": "4"}])["many"]
    if one.backend == "pasta" and found["answer"].startswith("gai"):
        return  # one of 2023 forwards no DNS over TCP, as docs/network.md says
    assert len(found["answer"].split()) == 120


# --- socket options, other protocols ---------------------------------------------------------------

LSRR = bytes([131, 7, 4])
ROUTE4 = {
    "loose, by the LAN": (names.PUBLIC4, LSRR + socket.inet_aton(LAN4) + b"\0"),
    "loose, to the LAN": (LAN4, LSRR + socket.inet_aton(names.PUBLIC4) + b"\0"),
    "strict, by the LAN": (names.PUBLIC4, b"\x89" + LSRR[1:] + socket.inet_aton(LAN4) + b"\0"),
}


def routed6(by: str) -> str:
    """A segment routing header, the one that needs no privilege: by one address, then to the destination."""
    return (struct.pack("=BBBBBBH", 0, 4, 4, 1, 1, 0, 0) + bytes(16) + socket.inet_pton(socket.AF_INET6, by)).hex()


@every_backend
def test_source_routes(networks: Networks, one: Sandbox) -> None:
    cases = [
        {"id": f"{name} {how}", "how": how, "to": to, "options": [[socket.IPPROTO_IP, 4, value.hex()]]}
        for (name, (to, value)), how in itertools.product(ROUTE4.items(), ("udp", "tcp"))
    ] + [
        {"id": f"{name} {how}", "how": how, "to": to, "options": [[socket.IPPROTO_IPV6, 57, routed6(by)]]}
        for (name, to, by), how in itertools.product(
            (("6, by the LAN", names.PUBLIC6, LAN6), ("6, to the LAN", LAN6, names.PUBLIC6)), ("udp", "tcp")
        )
    ]
    networks.world.clear()
    routed = tuple(case["id"] for case in cases if case["id"].startswith("6") and case["how"] == "tcp")
    answers = networks.probed(one, [{**case, "patience": 0.2} for case in cases])
    refused(answers, "timeout", slow=routed)
    nowhere(networks)
    assert networks.world.seen("inet", kind="packet") == []
    networks.control("root", [{**case, "patience": 0.1} for case in cases])  # of IPv4 they need a privilege
    seen = networks.world.seen("lan", "inet", kind="packet")
    assert {e["target"][0] for e in seen} >= {LAN4, names.PUBLIC4, LAN6, names.PUBLIC6}, "the control"


@every_backend
def test_options_and_protocols_that_change_the_way(networks: Networks, one: Sandbox) -> None:
    plain = [
        {"id": "fast open", "how": "tcp", "to": LAN4, "fast_open": True},
        {"id": "fast open 6", "how": "tcp", "to": LAN6, "fast_open": True},
        {"id": "fragments", "how": "udp", "to": LAN4, "padding": 65480},
        {"id": "fragments 6", "how": "udp", "to": LAN6, "padding": 65470},
        {"id": "no MTU discovery", "how": "udp", "to": LAN4, "padding": 65480, "options": [[0, 10, 0]]},
        {"id": "TTL 1", "how": "udp", "to": "198.51.100.1", "options": [[0, 2, 1]]},
        {"id": "source port 53", "how": "udp", "to": LAN4, "source": ["0.0.0.0", 5353]},
        {"id": "freebind", "how": "tcp", "to": LAN4, "options": [[0, 15, 1]], "source": ["192.168.77.5", 0]},
    ]
    others = [
        {"id": "MPTCP", "how": "tcp", "to": LAN4, "protocol": 262},
        {"id": "MPTCP 6", "how": "tcp", "to": LAN6, "protocol": 262},
        {"id": "UDP-Lite", "how": "udp", "to": LAN4, "protocol": 136},
        {"id": "SCTP", "how": "tcp", "to": LAN4, "protocol": 132},
        {"id": "mark", "how": "tcp", "to": LAN4, "options": [[1, 36, 1]]},
        {"id": "transparent", "how": "tcp", "to": LAN4, "options": [[0, 19, 1]]},
    ]
    networks.world.clear()
    answers = networks.probed(one, plain + others)
    refused(answers, "EPROTONOSUPPORT", "ESOCKTNOSUPPORT", "EADDRNOTAVAIL", "EAFNOSUPPORT", slow=("MPTCP",))
    nowhere(networks)
    networks.control(one.who, [{**case, "patience": 0.2} for case in plain])
    seen = [entry["data"] for entry in networks.world.seen("lan", "inet")]
    lost = [case["id"] for case in plain if not any(case["id"] in data for data in seen)]
    assert lost == ["freebind"], "the control: all others arrive"


@every_backend
def test_raw_sockets_cannot_be_had(networks: Networks, one: Sandbox) -> None:
    kinds = {
        "packet": (socket.AF_PACKET, socket.SOCK_DGRAM, 0x0300),
        "packet, raw": (socket.AF_PACKET, socket.SOCK_RAW, 0x0300),
        "raw": (socket.AF_INET, socket.SOCK_RAW, 255),
        "raw ICMP": (socket.AF_INET, socket.SOCK_RAW, 1),
        "raw TCP": (socket.AF_INET, socket.SOCK_RAW, 6),
        "raw 6": (socket.AF_INET6, socket.SOCK_RAW, 58),
    }
    cases = [{"id": n, "how": "opened", "family": f, "type": t, "protocol": p} for n, (f, t, p) in kinds.items()]
    refused(networks.probed(one, cases), "EAFNOSUPPORT")
    assert [r["error"] for r in networks.control("root", cases).values()] == [""] * len(cases), "the control"


@every_backend
def test_loopback_addresses_by_the_interface(networks: Networks, one: Sandbox) -> None:
    """A socket bound to tap0 sends packets for 127.0.0.1 out, and a backend hands them to the host: pasta whatever
    it is told, slirp4netns where it is not told to keep out."""
    addresses = ("127.0.0.1", "127.0.0.53", "127.8.8.8", "::1", "::ffff:127.0.0.1")
    cases = [
        {"id": f"{to} {how}", "how": how, "to": to, "device": "tap0"}
        for to in addresses
        for how in ("tcp", "udp", "udp-connected", "dns", "icmp")
        if not (how == "icmp" and "ffff" in to)
    ]
    networks.world.clear()
    with unfiltered(networks.world, one.backend, host_loopback=True) as control:
        control.probed([{**case, "patience": 0.1} for case in cases if case["how"] == "udp"])
    assert networks.world.seen("host", kind="udp"), "the control: without rules it reaches the host"
    networks.world.clear()
    answers = networks.probed(one, cases)
    refused(answers, "EINVAL")
    assert networks.world.seen("host") == []


# --- the backend's own -----------------------------------------------------------------------------

# A DHCPDISCOVER that asks for a broadcast: fixed part, magic cookie, option 53, end, and room up to the old size.
DHCP = struct.pack(">4BIHH16s6s202x4s4s308x", 1, 1, 6, 0, 7, 0, 0x8000, bytes(16), b"\2claud", b"c\x82Sc", b"5\1\1\xff")
TFTP = (b"\0\1" + b"passwd\0octet\0").hex()
OWN = ("10.0.2.2", "10.0.2.3", "10.0.2.1", "10.0.2.4", "10.0.2.255", "fd00::2", "fd00::3", "fd00::1", "fd00::99")


@every_backend
def test_the_backends_own_services(networks: Networks, one: Sandbox) -> None:
    cases = [{"id": f"{to} TFTP", "how": "udp", "to": to, "port": 69, "payload": TFTP} for to in OWN]
    cases += [
        {"id": f"{to} {how} {port}", "how": how, "to": to, "port": port}
        for to in OWN
        for how, port in (("udp", 67), ("udp", 547), ("udp", 7), ("tcp", 7), ("tcp", 69), ("tcp", 443), ("tcp", 853))
    ]
    cases += [{"id": f"{to} dns", "how": "dns", "to": to} for to in OWN if not to.endswith(("2.3", "::3"))]
    leases = [
        {"id": f"{to} DHCP", "how": "udp", "to": to, "port": 67, "payload": DHCP.hex(), "options": [list(BROADCAST)]}
        for to in ("10.0.2.2", "255.255.255.255")
    ]
    networks.world.clear()
    answers = networks.probed(one, [{**case, "options": [list(BROADCAST)]} for case in (*cases, *leases)])
    refused(answers)
    if one.backend == "slirp4netns":
        tried = [case for case in cases if "TFTP" in case["id"]]
        tried += [{**case, "source": ["0.0.0.0", 68]} for case in leases]  # where the answer goes
        with unfiltered(networks.world, one.backend) as control:
            found = control.probed([{**case, "patience": 0.2} for case in tried])
        wanted = ("10.0.2.2 TFTP", *(case["id"] for case in leases))
        assert [found[key]["error"] for key in wanted] == [""] * 3, "the control"


@every_backend
def test_the_link_itself(networks: Networks, one: Sandbox) -> None:
    """Link-local and group addresses of the interface, the gateway's own."""
    cases = [
        {"id": f"{to} {how}", "how": how, "to": to, "scope": "tap0"}
        for to in ("fe80::1", "fe80::2", "ff02::1", "ff02::2", "ff02::fb")
        for how in ("udp", *(("tcp", "icmp") if to.startswith("fe80") else ()))
    ]
    cases += [{"id": f"{to} udp", "how": "udp", "to": to} for to in ("224.0.0.1", "224.0.0.251", "239.255.255.250")]
    networks.world.clear()
    refused(networks.probed(one, cases))
    nowhere(networks)


# --- from outside ----------------------------------------------------------------------------------


def injected(networks: Networks, process: Any) -> list[str]:
    """What a listening UDP socket in there gets of what the world sends to its port on the host."""
    assert process.stdout is not None and process.stdin is not None

    def said() -> str:
        return str(json.loads(process.stdout.readline())["data"])

    assert "opened" in said()
    (entry,) = networks.world.seen("inet", kind="udp", data="opened")
    port = entry["source"][1]
    for where, address in (("inet", "198.51.100.2"), ("lan", "192.168.77.1"), ("lan", "198.51.100.2")):
        assert networks.world.send(where, address, port, f"from {where}") == ""
    for address in ("127.0.0.1", "198.51.100.2", "192.168.77.1"):
        networks.world.send("host", address, port, "from host")
    os.write(process.stdin.fileno(), b"after it")
    got = []
    while "after it" not in (data := said()):
        got.append(data)
    return got


@every_backend
def test_datagrams_from_outside(networks: Networks, one: Sandbox) -> None:
    networks.world.clear()
    with unfiltered(networks.world, one.backend) as control, control.start("listen", names.PUBLIC4, "7") as process:
        assert injected(networks, process), "the control: without rules the socket is open to everybody"
        assert process.stdin is not None
        process.stdin.close()
    networks.world.clear()
    command = (PYTHON, "-I", PROBE.name, "listen", names.PUBLIC4, "7")
    with networks.start(one, *command, stdin=-1) as launcher:
        assert injected(networks, launcher) == []
        assert launcher.stdin is not None
        launcher.stdin.close()
        assert launcher.wait(20) == 0
