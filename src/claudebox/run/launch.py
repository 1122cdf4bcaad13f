"""The numbered start sequence: performs the plan, and has no other source of arguments."""

from __future__ import annotations

import os

from claudebox import console, descriptors, process
from claudebox.errors import ClaudeboxError
from claudebox.leaving import Leaving
from claudebox.model import File, SandboxPlan
from claudebox.record import NamedTuple
from claudebox.render import bwrap
from claudebox.run import exitcheck, guard, locks, points, session, settings, signals, stubs
from claudebox.run import home as home_files
from claudebox.run.processes import Started, still_there, wait_ready
from claudebox.signals import signal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from claudebox.run.login import Broker
    from claudebox.run.network import Network

GATE, READY, OPTIONS, STATUS = 3, 4, 5, 6  # the gate's shell takes one-digit descriptors only
TOKEN = b"go\n"


class Ending(NamedTuple):
    """status: as a shell counts; interrupt: whom a SIGINT ends with us, as kill(2) names them, or None."""

    status: int
    interrupt: int | None


def launch(plan: SandboxPlan, pins: dict[str, int], here: int, held: locks.Held) -> Ending:
    """Start the sandbox, supervise it, leave nothing.

    pins: source → descriptor, from the survey; here: the instance's directory; held: its locks.
    Raises ClaudeboxError when anything of the plan cannot be enforced; then the command never ran.
    """
    signals.hold()
    try:
        return _launch(plan, pins, here, held)
    except signals.Arrived as early:
        typed = early.typed and early.number == signal.SIGINT
        return Ending(status=128 + early.number, interrupt=os.getpid() if typed else None)


def _launch(plan: SandboxPlan, pins: dict[str, int], here: int, held: locks.Held) -> Ending:
    with Leaving() as leaving:
        leaving.callback(locks.leave, held)
        record = session.Record(plan, here)
        leaving.callback(record.remove)
        tell_left_behind(plan, here, held, record)
        check = exitcheck.ExitCheck(plan, here)
        leaving.callback(check.leave)
        home = descriptors.high(os.open("home", descriptors.DIRECTORY, dir_fd=here))
        pins = {**pins, f"{plan.instance.directory}/home": home}
        for moved in (*home_files.clear_way(plan, here, home), *settings.clear_way(plan, here, home)):
            console.warn(moved)
        prepare(plan, here, held, leaving)  # 4: stubs, each recorded before it is made
        home_files.write_files(plan, home)
        watch = guard.start_guard(plan.tools.sh)  # 5: the guard, then bwrap into its group
        ended = _Once(watch)
        leaving.callback(ended.now)
        start = start_bwrap(plan, pins, watch)
        # bwrap takes 5 ms from here: what only the rest of the launch needs is made ready meanwhile
        from claudebox.run import mounts, spares
        from claudebox.run.limits import Limits
        from claudebox.run.mending import Mending
        from claudebox.run.supervise import Supervision
        from claudebox.run.terminal import Terminal

        ours, theirs = spares.pair()
        leaving.callback(spares.close, ours, theirs)
        kept = spares.kept(plan)
        waiting = mounts.waiting(plan, watch.pid, lambda: spares.send(theirs, kept), (theirs,))
        arrivals, terminal, roots = signals.Arrivals(), Terminal(), mounts.roots_of(plan, pins)
        arrivals.check = lambda: still_there(start.outer, watch)
        network = prepare_network(plan, ended, leaving)
        broker = serve(plan, here, home, leaving)  # 7
        limits = Limits(plan.bounds)
        leaving.callback(limits.leave)
        leaving.callback(ended.now)
        limits.begin(start.outer)
        check.begin()  # what the host would execute, before the agent can change it
        sandbox = wait_ready(start, watch, arrivals)  # 6: the gate holds it
        ended.init_fd = sandbox.init_fd
        limits.set(sandbox)
        with locks.Long(here, settings.LOCK, arrivals):
            said = settings.write(plan, here, home, pins, arrivals.before_token)  # 7
        for text in said:
            console.warn(text)
        if network:
            network.load(sandbox.init)  # 9: the rules, while the mounts are made
        mounts.enter(waiting, sandbox.init, arrivals)  # 8: late mounts, compared with the plan
        supervision = Supervision(plan, sandbox, terminal, arrivals)
        supervision.record = record.add
        supervision.put_back = Mending(plan, supervision, spares.receive(ours, kept)).put_back
        mounts.verify(plan, sandbox.init, roots)
        if network:
            network.lead_out(arrivals)  # 10: only after the rules
            network.follow(supervision)
        if broker:
            broker.wait(arrivals)
            broker.attach(supervision)
        limits.settle(sandbox)
        arrivals.before_token()
        supervision.stop_early()
        if terminal.ours():  # 11: the only lines that let the agent run
            supervision.hand_over()
        check.released = True
        try:
            os.write(start.gate, TOKEN)
        except BrokenPipeError:
            pass  # it was killed meanwhile: its status says so
        status = supervision.run()  # 12
        ended.now()  # all of it is gone before anything is put back
        if broker:
            broker.finish()
        supervision.release()
        return Ending(status=status, interrupt=supervision.interrupt())


def tell_left_behind(plan: SandboxPlan, here: int, held: locks.Held, record: session.Record) -> None:
    """What sessions that were killed left for the host to execute."""
    if session.left_behind(here):
        with locks.Brief(held.brief):
            for text in exitcheck.sweep(here, plan.tools.git):
                record.add(text)


def prepare_network(plan: SandboxPlan, ended: _Once, leaving: Leaving) -> Network | None:
    """What carries the sandbox's packets, where the tier has a way out; it goes after the sandbox."""
    if plan.network.interface is None:
        return None
    from claudebox.run.network import Network

    network = Network(plan, plan.network.interface)
    leaving.callback(network.leave)
    leaving.callback(ended.now)
    return network


def serve(plan: SandboxPlan, here: int, home: int, leaving: Leaving) -> Broker | None:
    """Give the sandbox the host's login, if the plan says so, and keep it fresh as long as it runs."""
    if plan.login is None:
        return None
    from claudebox.run.login import Broker

    broker = Broker(plan.login, os.path.dirname(os.path.dirname(plan.instance.directory)), here, home)
    leaving.callback(broker.close)
    return broker


class _Once:
    """Ends the guard, and with it the sandbox, once: on every way out. init_fd: a pidfd of pid 1, when it is known."""

    def __init__(self, watch: guard.Guard) -> None:
        self.watch, self.init_fd, self.over = watch, -1, False

    def now(self) -> None:
        """End it now."""
        if not self.over:
            self.over = True
            guard.leave(self.watch, self.init_fd)


def prepare(plan: SandboxPlan, here: int, held: locks.Held, leaving: Leaving) -> None:
    """Make the stubs that the masks lie on; they go with the last session, or with the next launch's sweep."""
    wanted = [*plan.stubs, *points.missing(plan)]
    try:
        record = stubs.prepare(here, wanted, held)
    except ClaudeboxError:
        stubs.leave(here, wanted, b"", held)  # by what was recorded: some may have been made
        raise
    leaving.callback(stubs.leave, here, wanted, record, held)


def start_bwrap(plan: SandboxPlan, pins: dict[str, int], watch: guard.Guard, *, errors: int = 2) -> Started:
    """Spawn bwrap with an already clean environment and exactly the descriptors that it needs.

    errors: where its words and the sandbox's go.
    """
    given = {**pins, "seccomp": descriptors.memory_file("seccomp", plan.isolation.seccomp)}
    for mount in plan.mounts:
        if isinstance(mount, File):
            given[mount.target] = descriptors.memory_file("file", mount.content)
    fixed = {"options": OPTIONS, "status": STATUS}

    handed: set[str] = set()

    def number(name: str) -> str:
        if name in fixed:
            return str(fixed[name])
        fd = -1 if name == "empty" else given[name]
        if name in handed or name == "empty":  # bwrap closes each that it has read or bound
            again = os.open("/dev/null", os.O_RDONLY | os.O_CLOEXEC) if name == "empty" else os.dup(fd)
            given[f"{name} {len(given)}"] = fd = descriptors.high(again)
        handed.add(name)
        return str(fd)

    options = bwrap.options(plan, number, secrets=True)
    used = {int(argument) for argument in options if argument.isdigit()}
    encoded = b"".join(option.encode(errors="surrogateescape") + b"\0" for option in options)
    options_file = descriptors.memory_file("options", encoded)
    (gate_r, gate_w), (ready_r, ready_w), (status_r, status_w) = os.pipe(), os.pipe(), os.pipe()
    high = [descriptors.high(fd) for fd in (gate_r, ready_w, status_w)]
    theirs = {GATE: high[0], READY: high[1], OPTIONS: options_file, STATUS: high[2]}
    theirs |= {fd: fd for fd in given.values() if fd in used}
    theirs |= {2: errors} if errors != 2 else {}

    def spawn() -> int:
        return process.spawn(
            bwrap.command(plan, number),
            environment={},
            descriptors=theirs,
            group=watch.pid,
            default_signals=[signal.SIGPIPE, signal.SIGXFSZ],
        )

    if plan.isolation.landlock_scopes:
        from claudebox.run.landlock import start_scoped

        outer = start_scoped(spawn)
    else:
        outer = spawn()
    for fd in (*high, options_file, *set(given.values()).difference(pins.values())):
        os.close(fd)
    return Started(outer, gate_w, ready_r, status_r)
