"""`claudebox doctor`: everything that a launch needs is tried; each finding, and what to type about it."""

from __future__ import annotations

import os

from claudebox import arguments, console
from claudebox.checks import Facts, Row, tiers
from claudebox.errors import ClaudeboxError
from claudebox.text import printable

USAGE = "claudebox doctor [--sandbox [--online]] [--json]"
EXAMPLES = """examples:
  claudebox doctor                 can this machine do it? each check, its result, the fix
  claudebox doctor --json          the same for programs: schema_version, tier, ready, checks
  claudebox doctor --sandbox       does it hold? harmless attacks in a sandbox of this project, with its profile
  claudebox doctor --sandbox --online   also github.com, api.anthropic.com, and what of your network it must not reach

It tries what a launch needs (a user namespace, a sandbox, mounts in it, the filter, rules) and leaves nothing.
Exit status: 0 when the default launch can start here, 1 when it cannot; with --sandbox 0 when all holds."""
STATUS_WIDTH = len("warning")


def doctor(argv: list[str], environment: dict[str, str]) -> int:
    """Try, judge, show; 0 when the default launch can start here, else 1."""
    from claudebox.checks.judge import rows
    from claudebox.checks.survey import survey

    made = arguments.make("claudebox doctor", USAGE, EXAMPLES)
    made.add_argument("--json", action="store_true", help="print the checks as JSON")
    made.add_argument("--sandbox", action="store_true", help="try to get out of a sandbox of this project")
    made.add_argument("--online", action="store_true", help="with --sandbox: try the network too")
    typed = arguments.parse(made, argv)
    if typed.sandbox:
        from claudebox.commands.inspection import inspect

        return inspect(environment, online=typed.online, as_json=typed.json)
    if typed.online:
        raise ClaudeboxError("--online goes with --sandbox", "claudebox doctor --sandbox --online")
    facts = survey(environment)
    found = rows(facts)
    ready = tiers.ready(found)
    if typed.json:
        text = as_json(facts, found, ready=ready)
    else:
        text = as_text(facts, found, width=console.columns(1), colour=console.colour(1))
    console.write(text, 1)
    return 0 if ready else 1


def as_json(facts: Facts, found: tuple[Row, ...], *, ready: bool) -> str:
    """The checks, schema_version 1."""
    import json

    checks = [{"name": row.name, "needed": row.needed, **row.finding._asdict()} for row in found]
    document = {"schema_version": 1, "tier": facts.tier, "ready": ready, "checks": checks}
    return json.dumps(document, indent=2) + "\n"


def as_text(facts: Facts, found: tuple[Row, ...], *, width: int, colour: bool) -> str:
    """The checks for a person. width: of the terminal, 0 for none."""
    launch = f"claudebox -n {facts.tier}"
    lines = [f"{printable(facts.machine.title)}, Linux {printable(facts.kernel)}, uid {os.getuid()}"]
    name_width = max(len(row.name) for row in found)
    for needed, heading in ((True, f"needed for {launch}"), (False, "for other launches, and what comes with them")):
        lines += ["", _styled(heading, console.BOLD, colour)]
        for row in (row for row in found if row.needed is needed):
            lines += _row(row, name_width, width, colour=colour)
    bad = [row.name for row in found if row.needed and row.finding.status in ("failed", "missing")]
    verdict = (
        f"not ready: {launch} cannot start here: see {', '.join(bad)}" if bad else f"ready: {launch} can start here"
    )
    if bad == ["agent"]:
        verdict += f"; claudebox run -n {facts.tier} can"
    lines += ["", _styled(printable(verdict), console.RED if bad else console.BOLD, colour)]
    return "\n".join(lines) + "\n"


def _row(row: Row, name_width: int, width: int, *, colour: bool) -> list[str]:
    finding = row.finding
    stops = row.needed and finding.status in ("failed", "missing")
    shown = finding.status.upper() if stops else finding.status
    style = console.RED if stops else "" if finding.status == "ok" else console.YELLOW
    word = _styled(shown.ljust(STATUS_WIDTH), style, colour)
    indent = " " * (STATUS_WIDTH + name_width + 6)
    room = max(width - len(indent), 20) if width else 0
    texts = [finding.found, *finding.detail.split("\n")] if finding.detail else [finding.found]
    pieces = [piece for text in texts for piece in console.wrapped(printable(text), room)]
    lines = [f"  {word}  {row.name.ljust(name_width)}  {pieces[0]}".rstrip(), *(indent + piece for piece in pieces[1:])]
    # what is to be pasted is not wrapped
    if finding.fix and finding.status != "ok":
        head, *rest = finding.fix.split("\n")
        lines.append(f"{' ' * (STATUS_WIDTH + 4)}fix: {printable(head)}")
        lines += [f"{' ' * (STATUS_WIDTH + 4)}     {printable(line)}" for line in rest]
    return lines


def _styled(text: str, style: str, colour: bool) -> str:
    return f"{style}{text}{console.PLAIN}" if colour and style else text
