"""One poll loop over a running sandbox: signals, job control, hangup, escalation, mounts; its exit status."""

from __future__ import annotations

import os
import select
import time

from claudebox import console, mountinfo
from claudebox.model import SandboxPlan
from claudebox.run import mounts
from claudebox.run.processes import Sandbox
from claudebox.run.signals import FORWARDED, Arrivals, Received
from claudebox.run.terminal import Terminal
from claudebox.signals import signal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

GRACE: dict[int, float] = {signal.SIGTERM: 10.0, signal.SIGHUP: 1.0}  # seconds until the sandbox is killed whole


class Supervision:
    """The state of the loop: what it watches, what is to be said, when the sandbox is killed, how it ended."""

    def __init__(self, plan: SandboxPlan, sandbox: Sandbox, terminal: Terminal, signals: Arrivals) -> None:
        self.plan, self.sandbox, self.terminal, self.signals = plan, sandbox, terminal, signals
        self.deadline: float | None = None
        self.status: int | None = None
        self.hung_up = False
        self.interrupted = False  # SIGINT was typed while our own group had the terminal
        self.unsaid: list[str] = []
        self.record: Callable[[str], None] = _nowhere  # a message for the session's record
        self.poll = select.poll()
        self.acts: dict[int, Callable[[], None]] = {}
        self.watch(signals.descriptor, select.POLLIN, self.take_signals)
        self.put_back: Callable[[list[str]], str] = _detached  # mounts that are gone → why to end, or ""
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

    def run(self) -> int:
        """Supervise until bwrap's outer process has ended; its status as a shell counts."""
        self.watch(self.mountinfo, select.POLLPRI, self.check_mounts)
        self.take_signals()  # those that came before the token
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
        while self.status is None and (received := self.signals.next()) is not None:
            self.signal(received)

    def check_mounts(self) -> None:
        """The sandbox's mounts changed, or it is gone: then there is nothing left to watch."""
        if not self.mounts_stand():
            self.unwatch(self.mountinfo)

    def mounts_stand(self) -> bool:
        """Whether the sandbox's mounts are the plan's, or could be put back; otherwise the session is ended."""
        try:
            entries = mountinfo.read(f"/proc/{self.sandbox.init}/mountinfo")
        except OSError:
            return False
        gone = mounts.detached(self.plan, entries) if entries else []
        if not gone or not (why := self.put_back(gone)):
            return bool(entries)
        self.say(f"{why}. The session was ended")
        self.kill()
        return False

    def signal(self, received: Received) -> None:
        """Act on one signal of ours."""
        number, group = received.number, self.sandbox.guard.pid
        if number == signal.SIGCHLD:
            self.children()
        elif received.typed and number in (signal.SIGINT, signal.SIGQUIT):
            # Typed while our own group had the terminal: so the sandbox's was not told, and gets it as a whole.
            self.interrupted = self.interrupted or number == signal.SIGINT
            os.killpg(group, number)
        elif number in FORWARDED:
            self.forward(number)
        elif number == signal.SIGTSTP:
            os.killpg(group, signal.SIGTSTP)  # then outer stops, and SIGCHLD does the rest
        elif number in (signal.SIGTTIN, signal.SIGTTOU):
            self.wanted()

    def forward(self, number: int) -> None:
        """Send a signal to the agent; after SIGTERM and SIGHUP it has some time, then all is killed."""
        try:
            signal.pidfd_send_signal(self.sandbox.agent_fd, number)
        except ProcessLookupError:
            pass
        if number in GRACE and self.deadline is None:
            self.deadline = time.monotonic() + GRACE[number]

    def wanted(self) -> None:
        """A neighbour in our job (a pager behind us) was stopped because it wants the terminal."""
        holder = self.terminal.foreground()
        if holder == self.sandbox.guard.pid:
            self.terminal.lend()
        if holder in (self.sandbox.guard.pid, self.terminal.own_group):
            os.kill(0, signal.SIGCONT)
        else:
            os.killpg(self.sandbox.guard.pid, signal.SIGTSTP)  # our job is in the background: it stops as a whole

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
        reads = number in (signal.SIGTTIN, signal.SIGTTOU)
        if terminal.descriptor is None:
            pass  # no job control here: nobody else could resume it
        elif reads and terminal.ours():
            self.hand_over()
        else:
            terminal.suspend(group)
            self.show()
            stopped = self.stop(number if reads else signal.SIGTSTP)
            if terminal.ours():
                self.hand_over()
            elif reads and not stopped:
                self.forward(signal.SIGHUP)  # no shell will ever give us the terminal: as the kernel ends an orphan
        os.killpg(group, signal.SIGCONT)

    def stop(self, number: int) -> bool:
        """Stop our job as by signal number; whether that was done, and we were resumed.

        The kernel stops no orphaned group; a stop ends with a SIGCONT, which arrives here too.
        """
        self.take_continued()
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {number})
        os.kill(0, number)
        signal.pthread_sigmask(signal.SIG_BLOCK, {number})
        return self.take_continued()

    def stop_early(self) -> None:
        """A stop that was typed before the token stops our job while the command has not begun. Raises Arrived."""
        others = [one for one in self.signals.kept if one.number != signal.SIGTSTP]
        if len(others) < len(self.signals.kept):
            self.signals.kept = others
            self.stop(signal.SIGTSTP)
            self.signals.before_token()

    def take_continued(self) -> bool:
        """Whether a SIGCONT is among the signals that have arrived; it is taken away."""
        self.signals.gather()
        before = len(self.signals.kept)
        self.signals.kept = [one for one in self.signals.kept if one.number != signal.SIGCONT]
        return len(self.signals.kept) < before

    def release(self) -> None:
        """The sandbox is gone: put the terminal back, and say what is still to be said."""
        self.terminal.restore(self.sandbox.guard.pid)
        self.signals.gather()
        if any(one.number in (signal.SIGTTIN, signal.SIGTTOU) for one in self.signals.kept):
            os.kill(0, signal.SIGCONT)  # a neighbour wanted the terminal in the last moment, and has it now
        self.show()

    def interrupt(self) -> int | None:
        """Whom a SIGINT ends with us, as kill(2) names them: our job where the terminal did not tell it itself."""
        if self.status != 128 + signal.SIGINT:
            return None
        if self.interrupted:
            return os.getpid()
        return 0 if self.terminal.held and not self.terminal.lent else None

    def hand_over(self) -> None:
        """Give the terminal to the sandbox's group."""
        self.terminal.hand_over(self.sandbox.guard.pid)


def _detached(gone: list[str]) -> str:
    return f"the host detached {', '.join(gone)}"


def _nowhere(_: str) -> None:
    pass


def _changed(pid: int) -> os.waitid_result | None:
    try:
        return os.waitid(os.P_PID, pid, os.WEXITED | os.WSTOPPED | os.WNOHANG)
    except ChildProcessError:
        return None
