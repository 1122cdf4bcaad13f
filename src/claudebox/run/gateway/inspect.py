"""What a client says first, looked at without taking it: whether a TLS hello names the host that was asked for."""

from __future__ import annotations

from claudebox.plan.network.hello import MOST_DATA, client_hello
from claudebox.record import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from claudebox.model import Check


class Seen(NamedTuple):
    """refused: why, "" for no reason; enough: whether more bytes are needed to say."""

    refused: str
    enough: bool


def look(data: bytes, name: str, check: Check) -> Seen:
    """Judge the first bytes of a client. name: what was asked for, in lower case."""
    try:
        hello = client_hello(data)
    except ValueError as error:
        return Seen(refused=f"not TLS: {error}", enough=True)
    if hello is None:
        return Seen(
            refused="the TLS hello is too long" if len(data) >= MOST_DATA else "", enough=len(data) >= MOST_DATA
        )
    if hello.ech and check != "ech":
        return Seen(refused="an encrypted TLS hello hides the name (check ech lets it pass)", enough=True)
    if hello.sni is None:
        return Seen(refused="the TLS hello names no host", enough=True)
    if hello.sni != name and check != "ech":
        return Seen(refused=f"the TLS hello is for {hello.sni}", enough=True)
    return Seen(refused="", enough=True)
