"""`claudebox ps` and `claudebox stop`: the sandboxes that run now."""

from __future__ import annotations

import os
import select
import signal
import time
from collections.abc import Sequence
from typing import Any

from claudebox import arguments, console
from claudebox.errors import ClaudeboxError
from claudebox.host import survey_user
from claudebox.locating import find_program
from claudebox.run import counters, instance, kept, session
from claudebox.run.counters import Count
from claudebox.run.session import Session, shown_command
from claudebox.text import printable, span

QUIET, PATIENCE = 1.0, 15.0  # seconds: until it is said that we wait, and until the launcher is killed
PS_USAGE = "claudebox ps [--network] [--json]"
PS_EXAMPLES = """examples:
  claudebox ps                 pid, project, tier, since when, and what the sessions have to say
  claudebox ps --network       what each rule of their networks has let out or refused so far
  claudebox ps --json          for scripts: the whole record of each"""
STOP_USAGE = "claudebox stop [PID|PROJECT] [--all] [--json]"
STOP_EXAMPLES = """examples:
  claudebox stop               the session of the project around the current directory
  claudebox stop 4711          the one whose pid `claudebox ps` shows
  claudebox stop ~/code/app    all that work in this project
  claudebox stop --all

The agent gets SIGTERM and has 10 seconds, then its sandbox is killed; after 15 the launcher is."""


def ps(argv: list[str], environment: dict[str, str]) -> int:
    """Print the sessions that run now."""
    made = arguments.make("claudebox ps", PS_USAGE, PS_EXAMPLES)
    made.add_argument("--network", action="store_true", help="the counters of the rules")
    made.add_argument("--json", action="store_true", help="for scripts")
    typed = arguments.parse(made, argv)
    ours = home_of(environment)
    found = session.running(ours)
    counted = {one.pid: counted_of(one, environment, ours) for one in found} if typed.network else {}
    if typed.json:
        more = {pid: {"network": [count._asdict() for count in counts]} for pid, counts in counted.items()}
        print_json([{**one._asdict(), **more.get(one.pid, {})} for one in found])
    elif found:
        console.table(HEADINGS, rows(found), descriptor=1)
        for one in found if typed.network else ():
            print_counters(one, counted[one.pid])
    else:
        console.say("no session is running")
    return 0


def counted_of(one: Session, environment: dict[str, str], ours: str) -> tuple[Count, ...]:
    """The counters of a session's rules; none in a tier without rules, and none of one that has just ended."""
    if one.tier != "internet-only":
        return ()
    nft = find_program("nft", environment.get("PATH", ""), (ours, *kept.projects(ours)), [])
    init = counters.sandbox_of(one.pid)
    return counters.counters(init, nft) if nft and init else ()


def print_counters(one: Session, counts: tuple[Count, ...]) -> None:
    """What each rule of a session has counted, those that have not left out."""
    console.write(f"\n{one.pid}  {printable(one.project)}\n", 1)
    if not counts:
        console.write(f"  tier {one.tier} has no rules\n", 1)
        return
    used = [(c.verdict, str(c.packets), str(c.octets), c.rule) for c in counts if c.packets]
    console.table(("", "packets", "bytes", "rule"), used, descriptor=1)


HEADINGS = ("pid", "project", "tier", "since", "agent", "command", "messages")


def rows(found: Sequence[Session]) -> list[tuple[str, ...]]:
    """What `ps` shows of each session."""
    now = time.time()
    return [
        (
            str(one.pid), one.project, one.tier, f"{span(now - one.since)} ago", one.agent, shown_command(one),
            " · ".join(one.messages),
        )
        for one in found
    ]  # fmt: skip


def stop(argv: list[str], environment: dict[str, str]) -> int:
    """End sessions and wait until they are gone."""
    made = arguments.make("claudebox stop", STOP_USAGE, STOP_EXAMPLES)
    made.add_argument(
        "which", metavar="PID|PROJECT", nargs="?", default="", help="of the current project, if not given"
    )
    made.add_argument("--all", action="store_true", help="every session of yours")
    made.add_argument("--json", action="store_true", help="print what was ended, for scripts")
    typed = arguments.parse(made, argv)
    if typed.all and typed.which:
        raise ClaudeboxError("--all goes without a pid or project", "claudebox stop --all")
    found = session.running(home_of(environment))
    chosen = found if typed.all else choose(found, typed.which)
    ended = end(chosen)
    if typed.json:
        print_json([{"pid": one.pid, "project": one.project, "signal": ended[one.pid]} for one in chosen])
    elif not chosen:
        console.say("no session is running")
    return 0


def home_of(environment: dict[str, str]) -> str:
    """claudebox's own directory of the user who runs us. Raises ClaudeboxError."""
    return instance.find_home(environment, survey_user(environment).home)


def print_json(sessions: list[dict[str, Any]]) -> None:
    """A list of sessions on stdout. Bytes that are not UTF-8 appear as surrogate escapes."""
    import json

    console.write(json.dumps({"schema_version": 1, "sessions": sessions}, indent=2) + "\n", 1)


def choose(found: Sequence[Session], which: str) -> list[Session]:
    """The sessions that a pid or a directory means; without one, the one of the current project.

    Raises ClaudeboxError, with the list of what runs, when there is none, or several and no project was named.
    """
    if which.isascii() and which.isdigit():
        chosen = [one for one in found if one.pid == int(which)]
        missing = f"no session of yours has the pid {which}"
    else:
        place = os.path.realpath(which or current_directory())
        chosen = around(found, place)
        missing = f"no session works in {place}"
    if not chosen:
        raise ClaudeboxError(missing + listed(found), "claudebox ps" if found else "no session is running at all")
    if len(chosen) > 1 and not which:
        raise ClaudeboxError("several sessions work in this project" + listed(chosen), "claudebox stop PID, or --all")
    return chosen


def current_directory() -> str:
    """The current directory. Raises ClaudeboxError when it was deleted."""
    try:
        return os.getcwd()
    except FileNotFoundError:
        raise ClaudeboxError(
            "the current directory was deleted", "claudebox stop PID; claudebox ps lists them"
        ) from None


def around(found: Sequence[Session], place: str) -> list[Session]:
    """The sessions of the innermost project at or above a directory."""
    over = [one for one in found if place == one.project or place.startswith(one.project.rstrip("/") + "/")]
    innermost = max((one.project for one in over), key=len, default="")
    return [one for one in over if one.project == innermost]


def listed(found: Sequence[Session]) -> str:
    """Sessions as the list of an error."""
    return "".join(f"\n  {one.pid}  {one.project}  ({one.tier}, {shown_command(one)})" for one in found)


def end(sessions: Sequence[Session]) -> dict[int, str]:
    """Ask all to end, wait, and kill those that do not; pid → the signal that it took.

    A launcher is held by a pidfd before its start is compared: no process that has its pid by now is hit.
    """
    ended = {one.pid: "SIGTERM" for one in sessions}
    held = {one.pid: file for one in sessions if (file := hold(one)) >= 0}
    for file in held.values():
        tell(file, signal.SIGTERM)
        tell(file, signal.SIGCONT)  # one that Ctrl-Z stopped has to run to end
    started = time.monotonic()
    left = wait(held, started + QUIET)
    if left:
        pids = ", ".join(map(str, left))
        console.say(f"waiting for {pids}; killed after {PATIENCE:.0f} s")
        left = wait(left, started + PATIENCE)
    for pid, file in left.items():
        ended[pid] = "SIGKILL"  # its guard sees the end of the lifeline and kills the sandbox
        tell(file, signal.SIGKILL)
        console.say(f"{pid} did not end by itself and was killed")
    wait(left, time.monotonic() + PATIENCE)
    for file in held.values():
        os.close(file)
    return ended


def hold(one: Session) -> int:
    """A pidfd of a session's launcher, or -1 when it has ended."""
    try:
        file = os.pidfd_open(one.pid)
    except ProcessLookupError:
        return -1
    if session.start_time(one.pid) == one.started:
        return file
    os.close(file)
    return -1


def tell(file: int, number: signal.Signals) -> None:
    """Send a signal through a pidfd; to one that has ended it is none."""
    try:
        signal.pidfd_send_signal(file, number)
    except ProcessLookupError:
        pass


def wait(held: dict[int, int], deadline: float) -> dict[int, int]:
    """Wait for processes to end, until a moment of the monotonic clock; those that are left."""
    left = dict(held)
    poll = select.poll()
    for file in left.values():
        poll.register(file, select.POLLIN)
    while left and (room := deadline - time.monotonic()) > 0:
        gone = {file for file, _ in poll.poll(room * 1000)}
        for file in gone:
            poll.unregister(file)
        left = {pid: file for pid, file in left.items() if file not in gone}
    return left
