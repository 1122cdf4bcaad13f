"""Made-up requests, profiles and projects: bubblewrap takes what is rendered, the sandbox has what the plan says, and a
secret is in no output, no command line and no environment but the agent's. 200 of them; scripts/soak plans: 10,000.
"""

from __future__ import annotations

import json
import os
import string
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from box import Box, made_box
from capability import SOAK, needs
from seen import BWRAPS, OWN, mounts_inside, planned

pytestmark = [needs("userns", "bwrap", "git"), pytest.mark.timeout(36_000)]
COUNT = 10_000 if SOAK else 200
SECRET = "s3cr3t-b7d1e0"
PROBE = "cat /proc/self/mountinfo; printf '\\n\\n'; cat /proc/1/cmdline /proc/1/environ; printf '\\n\\n'; exec env -0"


class Made(NamedTuple):
    """A request. options: typed; config: of config.toml; where: the directory, below the home."""

    options: tuple[str, ...]
    config: str
    where: str


SOURCES = ("data", "data/in", "data/file", "a b", "\N{SNOWMAN}'\"", "code/app/src", "code/app", ".ssh", "tools")
TARGETS = (
    "",
    "/run/in",
    "/srv/x",
    "/mnt/deep/er",
    "{home}/work",
    "{home}/.config/x",
    "{app}/data",
    "/etc/x",
    "/proc/x",
    "/opt",
)
VALUES = ("plain", "", "a b\n--c $(id) '\"", "\N{SNOWMAN}", "=", "\\x1b", "%s" * 9)
NAMES = st.text(string.ascii_uppercase + "_", min_size=1, max_size=6).filter(lambda name: name not in OWN)


@st.composite
def requests(draw: st.DrawFn) -> Made:
    """What somebody could type, right or wrong."""
    options: list[str] = ["-n", draw(st.sampled_from(("offline", "offline", "full")))]
    for _ in range(draw(st.integers(0, 3))):
        source, target = draw(st.sampled_from(SOURCES)), draw(st.sampled_from(TARGETS))
        mode = draw(st.sampled_from(("", ":ro", ":rw")))
        options += ["-m", "{home}/" + source + (f":{target}" if target else "") + mode]
    for _ in range(draw(st.integers(0, 3))):
        options += ["-e", f"{draw(NAMES)}={draw(st.sampled_from(VALUES))}"]
    for name in draw(st.sets(st.sampled_from(("TOKEN", "TOKEN_2", "LD_PRELOAD_X", "MISSING")))):
        options += ["-e", name]
    options += draw(st.lists(st.sampled_from(("--no-auth", "--unattended", "--force")), unique=True))
    limits = f'[limits]\nprocesses = {draw(st.integers(8, 5000))}\ntmp = "{draw(st.integers(1, 64))}M"\n'
    sandbox = "[sandbox]\n" + "".join(
        draw(st.sets(st.sampled_from(('git_config = "rw"\n', "nested_userns = false\n", "nix_daemon = false\n"))))
    )
    environment = draw(st.sampled_from(("", '[env]\npass = ["TOK*"]\n', '[env]\npass = ["*", "!LC_*"]\n')))
    where = draw(st.sampled_from(("code/app", "code/app/src", "code/app/.git", "linked", "plain")))
    return Made(tuple(options), limits + sandbox + environment, where)


@pytest.fixture(scope="module")
def home(claudebox: Path) -> Iterator[Box]:
    """One home for all of them: a launch leaves nothing that the next one would notice."""
    with made_box(claudebox) as box:
        for name in ("data/in", "a b", "\N{SNOWMAN}'\"", "code/app/src", ".ssh", "tools", "plain"):
            (box.home / name).mkdir(parents=True, exist_ok=True)
        (box.home / "data" / "file").write_text("x")
        box.git("worktree", "add", "-q", str(box.home / "linked"))
        box.state.mkdir(mode=0o700)
        yield box


ENVIRONMENT = {"TOKEN": SECRET, "TOKEN_2": SECRET + "2", "LD_PRELOAD_X": SECRET}


def launched(box: Box, made: Made, *more: str) -> Any:
    (box.state / "config.toml").write_text(made.config)
    options = [word.format(home=box.home, app=box.app) for word in made.options]
    return box.claudebox("run", *more, *options, "--", "sh", "-c", PROBE, cwd=box.home / made.where, env=ENVIRONMENT)


@pytest.mark.batched
@settings(max_examples=COUNT, deadline=None, suppress_health_check=list(HealthCheck), print_blob=True)
@given(made=requests())
def test_a_plan_is_what_there_is(home: Box, made: Made) -> None:
    shown, done = launched(home, made, "--dry-run", "--json"), launched(home, made, "-y")
    text = launched(home, made, "--dry-run") if len(made.options) > 6 else shown
    for one in (shown, text, done):
        assert "Traceback" not in one.stderr and SECRET not in one.stderr
    if shown.status:  # refused: in one sentence and a hint, and the launch alike
        assert (shown.status, done.status, shown.stdout, done.stdout) == (125, 125, "", "")
        assert [line.split(":")[0] for line in shown.stderr.splitlines() if line[:1] != " "] == ["claudebox", "hint"]
        assert shown.stderr.splitlines()[0] == next(
            line for line in done.stderr.splitlines() if line.startswith("claudebox: error: ")
        )
        return
    assert SECRET not in shown.stdout + text.stdout
    assert done.status == 0, done.stderr
    mountinfo, first, environment = done.stdout.split("\n\n\n", 1)[0], *done.stdout.split("\n\n", 2)[1:]
    held(json.loads(shown.stdout), mountinfo, first, environment)
    assert home.git("status", "--porcelain", cwd=home.app) == "", "and nothing of it is left"


def held(plan: dict[str, Any], mountinfo: str, first: str, environment: str) -> None:
    """Mounts and variables are those of the plan; the first process shows no secret."""
    assert SECRET not in first
    wanted = planned(plan)
    found = {
        target: mount
        for target, mount in mounts_inside(mountinfo).items()
        if target in wanted or not BWRAPS.fullmatch(target)
    }
    files = [mount["target"] for mount in plan["mounts"] if mount["kind"] == "file"]
    assert {target: access for target, (access, _) in found.items()} == {
        target: access for target, (access, _) in wanted.items() if target not in files or target in found
    }
    inside = dict(pair.split("=", 1) for pair in environment.split("\0") if pair)
    values = {one["name"]: one["value"] for one in plan["environment"]}
    assert set(inside) - OWN == set(values)
    for name, value in values.items():
        assert value is None or inside[name] == value
    assert os.path.isabs(inside["HOME"])
