"""Tier allowlist: the rules of a launch, what of them asks, and what the audit and the JSON show."""

from __future__ import annotations

from typing import Any

import pytest

from builders import make_host, make_plan, make_profile
from claudebox.agents import load_agent
from claudebox.allowing import parse_entry, shown
from claudebox.errors import ClaudeboxError
from claudebox.model import BUILTIN, Grant, Layer, NameSet, Note, Origin, Profile, Publish, Setting, Why
from claudebox.plan.network import listed
from claudebox.plan.network.rules import decide
from claudebox.plan.review import asked, grown, row
from claudebox.render import review
from claudebox.render.network import lines, values

FILE = Origin(Layer.CONFIG, "config.toml:3")
SPEC = load_agent("claude", "")
PIP = NameSet(
    name="pip",
    rules=(("pypi.example.com:443", "as you configured it", "~/.config/pip/pip.conf"),),
    variables=(("PIP_INDEX_URL", "https://pypi.example.com/simple", "~/.config/pip/pip.conf"),),
)
GITHUB = NameSet(name="github", rules=(("github.com:443", "pages", ""), ("ssh.github.com:443 none", "git", "")))


def profile(*allow: str | dict[str, Any], **changes: Any) -> Profile:
    entries = tuple(Setting(parse_entry(one, Why("allow", FILE)), FILE) for one in allow)
    tier = Setting("allowlist", Origin(Layer.COMMAND_LINE, "-n allowlist"))
    return make_profile(**{"tier": tier, "allow": entries, **changes})


SETS = (PIP, GITHUB)
HOST = make_host(sets=SETS)


def grants(*allow: str | dict[str, Any], **changes: Any) -> tuple[Grant, ...]:
    return tuple(one for one in asked(profile(*allow, **changes), HOST, [], SPEC))


def names(*allow: str | dict[str, Any], **changes: Any) -> list[tuple[str, str]]:
    return [(one.name, one.severity) for one in grants(*allow, **changes)]


def test_the_agents_own_hosts_are_let_through_and_ask_nothing() -> None:
    rules = listed.rules(profile(), SETS, SPEC)
    assert [shown(one) for one in rules] == [f"{host}:443" for host in SPEC.hosts]
    assert all(one.why == Why("Claude Code needs it", BUILTIN) for one in rules)
    assert grants() == ()


def test_they_can_be_taken_out() -> None:
    rules = listed.rules(profile("!platform.claude.com"), SETS, SPEC)
    assert decide(rules, "api.anthropic.com", 443).allowed
    assert not decide(rules, "platform.claude.com", 443).allowed
    assert grants("!platform.claude.com") == ()


def test_a_set_is_taken_apart_and_says_what_it_is_for() -> None:
    rules = {shown(one): one for one in listed.rules(profile("@github", "@pip"), SETS, SPEC)}
    assert rules["github.com:443"].why == Why("@github: pages", FILE)
    assert rules["ssh.github.com:443"].check == "none" and rules["ssh.github.com:443"].strict
    assert str(rules["pypi.example.com:443"].why.origin) == "config.toml:3, ~/.config/pip/pip.conf"
    out = listed.rules(profile("@github", "!@github"), SETS, SPEC)
    assert not decide(out, "github.com", 443).allowed


def test_a_set_passes_its_settings() -> None:
    found = listed.variables(profile("@pip"), SETS)
    assert [(one.name, one.value, one.why.origin) for one in found] == [
        ("PIP_INDEX_URL", "https://pypi.example.com/simple", FILE)
    ]
    assert listed.variables(profile("@pip", "!@pip"), SETS) == []
    assert listed.variables(profile("@github"), SETS) == []
    assert listed.variables(profile("@pip", tier=Setting("full")), SETS) == []


def test_what_asks() -> None:
    unchecked = {"name": "b.example.com", "ports": [22], "check": "none"}
    assert names("a.example.com", "*.c.example.com:443", unchecked) == [
        ("a.example.com", "info"),
        ("*.c.example.com:443", "info"),
        ("b.example.com:22", "danger"),
    ]
    assert names("a.example.com", "!a.example.com") == []
    assert names("a.example.com:443", "!a.example.com") == []
    assert grants("*.example.com", "!a.example.com")[0].without == ("a.example.com",)
    assert names("a.example.com", tier=Setting("internet-only")) == []
    assert names("a.example.com", learn=Setting(True)) == []
    ports = {"host_ports": (Setting(5432, FILE),), "publish": (Setting(Publish(host=8080, inside=80), FILE),)}
    assert names(**ports) == [("5432", "weakening"), ("8080:80", "info")]
    assert names(tier=Setting("offline"), **ports) == [("5432", "weakening"), ("8080:80", "info")]
    assert names(tier=Setting("full"), **ports) == [("full", "weakening")]
    assert names(nix_daemon=Setting(True, FILE)) == [("nix_daemon", "danger")]
    assert names(nix_daemon=Setting(True)) == []


@pytest.mark.parametrize(
    ("before", "now", "asks"),
    [
        (["a.example.com"], ["a.example.com"], False),
        (["a.example.com"], ["b.example.com"], True),
        (["a.example.com"], ["a.example.com:443"], False),
        (["a.example.com:443"], ["a.example.com"], True),
        (["a.example.com:*"], ["a.example.com:22"], False),
        (["*.example.com"], ["a.example.com"], False),
        (["*.example.com"], ["*.a.example.com:443"], False),
        (["*.example.com"], ["example.com"], True),
        (["a.example.com"], ["*.a.example.com"], True),
        (["203.0.113.0/24:22"], ["203.0.113.9:22"], False),
        (["203.0.113.9:22"], ["203.0.113.0/24:22"], True),
        (["*.example.com", "!a.example.com"], ["*.example.com"], True),
        (["*.example.com"], ["*.example.com", "!a.example.com"], False),
        (["*.example.com", "!a.example.com"], ["a.example.com"], True),
        ([{"name": "a.example.com", "check": "none"}], ["a.example.com"], False),
        (["a.example.com"], [{"name": "a.example.com", "check": "none"}], True),
        ([{"name": "a.example.com", "check": "ech"}], [{"name": "a.example.com", "check": "none"}], True),
    ],
)
def test_only_what_grows_asks(before: list[Any], now: list[Any], asks: bool) -> None:
    accepted = tuple(map(row, grants(*before)))
    assert bool(grown(grants(*now), accepted)) is asks


def test_more_rules_than_a_launch_has() -> None:
    with pytest.raises(ClaudeboxError, match="more than"):
        listed.rules(profile(*(f"a{number}.example.com" for number in range(1001))), SETS, SPEC)


def test_notes() -> None:
    wide = profile("*.github.io", {"name": "b.example.com", "check": "ech"}, learn=Setting(True))
    rules = listed.rules(wide, SETS, SPEC)
    assert listed.notes(rules, wide, ()) == [
        Note("weakening", "allow *.github.io: anybody can have a name below github.io (config.toml:3)"),
        Note("danger", "allow b.example.com: an encrypted name in it is not checked (config.toml:3)"),
        Note("weakening", "learning: every public address can be reached, and every name is recorded"),
    ]


def test_what_is_shown() -> None:
    rules = listed.rules(profile("a.example.com", "@github", "*.example.com", "!x.example.com"), SETS, SPEC)
    plan = make_plan()
    network = plan.network._replace(
        tier="allowlist", allow=rules, host_ports=(5432,), publish=(Publish(host=8080, inside=80),)
    )
    text = "\n".join(lines(network))
    assert "allow      api.anthropic.com:443  (Claude Code needs it; builtin)" in text
    assert "allow      ssh.github.com:443, check none  (@github: git; config.toml:3)" in text
    assert "refuse     x.example.com  (config.toml:3)" in text
    assert "host port  5432, as localhost inside" in text
    assert "publish    127.0.0.1:8080 of this machine is 80 inside" in text
    found = values(network)
    assert found["publish"] == [{"host": 8080, "inside": 80}]
    assert found["allow"][0] == {
        "name": "api.anthropic.com", "ports": [443], "check": "sni", "refused": False,
        "reason": "Claude Code needs it", "origin": "builtin",
    }  # fmt: skip
    shown_plan = plan._replace(network=network, grants=grants("a.example.com", "@github"))
    texts = [one.text for one in review.everything(shown_plan, shown_plan.grants)]
    assert "api.anthropic.com:443 (Claude Code needs it)" in texts
    assert "a.example.com can be reached (config.toml:3)" in texts
    red = [one for one in review.new(shown_plan, shown_plan.grants) if one.severity == "danger"]
    assert [one.text for one in red] == [
        "ssh.github.com:443 can be reached, and nothing checks which name a connection is for "
        "(@github: git; config.toml:3)"
    ]
    assert review.line(shown_plan).endswith("ssh.github.com:443 none")
