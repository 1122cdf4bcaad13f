"""The inside of the test internet: pid 1 of its namespaces. Started by world.py, never by hand.

    host    the machine that claudebox runs on. lo; lan0; docker0; vpn0 with a table of its own; up0, the way out
    lan     192.168.77.0/24 (and public addresses on the same link): other machines of the network
    bridge  a container behind docker0
    vpn     what lies behind the tunnel
    inet    the internet: every other address of the world, private ranges and metadata services included,
            so that what is refused is refused by the rules and not for want of a route

Orders come as JSON lines on standard input, one answer each; at its end everything goes.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from typing import Any

import servers

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
PEERS = {"lan": "lan0", "bridge": "veth0", "vpn": "vpn0", "inet": "up0"}

HOST = {
    4: """
addr add 192.168.77.1/24 dev lan0
addr add 192.0.2.1/25 dev lan0
addr add 172.17.0.1/16 dev docker0
addr add 10.8.0.2 peer 10.8.0.1/32 dev vpn0
addr add 198.51.100.2/24 dev up0
route add default via 198.51.100.1 dev up0
rule add pref 100 lookup 42
route add 192.0.2.128/25 via 10.8.0.1 dev vpn0 table 42
""",
    6: """
addr add 2001:db8:77::1/64 dev lan0 nodad
addr add fd77::1/64 dev lan0 nodad
addr add 2001:db8:d0c::1/64 dev docker0 nodad
addr add 2001:db8:50::2/64 dev vpn0 nodad
addr add 2001:db8:0:1::2/64 dev up0 nodad
route add default via 2001:db8:0:1::1 dev up0
rule add pref 100 lookup 42
route add 2001:db8:51::/48 via 2001:db8:50::1 dev vpn0 table 42
""",
}
# What the internet answers for, whole prefixes: everything that no other part of the world has.
INET4 = (
    "203.0.113.0/24", "10.0.0.0/8", "100.64.0.0/10", "169.254.0.0/16", "172.16.0.0/12", "192.0.0.0/24",
    "192.88.99.0/24", "192.168.0.0/16", "198.18.0.0/15", "168.63.129.16/32", "240.0.0.0/5",
)  # fmt: skip
INET6 = (
    "2001:db8:1::/48", "64:ff9b::/96", "64:ff9b:1::/48", "2001::/32", "2002::/16", "100::/64", "5f00::/16",
    "fc00::/7", "fec0::/10", "::ffff:0:0:0/96", "::c0a8:0/112",
)  # fmt: skip
RESOLVERS = {4: "127.0.0.53", 6: "2001:db8:77::10"}  # a stub on the host; a machine of the LAN

SIDES: dict[str, dict[int, str]] = {
    "lan": {
        4: "addr add 192.168.77.10/24 dev eth0\naddr add 192.0.2.10/25 dev eth0\n"
        "route add default via 192.168.77.1 dev eth0\n",
        6: "addr add 2001:db8:77::10/64 dev eth0 nodad\naddr add fd77::10/64 dev eth0 nodad\n"
        "addr add fe80::77:10/64 dev eth0 nodad\n",
    },
    "bridge": {
        4: "addr add 172.17.0.2/16 dev eth0\n",
        6: "addr add 2001:db8:d0c::2/64 dev eth0 nodad\n",
    },
    "vpn": {
        4: "addr add 10.8.0.1 peer 10.8.0.2/32 dev eth0\nroute add local 192.0.2.128/25 dev lo\n",
        6: "addr add 2001:db8:50::1/64 dev eth0 nodad\nroute add local 2001:db8:51::/48 dev lo\n",
    },
    "inet": {
        4: "addr add 198.51.100.1/24 dev eth0\n" + "".join(f"route add local {net} dev lo\n" for net in INET4),
        6: "addr add 2001:db8:0:1::1/64 dev eth0 nodad\n" + "".join(f"route add local {net} dev lo\n" for net in INET6),
    },
}


def ip(commands: str, where: str = "", family: int = 4) -> None:
    """Run lines of ip(8) in a namespace, the host's by default. Raises ValueError with what ip said."""
    at = ["-n", where] if where else []
    argv = ["ip", f"-{family}", *at, "-batch", "-"]
    done = subprocess.run(argv, input=commands.encode(), env={"PATH": PATH}, capture_output=True, check=False)
    if done.returncode:
        raise ValueError(f"ip {where or 'host'}: {done.stderr.decode(errors='replace').strip()}")


def setting(name: str, value: str) -> None:
    try:
        with open(f"/proc/sys/net/{name}", "w") as file:
            file.write(value)
    except FileNotFoundError:
        pass  # a kernel without IPv6


def settings(families: frozenset[int]) -> None:
    """Of the namespace that we are in, before it has interfaces."""
    for scope in ("all", "default"):
        setting(f"ipv6/conf/{scope}/accept_dad", "0")
        setting(f"ipv6/conf/{scope}/accept_ra", "0")
        setting(f"ipv4/conf/{scope}/rp_filter", "0")
        if 6 not in families:
            setting(f"ipv6/conf/{scope}/disable_ipv6", "1")
    setting("ipv6/conf/default/dad_transmits", "0")


def build(families: frozenset[int]) -> None:
    """All namespaces with their links and addresses."""
    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", "/run"], check=True, env={"PATH": PATH})
    os.mkdir("/run/netns")
    resolver(f"nameserver {RESOLVERS[min(families)]}\n")
    subprocess.run(
        ["mount", "--bind", "/run/resolv.conf", os.path.realpath("/etc/resolv.conf")], check=True, env={"PATH": PATH}
    )
    settings(families)
    with open("/proc/self/gid_map") as file:
        (first, _, count) = file.readline().split()
    setting("ipv4/ping_group_range", f"{first} {min(int(first) + int(count) - 1, 2**31 - 1)}")
    for side in SIDES:
        ip(f"netns add {side}\n")
    here = os.open("/proc/self/ns/net", os.O_RDONLY)
    for side in SIDES:
        servers.enter(f"/run/netns/{side}")
        settings(families)
    servers.enter(f"/proc/self/fd/{here}")
    os.close(here)
    ip(
        "".join(f"link add {name} type veth peer name eth0 netns {side}\n" for side, name in PEERS.items())
        + "link add docker0 type bridge\nlink set veth0 master docker0\n"
        + "".join(f"link set {name} up\n" for name in ("lo", "docker0", *PEERS.values()))
    )
    for side, lines in SIDES.items():
        ip("link set lo up\nlink set eth0 up\n", side)
        for family in families:
            ip(lines[family], side, family)
    for family in families:
        ip(HOST[family], family=family)


def resolver(text: str) -> None:
    """What the host's resolv.conf says from now on: the same file, written anew."""
    with open("/run/resolv.conf", "w") as file:
        file.write(text)


def serve(families: frozenset[int]) -> servers.Servers:
    """Servers everywhere; the packets of every side are watched, on the host those of its loopback."""
    made = servers.Servers()
    kinds = tuple({4: socket.AF_INET, 6: socket.AF_INET6}[f] for f in sorted(families))
    made.serve("host", kinds, ("lo",))
    abstract = socket.socket(socket.AF_UNIX)
    abstract.bind("\0claudebox-host-service")
    abstract.listen(16)
    made.add(abstract, lambda: _abstract(made, abstract))
    here = os.open("/proc/self/ns/net", os.O_RDONLY)
    for side in SIDES:
        servers.enter(f"/run/netns/{side}")
        made.serve(side, kinds, ("eth0",))
    servers.enter(f"/proc/self/fd/{here}")
    os.close(here)
    return made


def _abstract(made: servers.Servers, listener: socket.socket) -> None:
    connection, _ = listener.accept()
    with connection:
        made.record("host", "abstract", ("", 0), ("", 0))
        connection.send(b"host\n")


def reap() -> None:
    """Orphans come to us: we are pid 1."""
    while True:
        try:
            if os.waitpid(-1, os.WNOHANG)[0] == 0:
                return
        except ChildProcessError:
            return


def obey(made: servers.Servers, order: dict[str, Any]) -> Any:
    """One order of world.py."""
    while made.turn(0):  # what has arrived is in the log before it is looked at
        pass
    match order:
        case {"do": "seen"}:
            return made.log
        case {"do": "clear"}:
            made.log.clear()
            made.asked.clear()
            return None
        case {"do": "send", "where": where, "address": address, "port": port, "data": data}:
            return made.send(where, address, port, data.encode())
        case {"do": "ip", "where": where, "family": family, "commands": commands}:
            ip(commands, where, family)
            return None
        case {"do": "resolver", "text": text}:
            resolver(text)
            return None
    raise ValueError(order)


def answer(made: servers.Servers, line: str) -> None:
    try:
        result = {"result": obey(made, json.loads(line))}
    except Exception as error:  # the test shows it
        result = {"error": f"{type(error).__name__}: {error}"}
    print(json.dumps(result), flush=True)


def main() -> None:
    """Build, say so, serve until standard input ends."""
    families = frozenset(map(int, sys.argv[1].split(",")))
    build(families)
    made = serve(families)
    wake_r, wake_w = socket.socketpair()
    wake_w.setblocking(False)
    signal.set_wakeup_fd(wake_w.fileno())
    signal.signal(signal.SIGCHLD, lambda *_: None)
    made.add(wake_r, lambda: (wake_r.recv(4096), reap())[1])
    print(json.dumps({"result": "ready"}), flush=True)
    orders = sys.stdin.buffer
    os.set_blocking(0, False)
    made.poll.register(0, 1)
    left = b""
    while True:
        made.turn(-1)
        chunk = orders.raw.read(1 << 16)  # type: ignore[attr-defined]
        if chunk == b"":
            return
        left += chunk or b""
        while b"\n" in left:
            line, _, left = left.partition(b"\n")
            answer(made, line.decode())


if __name__ == "__main__":
    main()
