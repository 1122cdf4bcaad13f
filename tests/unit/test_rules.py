"""Tier allowlist's rules: what is read, what is refused, and which rule decides."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from claudebox import suffix
from claudebox.allowing import parse, parse_entry, shown, told
from claudebox.hostname import normal, readable
from claudebox.model import AllowRule, Layer, Origin, Why
from claudebox.plan.network.rules import added, check_on, decide, decide_name
from claudebox.typed import Unusable

WHY = Why("a test", Origin(Layer.CONFIG, "config.toml:3"))


def rule(written: str | dict[str, Any]) -> AllowRule:
    return parse(written, WHY)


def allowed(rules: list[str | dict[str, Any]], target: str, port: int = 443) -> bool:
    return decide(tuple(map(rule, rules)), target, port).allowed


@pytest.mark.parametrize(
    ("written", "what", "ports", "check"),
    [
        ("a.example.com", "a.example.com", (80, 443), "sni"),
        ("A.Example.COM.", "a.example.com", (80, 443), "sni"),
        ("*.github.com:443", "*.github.com", (443,), "sni"),
        ("a.example.com:*", "a.example.com", (), "sni"),
        ("intranet", "intranet", (80, 443), "sni"),
        ("bücher.example", "xn--bcher-kva.example", (80, 443), "sni"),
        ("xn--bcher-kva.example", "xn--bcher-kva.example", (80, 443), "sni"),
        ("my_bucket.example.com", "my_bucket.example.com", (80, 443), "sni"),
        ("203.0.113.7:22", "203.0.113.7", (22,), "none"),
        ("203.0.113.0/24", "203.0.113.0/24", (80, 443), "none"),
        ("203.0.113.0/24:22", "203.0.113.0/24", (22,), "none"),
        ("[2001:DB8::/64]:5432", "2001:db8::/64", (5432,), "none"),
        ("[2001:db8::1]", "2001:db8::1", (80, 443), "none"),
        ("2001:db8::1", "2001:db8::1", (80, 443), "none"),
        ({"name": "ssh.github.com", "ports": [443], "check": "none"}, "ssh.github.com", (443,), "none"),
        ({"name": "a.example.com", "ports": [2, 1, 2]}, "a.example.com", (1, 2), "sni"),
        ("*.github.io", "*.github.io", (80, 443), "sni"),
    ],
)
def test_parse(written: str | dict[str, Any], what: str, ports: tuple[int, ...], check: str) -> None:
    found = rule(written)
    assert (found.what, found.ports, found.check, found.why) == (what, ports, check, WHY)


@pytest.mark.parametrize(
    ("written", "says"),
    [
        ("*.com", "anybody"),
        ("*.co.uk", "anybody"),
        ("*.kawasaki.jp", "anybody"),
        ("*.foo.ck", "anybody"),
        ("*.xn--55qx5d.cn", "anybody"),
        ("*", "a wildcard"),
        ("*.*.example.com", "a wildcard"),
        ("a.*.example.com", "a wildcard"),
        ("*a.example.com", "a wildcard"),
        ("https://example.com/", "without https://"),
        ("example.com/path", "without https://"),
        ("example.com:0", "a port"),
        ("example.com:65536", "a port"),
        ("example.com:", "a port"),
        ("example.com:٣", "a port"),
        ("faß.example", "xn--"),
        ("1.2.3", "a name"),
        ("0x7f.0.0.0x1", "a name"),
        ("10.0.0.1/8", "a name"),
        ("", "a name"),
        ("a..b", "a name"),
        ("-a.example.com", "a name"),
        ("a b.example.com", "a name"),
        ("[example.com]:3", "a name"),
        ("x" * 64 + ".example.com", "a name"),
        (".".join(["abcdefgh"] * 40), "a name"),
        ({"name": "1.2.3.4", "check": "sni"}, "no check for an address"),
        ({"ports": [1]}, "a table with a name"),
        ({"name": "a.example.com", "ports": []}, "ports"),
        ({"name": "a.example.com", "ports": [True]}, "ports"),
        ({"name": "a.example.com", "ports": list(range(1, 100))}, "at most"),
        ({"name": "a.example.com", "check": "off"}, "check"),
        ({"name": "a.example.com", "port": 3}, "port"),
        ({"name": "a.example.com:443"}, "ports"),
        ("@git hub", "a set"),
        ("@", "a set"),
    ],
)
def test_what_is_no_rule(written: str | dict[str, Any], says: str) -> None:
    with pytest.raises(Unusable, match=says):
        parse_entry(written, WHY)


def test_entries() -> None:
    assert parse_entry("@github", WHY).group == "github"
    out = parse_entry("!@github", WHY)
    assert out.out and out.group == "github"
    removed = parse_entry("!*.com", WHY).rule  # what is taken out may be of any width
    assert removed and removed.refused and removed.what == "*.com" and removed.ports == ()


@pytest.mark.parametrize(
    ("rules", "target", "port", "expected"),
    [
        (["a.example.com"], "a.example.com", 443, True),
        (["a.example.com"], "a.example.com", 80, True),
        (["a.example.com"], "a.example.com", 22, False),
        (["a.example.com:*"], "a.example.com", 22, True),
        (["a.example.com"], "b.a.example.com", 443, False),
        (["a.example.com"], "example.com", 443, False),
        (["*.example.com"], "a.example.com", 443, True),
        (["*.example.com"], "b.a.example.com", 443, True),
        (["*.example.com"], "example.com", 443, False),
        (["*.example.com"], "badexample.com", 443, False),
        (["*.example.com"], ".example.com", 443, False),
        (["*.example.com", "!a.example.com"], "a.example.com", 443, False),
        (["*.example.com", "!a.example.com"], "b.example.com", 443, True),
        (["*.example.com", "!*.a.example.com"], "b.a.example.com", 443, False),
        (["*.example.com", "!*.a.example.com"], "a.example.com", 443, True),
        (["a.example.com", "!*.example.com"], "a.example.com", 443, True),
        (["a.example.com", "!a.example.com"], "a.example.com", 443, False),
        (["!a.example.com", "a.example.com"], "a.example.com", 443, True),
        (["a.example.com", "!a.example.com:80"], "a.example.com", 443, True),
        (["a.example.com", "!a.example.com:80"], "a.example.com", 80, False),
        (["203.0.113.0/24:22"], "203.0.113.9", 22, True),
        (["203.0.113.0/24:22"], "203.0.114.9", 22, False),
        (["203.0.113.0/24", "!203.0.113.9"], "203.0.113.9", 443, False),
        (["[2001:db8::/64]:5432"], "2001:db8::5", 5432, True),
        (["[2001:db8::/64]:5432"], "203.0.113.9", 5432, False),
        (["a.example.com"], "203.0.113.9", 443, False),
    ],
)
def test_decide(rules: list[str | dict[str, Any]], target: str, port: int, expected: bool) -> None:
    assert allowed(rules, target, port) is expected
    if not target[-1].isdigit():
        assert not expected or decide_name(tuple(map(rule, rules)), target)


def test_a_verdict_says_why() -> None:
    rules = (rule("*.example.com"), rule("db.example.org:5432"), rule("!x.example.com"))
    assert decide(rules, "a.example.com", 443).reason == "*.example.com (config.toml:3)"
    assert decide(rules, "example.com", 443).reason == "*.example.com is about the names below it, not about itself"
    assert decide(rules, "db.example.org", 443).reason == "allowed on port 5432 only"
    assert decide(rules, "x.example.com", 443).reason == "!x.example.com takes it out (config.toml:3)"
    assert decide(rules, "other.example.net", 443).reason == "no rule names it"
    assert decide(rules, "203.0.113.1", 443).reason == "no rule lists this address"


def test_the_check_is_that_of_the_most_specific_rule() -> None:
    rules = (rule({"name": "ssh.example.com", "ports": [443], "check": "none"}), rule("*.example.com:*"))
    found = decide(rules, "ssh.example.com", 443).rule
    assert found and check_on(found, 443) == "none"
    wide = decide(rules, "a.example.com", 8443).rule
    assert wide and check_on(wide, 8443) == "none" and check_on(wide, 443) == "sni"
    strict = rule({"name": "a.example.com", "ports": [8443], "check": "sni"})
    assert check_on(strict, 8443) == "sni"


def test_a_name_that_is_refused_on_every_port_gets_no_answer() -> None:
    rules = (rule("*.example.com"), rule("!a.example.com"))
    assert not decide_name(rules, "a.example.com")
    assert decide_name(rules, "b.example.com")
    assert decide_name((rule("a.example.com"), rule("!a.example.com:80")), "a.example.com")
    assert not decide_name(rules, "example.com")


def test_rules_that_are_added_while_a_session_runs() -> None:
    rules = added((), rule("*.example.com"))
    rules = added(rules, rule("!a.example.com"))
    assert not decide(rules, "a.example.com", 443).allowed
    rules = added(rules, rule("a.example.com"))
    assert decide(rules, "a.example.com", 443).allowed
    rules = added(rules, rule("!a.example.com"))
    assert not decide(rules, "a.example.com", 443).allowed
    assert len(rules) == 2  # one about each thing, however often it changes
    assert added((), rule("!a.example.com")) == ()
    assert added((rule("a.example.com"),), rule("!a.example.com")) == ()


@pytest.mark.parametrize(
    "written",
    ["a.example.com", "a.example.com:1,2", "*.a.example.com:443", "a.b:*", "[2001:db8::/64]:22", "203.0.113.7"],
)
def test_shown_is_read_back(written: str) -> None:
    assert shown(rule(written)) == written
    assert told(rule("bücher.example")) == "xn--bcher-kva.example (bücher.example)"


LABEL = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,8}[a-z0-9])?", fullmatch=True)
LAST = st.sampled_from(["com", "uk", "example"])
NAME = st.builds(lambda labels, last: ".".join([*labels, last]), st.lists(LABEL, min_size=1, max_size=4), LAST)


@given(NAME)
def test_normal_is_settled(name: str) -> None:
    try:
        once = normal(name.upper() + ".")
    except ValueError:
        return
    assert normal(once) == once == name


@given(st.text(max_size=80))
def test_any_text_is_a_rule_or_unusable(text: str) -> None:
    try:
        found = rule(text)
    except Unusable:
        return
    assert rule(shown(found)) == found or found.refused
    assert found.what.isascii() and found.what == found.what.lower()


@given(st.text(max_size=60))
def test_a_name_is_one_of_dns_or_none(text: str) -> None:
    try:
        name = normal(text)
    except ValueError:
        return
    assert name.isascii() and len(name) <= 253 and not set(name) & set(" \n\t/:*@\\\"'")
    assert normal(name) == name and normal(readable(name)) == name


@given(NAME, NAME, st.integers(1, 65535))
def test_a_wildcard_lets_through_what_ends_in_it_and_nothing_else(base: str, other: str, port: int) -> None:
    try:
        wild = (rule(f"*.{base}:*"),)
    except Unusable:
        assert suffix.is_public(base)
        return
    assert decide(wild, f"a.{base}", port).allowed
    assert decide(wild, f"a.b.{base}", port).allowed
    assert not decide(wild, base, port).allowed
    assert decide(wild, other, port).allowed is other.endswith(f".{base}")


@given(st.lists(NAME, max_size=5), NAME, st.integers(0, 3))
def test_nothing_that_is_not_listed_is_allowed(names: list[str], target: str, extra: int) -> None:
    rules = tuple(map(rule, names))
    target = ".".join(["z"] * extra + [target])
    assert decide(rules, target, 443).allowed is (target in names)
    assert decide_name(rules, target) is (target in names)


def test_suffixes() -> None:
    assert all(map(suffix.is_public, ["com", "co.uk", "a.kawasaki.jp", "kawasaki.jp", "foo.ck", "nosuchtld"]))
    assert not any(
        map(suffix.is_public, ["www.ck", "city.kawasaki.jp", "github.io", "example.com", "a.b.c.example.com"])
    )
    assert suffix.is_hosting("github.io") and not suffix.is_hosting("example.com")
