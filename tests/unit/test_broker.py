"""The broker's table: a test for each row, what the files say, and every interleaving of what may happen to them."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from claudebox.agents import load_agent
from claudebox.plan import broker
from claudebox.plan.broker import CopySeen, HostSeen, Step, Tokens, decide
from claudebox.plan.login import shape

SHAPE = shape(load_agent("claude", ""))
KEY = SHAPE.login
NOW = 1_800_000_000_000
HOUR = 3_600_000
HOSTS = ("absent", "good", "due", "expired", "broken", "odd")
COPIES = ("absent", "current", "stale", "blank", "own", "odd")
EVENTS = ("launch", "host", "copy", "time", "refreshed")

ROWS = [
    ("good", "own", "copy", Step("yield", tell="own")),
    ("odd", "stale", "host", Step("leave", tell="odd")),
    ("absent", "absent", "launch", Step("leave", tell="absent")),
    ("absent", "stale", "launch", Step("withdraw", tell="absent")),
    ("absent", "odd", "host", Step("leave")),
    ("absent", "stale", "host", Step("withdraw", tell="logout")),
    ("broken", "absent", "launch", Step("leave", tell="broken")),
    ("broken", "stale", "launch", Step("withdraw", tell="broken")),
    ("broken", "stale", "host", Step("leave", tell="broken")),
    ("good", "current", "host", Step("leave")),
    ("good", "blank", "copy", Step("publish")),
    ("expired", "current", "refreshed", Step("leave", refresh=True, tell="late")),
    ("due", "stale", "refreshed", Step("publish", refresh=True, tell="late")),
    ("due", "current", "time", Step("leave", refresh=True)),
    ("expired", "stale", "launch", Step("publish", refresh=True)),
]


def login(number: int = 1, expires: int = NOW + 8 * HOUR, **changes: Any) -> dict[str, Any]:
    found = {"accessToken": f"access-{number}", "refreshToken": f"refresh-{number}", "expiresAt": expires}
    return {**found, "scopes": ["user:inference"], "subscriptionType": "max", **changes}


def raw(found: Any, **other: Any) -> bytes:
    return json.dumps({KEY: found, **other}).encode()


def see_host(content: bytes | None, now: int) -> HostSeen:
    return broker.see_host(content, now, SHAPE)


def see_copy(content: bytes | None, found: Tokens | None, *, locked: bool) -> CopySeen:
    return broker.see_copy(content, found, SHAPE, locked=locked)


def tokens(**changes: Any) -> Tokens:
    seen = see_host(raw(login(**changes)), NOW)
    assert seen.tokens is not None
    return seen.tokens


@pytest.mark.parametrize(("number", "case"), list(enumerate(ROWS)), ids=[" ".join(row[:3]) for row in broker.TABLE])
def test_a_row(number: int, case: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each case is decided by its own row: without that one the step is another, or there is none."""
    *states, step = case
    assert len(ROWS) == len(broker.TABLE)
    assert decide(*states) == step
    monkeypatch.setattr(broker, "TABLE", (*broker.TABLE[:number], *broker.TABLE[number + 1 :]))
    try:
        assert decide(*states) != step
    except KeyError:
        pass


@pytest.mark.parametrize("host", HOSTS)
@pytest.mark.parametrize("copy", COPIES)
@pytest.mark.parametrize("event", EVENTS)
def test_every_state_has_a_step_that_is_safe(host: Any, copy: Any, event: Any) -> None:
    step = decide(host, copy, event)
    if copy == "own":
        assert step.copy == "yield" and not step.refresh, "a login of its own is never written over"
    if step.copy == "publish":
        assert host in ("good", "due", "expired"), "nothing is resurrected"
    if host == "absent" and copy not in ("own", "odd", "absent"):
        assert step.copy == "withdraw", "the sandbox is logged out with the host"
    assert step.refresh == (host in ("due", "expired") and copy != "own")


@pytest.mark.parametrize(
    ("changes", "state"),
    [
        ({}, "good"),
        ({"expires": NOW + broker.DUE}, "good"),
        ({"expires": NOW + broker.DUE - 1}, "due"),
        ({"expires": NOW + 1}, "due"),
        ({"expires": NOW}, "expired"),
        ({"expires": 0}, "expired"),
        ({"accessToken": "", "refreshToken": "", "expires": 0}, "broken"),
        ({"refreshToken": "", "expires": NOW + HOUR}, "good"),
        ({"refreshToken": "", "expires": NOW + 1}, "broken"),
        ({"refreshToken": None, "expires": NOW + HOUR}, "good"),
        ({"expires": NOW + 8 * HOUR + 0.0}, "good"),
    ],
)
def test_how_a_login_stands(changes: dict[str, Any], state: str) -> None:
    assert see_host(raw(login(**changes)), NOW).state == state


def test_a_clock_set_back_by_a_day_makes_nothing_due() -> None:
    assert see_host(raw(login(expires=NOW + HOUR)), NOW - 24 * HOUR).state == "good"


BAD = [
    b"", b"{", b"[]", b"null", b"\xff\xfe", b'{"claudeAiOauth": [1]}', b'{"claudeAiOauth": {"accessToken": 1}}',
    raw(login(expiresAt="soon")), raw(login(expiresAt=True)), raw(login(expiresAt=-1)), raw(login(expiresAt=1 << 60)),
    raw(login())[:-1], b"[" * 60_000, b'{"a":' * 60_000, b'{"claudeAiOauth": ' + b"[" * 40 + b"]" * 40 + b"}",
    raw(login(expiresAt=float("nan"))), raw(login()).replace(b"1828", b"1e99"), b'{"x": 1e999}', b'{"x": -Infinity}',
    b'{"claudeAiOauth": {"tokens": {"access": "a"}}}', b"9" * 5000,
]  # fmt: skip


@pytest.mark.parametrize("content", BAD, ids=range(len(BAD)))
def test_a_bad_file_of_the_hosts_is_odd_and_says_why(content: bytes) -> None:
    seen = see_host(content, NOW)
    assert seen.state == "odd" or (seen.state, b"1e99" in content) == ("good", False), seen
    if seen.state == "odd":
        assert seen.why and seen.tokens is None and b"access" not in seen.why.encode()


@pytest.mark.parametrize(
    ("copy", "state"),
    [
        (None, "absent"),
        (b"{}", "absent"),
        (b'{"mcpOAuth": {}}', "absent"),
        (raw(None), "absent"),
        (raw(broker.for_the_sandbox(tokens(), SHAPE)), "current"),
        (raw(broker.for_the_sandbox(tokens(number=2), SHAPE)), "stale"),
        (raw({**broker.for_the_sandbox(tokens(), SHAPE), "expiresAt": 0}), "stale"),
        (raw({"accessToken": "", "refreshToken": "", "expiresAt": 0}), "blank"),
        (raw({"accessToken": None, "refreshToken": None}), "blank"),
        (raw({}), "blank"),
        (raw(login(number=7)), "own"),
        (raw({"refreshToken": "x", "expiresAt": "a newer shape"}), "own"),
        (raw({"tokens": {"access": "a newer shape"}}), "odd"),
        (raw({"accessToken": "x"}), "odd"),
        (raw([]), "odd"),
        (b"{", "odd"),
        (b'{"a":' * 60_000, "odd"),
        (b'{"a": NaN}', "odd"),
    ],
)
def test_what_a_copy_is(copy: bytes | None, state: str) -> None:
    assert see_copy(copy, tokens(), locked=True).state == state


def test_without_its_lock_a_copy_is_not_whole() -> None:
    current = raw(broker.for_the_sandbox(tokens(), SHAPE))
    assert see_copy(current, tokens(), locked=False).state == "stale"
    assert see_copy(current, None, locked=True).state == "stale"


def test_a_copy_has_no_refresh_token_and_a_later_expiry() -> None:
    content = broker.published({"mcpOAuth": {"s": {"refreshToken": "its own"}}}, tokens(designOauth="x"), SHAPE)
    found = json.loads(content)
    assert b"refresh-1" not in content
    assert found["mcpOAuth"] == {"s": {"refreshToken": "its own"}}
    assert found[KEY]["refreshToken"].startswith("claudebox-")
    assert found[KEY]["expiresAt"] == NOW + 8 * HOUR + 300_000
    assert set(found[KEY]) == {"accessToken", "refreshToken", "expiresAt", "scopes", "subscriptionType"}


def test_other_keys_of_the_hosts_file_stay_there() -> None:
    content = raw(login(), mcpOAuth={"secret": 1}, organizationUuid="o", trustedDeviceToken="t")
    seen = see_host(content, NOW)
    assert seen.tokens is not None
    assert set(json.loads(broker.published({}, seen.tokens, SHAPE))) == {KEY}


def test_no_token_in_a_repr() -> None:
    text = repr(see_host(raw(login()), NOW))
    assert "access-1" not in text and "refresh-1" not in text


# --- another shape: the expiry in the token, keys beside the login -------------------------------

CODEX = shape(load_agent("codex", ""))


def jwt(claims: Any) -> str:
    return f"header.{base64.urlsafe_b64encode(json.dumps(claims).encode()).rstrip(b'=').decode()}.signature"


def codex(expires: float, **changes: Any) -> bytes:
    found = {"access_token": jwt({"exp": expires // 1000}), "refresh_token": "rt-1", "id_token": "i", "account_id": "a"}
    return json.dumps({"auth_mode": "chatgpt", "OPENAI_API_KEY": None, "tokens": {**found, **changes}}).encode()


def test_a_login_whose_token_says_when_it_expires() -> None:
    seen = broker.see_host(codex(NOW + HOUR), NOW, CODEX)
    assert seen.state == "good" and seen.tokens is not None and seen.tokens.expires == NOW + HOUR
    content = broker.published({"OPENAI_API_KEY": None}, seen.tokens, CODEX)
    made = json.loads(content)
    assert b"rt-1" not in content and made["tokens"]["refresh_token"].startswith("claudebox-")
    assert made["tokens"]["access_token"] == seen.tokens.access and "expires" not in str(made["tokens"].keys())
    assert (made["tokens"]["id_token"], made["auth_mode"]) == ("i", "chatgpt")
    assert broker.see_copy(content, seen.tokens, CODEX, locked=True) == CopySeen("current", {"OPENAI_API_KEY": None})
    assert json.loads(broker.as_host({"x": 1}, seen.tokens, CODEX)) == {
        "x": 1, "auth_mode": "chatgpt", "tokens": json.loads(codex(NOW + HOUR))["tokens"],
    }  # fmt: skip


@pytest.mark.parametrize(
    ("content", "state"),
    [
        (codex(NOW + 1000), "due"),
        (codex(NOW - 1000), "expired"),
        (codex(NOW, access_token="", refresh_token=""), "broken"),
        (codex(NOW, access_token="no token"), "odd"),
        (codex(NOW, access_token="a.b.c"), "odd"),
        (codex(NOW, access_token=f"a.{'A' * 5}.c"), "odd"),
        (codex(NOW, access_token=jwt([])), "odd"),
        (codex(NOW, access_token=jwt({"exp": "soon"})), "odd"),
        (codex(NOW, access_token=jwt({"exp": True})), "odd"),
        (codex(NOW, access_token=jwt({"exp": -1})), "odd"),
        (codex(NOW, access_token=jwt({"exp": 1 << 70})), "odd"),
        (codex(NOW, access_token=7), "odd"),
        (b'{"OPENAI_API_KEY": "sk-key", "tokens": null}', "absent"),
    ],
)
def test_what_such_a_token_says(content: bytes, state: str) -> None:
    assert broker.see_host(content, NOW, CODEX).state == state


def test_waits_grow_to_a_minute() -> None:
    assert [broker.wait(n) for n in range(8)] == [0, 5, 10, 20, 40, 60, 60, 60]
    assert not broker.tells_late("due", 1) and broker.tells_late("due", 2) and broker.tells_late("expired", 1)


def test_a_busy_sandbox_is_left_alone_for_a_while() -> None:
    rate, paused = broker.Rate(), []
    for moment in range(0, 3000, 50):
        rate, too_often = broker.woken(rate, NOW + moment)
        paused.append(too_often)
    assert paused.count(True) == 30 and not any(paused[:10])
    assert broker.woken(rate, NOW - HOUR)[1] is False, "a clock that was set back"


# --- interleavings -------------------------------------------------------------------------------


class World:
    """The two files, and a launcher that does what the table says; a kill may come before any write."""

    def __init__(self) -> None:
        self.number = 1
        self.host: bytes | None = raw(login())
        self.copy: bytes | None = None
        self.lock = False
        self.logged_out = False
        self.now = NOW

    def look(self, event: Any, *, killed_after: int = 9) -> Step:
        host = see_host(self.host, self.now)
        copy = see_copy(self.copy, host.tokens, locked=self.lock)
        step = decide(host.state, copy.state, event)
        writes = []
        if step.copy == "publish":
            assert host.tokens is not None
            content = broker.published(copy.other, host.tokens, SHAPE)
            writes = [("copy", content), ("lock", True)]
        elif step.copy == "withdraw":
            writes = [("copy", broker.withdrawn(copy.other)), ("lock", False)]
        elif step.copy == "yield":
            writes = [("lock", False)]
        for name, value in writes[:killed_after]:
            setattr(self, name, value)
        return step

    def other(self) -> Any:
        return json.loads(self.copy).get("mcpOAuth") if self.copy and broker.parsed(self.copy) else None

    # what may happen

    def refreshed(self) -> None:
        if self.host is not None:
            self.number += 1
            self.host = raw(login(self.number, self.now + 8 * HOUR))

    def host_login(self) -> None:
        self.number += 1
        self.host = raw(login(self.number, self.now + 8 * HOUR))

    def host_logout(self) -> None:
        self.host = None

    def host_invalid(self) -> None:
        if self.host is not None:
            self.host = raw(login(accessToken="", refreshToken="", expires=0))

    def host_odd(self) -> None:
        self.host = b"{"

    def time_passes(self) -> None:
        self.now += 5 * HOUR

    def clock_back(self) -> None:
        self.now -= 24 * HOUR

    def blanked(self) -> None:
        self.copy = raw({"accessToken": "", "refreshToken": "", "expiresAt": 0})

    def reverted(self) -> None:
        self.copy = raw({"accessToken": "access-0", "refreshToken": "claudebox-0", "expiresAt": 1})

    def removed(self) -> None:
        self.copy = None

    def unlocked(self) -> None:
        self.lock = False

    def torn(self) -> None:
        self.copy = b'{"claudeAi'

    def own_login(self) -> None:
        self.copy = raw(login(99), mcpOAuth="kept")

    def mcp_login(self) -> None:
        document = broker.parsed(self.copy) if self.copy else {}
        self.copy = json.dumps({**(document or {}), "mcpOAuth": "kept"}).encode()


HAPPENS = [
    name for name in vars(World) if not name.startswith("_") and name not in ("look", "other")
]  # fmt: skip
LOOKS = [f"look {event}" for event in EVENTS]
KILLS = ["kill 0", "kill 1"]


@given(st.lists(st.sampled_from([*HAPPENS, *LOOKS, *KILLS]), max_size=14))
def test_interleavings(events: list[str]) -> None:
    world = World()
    for event in events:
        before, host = world.copy, world.host
        own = see_copy(before, None, locked=False).state == "own"
        kept = world.other()
        word, _, rest = event.partition(" ")
        if word in ("look", "kill"):
            world.look(rest if word == "look" else "launch", killed_after=9 if word == "look" else int(rest))
            assert world.host == host, "the host's file is only read"
            assert not own or world.copy == before, "a login of its own is never written over"
            assert world.other() == kept, "what the client keeps beside it stays"
        else:
            getattr(world, event)()
        for number in range(1, world.number + 1):
            assert world.copy is None or f"refresh-{number}".encode() not in world.copy.replace(b"refresh-99", b"")
    world.look("copy")
    world.look("time")
    seen = see_host(world.host, world.now)
    found = see_copy(world.copy, seen.tokens, locked=world.lock).state
    if found == "own":
        assert not world.lock
    elif seen.state in ("good", "due", "expired"):
        assert found == "current", "whatever happened, the next look mends it"
    elif seen.state == "absent":
        assert found in ("absent", "odd"), "logged out means logged out"
