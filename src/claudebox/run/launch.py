"""The numbered start sequence: performs the plan, and has no other source of arguments."""

from __future__ import annotations

import os
import signal
from contextlib import ExitStack

from claudebox import console, descriptors, process
from claudebox.errors import ClaudeboxError
from claudebox.model import File, SandboxPlan
from claudebox.render import bwrap
from claudebox.run import guard, instance, mounts, supervise
from claudebox.run import home as home_files
from claudebox.run.landlock import start_scoped
from claudebox.run.supervise import Sandbox, Supervision
from claudebox.run.terminal import Terminal

GATE, READY, OPTIONS, STATUS = 3, 4, 5, 6  # the gate's shell takes one-digit descriptors only
TOKEN = b"go\n"


def launch(plan: SandboxPlan, pins: dict[str, int], here: int, locked: int) -> tuple[int, bool]:
    """Start the sandbox, supervise it, leave nothing: the exit status, and whether it had the terminal.

    pins: source → descriptor, from the survey; here: the instance's directory; locked: its lock, held.
    Raises ClaudeboxError when anything of the plan cannot be enforced; then the command never ran.
    """
    signals = supervise.take_signals()
    terminal = Terminal()
    with ExitStack() as leaving:
        leaving.callback(os.close, locked)
        home = descriptors.high(os.open("home", descriptors.DIRECTORY, dir_fd=here))
        pins = {**pins, f"{plan.instance.directory}/home": home}
        for moved in home_files.clear_way(plan, here, home):
            console.warn(moved)
        prepare(plan, here, leaving)  # 4: stubs, each recorded before it is made
        home_files.write_files(plan, home)
        watch = guard.start_guard(plan.tools.sh)  # 5: the guard, then bwrap into its group
        ended = leaving.enter_context(_Once(watch))
        start = start_bwrap(plan, pins, watch)
        sandbox = wait_ready(start, watch)  # 6: the gate holds it
        mounts.make(plan, sandbox.init, watch.pid)  # 8: late mounts, compared with the plan
        roots = mounts.roots_of(plan, pins)
        supervision = Supervision(plan, sandbox, terminal, signals)
        mounts.verify(plan, sandbox.init, pins)
        if number := supervise.before_token(signals):
            ended.now()
            os.waitpid(sandbox.outer, 0)
            return 128 + number, False
        if terminal.ours():  # 11: the only lines that let the agent run
            supervision.hand_over()
        try:
            os.write(start.gate, TOKEN)
        except BrokenPipeError:
            pass  # it was killed meanwhile: its status says so
        status = supervision.run(roots)  # 12
        terminal.restore(watch.pid)
        supervision.show()
        return status, terminal.held


class _Once:
    """Ends the guard, and with it the sandbox, once: on every way out."""

    def __init__(self, watch: guard.Guard) -> None:
        self.watch: guard.Guard | None = watch

    def now(self) -> None:
        """End it now."""
        if self.watch is not None:
            guard.leave(self.watch)
            self.watch = None

    def __enter__(self) -> _Once:
        return self

    def __exit__(self, *_: object) -> None:
        self.now()


class Started:
    """bwrap as it was spawned: its pid and our ends of the pipes."""

    def __init__(self, outer: int, gate: int, ready: int, status: int) -> None:
        self.outer, self.gate, self.ready, self.status = outer, gate, ready, status


def prepare(plan: SandboxPlan, here: int, leaving: ExitStack) -> None:
    """Make the stubs that the masks lie on; they go with the session, or with the next launch's sweep."""
    wanted = [*plan.stubs, *mounts.points(plan)]
    if not wanted:
        return
    instance.record_stubs(here, wanted)
    leaving.callback(instance.sweep, here)
    for stub in wanted:
        instance.make_stub(stub)


def start_bwrap(plan: SandboxPlan, pins: dict[str, int], watch: guard.Guard) -> Started:
    """Spawn bwrap with an already clean environment and exactly the descriptors that it needs."""
    given = {**pins, "seccomp": descriptors.memory_file("seccomp", plan.isolation.seccomp)}
    for mount in plan.mounts:
        if isinstance(mount, File):
            given[mount.target] = descriptors.memory_file("file", mount.content)
    fixed = {"options": OPTIONS, "status": STATUS}

    def number(name: str) -> str:
        return str(fixed[name] if name in fixed else given[name])

    options = bwrap.options(plan, number, secrets=True)
    used = {int(argument) for argument in options if argument.isdigit()}
    encoded = b"".join(option.encode(errors="surrogateescape") + b"\0" for option in options)
    options_file = descriptors.memory_file("options", encoded)
    (gate_r, gate_w), (ready_r, ready_w), (status_r, status_w) = os.pipe(), os.pipe(), os.pipe()
    high = [descriptors.high(fd) for fd in (gate_r, ready_w, status_w)]
    theirs = {GATE: high[0], READY: high[1], OPTIONS: options_file, STATUS: high[2]}
    theirs |= {fd: fd for fd in given.values() if fd in used}

    def spawn() -> int:
        return process.spawn(
            bwrap.command(plan, number),
            environment={},
            descriptors=theirs,
            group=watch.pid,
            default_signals=[signal.SIGPIPE, signal.SIGXFSZ],
        )

    outer = start_scoped(spawn) if plan.isolation.landlock_scopes else spawn()
    for fd in (*high, options_file):
        os.close(fd)
    return Started(outer, gate_w, ready_r, status_r)


def wait_ready(start: Started, watch: guard.Guard) -> Sandbox:
    """The processes of the sandbox, once the gate said that it is there. Raises ClaudeboxError otherwise."""
    ready = os.read(start.ready, 1)
    os.close(start.ready)
    init = child_pid(os.read(start.status, 4096)) if ready else 0
    if not init:
        os.waitpid(start.outer, 0)
        raise ClaudeboxError("bubblewrap could not set up the sandbox", "its own words stand above")
    agents = children(init)
    if not agents:
        raise ClaudeboxError("the sandbox ended while it was set up", "try again")
    return Sandbox(outer=start.outer, init=init, init_fd=os.pidfd_open(init), agent=agents[0], guard=watch)


def child_pid(status: bytes) -> int:
    """The pid of bwrap's child out of its first status document; 0 when it is not there."""
    _, found, rest = status.partition(b'"child-pid": ')
    digits = rest.split(b",")[0].split(b"\n")[0].strip(b" }")
    return int(digits) if found and digits.isdigit() else 0


def children(parent: int) -> list[int]:
    """The children of a process; by a scan where the kernel has no CONFIG_PROC_CHILDREN."""
    try:
        with open(f"/proc/{parent}/task/{parent}/children", encoding="ascii") as file:
            return [int(pid) for pid in file.read().split()]
    except OSError:
        pass
    found = []
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{name}/stat", "rb") as file:
                fields = file.read().rpartition(b")")[2].split()
        except OSError:
            continue
        if int(fields[1]) == parent:
            found.append(int(name))
    return found
