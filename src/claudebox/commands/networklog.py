"""`claudebox network log` and `learn`: what the gateway of a session wrote down."""

from __future__ import annotations

import os
import time
from typing import NamedTuple

from claudebox import console
from claudebox.commands.networkcall import Call, print_json
from claudebox.errors import ClaudeboxError
from claudebox.model import AllowRule, SandboxPlan
from claudebox.plan.network.learned import REFUSED, Event, as_value, counted, profile
from claudebox.run import instances, netlog, session
from claudebox.run.netlog import Log, Reader
from claudebox.text import amount

HEADINGS = ("time", "", "name", "port", "bytes", "program", "why")
DAY = 86400


class Target(NamedTuple):
    """A log that was meant. here: a descriptor of the directory that it lies in."""

    here: int
    log: Log


def target(call: Call) -> Target:
    """The log of the session that was named, else the newest one of the project. Raises ClaudeboxError."""
    pid = int(call.which) if call.which.isascii() and call.which.isdigit() and len(call.which) < 12 else 0
    if pid:
        directories = [f"{call.ours}/instances/{one.instance}" for one in session.running(call.ours) if one.pid == pid]
        directories += [one.directory for one in instances.everyone(call.ours)]
        what = f"no session with the pid {pid} has a log"
    else:
        found = instances.chosen(call.ours, call.which, call.user)
        directories, what = [found.directory], f"no session of {found.shown} has a log"
    for directory in dict.fromkeys(directories):
        here = netlog.opened(directory)
        if here < 0:
            continue
        for one in netlog.logs(here):
            if pid in (0, one.pid):
                return Target(here=here, log=one)
        os.close(here)
    raise ClaudeboxError(what, "logs are written in tier allowlist: claudebox -n allowlist, or claudebox --learn")


def log(call: Call) -> int:
    """Print what a session reached and what was refused."""
    meant = target(call)
    reader = Reader(meant.here, meant.log.name)
    if call.follow:
        rest(reader, call)
        follow(meant, reader, call)
        return 0
    wanted = [one for one in reader.events() if not call.denied or one.verdict == REFUSED]
    if call.json:
        print_json({"pid": meant.log.pid, "events": [as_value(one) for one in wanted]})
    elif rows := [row(one) for one in wanted]:
        console.table(HEADINGS, rows, descriptor=1)
    else:
        console.say("nothing was refused" if call.denied else "nothing was asked for")
    return 0


def show(one: Event, call: Call) -> None:
    """Print one event as a line of its own."""
    if call.json:
        import json

        console.write(json.dumps(as_value(one)) + "\n", 1)
    else:
        from claudebox.text import printable

        console.write("  ".join(filter(None, map(printable, row(one)))) + "\n", 1)


def follow(meant: Target, reader: Reader, call: Call) -> None:
    """Print what is added to a log until its session ends."""
    import select

    from claudebox.run import notify

    try:
        pidfd = os.pidfd_open(meant.log.pid)
    except ProcessLookupError:  # it ended while what was there was shown
        rest(reader, call)
        return
    changes = notify.Changes([meant.here], [meant.log.name], more=notify.MODIFY)
    poll = select.poll()
    poll.register(pidfd, select.POLLIN)
    poll.register(changes.descriptor, select.POLLIN)
    running = session.start_time(meant.log.pid) == meant.log.started
    while running:
        rest(reader, call)
        ready = {descriptor for descriptor, _ in poll.poll()}
        changes.arrived()
        running = pidfd not in ready
    rest(reader, call)
    changes.close()
    os.close(pidfd)


def rest(reader: Reader, call: Call) -> None:
    """Print what was added and is wanted."""
    for one in reader.events():
        if not call.denied or one.verdict == REFUSED:
            show(one, call)


def row(one: Event) -> tuple[str, ...]:
    """An event for a person."""
    now = time.time()
    when = time.strftime("%H:%M:%S" if abs(now - one.time) < DAY else "%Y-%m-%d %H:%M:%S", time.localtime(one.time))
    moved = f"{amount(int(one.up))} up, {amount(int(one.down))} down" if one.up or one.down else ""
    again = f" (and {int(one.repeated)} times more)" if one.repeated else ""
    address = f" ({one.address})" if one.name and one.address else ""
    name = one.name or one.address
    return when, one.verdict, name, str(int(one.port) or ""), moved, one.program, one.reason + address + again


def learn(call: Call) -> int:
    """Print the TOML that lets through what a session reached."""
    meant = target(call)
    asked = counted(Reader(meant.here, meant.log.name).events())
    if call.json:
        print_json({"pid": meant.log.pid, "names": [one._asdict() for one in asked]})
    else:
        console.write(profile(asked, known(call)), 1)
    return 0


def learned(plan: SandboxPlan) -> None:
    """Say at the end of a session that learned what would let through what it reached."""
    here = netlog.opened(plan.instance.directory)
    if here < 0:
        return
    mine = f"{os.getpid()}-{session.start_time(os.getpid())}{netlog.LOG}"
    try:
        asked = counted(Reader(here, mine).events())
        if asked:
            console.say("claudebox: what was reached, for a profile (claudebox network learn prints it again):")
            console.write(profile(asked, tuple(one for one in plan.network.allow if not one.why.origin.where)))
    except ClaudeboxError as error:
        console.warn(error.message)
    finally:
        os.close(here)


def known(call: Call) -> tuple[AllowRule, ...]:
    """What the project's agent has by itself."""
    from claudebox.agents import agent_names, load_agent
    from claudebox.plan.network import listed

    agent = "claude"
    try:
        agent = instances.chosen(call.ours, "" if call.which.isdigit() else call.which, call.user).kept.agent or agent
    except ClaudeboxError:
        pass  # a session that was named by its pid, from elsewhere
    if agent not in agent_names(f"{call.ours}/agents"):
        return ()
    return tuple(listed.agents(load_agent(agent, f"{call.ours}/agents")))
