"""What is done in a sandbox's netns, by a fork that has entered it: settings, rules, addresses, and a look at them."""

from __future__ import annotations

import fcntl
import os
import struct

from claudebox import address, descriptors, netlink, process
from claudebox.errors import ClaudeboxError
from claudebox.model import Interface
from claudebox.sockets import socket

# What nft says → what is the matter, what to do. It ends with 1 for all of them, and nothing is loaded then.
FAILURES = (
    ("Unable to initialize Netlink socket", "this kernel has no nf_tables", "as root: modprobe nf_tables"),
    ("No such file or directory", "this kernel lacks a part of nf_tables",
     "as root: modprobe -a nf_tables nft_ct nft_reject_inet; the line that failed is named"),
    ("Operation not permitted", "the rules may not be loaded here", "in a container: run it with NET_ADMIN allowed"),
)  # fmt: skip
INET = {4: socket.AF_INET, 6: socket.AF_INET6}
TUN = "/dev/net/tun"
TUNSETIFF, TUNSETPERSIST = 0x400454CA, 0x400454CB  # ioctls of linux/if_tun.h
TAP, NO_PI = 0x0002, 0x1000


def prepare(interface: Interface, nft: str, rules: str, *, device: bool) -> None:
    """Addresses are valid at once, no router is believed, ping is allowed; then the rules, and only behind them the
    interface, where a backend follows at once. Raises ClaudeboxError."""
    settings = [("all/accept_ra", 0), ("default/accept_ra", 0), ("all/accept_dad", 0), ("default/accept_dad", 0)]
    settings += [("default/dad_transmits", 0)] + ([] if interface.ipv6 else [("default/disable_ipv6", 1)])
    if os.path.isdir("/proc/sys/net/ipv6"):
        for name, value in settings:
            _setting(f"ipv6/conf/{name}", str(value))
    with open("/proc/self/gid_map", encoding="ascii") as file:
        first = file.read().split()[0]
    try:
        _setting("ipv4/ping_group_range", f"{first} {first}")
    except OSError:
        pass  # then ping needs a capability inside, as on many hosts
    load(nft, rules)
    if device:
        make_device(interface.device)


def make_device(name: str) -> None:
    """Make the interface that the backend attaches to; it leads nowhere until then. Raises ClaudeboxError.

    It is persistent: the kernel takes 15 ms to end an interface, and a backend's last close would wait for that, and
    we for the backend. So it stays when the backend ends, and goes with the netns, for which nobody waits.
    """
    device = _device(name)
    fcntl.ioctl(device, TUNSETPERSIST, 1)
    os.close(device)


def end_device(name: str) -> None:
    """Take the interface away: what is dialled is unreachable at once then, and not lost in silence. Raises
    ClaudeboxError."""
    device = _device(name)
    fcntl.ioctl(device, TUNSETPERSIST, 0)
    os.close(device)


def make_device_anew(name: str) -> None:
    """The interface for a backend that is started in mid-session: without what the last one left on it."""
    end_device(name)
    make_device(name)


def _device(name: str) -> int:
    try:
        device = os.open(TUN, os.O_RDWR | os.O_CLOEXEC)
        fcntl.ioctl(device, TUNSETIFF, struct.pack("=16sH22x", name.encode(), TAP | NO_PI))
    except OSError as error:
        raise ClaudeboxError(f"{TUN}: {error.strerror}", "claudebox doctor") from None
    return device


def _setting(name: str, value: str) -> None:
    with open(f"/proc/sys/net/{name}", "w", encoding="ascii") as file:
        file.write(value)


def load(nft: str, text: str) -> None:
    """Load a ruleset, or one transaction of it: all of it or nothing. Raises ClaudeboxError with nft's own words."""
    rules = descriptors.memory_file("rules", text.encode())
    said = descriptors.memory_file("said", b"")
    pid = process.spawn([nft, "-f", "-"], environment={}, descriptors={0: rules, 1: said, 2: said})
    _, status = os.waitpid(pid, 0)
    if status:
        words = os.pread(said, 1500, 0).decode(errors="replace").strip()
        for sign, matter, fix in FAILURES:
            if sign in words:
                raise ClaudeboxError(f"{matter}: nft: {words}", fix)
        raise ClaudeboxError(
            f"nft: {words or f'status {process.exit_status(status)}'}", "nft --version; claudebox doctor"
        )
    os.close(rules)
    os.close(said)


def configure(interface: Interface) -> None:
    """Set what the backend leaves to us, then compare the netns with the plan. Raises ClaudeboxError or OSError."""
    if interface.configures:
        own, gateway = interface.configures
        shown, _, length = own.partition("/")
        device = socket.if_nametoindex(interface.device)
        netlink.add_address(device, _raw(shown), int(length))
        netlink.add_default(device, _raw(gateway))
    verify(interface)


def verify(interface: Interface) -> None:
    """Exactly the planned addresses and ways out, loopback and link-local ones aside. Raises ClaudeboxError."""
    found = {f"{address.text(one.address)}/{one.length}" for one in netlink.addresses()}
    found -= {one for one in found if one.startswith(("127.", "::1/", "fe80:"))}
    ways = set()
    for route in netlink.routes():
        if route.prefix.length == 0 and route.kind == netlink.UNICAST:
            ways.add(address.text(address.packed(route.gateway)) if len(route.gateway) in (4, 16) else "no gateway")
    for what, planned, there in (
        ("addresses", set(interface.addresses), found),
        ("default routes", set(interface.gateways), ways),
    ):
        if planned != there:
            wanted, got = ", ".join(sorted(planned)), ", ".join(sorted(there)) or "none"
            raise ClaudeboxError(f"the sandbox's {what} are {got}, and {wanted} was planned", "try the other backend")


def _raw(text: str) -> bytes:
    return socket.inet_pton(INET[6 if ":" in text else 4], text)
