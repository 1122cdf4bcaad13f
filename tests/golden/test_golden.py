"""Whole argv, audit, JSON and script of each case against the committed files in expected/CASE/.

    CLAUDEBOX_GOLDEN=update scripts/check     writes them anew; `git diff` is then what to read

A case lives in cases.py. The seccomp program stands as its digest; expected/seccomp-MACHINE.txt spells it out.
"""

from __future__ import annotations

import base64
import hashlib
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from cases import CASES

import bpf
from claudebox.model import SandboxPlan
from claudebox.plan.seccomp import MACHINES, seccomp_program
from claudebox.render import audit, bwrap, export, script

EXPECTED = Path(__file__).with_name("expected")
UPDATE = os.environ.get("CLAUDEBOX_GOLDEN") == "update"  # read once: a fixture empties the environment


def argv(plan: SandboxPlan) -> str:
    """bwrap's options, one a line with its values, and its command, one word a line."""
    rows = [" ".join(map(script.quoted, row)) for row in bwrap.rows(plan)]
    return "\n".join([*rows, "", *map(script.quoted, bwrap.command(plan))]) + "\n"


VIEWS: dict[str, Callable[[SandboxPlan], str]] = {
    "argv.txt": argv,
    "audit.txt": audit.text,
    "plan.json": export.as_json,
    "script.sh": script.text,
}


def compare(path: Path, text: str) -> None:
    """The text against the file, which is written anew on request."""
    found = text.encode(errors="surrogateescape")
    if UPDATE:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(found)
    assert path.read_bytes().decode(errors="backslashreplace") == found.decode(errors="backslashreplace")


def without_program(text: str, program: bytes) -> str:
    """The text with the digest of the seccomp program in place of its bytes."""
    digest = f"<seccomp:{hashlib.sha256(program).hexdigest()[:16]}>"
    return text.replace(program.hex(), digest).replace(base64.b64encode(program).decode(), digest)


@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize("name", CASES)
def test_what_is_shown(name: str, view: str) -> None:
    plan = CASES[name]()
    compare(EXPECTED / name / view, without_program(VIEWS[view](plan), plan.isolation.seccomp))


def test_every_file_has_its_case() -> None:
    assert {p.name for p in EXPECTED.iterdir() if p.is_dir()} == set(CASES)


@pytest.mark.parametrize("machine", MACHINES)
def test_the_program_spelled_out(machine: str) -> None:
    names = {bpf.LOAD: "load", bpf.AND: "and", bpf.JUMP: "jump", bpf.RETURN: "return"}
    signs = {0x15: "=", 0x25: ">", 0x35: ">=", 0x45: "&"}
    lines = []
    for place, one in enumerate(bpf.parse(seccomp_program(machine))):
        if one.code in signs:
            ways = f"then {place + 1 + one.then} else {place + 1 + one.otherwise}"
            lines.append(f"{place:3} if {signs[one.code]} {one.value:#x} {ways}")
        else:
            lines.append(f"{place:3} {names[one.code]} {one.value:#x}")
    compare(EXPECTED / f"seccomp-{machine}.txt", "\n".join(lines) + "\n")
