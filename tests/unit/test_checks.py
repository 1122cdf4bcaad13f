"""doctor's pure part: os-release → what to type, versions, reasons, needs and the verdict, and the table of it all."""

from __future__ import annotations

import json

import pytest

from claudebox.checks import (
    Agent,
    Device,
    Facts,
    Finding,
    Machine,
    Problem,
    Program,
    Row,
    Sandbox,
    State,
    Userns,
    fixes,
    judge,
    tiers,
)
from claudebox.checks.programs import version_in
from claudebox.commands.doctor import as_json, as_text

DEBIAN = Machine(family="debian", title="Debian", root=False)
GOOD = Facts(
    machine=DEBIAN,
    kernel="6.12.1",
    asked_tier="offline",
    tier="offline",
    user=None,
    userns=Userns(error=""),
    seccomp="",
    landlock_abi=7,
    scopes="",
    sandbox=Sandbox(start="", late="", differs="", rules="", tun=""),
    programs=(
        Program("bwrap", "/usr/bin/bwrap", "0.12.0"),
        Program("env", "/usr/bin/env"),
        Program("git", "/usr/bin/git", "2.39.5"),
        Program("nft", "/usr/sbin/nft", "1.0.6"),
        Program("slirp4netns", "/usr/bin/slirp4netns", "1.2.0"),
        Program("pasta", "/usr/bin/pasta", "2024_09_06"),
        Program("nix", "/usr/bin/nix", "2.18.1"),
    ),
    tun=Device(exists=True, mode=0o666),
    nix_daemon="",
    default_agent="claude",
    agents=(Agent("claude", "Claude Code", "/usr/bin/claude", "2.1.300"), Agent("codex", "Codex", install="npm codex")),
    config=(),
    state=State("/home/ada/.claudebox", exists=True, problems=(), locks="", space=50 << 30, writing=""),
    terminal="",
)


def program(facts: Facts, name: str, **changes: object) -> Facts:
    """The same facts with another answer of one program."""
    changed = tuple(one._replace(**changes) if one.name == name else one for one in facts.programs)  # type: ignore[arg-type]
    return facts._replace(programs=changed)


def row(facts: Facts, name: str) -> Row:
    return next(one for one in judge.rows(facts) if one.name == name)


# --- distributions and what to type --------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "family", "command"),
    [
        ('ID=debian\nPRETTY_NAME="Debian 12"', "debian", "sudo apt install bubblewrap"),
        ("ID=ubuntu\nID_LIKE=debian", "debian", "sudo apt install bubblewrap"),
        ('ID=linuxmint\nID_LIKE="ubuntu debian"', "debian", "sudo apt install bubblewrap"),
        ("ID=fedora", "fedora", "sudo dnf install bubblewrap"),
        ('ID="rocky"\nID_LIKE="rhel centos fedora"', "fedora", "sudo dnf install bubblewrap"),
        ("ID=arch", "arch", "sudo pacman -S bubblewrap"),
        ("ID=cachyos\nID_LIKE=arch", "arch", "sudo pacman -S bubblewrap"),
        ("ID=nixos", "nixos", "nix profile install nixpkgs#bubblewrap"),
        ("ID=alpine", "alpine", "sudo apk add bubblewrap"),
        ("# ID=alpine\nID=void", "", "install bubblewrap with your distribution's package manager"),
        ("", "", "install bubblewrap with your distribution's package manager"),
    ],
)
def test_what_to_type_follows_the_distribution(text: str, family: str, command: str) -> None:
    where = fixes.machine(text, 1000)
    assert where.family == family
    assert fixes.install(where, "bwrap") == command


def test_root_may_have_no_sudo() -> None:
    where = fixes.machine("ID=debian", 0)
    assert fixes.install(where, "nft") == "apt install nftables"
    assert "sudo" not in fixes.other(where, "apparmor", bwrap="/usr/bin/bwrap")


@pytest.mark.parametrize("family", [*fixes.FAMILIES, ""])
def test_every_fix_can_be_made_for_every_family(family: str) -> None:
    where = Machine(family=family, title="", root=False)
    for name in ("bwrap", "env", "git", "nft", "slirp4netns", "pasta", "nix"):
        assert "{" not in fixes.install(where, name) + fixes.install(where, name, upgrade=True)
    for name in fixes.OTHER:
        assert fixes.other(where, name, name="user.max_user_namespaces", value="1", bwrap="/usr/bin/bwrap")


def test_the_apparmor_profile_names_this_bwrap() -> None:
    text = fixes.other(DEBIAN, "apparmor", bwrap="/opt/bin/bwrap")
    assert "profile claudebox-bwrap /opt/bin/bwrap flags=(unconfined) {\n  userns,\n}" in text
    assert text.splitlines()[-1] == "sudo apparmor_parser -r /etc/apparmor.d/claudebox-bwrap"


# --- why there is no user namespace ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("tried", "why", "fix"),
    [
        (Userns("unshare: ENOSPC", maximum="0"), "user.max_user_namespaces is 0", "sysctl -w user.max_user_namespaces"),
        (Userns("unshare: ENOSPC", maximum="9"), "too many are in use", "sysctl -w user.max_user_namespaces"),
        (Userns("unshare: EPERM", clone="0", maximum="1"), "unprivileged_userns_clone is 0", "_userns_clone=1"),
        (Userns("uid_map: EPERM", apparmor="1"), "AppArmor lets only programs", "/etc/apparmor.d/claudebox-bwrap"),
        (Userns("unshare: EPERM", container="docker"), "this is a container (docker)", "--security-opt"),
        (Userns("unshare: EPERM", filtered=True), "a seccomp filter is on this process", "--security-opt"),
        (Userns("unshare: EINVAL"), "built without", "CONFIG_USER_NS=y"),
        (Userns("unshare: EPERM", clone="1", maximum="9", apparmor="0"), "the kernel refuses (unshare: EPERM)", ""),
    ],
)
def test_why_there_is_no_user_namespace(tried: Userns, why: str, fix: str) -> None:
    found = row(GOOD._replace(userns=tried, sandbox=Sandbox(start="no")), "user namespaces")
    assert (found.needed, found.finding.status) == (True, "failed")
    assert why in found.finding.detail
    assert fix in found.finding.fix
    assert bool(fix) is bool(found.finding.fix)


def test_bubblewrap_alone_may_make_them() -> None:
    """With its profile in place nobody else needs to: a launch enters bubblewrap's own."""
    found = row(GOOD._replace(userns=Userns("uid_map: EPERM", apparmor="1")), "user namespaces")
    assert (found.finding.status, found.finding.found) == ("ok", "bubblewrap can make them")


# --- versions ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "version"),
    [
        ("bubblewrap 0.8.0\n", "0.8.0"),
        ("nftables v1.0.6 (Lester Gooch #5)\n", "1.0.6"),
        ("slirp4netns version 1.2.0\ncommit: 656041d\nlibslirp: 4.7.0\n", "1.2.0"),
        ("git version 2.39.5\n", "2.39.5"),
        ("nix (Nix) 2.18.1\n", "2.18.1"),
        ("pasta 2024_09_06.6b38f07-1\nCopyright Red Hat\n", "2024_09_06.6b38f07-1"),
        ("pasta unknown version\nGNU GPL version 2 or later\n", ""),
        ("", ""),
    ],
)
def test_version(text: str, version: str) -> None:
    assert version_in(text) == version


@pytest.mark.parametrize(
    ("kernel", "status"),
    [("5.11.22-7-generic", "failed"), ("5.12.0", "ok"), ("6.8.0-45-generic", "ok"), ("6.1+x", "ok")],
)
def test_kernel(kernel: str, status: str) -> None:
    assert row(GOOD._replace(kernel=kernel), "kernel").finding.status == status


def test_flaws_of_a_bubblewrap_are_told_by_version() -> None:
    assert row(GOOD, "bubblewrap").finding.detail == ""
    old = row(program(GOOD, "bwrap", version="0.8.0"), "bubblewrap").finding
    assert (old.status, "CVE-2026-87766" in old.detail) == ("ok", True)
    useless = row(program(GOOD, "bwrap", version="0.4.0", lacks=("--bind-fd",)), "bubblewrap").finding
    assert (useless.status, useless.detail) == ("failed", "it has no --bind-fd")
    assert useless.fix == "sudo apt update && sudo apt install bubblewrap"


def test_an_agent_that_is_too_old_is_a_warning() -> None:
    old = GOOD._replace(agents=(Agent("claude", "Claude Code", "/usr/bin/claude", "2.0.0", "2.1.197", None, "npm i"),))
    assert row(old, "agent").finding == Finding(
        "warning", "Claude Code 2.0.0, /usr/bin/claude", "older than 2.1.197, which claudebox relies on", "npm i"
    )


# --- needs and verdict ---------------------------------------------------------------------------


def test_all_is_well() -> None:
    found = judge.rows(GOOD)
    assert tiers.ready(found)
    assert [one.name for one in found if one.finding.status != "ok"] == ["agent codex"]
    assert set(tiers.ALWAYS) == {one.name for one in found if one.needed}


@pytest.mark.parametrize("tier", tiers.NEEDS)
def test_every_need_has_a_row(tier: str) -> None:
    names = {one.name for one in judge.rows(GOOD)}
    assert names.issuperset(tiers.ALWAYS)
    assert all(names.issuperset(alternatives) for alternatives in tiers.NEEDS[tier])


@pytest.mark.parametrize(
    "changed",
    [
        GOOD._replace(user=Problem("HOME is not set to a directory", "export HOME=/home/you")),
        GOOD._replace(state=GOOD.state._replace(problems=(Problem("x can be written by others", "chmod 700 x"),))),
        GOOD._replace(state=GOOD.state._replace(locks="this file system has no locks")),
        GOOD._replace(state=GOOD.state._replace(space=1000)),
        GOOD._replace(state=GOOD.state._replace(writing="read-only")),
        GOOD._replace(config=(Problem("config.toml:3: …"),)),
        GOOD._replace(seccomp="loading the filter: Invalid argument"),
        GOOD._replace(sandbox=Sandbox(start="bwrap: setting up uid map: Permission denied")),
        GOOD._replace(sandbox=Sandbox(start="", late="mount_setattr: Function not implemented")),
        GOOD._replace(sandbox=GOOD.sandbox._replace(differs="/usr/x is mounted, not planned")),
        GOOD._replace(default_agent="codex"),
        GOOD._replace(default_agent="nobody"),
        program(GOOD, "env", error="no --default-signal"),
        program(GOOD, "bwrap", path=""),
    ],
)
def test_what_a_launch_needs_makes_it_not_ready(changed: Facts) -> None:
    assert not tiers.ready(judge.rows(changed))


NO_NETWORK = program(program(program(GOOD, "nft", path=""), "pasta", path=""), "slirp4netns", path="")


@pytest.mark.parametrize(
    ("facts", "tier", "ready"),
    [
        (NO_NETWORK._replace(tun=Device(exists=False)), "offline", True),
        (NO_NETWORK._replace(tun=Device(exists=False)), "full", True),
        (GOOD, "internet-only", True),
        (NO_NETWORK, "internet-only", False),
        (program(GOOD, "pasta", path=""), "internet-only", True),
        (program(GOOD, "slirp4netns", lacks=("--exit-fd",)), "internet-only", True),
        (program(program(GOOD, "slirp4netns", path=""), "pasta", path=""), "internet-only", False),
        (GOOD._replace(tun=Device(exists=True, mode=0o600, error="Permission denied")), "internet-only", False),
        (GOOD._replace(sandbox=GOOD.sandbox._replace(rules="Operation not supported")), "internet-only", False),
    ],
)
def test_the_tier_decides_what_the_network_needs(facts: Facts, tier: str, ready: bool) -> None:
    assert tiers.ready(judge.rows(facts._replace(tier=tier))) is ready


def test_of_two_backends_only_what_is_lacking_is_needed() -> None:
    """A backend that is not there is no failing row of a launch that has the other one."""
    found = {one.name: one for one in judge.rows(program(GOOD, "pasta", path="")._replace(tier="internet-only"))}
    assert (found["slirp4netns"].needed, found["pasta"].needed) == (True, False)


# --- what is shown -------------------------------------------------------------------------------


BAD = program(GOOD, "env", error="no --default-signal: it does not run: status 1")


def shown(facts: Facts, width: int = 80, *, colour: bool = False) -> str:
    return as_text(facts, judge.rows(facts), width=width, colour=colour)


def test_the_last_line_is_the_verdict() -> None:
    assert shown(GOOD).splitlines()[-1] == "ready: claudebox -n offline can start here"
    assert shown(BAD).splitlines()[-1] == "not ready: claudebox -n offline cannot start here: see env"
    without = GOOD._replace(agents=())
    last = shown(without).splitlines()[-1]
    assert last == "not ready: claudebox -n offline cannot start here: see agent; claudebox run -n offline can"


def test_words_tell_what_colours_tell() -> None:
    plain = shown(BAD)
    assert "\x1b" not in plain
    assert "  FAILED   env" in plain and "fix: sudo apt install coreutils" in plain
    assert "\x1b[1;31mFAILED \x1b[0m" in shown(BAD, colour=True)


def test_lines_fit_the_terminal_but_for_what_is_pasted() -> None:
    lines = shown(program(BAD, "bwrap", version="0.8.0")).splitlines()
    assert [line for line in lines if len(line) > 80 and "fix:" not in line] == []
    fix = (
        'echo \'KERNEL=="tun", MODE="0666", OPTIONS+="static_node=net/tun"\' | sudo tee /etc/udev/rules.d/99-tun.rules'
    )
    broken = GOOD._replace(tun=Device(exists=True, mode=0o600, error="Permission denied"))
    assert fix in shown(broken)


def test_nothing_that_was_found_can_speak_to_the_terminal() -> None:
    hostile = program(GOOD, "git", version="2\x1b[2J", path="/home/a\nb/git")
    assert "\x1b" not in shown(hostile) and "a\nb" not in shown(hostile)


def test_json() -> None:
    found = judge.rows(BAD)
    document = json.loads(as_json(BAD, found, ready=tiers.ready(found)))
    assert (document["schema_version"], document["tier"], document["ready"]) == (1, "offline", False)
    assert all(list(one) == ["name", "needed", "status", "found", "detail", "fix"] for one in document["checks"])
    (env,) = [one for one in document["checks"] if one["name"] == "env"]
    assert (env["status"], env["needed"], env["fix"]) == ("failed", True, "sudo apt install coreutils")
