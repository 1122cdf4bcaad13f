"""slirp4netns: a TCP/IP stack of its own in user space. Decides how it is started; starts nothing."""

from __future__ import annotations

from claudebox import address
from claudebox.model import Carrier, Helper, Interface
from claudebox.plan.network.addresses import known

NAME = "slirp4netns"
DEVICE = "tap0"
GATEWAY6, RESOLVER6 = "fd00::2", "fd00::3"  # its own, fixed
# What the solicitation for the two goes to, beside themselves.
SOLICITED = ("ff02::1:ff00:2", "ff02::1:ff00:3")
# enable-sandbox: nothing of the host's files but /etc and /run; there its resolver is read
VISIBLE = ("/etc/", "/run/")


def interface(cidr: str, *, ipv6: bool, families: tuple[int, ...]) -> Interface:
    """The sandbox's end. families: of the host's resolvers, which it follows when they change."""
    base = known(cidr)
    at = [address.text(address.single(4, base.value + host)) for host in (100, 2, 3)]
    resolvers = [
        *([at[2]] if 4 in families or not (ipv6 and families) else []),
        *([RESOLVER6] if ipv6 and 6 in families else []),
    ]
    return Interface(
        device=DEVICE,
        addresses=(f"{at[0]}/{base.length}", *(("fd00::64/64",) if ipv6 else ())),
        gateways=(at[1], *((GATEWAY6,) if ipv6 else ())),
        resolvers=tuple(resolvers),
        neighbours=(GATEWAY6, RESOLVER6, *SOLICITED) if ipv6 else (),
        ipv6=ipv6,
        carries_tcp=True,
        # it has IPv6 by router advertisement alone, which takes a second
        configures=("fd00::64/64", GATEWAY6) if ipv6 else (),
    )


def helper(carrier: Carrier, cidr: str, *, ipv6: bool, resolver: str) -> Helper:
    """How it is started. resolver: canonical path of the host's resolv.conf."""
    argv = [carrier.program]
    argv += ["--configure"]  # brings the interface up, with its address and route
    argv += [f"--cidr={cidr}"]
    argv += ["--mtu=65520"]
    argv += ["--disable-host-loopback"]
    argv += ["--enable-ipv6"] if ipv6 else []
    argv += ["--ready-fd=<fd:ready>"]
    argv += ["--exit-fd=<fd:exit>"]  # our end of it closes with us
    if "--enable-sandbox" in carrier.options and resolver.startswith(VISIBLE):
        argv += ["--enable-sandbox"]
    argv += ["--enable-seccomp"] if "--enable-seccomp" in carrier.options else []
    argv += ["<pid:holder>", DEVICE]
    return Helper(
        name=NAME,
        argv=tuple(argv),
        streams=("nothing", "errors"),
        ready="ready",
        hint='try it by hand: slirp4netns --configure PID tap0; or write backend = "pasta" under [network]',
    )
