"""What scripts/try shows after it has installed what it needs; and that it would show the contrary."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from box import Box, Result, environment
from capability import agent_path, needs
from clients import program_path

pytestmark = [needs("claudebox", "claude", "userns", "bwrap", "git"), pytest.mark.timeout(240)]
SCRIPTS = Path(__file__).parents[2] / "scripts"

# Takes claudebox's options and runs the client on the host.
NO_SANDBOX = """#!/bin/bash
while [ "$1" != -- ]; do
    case $1 in --mount) socket=${2%%:*} ;; --env) [[ $2 != *=* ]] || export "$2" ;; esac
    shift
done
shift
export ANTHROPIC_UNIX_SOCKET=$socket IS_SANDBOX=1 DISABLE_AUTOUPDATER=1 CLAUDE_CODE_TMPDIR=$HOME
exec CLIENT --dangerously-skip-permissions "$@"
"""


def main_job(box: Box, program: Path) -> Result:
    argv = [sys.executable, "-B", SCRIPTS / "try_main.py", "--claudebox", program, "--directory", box.home]
    return box.run(argv, cwd="/", env={"PATH": program_path("claude")}, timeout=150)


@pytest.mark.uid0
def test_the_main_job(box: Box) -> None:
    done = main_job(box, box.program)
    assert done.status == 0, done.stdout + done.stderr
    assert done.stdout.count("kept out") in (7, 8)  # the real home may have nothing to read
    assert "GOT IN" not in done.stdout
    assert '+echo "hello, $name"' in done.stdout
    assert not list(box.home.glob("try-*")), "it removes its sample home"


def test_without_a_sandbox_the_table_says_so(box: Box) -> None:
    program = box.home / "no-sandbox"
    program.write_text(NO_SANDBOX.replace("CLIENT", str(agent_path("claude"))))
    program.chmod(0o755)
    done = main_job(box, program)
    assert done.status == 1
    assert done.stdout.count("GOT IN") in (7, 8) and "kept out" not in done.stdout


def test_real_asks_first(box: Box) -> None:
    done = box.run([SCRIPTS / "try", "--real"])
    assert done.status == 1 and done.stdout == ""
    assert "your own login" in done.stderr and "no terminal to ask on" in done.stderr
    assert box.git("status", "--porcelain", "--ignored") == ""


def test_real_starts_claudebox_in_the_project(box: Box) -> None:
    """With a stand-in for what it installs: the real one would spend the user's money."""
    made = box.home / "made"
    for name in ("venv/bin/claudebox", "bin/claude"):
        program = made / name
        program.parent.mkdir(parents=True)
        program.write_text('#!/bin/sh\necho "started in $PWD with $# words"\n')
        program.chmod(0o755)
    (made / "venv" / ".complete").touch()
    env = {"CLAUDEBOX_TRY_DIRECTORY": str(made), "PATH": f"{made}/bin:{environment(box.home, None)['PATH']}"}
    done = box.run([SCRIPTS / "try", "-y", "--real", box.app], env=env, cwd=box.home)
    assert (done.status, done.stdout) == (0, f"started in {box.app} with 0 words\n"), done.stderr
