"""What was asked for against what was accepted: what grows asks, what shrinks does not, and the rows are read back."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from builders import HOME, make_host, make_mount, make_plan, make_profile, make_project
from claudebox.model import Grant, Host, Layer, MountRequest, Note, Origin, Profile, Setting, UserFile, UserSettings
from claudebox.plan.review import covers, exceptions, grown, note_row, row
from claudebox.typed import allowance

TYPED = Origin(Layer.COMMAND_LINE, "-e")
TEXT = st.text(min_size=1, max_size=8)
GRANTS = st.builds(
    Grant,
    kind=st.sampled_from(["mount", "variable", "hook", "exception", "network"]),
    name=st.sampled_from(["/a", "/b", "A_*", "full"]) | TEXT,
    origin=st.just(TYPED),
    level=st.sampled_from(["", "ro", "rw", "set", "pass"]),
    target=st.sampled_from(["", "/a", "/t"]),
    without=st.lists(st.sampled_from(["A_X", "A_Y"]), unique=True).map(lambda names: tuple(sorted(names))),
    secret=st.sampled_from(["", "SSH keys", "AWS credentials"]),
)
LISTS = st.lists(GRANTS, max_size=6).map(tuple)


def rows(*grants: Grant) -> tuple[tuple[str, ...], ...]:
    return tuple(map(row, grants))


@given(LISTS)
def test_what_was_accepted_asks_nothing(grants: tuple[Grant, ...]) -> None:
    assert grown(grants, rows(*grants)) == ()


@given(LISTS, LISTS)
def test_less_asks_nothing_and_only_what_is_new_asks(accepted: tuple[Grant, ...], more: tuple[Grant, ...]) -> None:
    assert grown(accepted[1:], rows(*accepted)) == ()
    fresh = grown((*accepted, *more), rows(*accepted))
    assert set(fresh) <= set(more) - set(accepted)
    assert grown((*accepted, *more), rows(*accepted, *fresh)) == (), "accepting the difference is enough"


@given(LISTS)
def test_nothing_accepted_asks_for_all(grants: tuple[Grant, ...]) -> None:
    assert grown(grants, ()) == grants


@given(st.lists(st.lists(st.text(max_size=4), max_size=7).map(tuple), max_size=4), LISTS)
def test_rows_of_any_shape_accept_nothing_by_accident(junk: list[tuple[str, ...]], grants: tuple[Grant, ...]) -> None:
    known = {row(one)[0] for one in grants}
    assert grown(grants, tuple(one for one in junk if not one or one[0] not in known)) == grants


def grant(**changes: Any) -> Grant:
    return Grant(kind="mount", name="/a", target="/t", level="ro", origin=TYPED)._replace(**changes)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({}, {"level": "rw"}),
        ({}, {"name": "/b"}),
        ({}, {"target": "/u"}),
        ({}, {"secret": "SSH keys"}),
        ({"secret": "AWS credentials"}, {"secret": "SSH keys"}),
        ({"level": "set"}, {"level": "pass"}),
        ({"without": ("X", "Y")}, {"without": ("X",)}),
        ({"kind": "variable"}, {"kind": "hook"}),
    ],
)
def test_growth_in_one_direction(before: dict[str, Any], after: dict[str, Any]) -> None:
    old, new = grant(**before), grant(**{**before, **after})
    assert not covers(row(old), new)
    if not {"name", "target", "kind"} & set(after) and not old.secret:
        assert covers(row(new), old), "and the other direction asks nothing"


def test_an_exception_is_less_than_the_whole_network() -> None:
    whole = Grant(kind="network", name="full", origin=TYPED)
    one = Grant(kind="exception", name="10.0.0.1:7", origin=TYPED)
    assert covers(row(whole), one) and not covers(row(one), whole)


def test_a_pattern_covers_the_names_that_it_brings() -> None:
    def variable(name: str, **more: Any) -> Grant:
        return Grant(kind="variable", name=name, level="pass", origin=TYPED)._replace(**more)

    pattern = row(variable("AWS_*", without=("AWS_KEY", "*_TOKEN")))
    assert covers(pattern, variable("AWS_REGION"))
    for other in ("AWS_KEY", "AWS_SESSION_TOKEN", "GIT_DIR", "AWS", "AWS_R*"):
        assert not covers(pattern, variable(other)), other
    assert not covers(pattern, variable("AWS_REGION", level="set")), "another value than the host's"
    asked_for = make_plan(None, make_profile(env_pass=(Setting("GIT_DIR", TYPED), Setting("MY", TYPED)))).grants
    assert [covers(row(variable("*")), one) for one in asked_for] == [False, True], "no pattern brings GIT_DIR"


# --- what a launch asks for ----------------------------------------------------------------------


def kinds(profile: Profile | None = None, host: Host | None = None) -> list[tuple[str, str, str, str]]:
    plan = make_plan(host, profile)
    return [(one.kind, one.level, one.name, one.secret) for one in plan.grants]


def test_the_defaults_ask_for_nothing() -> None:
    for tier in ("offline",):
        assert kinds(make_profile(tier=tier)) == []


def test_each_thing_that_was_asked_for() -> None:
    profile = make_profile(
        tier="full",
        unattended=True,
        git_config="rw",
        mounts=(make_mount("/srv/data", "/data", access="rw"), make_mount(f"{HOME}/.aws")),
        env_pass=(Setting("TOKEN", TYPED), Setting("AWS_*", TYPED), Setting("!AWS_KEY", TYPED)),
        env_set=(Setting(("EDITOR", "vim"), TYPED),),
    )
    host = make_host(pinned=("/srv/data/", f"{HOME}/.aws/"))
    assert kinds(profile, host) == [
        ("unattended", "", "unattended", ""),
        ("network", "", "full", ""),
        ("git", "rw", ".git/config and hooks", ""),
        ("mount", "rw", "/srv/data", ""),
        ("mount", "ro", f"{HOME}/.aws", "AWS credentials"),
        ("variable", "pass", "TOKEN", ""),
        ("variable", "pass", "AWS_*", ""),
        ("variable", "set", "EDITOR", ""),
    ]
    pattern = make_plan(host, profile).grants[-2]
    assert pattern.without == ("AWS_KEY",)


def mounted(request: MountRequest, canonical: str) -> Grant:
    host = make_host(pinned=(canonical + "/",), sources=((request.source, canonical),))
    (one,) = make_plan(host, make_profile(mounts=(request,))).grants
    return one


def test_a_link_asks_again_only_when_it_reaches_a_secret() -> None:
    request = make_mount("/srv/data", "/data")
    first, moved = mounted(request, "/srv/data"), mounted(request, "/srv/other")
    assert grown((moved,), rows(first)) == ()
    secret = mounted(request, f"{HOME}/.ssh/old")
    assert secret.secret == "SSH keys"
    assert grown((secret,), rows(first)) == (secret,)


@pytest.mark.parametrize("source", [f"{HOME}/.ssh/id", f"{HOME}/.ssh", HOME])
def test_a_secret_by_what_it_is_what_holds_it_and_what_it_holds(source: str) -> None:
    host = make_host(sensitive=((f"{HOME}/.ssh", "SSH keys"),), claudebox_home="/elsewhere", pinned=(source + "/",))
    (one,) = make_plan(host, make_profile(mounts=(make_mount(source, "/data"),))).grants
    assert (one.secret, one.severity) == ("SSH keys", "danger")


def test_what_is_optional_and_missing_was_asked_for() -> None:
    profile = make_profile(mounts=(make_mount(f"{HOME}/.aws/x", optional=True),))
    (one,) = make_plan(make_host(), profile).grants
    assert (one.secret, one.detail) == ("AWS credentials", "not there now")


@pytest.mark.parametrize("root", [f"{HOME}/.ssh/notes", f"{HOME}/.aws"])
def test_a_project_in_a_secret_place(root: str) -> None:
    ((kind, _, name, secret),) = kinds(host=make_host(make_project(root)))
    assert (kind, name) == ("project", root) and secret
    assert kinds(host=make_host(make_project(f"{HOME}/.sshx"))) == []


def test_what_the_settings_bring_and_where_the_project_holds_them() -> None:
    claude = f"{HOME}/.claude"
    file = UserFile(
        path=".claude/settings.json", source=f"{claude}/settings.json", stamp="1", text=None, keys=(), notes=(),
        brings=(("hook", "Stop: x"), ("MCP server", "one")),
    )  # fmt: skip
    found = UserSettings(directory=claude, files=(file,))
    assert [one[:3:2] for one in kinds(host=make_host(settings=found))] == [("hook", "Stop: x"), ("MCP server", "one")]
    held = kinds(host=make_host(make_project(claude), settings=found))
    assert ("project", "rw", "the agent's settings", "") in held
    assert not [one for one in held if one[0] == "hook"], "the project takes their place"


@pytest.mark.parametrize(("tier", "count"), [("offline", 0), ("internet-only", 1), ("full", 0)])
def test_an_exception_counts_where_something_is_refused(tier: str, count: int) -> None:
    profile = make_profile(tier=tier, allow_lan=(Setting(allowance("10.0.0.1:7"), TYPED),))
    assert len(exceptions(profile)) == count


def test_a_note_that_was_shown_is_no_grant() -> None:
    one = note_row(Note("weakening", "the machine"))
    assert len(one) == 5 and grown((), (one,)) == ()
