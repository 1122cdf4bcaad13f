"""The numbered start sequence: performs the plan, and has no other source of arguments.

The numbers are those of docs/architecture.md; 1 to 3 are done before there is a plan to perform.
"""

from __future__ import annotations

import os

from claudebox.leaving import Leaving
from claudebox.model import SandboxPlan
from claudebox.record import NamedTuple
from claudebox.run import locks, signals, site
from claudebox.signals import signal


class Ending(NamedTuple):
    """status: as a shell counts; interrupt: whom a SIGINT ends with us, as kill(2) names them, or None."""

    status: int
    interrupt: int | None


def launch(plan: SandboxPlan, pins: dict[str, int], here: int, held: locks.Held, *, as_json: bool = False) -> Ending:
    """Start the sandbox, supervise it, leave nothing.

    pins: source → descriptor, from the survey; here: the instance's directory; held: its locks;
    as_json: the report at the end is for programs.
    Raises ClaudeboxError when anything of the plan cannot be enforced; then the command never ran.
    """
    signals.hold()
    try:
        with Leaving() as leaving:  # 15: in reverse, on every way out
            return live(site.furnish(plan, pins, here, held, leaving, as_json=as_json))  # 4 to 6
    except signals.Arrived as early:
        typed = early.typed and early.number == signal.SIGINT
        return Ending(status=128 + early.number, interrupt=os.getpid() if typed else None)


def live(ground: site.Site) -> Ending:
    """The sandbox, from its first process to its last."""
    frame = site.build(ground)  # 7
    # bwrap takes 5 ms from here: what only the rest of the launch needs is made ready meanwhile
    from claudebox.run import interior

    ready = interior.prepare(ground, frame)  # 8
    sandbox = interior.take_hold(ground, frame, ready)  # 9, 10
    supervision = interior.complete(ground, sandbox, ready)  # 11, 12
    interior.let_go(ground, frame, sandbox, supervision, ready)  # 13
    status = supervision.run()  # 14
    frame.ended.now()  # all of it is gone before anything is put back
    if ready.broker:
        ready.broker.finish()
    supervision.release()
    return Ending(status=status, interrupt=supervision.interrupt())
