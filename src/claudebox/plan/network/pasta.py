"""pasta (of passt): a layer-2 to layer-4 translation without a stack. Decides how it is started; starts nothing."""

from __future__ import annotations

from claudebox import address
from claudebox.model import Carrier, Helper, Interface
from claudebox.plan.network.addresses import known

NAME = "pasta"
DEVICE = "tap0"
OWN6, GATEWAY6, RESOLVER6 = "fd00::64", "fe80::2", "fd00::3"
SOLICITED = ("ff02::1:ff00:2", "ff02::1:ff00:3")
MTU = 9000  # at 65520 what the sandbox sends stalls


def interface(carrier: Carrier, cidr: str, *, ipv4: bool, ipv6: bool, nameservers: tuple[str, ...]) -> Interface:
    """The sandbox's end, with the families that the host has: of others it sets up nothing.

    It cannot forward to a link-local resolver (`%if`), and an old one takes no DNS by TCP.
    """
    base = known(cidr)
    at = [address.text(address.single(4, base.value + host)) for host in (100, 2, 3)]
    six = ipv6 and any(":" in one and "%" not in one for one in nameservers)
    four = ipv4 and (any(":" not in one for one in nameservers) or not six)
    return Interface(
        device=DEVICE,
        addresses=(*((f"{at[0]}/{base.length}",) if ipv4 else ()), *((f"{OWN6}/64",) if ipv6 else ())),
        gateways=(*((at[1],) if ipv4 else ()), *((GATEWAY6,) if ipv6 else ())),
        resolvers=(*((at[2],) if four else ()), *((RESOLVER6,) if six else ())),
        neighbours=(GATEWAY6, RESOLVER6, *SOLICITED) if ipv6 else (),
        ipv6=ipv6,
        carries_tcp="--dns-host" in carrier.options,
        wants_way=True,
        keeps_resolver=True,
    )


def helper(carrier: Carrier, way: Interface, *, root: bool) -> Helper:
    """How it is started. root: we are uid 0 of the initial user namespace.

    One process in the foreground and no file: its standard input is the userns, its "pid file" is the pipe.
    """
    argv = [carrier.program]
    argv += ["--foreground", "--quiet"]
    argv += ["--config-net"]
    argv += ["-t", "none", "-u", "none", "-T", "none", "-U", "none", "--no-map-gw"]  # no port in, none to the host
    argv += ["--ns-ifname", way.device, "--mtu", str(MTU)]
    if "." in way.addresses[0]:
        own, length = way.addresses[0].split("/")
        argv += ["--address", own, "--netmask", length, "--gateway", way.gateways[0]]
    else:
        argv += ["--ipv6-only"]
    argv += ["--no-dhcp", "--no-dhcpv6", "--no-ra"]
    # it would watch for the end of the netns, and to end that watch costs 15 ms; we end it ourselves
    argv += ["--no-netns-quit"] if "--no-netns-quit" in carrier.options else []
    for resolver in way.resolvers:
        argv += ["--dns-forward", resolver]  # never beside --dns: it would then forward nothing
    argv += ["--address", OWN6, "--gateway", GATEWAY6] if way.ipv6 else ["--ipv4-only"]
    argv += ["--pid", "/proc/self/fd/1"]
    argv += ["--runas", "0"] if root else ["--userns", "/proc/self/fd/0"]
    argv += ["<pid:sandbox>"]
    return Helper(
        name=NAME,
        argv=tuple(argv),
        streams=("owner", "ready"),
        ready="ready",
        hint='try it by hand: pasta --config-net; or write backend = "slirp4netns" under [network]',
    )
