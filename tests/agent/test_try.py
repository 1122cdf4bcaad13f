"""What scripts/try shows after it has installed what it needs; and that it would show the contrary."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from box import Box, Result
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


def test_real_says_what_is_missing(box: Box) -> None:
    done = box.run([SCRIPTS / "try", "--real", "-y"])
    assert done.status == 1 and done.stdout == ""
    assert "login" in done.stderr and "internet-only" in done.stderr and "hint:" in done.stderr
    assert box.git("status", "--porcelain", "--ignored") == ""
