"""nft's listing of the rules, read."""

from __future__ import annotations

import os
from pathlib import Path

from pytest import MonkeyPatch

from claudebox.commands import sessions
from claudebox.run import kept
from claudebox.run.counters import Count, parsed
from claudebox.run.session import Session

LISTING = """table inet claudebox {
\tset host4 {
\t\ttype ipv4_addr
\t\telements = { 192.168.77.0/24 }
\t}

\tchain reasons {
\t\tip daddr { 10.0.0.0/8, 172.16.0.0/12,
\t\t\t   192.168.0.0/16 } counter packets 3 bytes 180 goto refuse comment "a private network (RFC 1918)"
\t\tip6 daddr { 2002::/16 } counter packets 1 bytes 80 goto refuse comment "it embeds an IPv4 address"
\t\tip daddr { 192.88.99.0/24 } counter packets 2 bytes 120 goto refuse comment "it embeds an IPv4 address"
\t\tcounter packets 9 bytes 9 goto refuse
\t}
\tchain output {
\t\tcounter packets 40 bytes 4000 accept comment "public"
\t}
\tchain input {
\t\tcounter packets 0 bytes 0 drop comment "nobody asked for it"
\t}
}
"""


def test_rules_with_a_name_are_counted_by_it() -> None:
    assert parsed(LISTING) == (
        Count("a private network (RFC 1918)", "refused", 3, 180),
        Count("it embeds an IPv4 address", "refused", 3, 200),
        Count("public", "accepted", 40, 4000),
        Count("nobody asked for it", "dropped", 0, 0),
    )


def test_what_is_no_listing_counts_nothing() -> None:
    assert parsed("") == parsed("counter packets") == parsed('counter packets comment "x"') == ()


def test_an_nft_that_some_sandbox_could_have_planted_is_not_run(tmp_path: Path, monkeypatch: MonkeyPatch) -> None:
    """Of whichever project: the fork that runs it has rights over the session's network."""
    instance, other, mounted = tmp_path / "ours" / "instances" / ("a" * 16), tmp_path / "other", tmp_path / "mounted"
    for directory in (instance, other, mounted):
        directory.mkdir(parents=True)
    for directory in (other, mounted):
        (directory / "nft").touch(0o755)
    monkeypatch.setattr(sessions.counters, "sandbox_of", lambda pid: 1)
    monkeypatch.setattr(sessions.counters, "counters", lambda init, nft: ran.append(nft) or ())
    session = Session(1, 1, "", "/project", "/project", "internet-only", "", (), "", 0)
    path = {"PATH": f"{other}:{mounted}"}
    ran: list[str] = []
    sessions.counted_of(session, path, str(tmp_path / "ours"))
    assert ran == [f"{other}/nft"], "the control: it is found while nobody can have planted it"
    here = os.open(instance, os.O_RDONLY)
    kept.begin(here, str(other))
    kept.note_written(here, [str(mounted)], str(other))
    os.close(here)
    ran.clear()
    sessions.counted_of(session, path, str(tmp_path / "ours"))
    assert not [nft for nft in ran if nft.startswith(str(tmp_path))]
