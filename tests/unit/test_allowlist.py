"""Tier allowlist: its addresses, its rules, and what of a name's addresses is refused all the same."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from claudebox.model import Exempt
from claudebox.plan.network import allowlist
from claudebox.plan.network.addresses import NO_EXCEPTION, OWN, REFUSED, known
from claudebox.plan.network.allowlist import fake, index_of, refusal

HOST = (known("203.0.113.0/24"), known("192.168.77.0/24"))


@pytest.mark.parametrize(("prefix", "reason"), (*NO_EXCEPTION, *REFUSED))
def test_every_row_of_the_table_is_refused(prefix: str, reason: str) -> None:
    first = known(prefix)
    target = first._replace(length=32 if first.version == 4 else 128)
    assert refusal(target, 443, (), ()) != ""
    everything = (Exempt(prefix=first, port=0),)
    assert bool(refusal(target, 443, (), everything)) is ((prefix, reason) in NO_EXCEPTION or reason == "")


def test_the_hosts_own_networks_and_what_is_public() -> None:
    assert refusal(known("203.0.113.9"), 443, HOST, ()) == OWN
    assert refusal(known("8.8.8.8"), 443, HOST, ()) == ""
    assert refusal(known("2606:4700::1"), 443, HOST, ()) == ""


def test_an_exception_is_for_its_port() -> None:
    exempt = (Exempt(prefix=known("192.168.77.10"), port=5432),)
    assert refusal(known("192.168.77.10"), 5432, HOST, exempt) == ""
    assert refusal(known("192.168.77.10"), 5433, HOST, exempt) == OWN
    assert refusal(known("192.168.77.11"), 5432, HOST, exempt) == OWN


@given(st.sampled_from((4, 6)), st.integers(0, allowlist.NAMES - 1))
def test_an_address_and_its_index(version: int, index: int) -> None:
    assert index_of(fake(version, index)) == index


def test_addresses_outside_of_the_range_are_nobodys() -> None:
    for text in (allowlist.OWN4, allowlist.OWN6, "8.8.8.8", "127.0.0.1", "::1", "198.19.255.255", "198.18.0.255"):
        assert index_of(known(text)) is None
    assert index_of(fake(4, allowlist.NAMES)) is None


def test_the_rules_without_ipv6() -> None:
    with_it = allowlist.ruleset(allowlist.gate((), ipv6=True))
    without = allowlist.ruleset(allowlist.gate((), ipv6=False))
    assert "tproxy ip6" in with_it and "tproxy ip6" not in without and "tproxy ip to" in without
