"""The review as it is read, at 80 columns and at 200, in five states; in committed files like all golden ones.

CLAUDEBOX_GOLDEN=update scripts/check     writes them anew; `git diff` is then what to read
"""

from __future__ import annotations

from collections.abc import Callable

import pytest
from cases import FROM_FILE, PASSED, settings
from test_golden import EXPECTED, compare

from builders import HOME, make_host, make_mount, make_plan, make_profile, make_project
from claudebox import console
from claudebox.model import Grant, Origin, SandboxPlan, Setting
from claudebox.plan.review import grown, row
from claudebox.render import review

State = tuple[SandboxPlan, tuple[Grant, ...], bool]  # what is launched, what is new, whether all is shown


def more(*, access: str = "rw") -> SandboxPlan:
    """Mounts, variables, the network, an agent that asks nothing."""
    mounts = (
        make_mount(f"{HOME}/.aws", access=access, origin=FROM_FILE),
        make_mount("/srv/data", "/data", origin=Origin(5, "-m /srv/data:/data")),
    )
    profile = make_profile(
        tier="full",
        unattended=True,
        mounts=mounts,
        env_pass=(Setting("GITHUB_TOKEN", PASSED), Setting("AWS_*", FROM_FILE), Setting("!AWS_KEY", FROM_FILE)),
        env_set=(Setting(("EDITOR", "vim"), FROM_FILE),),
    )
    given = {"GITHUB_TOKEN": "ghp_abcdefghijklmnopqrstuvwx", "AWS_REGION": "eu-1", "AWS_KEY": "k3y"}
    return make_plan(make_host(environment=given, pinned=(f"{HOME}/.aws/", "/srv/data/")), profile)


def first_with_more() -> State:
    return more(), more().grants, True


def difference() -> State:
    before = tuple(row(one) for one in more(access="ro").grants if one.kind != "unattended")
    return more(), grown(more().grants, before), False


def hostile() -> State:
    names = ("/srv/a\n+  mount  nothing", "/srv/\x1b[2K\x1b]0;t\x07", "/srv/\u0430pp\u202e", "/srv/a\u2192b")
    mounts = tuple(make_mount(name, access="rw") for name in names)
    root = f"{HOME}/code/\u2066app\r"
    host = make_host(make_project(root), pinned=tuple(name + "/" for name in names))
    plan = make_plan(host, make_profile(mounts=mounts))
    return plan, plan.grants, True


def with_settings() -> State:
    found = settings()
    acts = (("hook", "Stop: notify-send done"), ("MCP server", "issues"), ("agent's variable", "DEBUG"))
    found = found._replace(files=(found.files[0]._replace(brings=acts),))
    plan = make_plan(make_host(make_project(f"{HOME}/.ssh/notes"), settings=found))
    return plan, plan.grants, True


STATES: dict[str, Callable[[], State]] = {
    "defaults": lambda: (make_plan(), (), True),
    "first-with-more": first_with_more,
    "difference": difference,
    "settings": with_settings,
    "hostile": hostile,
}


@pytest.mark.parametrize("width", [80, 200])
@pytest.mark.parametrize("state", STATES)
def test_the_review(state: str, width: int) -> None:
    plan, fresh, whole = STATES[state]()
    rows = review.everything(plan, fresh) if whole else review.new(plan, fresh)
    text = console.laid_out((), [one[:3] for one in rows], width) + "\n" + review.line(plan) + "\n"
    compare(EXPECTED / f"review-{state}-{width}.txt", text)
    assert "ghp_" not in text and "k3y" not in text, "no value, and no beginning of one"
    assert all(line.isprintable() for line in text.split("\n"))
