"""What may happen to the login, as one table: state of the host's file × state of the sandbox's copy × event → step.

The host's directory alone holds a refresh token. The sandbox's copy has the access token, a dummy in place of
the refresh token, and an expiry that is later by as much as the client refreshes early; beside it lies, where its
clients have one, a lock that never goes stale, so a client whose token has expired waits and reads again.
run/login.py performs the steps.
"""

from __future__ import annotations

from claudebox.digest import sha256
from claudebox.record import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Literal

    from claudebox.model import Shape

    HostState = Literal["absent", "good", "due", "expired", "broken", "odd"]
    CopyState = Literal["absent", "current", "stale", "blank", "own", "odd"]
    Event = Literal["launch", "host", "copy", "time", "refreshed"]
    Act = Literal["publish", "withdraw", "leave", "yield"]
    Topic = Literal["", "absent", "logout", "broken", "odd", "own", "late"]

DUMMY = "claudebox-"  # how the refresh token of a copy begins
DUE = 240_000  # milliseconds left of the real one when we have it refreshed
LIMIT = 1 << 16  # bytes of a copy
DEPTH = 32  # levels of JSON in it
LATEST = 1 << 53  # milliseconds: what every reader of JSON takes for the same number


class Tokens(NamedTuple):
    """The host's login as its file holds it. expires: milliseconds since 1970; kept: what else of it the copy gets;
    beside: what of the file's other keys.

    Its repr has no token.
    """

    access: str
    refresh: str
    expires: int
    kept: tuple[tuple[str, Any], ...]
    beside: tuple[tuple[str, Any], ...] = ()

    def __repr__(self) -> str:
        return f"Tokens(access='***', refresh='***', expires={self.expires})"


class HostSeen(NamedTuple):
    """The host's file as it was read. why: in the state odd, what is wrong with it."""

    state: HostState
    tokens: Tokens | None = None
    why: str = ""


class CopySeen(NamedTuple):
    """The sandbox's copy as it was read. other: what else is in the file, to be written back."""

    state: CopyState
    other: dict[str, Any]


class Step(NamedTuple):
    """What is to be done. copy: publish (file and lock), withdraw (both), yield (the lock alone is removed) or
    leave; refresh: have the host's client refresh, if nobody does yet; tell: what the user should hear, once."""

    copy: Act
    refresh: bool = False
    tell: Topic = ""


ANY = "*"
# (host, copy, event, step); the first row that matches counts.
TABLE: tuple[tuple[str, str, str, Step], ...] = (
    # a login that was made inside works there, with its own refreshes, until `auth import` or `auth forget`
    (ANY, "own", ANY, Step("yield", tell="own")),
    # what we do not understand is nothing to act on
    ("odd", ANY, ANY, Step("leave", tell="odd")),
    # missing means logged out, and nothing is resurrected
    ("absent", "absent odd", "launch", Step("leave", tell="absent")),
    ("absent", ANY, "launch", Step("withdraw", tell="absent")),
    ("absent", "absent odd", ANY, Step("leave")),
    ("absent", ANY, ANY, Step("withdraw", tell="logout")),
    # spent or blanked: an access token that a running sandbox has may still be good, one of an earlier session is not
    ("broken", "absent odd", ANY, Step("leave", tell="broken")),
    ("broken", ANY, "launch", Step("withdraw", tell="broken")),
    ("broken", ANY, ANY, Step("leave", tell="broken")),
    ("good", "current", ANY, Step("leave")),
    ("good", ANY, ANY, Step("publish")),
    ("due expired", "current", "refreshed", Step("leave", refresh=True, tell="late")),
    ("due expired", ANY, "refreshed", Step("publish", refresh=True, tell="late")),
    ("due expired", "current", ANY, Step("leave", refresh=True)),
    ("due expired", ANY, ANY, Step("publish", refresh=True)),
)


def decide(host: HostState, copy: CopyState, event: Event) -> Step:
    """The step of the first row that matches."""
    for row in TABLE:
        if all(cell == ANY or word in cell.split() for cell, word in zip(row[:3], (host, copy, event), strict=True)):
            return row[3]
    raise KeyError((host, copy, event))


def wait(failures: int) -> int:
    """Seconds until the next try after so many in a row that did not refresh: 5, 10, 20, 40, then 60."""
    return min(60, 5 << min(failures - 1, 4)) if failures else 0


def tells_late(state: HostState, failures: int) -> bool:
    """Whether a refresh that did not happen is worth a word: it hurts already, or it was no accident."""
    return failures > 1 or (failures == 1 and state == "expired")


# --- the files -----------------------------------------------------------------------------------


def see_host(raw: bytes | None, now: int, shape: Shape) -> HostSeen:
    """What the host's file says. raw: its bytes, None where there is no file; now: milliseconds since 1970."""
    if raw is None:
        return HostSeen("absent")
    document = parsed(raw)
    if document is None:
        return HostSeen("odd", why="is no JSON object that a client would write")
    found = document.get(shape.login)
    if found is None:
        return HostSeen("absent")
    tokens = _tokens(document, found, shape)
    if tokens is None:
        return HostSeen("odd", why="has a shape that this release of claudebox does not know")
    return HostSeen(host_state(tokens, now), tokens)


def host_state(tokens: Tokens, now: int) -> HostState:
    """How a login stands at a moment, in milliseconds since 1970."""
    left = tokens.expires - now
    if not tokens.access:
        return "broken"
    if left >= DUE:
        return "good"
    if not tokens.refresh:
        return "broken"
    return "due" if left > 0 else "expired"


def _tokens(document: dict[str, Any], found: Any, shape: Shape) -> Tokens | None:
    if not isinstance(found, dict):
        return None
    access, refresh = found.get(shape.access), found.get(shape.refresh)
    expires = found.get(shape.expires) if shape.expires else said_by(access)
    if not isinstance(access, str) or not isinstance(refresh, str | None):
        return None
    if not isinstance(expires, int | float) or isinstance(expires, bool) or not 0 <= expires < LATEST:
        return None
    kept = tuple((key, found[key]) for key in shape.kept if key in found)
    beside = tuple((key, document[key]) for key in shape.beside if key in document)
    return Tokens(access=access, refresh=refresh or "", expires=int(expires), kept=kept, beside=beside)


def said_by(access: Any) -> int | None:
    """When a JWT expires, in milliseconds since 1970, as it says itself (RFC 7519, exp); None for what is none."""
    import base64
    import binascii

    if access == "":
        return 0  # blanked: no token, none that lives
    try:
        payload = access.split(".")[1]
        found = parsed(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    except (AttributeError, IndexError, ValueError, binascii.Error):
        return None
    expires = found.get("exp") if found else None
    return int(expires * 1000) if isinstance(expires, int | float) and not isinstance(expires, bool) else None


def see_copy(raw: bytes | None, tokens: Tokens | None, shape: Shape, *, locked: bool) -> CopySeen:
    """What the sandbox's copy is, beside the host's login. locked: whether our lock lies there as we made it."""
    if raw is None:
        return CopySeen("absent", {})
    document = parsed(raw)
    if document is None:
        return CopySeen("odd", {})
    other = {key: value for key, value in document.items() if key != shape.login and key not in shape.beside}
    found = document.get(shape.login)
    if found is None:
        return CopySeen("absent", other)
    if not isinstance(found, dict):
        return CopySeen("odd", {})  # moved aside whole
    if tokens is not None and locked and found == for_the_sandbox(tokens, shape):
        return CopySeen("current", other)
    return CopySeen(_copy_state(found, shape), other)


def _copy_state(found: dict[str, Any], shape: Shape) -> CopyState:
    access, refresh = found.get(shape.access), found.get(shape.refresh)
    if isinstance(refresh, str) and refresh:
        return "stale" if refresh.startswith(DUMMY) else "own"
    known = {shape.access, shape.refresh, shape.expires, *shape.kept}
    return "blank" if not access and not refresh and known.issuperset(found) else "odd"


def for_the_sandbox(tokens: Tokens, shape: Shape) -> dict[str, Any]:
    """What the copy has of the host's login."""
    mark = sha256(tokens.access.encode(errors="surrogatepass")).hexdigest()[:24]
    return _login(tokens, shape, DUMMY + mark, tokens.expires + shape.early)


def _login(tokens: Tokens, shape: Shape, refresh: str, expires: int) -> dict[str, Any]:
    made: dict[str, Any] = {shape.access: tokens.access, shape.refresh: refresh}
    if shape.expires:
        made[shape.expires] = expires
    return {**made, **dict(tokens.kept)}


def published(other: dict[str, Any], tokens: Tokens, shape: Shape) -> bytes:
    """The bytes of a copy: the host's login, and what else the client keeps in that file."""
    return _written({shape.login: for_the_sandbox(tokens, shape), **other, **dict(tokens.beside)})


def as_host(document: dict[str, Any], tokens: Tokens, shape: Shape) -> bytes:
    """The bytes of a host's file with another login in it. document: what it holds now."""
    login = _login(tokens, shape, tokens.refresh, tokens.expires)
    return _written({**document, **dict(tokens.beside), shape.login: login})


def withdrawn(other: dict[str, Any]) -> bytes | None:
    """The bytes of a copy without a login; None where nothing is left to keep."""
    return _written(other) if other else None


def _written(document: dict[str, Any]) -> bytes:
    import json

    return json.dumps(document, separators=(",", ":"), allow_nan=False).encode()


def parsed(raw: bytes) -> dict[str, Any] | None:
    """A credentials file's JSON object; None for anything else: no JSON, NaN, infinite, nested too deeply."""
    import json

    try:
        found = json.loads(raw, parse_constant=_refused, parse_float=_finite)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) and _shallow(found, DEPTH) else None


def _refused(_: str) -> Any:
    raise ValueError


def _finite(text: str) -> float:
    value = float(text)
    if value in (float("inf"), float("-inf")):
        raise ValueError
    return value


def _shallow(value: Any, levels: int) -> bool:
    """Whether value nests no deeper than so many levels."""
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return not inner or (levels > 0 and all(_shallow(one, levels - 1) for one in inner))


class Rate(NamedTuple):
    """How often the sandbox's side woke us lately. since: milliseconds, when the count began."""

    since: int = 0
    wakes: int = 0


WAKES, SECOND = 10, 1000


def woken(rate: Rate, now: int) -> tuple[Rate, bool]:
    """One more wake at a moment; and whether that side is to be left alone for a second: an agent that keeps writing
    there must not keep us busy. A clock that was set back begins anew."""
    if not 0 <= now - rate.since < SECOND:
        return Rate(since=now, wakes=1), False
    return Rate(since=rate.since, wakes=rate.wakes + 1), rate.wakes >= WAKES
