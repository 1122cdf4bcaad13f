"""The plan against the sandbox: what `--dry-run --json` lists is what the kernel shows inside, nothing more or less."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from box import Box
from capability import needs
from seen import BWRAPS, OWN, mounts_inside, planned

pytestmark = [needs("userns", "bwrap", "git"), pytest.mark.uid0]
Words = tuple[str, ...]
PROBE = "cat /proc/self/mountinfo; printf '\\n\\n'; exec env -0"


def plain(box: Box) -> Words:
    return ()


def mounted(box: Box) -> Words:
    (box.home / "data" / "in").mkdir(parents=True)
    (box.home / "data" / "file").write_text("x")
    return ("-m", f"{box.home}/data", "-m", f"{box.home}/data/in:/run/in:rw", "-m", f"{box.home}/data/file:/srv/file")


def mounted_in_the_trees(box: Box) -> Words:
    (box.home / "data").mkdir()
    return ("-m", f"{box.home}/data:{box.app}/data:rw", "-m", f"{box.home}/data:{box.home}/work/deep/data")


def variables(box: Box) -> Words:
    return ("-e", "TOKEN", "-e", "GREETING=a b\n--c $(id) '\"", "-e", "EMPTY=")


def no_repository(box: Box) -> Words:
    (box.app / ".git").rename(box.home / "elsewhere")
    return ()


def worktrees(box: Box) -> Words:
    box.git("worktree", "add", "-q", str(box.home / "other"))
    box.git("config", "extensions.worktreeConfig", "true")
    return ()


def in_a_worktree(box: Box) -> Words:
    worktrees(box)
    return ("-C", str(box.home / "other"))


def in_a_subdirectory(box: Box) -> Words:
    (box.app / "src" / "deep").mkdir(parents=True)
    return ("-C", str(box.app / "src" / "deep"))


def in_the_git_directory(box: Box) -> Words:
    return ("-C", str(box.app / ".git"))


def full(box: Box) -> Words:
    return ("-n", "full")


def writable_config(box: Box) -> Words:
    box.state.mkdir(mode=0o700)
    (box.state / "config.toml").write_text('[sandbox]\ngit_config = "rw"\n[limits]\ntmp = "64M"\n')
    return ()


def hostile(box: Box) -> Words:
    project = box.home / "code" / "a b\n'$(id)\\040\udcff"
    box.app.rename(project)
    return ("-C", str(project))


CASES: tuple[Callable[[Box], Words], ...] = (
    plain, mounted, mounted_in_the_trees, variables, no_repository, worktrees, in_a_worktree, in_a_subdirectory,
    in_the_git_directory, full, writable_config, hostile,
)  # fmt: skip


def shown(box: Box, options: Words, *command: str) -> dict[str, Any]:
    env = {"TOKEN": "s3cr3t"}
    done = box.claudebox("run", "-n", "offline", *options, "--dry-run", "--json", "--", *command, env=env, cwd=box.home)
    assert (done.status, done.stderr) == (0, "")
    return json.loads(done.stdout)  # type: ignore[no-any-return]


@pytest.fixture(params=CASES, ids=lambda case: case.__name__)
def case(request: pytest.FixtureRequest, box: Box) -> Words:
    given: Words = request.param(box)
    return given if "-C" in given else ("-C", str(box.app), *given)


def test_mounts_and_variables_are_the_planned_ones(box: Box, case: Words) -> None:
    plan = shown(box, case, "sh", "-c", PROBE)
    options = ("run", "-n", "offline", "-y", *case, "--", "sh", "-c", PROBE)
    done = box.claudebox(*options, env={"TOKEN": "s3cr3t"}, cwd=box.home)
    assert done.status == 0, done.stderr
    mountinfo, _, environment = done.stdout.partition("\n\n\n")

    wanted = planned(plan)
    found = {t: m for t, m in mounts_inside(mountinfo).items() if t in wanted or not BWRAPS.fullmatch(t)}
    files = [m["target"] for m in plan["mounts"] if m["kind"] == "file"]
    assert {t: access for t, (access, _) in found.items()} == {
        t: access for t, (access, _) in wanted.items() if t not in files or t in found
    }
    assert [t for t, (_, kind) in wanted.items() if kind and t in found and found[t][1] != kind] == []

    inside = dict(pair.split("=", 1) for pair in environment.split("\0") if pair)
    values = {v["name"]: v["value"] for v in plan["environment"]}
    assert set(inside) - OWN == set(values)
    assert {n: inside[n] for n, value in values.items() if value is not None} == {
        n: value for n, value in values.items() if value is not None
    }
    assert all(inside[v["name"]] for v in plan["environment"] if v["secret"] and v["name"] != "EMPTY")


def traced(logs: Path) -> tuple[list[str], list[str]]:
    """bwrap's command line, and the options that it read from the descriptor of --args, from strace's words."""
    for log in logs.iterdir():
        for call, rest in re.findall(r'execve\("[^"]*", \[([^]]*)\](.*)', log.read_text(), re.DOTALL)[-1:]:
            words = [unquoted(word) for word in re.findall(r'"([^"]*)"', call)]
            if "--args" not in words:
                continue
            number = words[words.index("--args") + 1]
            read = re.findall(rf'read\({number}, "([^"]*)", \d+\) += (\d+)', rest)
            ended = [count for _, count in read].index("0")
            return words, unquoted("".join(text for text, _ in read[:ended])).removesuffix("\0").split("\0")
    pytest.fail("no bwrap with --args was started")


def unquoted(text: str) -> str:
    """A C string of strace -xx."""
    return os.fsdecode(bytes.fromhex(text.replace("\\x", "")))


@needs("strace")
def test_the_command_shown_is_the_one_that_ran(box: Box, case: Words, tmp_path: Path) -> None:
    plan = shown(box, case, "true")
    strace = [
        "strace",
        "-ff",
        "-qq",
        "-xx",
        "-v",
        "-s",
        "1000000",
        "-e",
        "trace=execve,read",
        "-o",
        str(tmp_path / "trace"),
    ]
    argv = [*strace, str(box.program), "run", "-n", "offline", "-y", *case, "--", "true"]
    done = box.run(argv, env={"TOKEN": "s3cr3t"}, cwd=box.home)
    assert done.status == 0, done.stderr
    ran, options = traced(tmp_path)
    program, _, _, *rest = ran
    whole = [program, *options, *rest]
    wanted: list[str] = plan["commands"]["bwrap"]
    assert len(whole) == len(wanted)
    differing = [(shown, had) for shown, had in zip(wanted, whole, strict=True) if shown != had]
    placeholders = [(shown, had) for shown, had in differing if re.fullmatch(r"<fd:.*>", shown, re.DOTALL)]
    assert all(had.isdigit() for _, had in placeholders)
    secrets = [pair for pair in differing if pair not in placeholders]
    assert {shown for shown, _ in secrets} <= {"***"}
    assert len(secrets) == len([v for v in plan["environment"] if v["secret"]])
