"""The table of `doctor --sandbox`: which probes a plan has, and that each is one that can be tried."""

from __future__ import annotations

import inspect
import json

import pytest

from builders import make_git, make_host, make_mount, make_plan, make_profile, make_project, make_uplink
from claudebox.checks import inside
from claudebox.checks.inspection import REACHES, Beside, Outside, Probe, probes
from claudebox.model import SandboxPlan

BESIDE = Beside(
    uid=1000,
    secrets=(("/home/ada/.ssh", 1, 2),),
    variable=("SSH_X", "value"),
    file="/home/ada/.claudebox/instances/1/sessions/2.json",
    abstract="name",
    port=4711,
    pid=2,
)
OUTSIDE = Outside(gateways=("192.168.1.1",), here=(("192.168.1.5", 40000),))


def table(plan: SandboxPlan, outside: Outside | None = None) -> dict[str, Probe]:
    found = probes(plan, BESIDE, outside)
    named = {probe.name: probe for probe in found}
    assert len(named) == len(found), "a name is a row's"
    return named


def plan(tier: str = "offline", **changes: object) -> SandboxPlan:
    uplink = make_uplink() if tier == "internet-only" else None
    host = make_host(project=make_project(git=make_git()), uplink=uplink)
    return make_plan(profile=make_profile(tier=tier, **changes), host=host)


@pytest.mark.parametrize("tier", ["offline", "internet-only", "full"])
def test_every_probe_can_be_tried(tier: str) -> None:
    for probe in table(plan(tier), OUTSIDE).values():
        inspect.signature(inside.WAYS[probe.way]).bind(*probe.arguments)
        assert json.loads(json.dumps(probe.arguments)) is not None
        assert probe.expected and all(isinstance(one, str) for one in probe.expected)


@pytest.mark.parametrize("tier", ["offline", "internet-only", "full"])
def test_how_many(tier: str) -> None:
    assert len(table(plan(tier))) >= 40
    assert not [name for name in table(plan(tier)) if name.startswith("online")]


def test_what_a_tier_reaches() -> None:
    for tier, (far, near) in REACHES.items():
        found = table(plan(tier), OUTSIDE)
        assert (found["online: github.com"].expected == ("github.com:443",)) is far
        assert (found["online: this machine as 192.168.1.5"].expected == ("192.168.1.5:40000",)) is near
        assert ("online: the gateway 192.168.1.1" in found) is not near


def test_what_follows_the_plan() -> None:
    assert table(plan())["a nested user namespace"].expected == ("allowed",)
    refused = table(plan(nested_userns=False))
    assert "ENOSPC" in refused["a nested user namespace"].expected
    assert not [name for name in refused if name.startswith("nested:")], "there is nothing to try it in"
    assert "git: config" in table(plan())
    assert "git: config" not in table(plan(git_config="rw")), "it may be written there"
    assert "git: config" not in table(make_plan(host=make_host())), "without a repository"
    loopback = table(plan("full"))["the host's loopback"]
    assert loopback.expected == ("127.0.0.1:4711",), "the tier shares it"


def test_what_is_granted_is_not_asked_for() -> None:
    hidden = table(plan())["known secrets of the host"].arguments
    assert hidden == (("/home/ada/.ssh", "/home/ada/.ssh", 1, 2),)
    host = make_host(pinned=("/home/ada/.ssh/",))
    granted = make_plan(profile=make_profile(mounts=(make_mount("/home/ada/.ssh"),)), host=host)
    assert table(granted)["known secrets of the host"].arguments == ()
