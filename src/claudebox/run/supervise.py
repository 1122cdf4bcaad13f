"""One poll loop over a running sandbox: signals, job control, hangup, escalation, mounts; its exit status."""

from __future__ import annotations

import os
import select
import time

from claudebox import console, mountinfo
from claudebox.model import SandboxPlan
from claudebox.run import mounts
from claudebox.run.processes import Sandbox
from claudebox.run.signals import FORWARDED, next_signal
from claudebox.run.terminal import Terminal
from claudebox.signals import signal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

GRACE: dict[int, float] = {signal.SIGTERM: 10.0, signal.SIGHUP: 1.0}  # seconds until the sandbox is killed whole


class Supervision:
    """The state of the loop: what it watches, what is to be said, when the sandbox is killed, how it ended."""

    def __init__(self, plan: SandboxPlan, sandbox: Sandbox, terminal: Terminal, signals: int) -> None:
        self.plan, self.sandbox, self.terminal, self.signals = plan, sandbox, terminal, signals
        self.deadline: float | None = None
        self.status: int | None = None
        self.hung_up = False
        self.unsaid: list[str] = []
        self.record: Callable[[str], None] = _nowhere  # a message for the session's record
        self.poll = select.poll()
        self.acts: dict[int, Callable[[], None]] = {}
        self.watch(signals, select.POLLIN, self.take_signals)
        # opened before the mounts are compared with the plan: what changes from now on wakes the loop
        self.mountinfo = os.open(f"/proc/{sandbox.init}/mountinfo", os.O_RDONLY | os.O_CLOEXEC)
        os.read(self.mountinfo, 1 << 16)

    def watch(self, descriptor: int, events: int, act: Callable[[], None]) -> None:
        """Have act called whenever one of events (poll(2)) is there on descriptor; before `run`, or in an act."""
        self.acts[descriptor] = act
        self.poll.register(descriptor, events)

    def unwatch(self, descriptor: int) -> None:
        """No longer watch descriptor; its owner closes it."""
        if self.acts.pop(descriptor, None) is not None:
            self.poll.unregister(descriptor)

    def say(self, text: str) -> None:
        """A message for the user: into the session's record, and shown as soon as the terminal is ours to write to."""
        self.record(text)
        self.unsaid.append(text)
        if not self.terminal.held:
            self.show()

    def show(self) -> None:
        """Print what could not be said while the agent held the terminal."""
        while self.unsaid:
            console.warn(self.unsaid.pop(0))

    def run(self, roots: dict[str, tuple[str, str]]) -> int:
        """Supervise until bwrap's outer process has ended; its status as a shell counts."""
        self.watch(self.mountinfo, select.POLLPRI, lambda: self.check_mounts(roots))
        self.children()  # what ended before the token has told the launch, not us
        while self.status is None:
            left = None if self.deadline is None else max(0, round((self.deadline - time.monotonic()) * 1000))
            ready = self.poll.poll(left)
            if self.deadline is not None and time.monotonic() >= self.deadline:
                self.kill()
            for descriptor, _ in ready:
                if act := self.acts.get(descriptor):  # an act before it may have ended the watch
                    act()
        return self.status

    def take_signals(self) -> None:
        """Act on the signals that have arrived."""
        while self.status is None and (arrived := next_signal(self.signals)) is not None:
            self.signal(*arrived)

    def check_mounts(self, roots: dict[str, tuple[str, str]]) -> None:
        """The sandbox's mounts changed, or it is gone: then there is nothing left to watch."""
        if not self.mounts_stand(roots):
            self.unwatch(self.mountinfo)

    def mounts_stand(self, roots: dict[str, tuple[str, str]]) -> bool:
        """Whether the sandbox's mounts are still the plan's; a mount that the host detached ends the session."""
        try:
            entries = mountinfo.read(f"/proc/{self.sandbox.init}/mountinfo")
        except OSError:
            return False
        gone = [t for t in mounts.differences(self.plan, entries, roots) if t.endswith(("not mounted", "writable"))]
        if not entries or not gone:
            return bool(entries)
        self.say(f"the host detached a mount of the sandbox, so it was ended: {'; '.join(gone)}")
        self.kill()
        return False

    def signal(self, number: int, code: int) -> None:
        """Act on one signal of ours."""
        if number == signal.SIGCHLD:
            self.children()
        elif number in FORWARDED:
            if code > 0 and number in (signal.SIGINT, signal.SIGQUIT):
                return  # the terminal told the foreground group, which was ours for a moment
            self.forward(number)
        elif number == signal.SIGTSTP:
            os.killpg(self.sandbox.guard.pid, signal.SIGTSTP)  # then outer stops, and SIGCHLD does the rest

    def forward(self, number: int) -> None:
        """Send a signal to the agent; after SIGTERM and SIGHUP it has some time, then all is killed."""
        try:
            os.kill(self.sandbox.agent, number)
        except ProcessLookupError:
            pass
        if number in GRACE and self.deadline is None:
            self.deadline = time.monotonic() + GRACE[number]

    def kill(self) -> None:
        """Kill pid 1 of the sandbox, and so everything in it."""
        self.deadline = None
        try:
            signal.pidfd_send_signal(self.sandbox.init_fd, signal.SIGKILL)
        except ProcessLookupError:
            pass

    def children(self) -> None:
        """A child of ours changed: outer stopped or ended, or the guard died of a hangup."""
        while (found := _changed(self.sandbox.outer)) is not None:
            if found.si_code == os.CLD_STOPPED:
                self.stopped(found.si_status)
                continue
            self.kill()  # if outer was killed its child may not have noticed yet
            ended = found.si_code == os.CLD_EXITED
            self.status = found.si_status if ended else 128 + found.si_status
            return
        guard = os.waitid(os.P_PID, self.sandbox.guard.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        if guard is not None and not self.hung_up:
            self.hung_up = True
            self.forward(signal.SIGHUP)

    def stopped(self, number: int) -> None:
        """The sandbox's group stopped: stop with it as a job of the shell, and resume it afterwards."""
        terminal, group = self.terminal, self.sandbox.guard.pid
        if terminal.descriptor is None:
            os.killpg(group, signal.SIGCONT)  # no job control here: nobody else could
            return
        if number in (signal.SIGTTIN, signal.SIGTTOU) and terminal.ours():
            self.hand_over()
        else:
            if terminal.foreground() == group:
                terminal.restore(group)
            self.show()
            _stop_self()
            if terminal.ours():
                self.hand_over()
        os.killpg(group, signal.SIGCONT)

    def hand_over(self) -> None:
        """Give the terminal to the sandbox's group."""
        self.terminal.save()
        self.terminal.held = True
        self.terminal.give(self.sandbox.guard.pid)


def _nowhere(_: str) -> None:
    pass


def _changed(pid: int) -> os.waitid_result | None:
    try:
        return os.waitid(os.P_PID, pid, os.WEXITED | os.WSTOPPED | os.WNOHANG)
    except ChildProcessError:
        return None


def _stop_self() -> None:
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTSTP})
    os.kill(0, signal.SIGTSTP)
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTSTP})
