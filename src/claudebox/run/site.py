"""What a sandbox is built on, and the steps until bwrap is at work. The numbers are those of docs/architecture.md."""

from __future__ import annotations

import os

from claudebox import console, descriptors
from claudebox.errors import ClaudeboxError
from claudebox.leaving import Leaving
from claudebox.model import SandboxPlan
from claudebox.record import NamedTuple
from claudebox.run import exitcheck, guard, locks, points, session, settings, stubs
from claudebox.run import home as home_files
from claudebox.run.processes import Started, start_bwrap


class Site(NamedTuple):
    """What a sandbox is built on. pins: source → descriptor; here: the instance's directory; home: its `home`;
    held: its locks; record: the session's; check: the exit check; leaving: what is undone at the end."""

    plan: SandboxPlan
    pins: dict[str, int]
    here: int
    home: int
    held: locks.Held
    record: session.Record
    check: exitcheck.ExitCheck
    leaving: Leaving


class Frame(NamedTuple):
    """The sandbox while bwrap builds it. watch: the guard; start: bwrap as it was spawned; ended: its end."""

    watch: guard.Guard
    start: Started
    ended: Once


def furnish(
    plan: SandboxPlan, pins: dict[str, int], here: int, held: locks.Held, leaving: Leaving, *, as_json: bool = False
) -> Site:
    """What has to be there before the first process. Raises ClaudeboxError.

    as_json: the report at the end is for programs.
    """
    leaving.callback(locks.leave, held)
    plan = realised(plan)  # 3
    record = session.Record(plan, here)  # 4: the session's record; what earlier ones left is told
    leaving.callback(record.remove)
    tell_left_behind(plan, here, held, record)
    check = exitcheck.ExitCheck(plan, here, as_json=as_json)
    leaving.callback(check.leave)
    home = descriptors.high(os.open("home", descriptors.DIRECTORY, dir_fd=here))
    for moved in (*home_files.clear_way(plan, here, home), *settings.clear_way(plan, here, home)):  # 5
        console.warn(moved)
    make_stubs(plan, here, held, leaving)  # 6
    home_files.write_files(plan, home)
    return Site(
        plan=plan,
        pins={**pins, f"{plan.instance.directory}/home": home},
        here=here,
        home=home,
        held=held,
        record=record,
        check=check,
        leaving=leaving,
    )


def realised(plan: SandboxPlan) -> SandboxPlan:
    """The plan with store paths in the place of its nix packages. Raises ClaudeboxError, and Arrived."""
    if not plan.packages:
        return plan
    from claudebox.run import packages

    return packages.realised(plan, os.path.dirname(os.path.dirname(plan.instance.directory)))


def tell_left_behind(plan: SandboxPlan, here: int, held: locks.Held, record: session.Record) -> None:
    """What sessions that were killed left for the host to execute."""
    if session.left_behind(here):
        with locks.Brief(held.brief):
            for text in exitcheck.sweep(here, plan.tools.git):
                record.add(text)


def make_stubs(plan: SandboxPlan, here: int, held: locks.Held, leaving: Leaving) -> None:
    """Make the stubs that the masks lie on; they go with the last session, or with the next launch's sweep."""
    wanted = [*plan.stubs, *points.missing(plan)]
    try:
        record = stubs.prepare(here, wanted, held)
    except ClaudeboxError:
        stubs.leave(here, wanted, b"", held)  # by what was recorded: some may have been made
        raise
    leaving.callback(stubs.leave, here, wanted, record, held)


def build(site: Site) -> Frame:
    """7: the guard, then bwrap into its group. It goes before all that was made before it."""
    watch = guard.start_guard(site.plan.tools.sh)
    ended = Once(watch)
    site.leaving.callback(ended.now)
    return Frame(watch=watch, start=start_bwrap(site.plan, site.pins, watch), ended=ended)


class Once:
    """Ends the guard, and with it the sandbox, once: on every way out. init_fd: a pidfd of pid 1, when it is known."""

    def __init__(self, watch: guard.Guard) -> None:
        self.watch, self.init_fd, self.over = watch, -1, False

    def now(self) -> None:
        """End it now."""
        if not self.over:
            self.over = True
            guard.leave(self.watch, self.init_fd)
