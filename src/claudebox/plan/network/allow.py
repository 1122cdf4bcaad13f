"""Exceptions of `allow_lan`: what may be allowed, and to which addresses each is pinned for the session."""

from __future__ import annotations

from claudebox import address
from claudebox.errors import ClaudeboxError
from claudebox.model import Allowance, Note, Origin, Prefix, Profile, Uplink
from claudebox.plan.network.addresses import NO_EXCEPTION, SLIRP6, known
from claudebox.record import NamedTuple

SHORTEST = {4: 8, 6: 7}  # 10.0.0.0/8 and fc00::/7 are the widest networks that anybody has


class Allowed(NamedTuple):
    """One exception. prefixes: where it leads in this session; empty when its name resolves to nothing now."""

    written: str
    prefixes: tuple[Prefix, ...]
    port: int
    protocol: str
    named: bool
    origin: Origin


def allowed(profile: Profile, uplink: Uplink) -> tuple[Allowed, ...]:
    """The exceptions, with the addresses that their names have now. Raises ClaudeboxError for one that may not be."""
    names = dict(uplink.names)
    found = []
    for setting in profile.allow_lan:
        one = setting.value
        prefixes = names.get(one.name, ()) if one.prefix is None else (one.prefix,)
        for prefix in prefixes:
            check(one, prefix, setting.origin)
        found.append(
            Allowed(
                written=one.written,
                prefixes=prefixes,
                port=one.port,
                protocol=one.protocol,
                named=one.prefix is None,
                origin=setting.origin,
            )
        )
    return tuple(found)


def check(one: Allowance, prefix: Prefix, origin: Origin) -> None:
    """Refuse what no exception may open. Raises ClaudeboxError."""
    where = f'allow_lan "{one.written}" ({origin})'
    if one.name:
        where += f", which is {address.text(prefix)}"
    if prefix.length < SHORTEST[prefix.version]:
        raise ClaudeboxError(f"{where}: that is no network but the internet", "name the network that you mean")
    for text, reason in NO_EXCEPTION:
        if address.contains(known(text), prefix):
            raise ClaudeboxError(f"{where}: it cannot be allowed: {reason}", "leave it out")
    if address.contains(known(SLIRP6), prefix):
        raise ClaudeboxError(f"{where}: {SLIRP6} is the sandbox's own", "use another address of that host")


def pinned(one: Allowed) -> str:
    """As the plan shows it: what was written, and what its name is in this session."""
    return f"{one.written} = {', '.join(map(address.text, one.prefixes)) or 'nothing'}" if one.named else one.written


def notes(exceptions: tuple[Allowed, ...]) -> list[Note]:
    """A note for each exception."""
    found = []
    for one in exceptions:
        if not one.prefixes:
            text = f"allow_lan {one.written} ({one.origin}): the name resolves to nothing now, so nothing is allowed"
            found.append(Note("info", text))
            continue
        fixed = ", pinned for this session" if one.named else ""
        found.append(Note("weakening", f"allow_lan {pinned(one)} can be reached ({one.origin}){fixed}"))
    return found
