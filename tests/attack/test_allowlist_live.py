"""Tier allowlist while a session runs: grants, deaths, floods, two sandboxes, a host whose networks change."""

from __future__ import annotations

import json
import os
import signal
import socket
import time
from pathlib import Path
from typing import Any

import pytest

import leak
import names
from capability import needs
from hellos import hello
from networks import Networks, Sandbox, Talk, users
from world import children

pytestmark = [needs("userns", "netns", "bwrap", "git", "nft", "tproxy"), pytest.mark.uid0, pytest.mark.timeout(120)]

WHO = pytest.mark.parametrize("who", users()[:1])
REFUSED = ("ECONNRESET", "ECONNREFUSED", "EPIPE")
NAME = {"how": "tcp", "to": "public.test", "name": "4"}


def options(*allowed: str) -> list[str]:
    return [word for one in allowed for word in ("--allow", one)]


def box(who: str) -> Sandbox:
    return Sandbox("allowlist", "", who)


def launcher(talk: Talk) -> int:
    """The launcher of a sandbox: nsenter's child."""
    return children(talk.process.pid)[0]


def gateway(talk: Talk) -> int:
    """The fork of the launcher that serves."""
    pid = launcher(talk)
    mine = Path(f"/proc/{pid}/cmdline").read_bytes()
    until = time.monotonic() + 5
    while time.monotonic() < until:  # the fork that made its sockets may be there for a moment, too
        found = [one for one in children(pid) if Path(f"/proc/{one}/cmdline").read_bytes() == mine]
        if len(found) == 1:
            return found[0]
    raise AssertionError(f"forks of the launcher: {found}")


def order(networks: Networks, **words: Any) -> dict[str, Any]:
    """A line to the control socket of the one session that runs."""
    (path,) = networks.box(box(users()[0])).state.glob("instances/*/network/*.sock")
    assert path.stat().st_mode & 0o777 == 0o600
    with socket.socket(socket.AF_UNIX) as sock:
        here = os.open(path.parent, os.O_PATH)
        sock.connect(f"/proc/self/fd/{here}/{path.name}")
        os.close(here)
        sock.sendall(json.dumps(words).encode() + b"\n")
        return dict(json.loads(sock.makefile().readline()))


def rule(what: str, *ports: int) -> dict[str, Any]:
    return {"what": what, "ports": list(ports)}


@WHO
def test_a_grant_and_its_end(networks: Networks, who: str) -> None:
    with networks.talk(box(who), options=options("public.test:7")) as talk:
        assert talk.error("tcp", "public4.test", name="4").startswith("gai")
        assert order(networks, do="allow", rule=rule("public4.test", 7)) == {"ok": True}
        assert talk.error("tcp", "public4.test", name="4") == ""
        assert talk.ask(how="hold", to="203.0.113.20", name="other")["error"] in REFUSED
        assert order(networks, do="allow", rule=rule("203.0.113.20", 7))["ok"]
        assert talk.error("hold", "203.0.113.20", name="held") == ""
        assert talk.error("use", "", name="held") == "", "the control"
        assert order(networks, do="deny", rule=rule("203.0.113.20", 7))["ok"]
        assert talk.error("use", "", name="held") in REFUSED
        assert talk.error("tcp", "203.0.113.20") in REFUSED
        assert order(networks, do="deny", rule=rule("public4.test", 7))["ok"]
        assert talk.error("tcp", "public4.test", name="4").startswith("gai")
        assert talk.error(**NAME) == ""
        assert talk.end()[0] == 0


@WHO
@pytest.mark.parametrize(
    "line", ["", "{", "[]", '{"do": "allow"}', '{"do": "publish"}', '{"do": "state"', "7", '"\\ud800"']
)
def test_a_line_that_says_nothing(networks: Networks, who: str, line: str) -> None:
    with networks.talk(box(who), options=options("public.test:7")) as talk:
        (path,) = networks.box(box(who)).state.glob("instances/*/network/*.sock")
        with socket.socket(socket.AF_UNIX) as sock:
            here = os.open(path.parent, os.O_PATH)
            sock.connect(f"/proc/self/fd/{here}/{path.name}")
            os.close(here)
            sock.sendall(line.encode() + b"\n")
            assert json.loads(sock.makefile().readline())["ok"] is False
        assert order(networks, do="state")["ok"] is True
        assert talk.error(**NAME) == ""


@WHO
def test_a_gateway_that_dies_is_started_once(networks: Networks, who: str) -> None:
    with networks.talk(box(who), options=options("public.test:7", "*.wild.test:7")) as talk:
        addresses = {
            name: talk.ask(how="resolve", to=name, name="4")["answer"] for name in ("a.wild.test", "public.test")
        }
        assert talk.error("hold", addresses["public.test"], name="held") == ""
        before = gateway(talk)
        os.kill(before, signal.SIGKILL)
        assert talk.error("use", "", name="held") in REFUSED
        talk.until([""], "tcp", addresses["a.wild.test"], within=5.0)
        assert gateway(talk) != before
        again = {name: talk.ask(how="resolve", to=name, name="4")["answer"] for name in reversed(addresses)}
        assert again == addresses, "the same names at the same addresses"
        os.kill(gateway(talk), signal.SIGKILL)
        talk.until(REFUSED, "tcp", addresses["public.test"], within=5.0)
        status, said = talk.end()
    assert status == 0
    assert "was started again with the same names" in said and "the gateway ended again" in said


@WHO
def test_nothing_is_left_of_a_launcher_that_is_killed(networks: Networks, who: str) -> None:
    with leak.checked(), networks.talk(box(who), options=options("public.test:7")) as talk:
        assert talk.error(**NAME) == ""
        os.kill(launcher(talk), signal.SIGKILL)


@WHO
def test_two_sandboxes_have_a_list_each(networks: Networks, who: str) -> None:
    with (
        networks.talk(box(who), options=[*options("public4.test:7"), "--force"]) as one,
        networks.talk(box(who), options=[*options("public6.test:7"), "--force"]) as other,
    ):
        assert one.error("tcp", "public4.test", name="4") == other.error("tcp", "public6.test", name="4") == ""
        assert one.error("tcp", "public6.test", name="4").startswith("gai")
        assert other.error("tcp", "public4.test", name="4").startswith("gai")


@WHO
def test_a_network_that_becomes_the_hosts_own(networks: Networks, who: str) -> None:
    """What is on the host's link from now on is refused, and what stands there ends."""
    world = networks.world
    with networks.talk(box(who), options=options("public4.test:7", "203.0.113.20:7")) as talk:
        assert talk.error("hold", "203.0.113.20", name="held") == ""
        assert talk.error("tcp", "public4.test", name="4") == ""
        world.ip("addr add 203.0.113.1/24 dev docker0\n")
        try:
            assert talk.error("tcp", "public4.test", name="4") in REFUSED
            assert talk.error("use", "", name="held") in REFUSED
        finally:
            world.ip("addr del 203.0.113.1/24 dev docker0\n")
        assert talk.error("tcp", "public4.test", name="4") == ""


@WHO
def test_a_name_that_turns_to_the_lan(networks: Networks, who: str) -> None:
    """The address that was judged is the one that is dialled: 40 turns, none of them arrives in the LAN."""
    networks.world.clear()
    for _ in range(2):
        with networks.talk(box(who), options=options("rebind.test:7")) as talk:
            errors = [talk.error("tcp", "rebind.test", name="4") for _ in range(20)]
        assert set(errors) <= {"", *REFUSED}
    assert [entry for entry in networks.world.seen("lan") if entry["kind"] in ("tcp", "data")] == []


FLOOD = """
import os, socket, struct, time
kind, target = {kind!r}, ("198.18.0.1", 53)
if kind == "datagrams":
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    for _ in range(20000):
        sock.sendto(os.urandom(40), target)
if kind == "literals":
    for n in range(5000):
        with socket.socket() as sock:
            sock.setblocking(False)
            sock.connect_ex(("203.0.113.%d" % (n % 200 + 1), 81))
if kind == "streams":
    held = [socket.create_connection(target) for _ in range(60)]
    for sock in held:
        try: sock.send(b"\\xff\\xff" + bytes(100))
        except OSError: pass
if kind == "connections":
    import resource
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 4000), hard))
    held = []
    for _ in range(min(hard, 4000) - 50):
        sock = socket.socket(); sock.settimeout(5)
        try: sock.connect((ADDRESS, 7)); held.append(sock)
        except OSError: pass
    for sock in held: sock.close()
    until = time.monotonic() + 10
    while time.monotonic() < until:  # it has heard of all ends when one more is let in
        try:
            if socket.create_connection((ADDRESS, 7), 5).recv(9): break
        except OSError: pass
if kind == "names":
    for n in range(5000):
        try: socket.getaddrinfo("n%d.wild.test" % n, 7, socket.AF_INET)
        except OSError: pass
print("done", flush=True)
"""


@WHO
@pytest.mark.parametrize("kind", ["datagrams", "literals", "streams", "connections"])
def test_a_flood_leaves_the_gateway_in_order(networks: Networks, who: str, kind: str) -> None:
    text = FLOOD.format(kind=kind).replace("ADDRESS", "socket.gethostbyname('public4.test')")
    after = "import subprocess,sys; sys.exit(subprocess.run([sys.executable,'-I','probe.py','-'],stdin=0).returncode)"
    done = networks.launch(
        box(who), "/usr/bin/python3", "-I", "-c", text + after, options=options("public4.test:7"),
        input=json.dumps([{"id": "after", "how": "tcp", "to": "public4.test", "name": "4", "patience": 5}]),
    )  # fmt: skip
    assert done.status == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1])["error"] == ""
    logs = sorted(networks.box(box(who)).state.glob("instances/*/network/*.log"), key=lambda path: path.stat().st_mtime)
    assert len(logs) <= 12 and logs[-1].stat().st_size < 9 << 20


@WHO
def test_a_slow_hello_is_given_up(networks: Networks, who: str) -> None:
    """A client that says half of a hello and waits is reset after ten seconds, and holds nobody else up."""
    half = hello("tls.wild.test")[:50].hex()
    with networks.talk(box(who), options=options("tls.wild.test:443")) as talk:
        began = time.monotonic()
        answer = talk.ask(how="say", to="tls.wild.test", name="4", port=443, payload=half, patience=20)
        assert answer["error"] in REFUSED and 9 < time.monotonic() - began < 13
        whole = talk.ask(how="say", to="tls.wild.test", name="4", port=443, payload=hello("tls.wild.test").hex())
        assert whole["answer"] == "inet the same"


@WHO
def test_what_came_from_inside_is_escaped(networks: Networks, who: str) -> None:
    """The log is JSON whatever a name says; what is said at the end obeys no terminal."""
    done = networks.launch(
        box(who), "/usr/bin/python3", "-I", "-c",
        "import socket\nfor n in ('a\\x1b[2Jb.test', 'x' * 63 + '.test'):\n"
        " try: socket.getaddrinfo(n, 7)\n except Exception: pass\n",
        options=options("public.test:7"),
    )  # fmt: skip
    assert "\x1b" not in done.stderr
    logs = sorted(networks.box(box(who)).state.glob("instances/*/network/*.log"), key=lambda path: path.stat().st_mtime)
    for line in logs[-1].read_text().splitlines():
        json.loads(line)


def test_the_test_internet_has_what_is_refused() -> None:
    assert names.ZONE["public4.test"] == (names.PUBLIC4,)
