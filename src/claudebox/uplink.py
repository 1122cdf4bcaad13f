"""The survey's part for a tier with rules: how the host reaches the world, and what could carry a sandbox's packets."""

from __future__ import annotations

import os

from claudebox import address, netlink, process
from claudebox.errors import ClaudeboxError
from claudebox.model import Carrier, Prefix, Profile, Uplink
from claudebox.plan.network import usable
from claudebox.probes import remembered

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

TUN = "/dev/net/tun"
RESOLVERS = "/etc/resolv.conf"
SYS_ADMIN = 21  # capability(7)
MOST = 8  # nameservers that are read; glibc takes three
# name → the options of its --help that decide something
CARRIERS = {"slirp4netns": ("--enable-sandbox", "--enable-seccomp"), "pasta": ("--dns-host", "--no-netns-quit")}


def survey(profile: Profile, find: Callable[[str], str], ours: str, *, keep: bool) -> Uplink:
    """The facts of this moment. find: a program's canonical path, or ""; keep: whether what was tried may be
    remembered. Raises ClaudeboxError."""
    wanted = CARRIERS if profile.backend.value == "auto" else {profile.backend.value: CARRIERS[profile.backend.value]}
    carriers = []
    for name in wanted if profile.tier.value == "internet-only" else ():
        program = find(name)
        if program:
            carriers.append(_carrier(name, program, ours, keep=keep))
            if usable(carriers[-1]):
                break  # the other costs a probe
    names = {setting.value.name for setting in profile.allow_lan if setting.value.name}
    try:
        return Uplink(
            addresses=netlink.addresses(),
            routes=netlink.routes(),
            nameservers=nameservers(),
            carriers=tuple(carriers),
            tun=_tun(),
            names=_resolved(sorted(names)),
            root=os.geteuid() == 0 and _initial(),
            ipv6=os.path.isdir("/proc/sys/net/ipv6/conf"),
        )
    except OSError as error:
        raise ClaudeboxError(f"cannot read this machine's addresses and routes: {error.strerror}") from None


def nameservers(path: str = RESOLVERS) -> tuple[str, ...]:
    """The resolvers of a resolv.conf, read as glibc reads it: any white space, whatever stands behind."""
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            lines = file.read(1 << 16).splitlines()
    except OSError:
        return ()
    found = []
    for words in map(str.split, lines):
        if len(words) > 1 and words[0] == "nameserver" and address.parse(words[1].partition("%")[0]):
            found.append(words[1])
    return tuple(found[:MOST])


def _carrier(name: str, program: str, ours: str, *, keep: bool) -> Carrier:
    """What a backend says of itself, asked once as long as it is the same file."""
    named = f"{os.path.dirname(program)}/{name}"
    if os.path.realpath(named) == program:  # pasta is passt by another name, and looks at what it was called
        program = named
    answer = remembered(ours, program, lambda: _ask(name, program), keep=keep).split()
    version = tuple(int(number) for number in (answer[0] if answer else "").split(".") if number.isdigit())
    options = tuple(option for option in answer[1:] if option != "--enable-sandbox" or _may_mount())
    return Carrier(name=name, program=program, version=version, options=options)


def _may_mount() -> bool:
    """Whether slirp4netns can shut itself in. As uid 0 it takes no user namespace for that: in a container it may
    lack CAP_SYS_ADMIN."""
    if os.geteuid():
        return True
    with open("/proc/self/status", encoding="ascii", errors="replace") as file:
        held = next((line.split()[1] for line in file if line.startswith("CapEff:")), "0")
    return bool(int(held, 16) >> SYS_ADMIN & 1)


def _ask(name: str, program: str) -> str:
    """`1.2.0 --enable-seccomp`: its version (0 where that is no row of numbers), then what it knows."""
    said = process.capture([program, "--version"], environment={})
    words = (said.output + said.errors).decode(errors="replace").split()
    version = next((word for word in words if word.replace(".", "").isdigit() and "." in word), "0")
    helped = process.capture([program, "--help"], environment={})
    known = (helped.output + helped.errors).decode(errors="replace").replace("=", " ").split()
    return " ".join([version, *(option for option in CARRIERS[name] if option in known)])


def _resolved(names: list[str]) -> tuple[tuple[str, tuple[Prefix, ...]], ...]:
    """The names of allow_lan with their addresses. Raises ClaudeboxError where nobody answers in time."""
    if not names:
        return ()
    from claudebox import lookup

    return lookup.addresses(names)


def _tun() -> str:
    """What is wrong with the device that both backends need."""
    if not os.path.exists(TUN):
        return "is missing"
    return "" if os.access(TUN, os.R_OK | os.W_OK) else "cannot be opened"


def _initial() -> bool:
    """Whether our user namespace is the machine's first."""
    with open("/proc/self/uid_map", encoding="ascii") as file:
        return file.read().split() == ["0", "0", "4294967295"]
