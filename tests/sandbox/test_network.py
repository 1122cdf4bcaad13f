"""Tier internet-only as it runs: what it follows, what it survives, what stops it. In the test internet."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import leak
from capability import needs
from networks import PYTHON, Networks, Sandbox, sandboxes
from world import World
from worldnet import RESOLVERS

pytestmark = [needs("userns", "netns", "bwrap", "git"), pytest.mark.uid0]
BACKENDS = ("slirp4netns", "pasta")
EACH = pytest.mark.parametrize("one", sandboxes("internet-only", backends=BACKENDS))
PUBLIC, ANOTHER = "203.0.113.10", "203.0.113.77"
PATIENCE = 5.0
FOLLOWED = 1.0  # seconds until a network of the host is refused
ASKED = """
import json, socket, sys
held = {}
print("up", flush=True)
for line in sys.stdin:
    what, address = line.split()
    try:
        if what == "hold":
            held[address] = socket.create_connection((address, 7), 2)
            held[address].recv(100)
        elif what == "use":
            held[address].settimeout(0.5)
            held[address].sendall(b"x")
            held[address].recv(100)
        elif what == "name":
            socket.getaddrinfo(address, 7, socket.AF_INET)
        else:
            socket.create_connection((address, 7), 2).close()
        error = ""
    except TimeoutError:
        error = "timeout"
    except OSError as problem:
        error = problem.strerror
    print(json.dumps(error), flush=True)
"""


class Asked:
    """A program in a sandbox that dials what it is told."""

    def __init__(self, networks: Networks, one: Sandbox, **more: Any) -> None:
        self.process = networks.start(one, PYTHON, "-c", ASKED, stdin=subprocess.PIPE, text=True, **more)

    def __enter__(self) -> Asked:
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == "up\n", self.process.stderr and self.process.stderr.read()
        return self

    def __call__(self, what: str, address: str) -> str:
        """Dial, hold a connection, or use it: "" or what went wrong."""
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.stdin.write(f"{what} {address}\n")
        self.process.stdin.flush()
        return str(json.loads(self.process.stdout.readline()))

    def until(self, address: str, error: str, patience: float = PATIENCE, what: str = "dial") -> None:
        """Dial until it goes so."""
        deadline = time.monotonic() + patience
        while (found := self(what, address)) != error:
            assert time.monotonic() < deadline, f"{address}: {found!r}, not {error!r}"

    def end(self) -> str:
        """End of its input; what was said on stderr."""
        _, errors = self.process.communicate(timeout=20)
        assert self.process.returncode == 0, errors
        return str(errors)

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.terminate()
            self.process.communicate(timeout=20)


def recorded(networks: Networks, one: Sandbox, message: str) -> None:
    """Wait until the session's record has a message."""
    deadline = time.monotonic() + PATIENCE
    while not any(message in path.read_text() for path in networks.box(one).state.glob("instances/*/sessions/*.json")):
        assert time.monotonic() < deadline, f"nothing said: {message}"
        time.sleep(0.02)


def backend_of(name: str) -> int:
    """The running backend of our only sandbox."""
    found = [pid for pid in leak.descendants() if Path(f"/proc/{pid}/comm").read_text().strip() in (name, "passt.avx2")]
    assert len(found) == 1, list(map(leak.describe, found))
    return found[0]


@pytest.fixture
def route(networks: Networks) -> Iterator[None]:
    yield
    for line in (f"route del {ANOTHER}/32", f"addr del {ANOTHER}/32 dev lan0"):
        try:
            networks.world.ip(line + "\n")
        except AssertionError:
            pass  # it is not there


@EACH
@pytest.mark.parametrize("line", [f"route add {ANOTHER}/32 via 192.168.77.10", f"addr add {ANOTHER}/32 dev lan0"])
@pytest.mark.usefixtures("route")
def test_a_network_that_appears_is_refused(networks: Networks, one: Sandbox, line: str) -> None:
    with Asked(networks, one) as ask:
        assert ask("dial", ANOTHER) == ask("dial", PUBLIC) == "", "the control"
        networks.world.ip(line + "\n")
        ask.until(ANOTHER, "Connection refused", FOLLOWED)
        assert ask("dial", PUBLIC) == "", "only that"
        networks.world.ip(line.replace(" add ", " del ") + "\n")
        ask.until(ANOTHER, "", FOLLOWED)
        said = [line for line in ask.end().splitlines() if "processes is not bounded" not in line]  # of uid 0 alone
        assert said == []


@EACH
@pytest.mark.usefixtures("route")
def test_a_connection_that_stands_is_cut(networks: Networks, one: Sandbox) -> None:
    with Asked(networks, one) as ask:
        assert ask("hold", ANOTHER) == ask("use", ANOTHER) == ask("hold", PUBLIC) == ""
        networks.world.ip(f"addr add {ANOTHER}/32 dev lan0\n")
        ask.until(ANOTHER, "Connection refused", FOLLOWED)
        assert ask("use", ANOTHER) != ""
        assert ask("use", PUBLIC) == "", "the control"


@EACH
def test_a_backend_that_dies_is_started_once_more(networks: Networks, one: Sandbox) -> None:
    with Asked(networks, one) as ask:
        assert ask("dial", PUBLIC) == ""
        os.kill(backend_of(one.backend), signal.SIGKILL)
        ask.until(PUBLIC, "")
        assert ask("dial", "192.168.77.10") == "Connection refused", "the rules stand"
        os.kill(backend_of(one.backend), signal.SIGKILL)
        ask.until(PUBLIC, "Network is unreachable")
        recorded(networks, one, "has no network from now on")
        said = ask.end()
    assert said.count(one.backend) == 2
    assert "started again, under the same rules" in said and "has no network from now on" in said


@EACH
def test_nobody_waits_for_the_end_of_the_interface(networks: Networks, one: Sandbox) -> None:
    """It is persistent: otherwise the backend's end takes the kernel 15 ms, and so does the launcher's."""
    done = networks.launch(one, "sh", "-c", "PATH=/usr/sbin:/sbin:$PATH ip -d link show tap0")
    assert done.status == 0 and "persist on" in done.stdout, done.stdout + done.stderr


@EACH
def test_without_a_way_out_the_session_starts(networks: Networks, one: Sandbox) -> None:
    world = networks.world
    world.ip("route del default\n")
    world.ip("route del default\n", family=6)
    try:
        with Asked(networks, one) as ask:
            assert ask("dial", PUBLIC) != ""
            world.ip("route add default via 198.51.100.1 dev up0\n")
            ask.until(PUBLIC, "")
            assert "no way to the internet now" in ask.end()
    finally:
        world.ip("route replace default via 198.51.100.1 dev up0\n")
        world.ip("route replace default via 2001:db8:0:1::1 dev up0\n", family=6)


@EACH
def test_no_device_no_launch(networks: Networks, one: Sandbox) -> None:
    networks.world.root("mount", "-t", "tmpfs", "none", "/dev/net")
    try:
        done = networks.launch(one, "true")
    finally:
        networks.world.root("umount", "/dev/net")
    assert (done.status, done.stdout) == (125, "")
    assert "/dev/net/tun, which is missing" in done.stderr and "modprobe tun" in done.stderr


@EACH
def test_an_exception_and_nothing_beside_it(networks: Networks, one: Sandbox) -> None:
    box = networks.box(one)
    config = box.state / "config.toml"
    allowed = 'allow_lan = ["192.168.77.10:7", "[fd77::10]:7/tcp", "lan.test:443"]\n'
    config.write_text(f'[network]\nbackend = "{one.backend}"\n{allowed}')
    probes = [
        {"id": "lan", "how": "tcp", "to": "192.168.77.10", "port": 7},
        {"id": "udp", "how": "udp", "to": "192.168.77.10", "port": 7},
        {"id": "lan 6", "how": "tcp", "to": "fd77::10", "port": 7},
        {"id": "pinned", "how": "tcp", "to": "192.168.77.10", "port": 443},
        {"id": "port", "how": "tcp", "to": "192.168.77.10", "port": 80},
        {"id": "protocol", "how": "udp", "to": "fd77::10", "port": 7},
        {"id": "neighbour", "how": "tcp", "to": "192.168.77.1", "port": 7},
    ]
    done = box.claudebox(
        "run", "-n", "internet-only", "-y", "--", PYTHON, "-I", "probe.py", "-", input=json.dumps(probes), timeout=60
    )
    assert done.status == 0, done.stderr
    found = {line["id"]: line["error"] for line in map(json.loads, done.stdout.splitlines())}
    assert found == {
        "lan": "", "udp": "", "lan 6": "", "pinned": "",
        "port": "ECONNREFUSED", "protocol": "EPERM", "neighbour": "ECONNREFUSED",
    }  # fmt: skip
    assert "192.168.77.10 can be reached" in done.stderr and "pinned for this session" in done.stderr


# as root of the world alone, whose file the resolver is
@pytest.mark.parametrize("one", sandboxes("internet-only", backends=("slirp4netns",), who=("root",)))
def test_a_resolver_that_does_not_answer_holds_no_launch(networks: Networks, one: Sandbox) -> None:
    box = networks.box(one)
    with (box.state / "config.toml").open("a") as config:
        config.write('allow_lan = ["lan.test:7", "public4.test"]\n')
    argv = [box.program, "run", "-n", "internet-only", "-y", "--", "echo", "ran"]
    assert box.run(argv).stdout == "ran\n", "the control"
    try:
        networks.world.resolver("nameserver 198.51.100.77\n")  # nobody is there
        began = time.monotonic()
        done = box.run(argv)
        took = time.monotonic() - began
    finally:
        networks.world.resolver(f"nameserver {RESOLVERS[4]}\n")
    assert (done.status, done.stdout) == (125, "")
    assert "looking up lan.test, public4.test for allow_lan" in done.stderr
    assert "lan.test was not resolved within 5 s" in done.stderr and "getent hosts lan.test" in done.stderr
    assert 4 < took < 10, "not the 10 s and more of the C library, for each name"


@EACH
def test_nobody_in_the_netns_but_the_agent(networks: Networks, one: Sandbox) -> None:
    """Who set it up is gone before the agent runs: nobody of ours holds a capability over it."""
    with Asked(networks, one) as ask:
        assert ask("dial", PUBLIC) == ""
        mine = {}
        for pid in leak.descendants():
            mine.setdefault(os.readlink(f"/proc/{pid}/ns/net"), []).append(
                Path(f"/proc/{pid}/comm").read_text().strip()
            )
        inside = [names for names in mine.values() if "python3" in names and "bwrap" in names]
        assert inside and all(set(names) <= {"bwrap", "python3", one.backend, "passt.avx2"} for names in inside)


# as root of the world alone: its users have a user namespace for each command, and see no other's processes
@pytest.mark.parametrize("one", sandboxes("internet-only", backends=BACKENDS, who=("root",)))
def test_ps_shows_what_each_rule_has_counted(networks: Networks, one: Sandbox) -> None:
    box = networks.box(one)
    with Asked(networks, one) as ask:
        assert ask("dial", PUBLIC) == ""
        for _ in range(3):
            assert ask("dial", "192.168.77.10") == ask("dial", "169.254.169.254") == "Connection refused"
        done = box.claudebox("ps", "--network", "--json")
        assert done.status == 0, done.stderr
        (shown,) = json.loads(done.stdout)["sessions"]
        counted = {(row["rule"], row["verdict"]): row["packets"] for row in shown["network"]}
        assert counted["the host's own address or network", "refused"] == 3
        assert counted["a cloud's metadata service", "refused"] == 3
        assert counted["public", "accepted"] >= 3
        table = box.claudebox("ps", "--network").stdout
        assert "a cloud's metadata service" in table and "refused" in table and "link-local" not in table


@pytest.mark.parametrize("one", sandboxes("internet-only", backends=BACKENDS, who=("root",)))
def test_a_resolver_that_changes_is_followed_or_said(networks: Networks, one: Sandbox) -> None:
    try:
        with Asked(networks, one) as ask:
            assert ask("name", "public4.test") == "", "the control"
            networks.world.resolver("nameserver 192.168.77.10\n")
            ask.until("public4.test", "", what="name")
            said = ask.end()
    finally:
        networks.world.resolver(f"nameserver {RESOLVERS[4]}\n")
    assert ("pasta keeps those it started with" in said) is (one.backend == "pasta")
    assert ("192.168.77.10" in said) is (one.backend == "pasta")


@EACH
@pytest.mark.usefixtures("route")
def test_rules_that_cannot_follow_end_the_network(networks: Networks, one: Sandbox) -> None:
    """What cannot be refused has no way out."""
    box = networks.box(one)
    fake = box.home / "bin" / "nft"
    fake.parent.mkdir(exist_ok=True)
    fake.write_text('#!/bin/sh\n[ -e "$0.fails" ] && { echo broken >&2; exit 1; }\nexec /usr/sbin/nft "$@"\n')
    fake.chmod(0o755)
    failing = Path(f"{fake}.fails")
    try:
        with Asked(networks, one, env={"PATH": f"{fake.parent}:/usr/bin:/bin"}) as ask:
            assert ask("dial", PUBLIC) == "", "the control"
            failing.touch()
            networks.world.ip(f"route add {ANOTHER}/32 via 192.168.77.10\n")
            ask.until(PUBLIC, "Network is unreachable")
            said = ask.end()
        assert "could not follow" in said and "broken" in said and "has no network from now on" in said
    finally:
        failing.unlink(missing_ok=True)
        fake.unlink()


@pytest.mark.parametrize("one", sandboxes("internet-only", backends=BACKENDS, who=("root",)))
@pytest.mark.parametrize("family", [4, 6])
def test_a_host_with_one_family(networks: Networks, one: Sandbox, family: int) -> None:
    with World([family]) as world, leak.checked():
        box = world.box(networks.box(one), one.who)
        probes = [
            {"id": "4", "how": "tcp", "to": PUBLIC}, {"id": "6", "how": "tcp", "to": "2001:db8:1:2::3"},
            {"id": "lan 4", "how": "tcp", "to": "192.168.77.10"}, {"id": "lan 6", "how": "tcp", "to": "fd77::10"},
        ]  # fmt: skip
        done = box.claudebox(
            "run", "-n", "internet-only", "--", PYTHON, "-I", "probe.py", "-", input=json.dumps(probes), timeout=60
        )
    assert done.status == 0, done.stderr
    found = {line["id"]: line["error"] for line in map(json.loads, done.stdout.splitlines())}
    other = "6" if family == 4 else "4"
    assert found[str(family)] == "" and found[f"lan {family}"] in ("EHOSTUNREACH", "ECONNREFUSED")
    assert found[other] == "ENETUNREACH" and found[f"lan {other}"] in ("ENETUNREACH", "EHOSTUNREACH", "ECONNREFUSED")
