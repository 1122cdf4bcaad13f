"""The launcher's side of tier allowlist: it forks what sets the netns up and what serves it, and follows the latter.

The netns has no way out: no gateway, no network. It is started once more when it dies, with the same names.
"""

from __future__ import annotations

import os
import select

from claudebox import console, descriptors
from claudebox.errors import ClaudeboxError
from claudebox.model import SandboxPlan
from claudebox.run import guard, namespaces, signals
from claudebox.run.gateway import records
from claudebox.run.gateway.sockets import send
from claudebox.run.network import LIMIT, answer, reason
from claudebox.signals import signal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from claudebox.run.supervise import Supervision

LAST_WORDS = 1.0  # seconds for its summary
HINT = "claudebox doctor"


class Gateway:
    """The gateway of one sandbox, in a background process group under a guard of its own, as `Network` is."""

    def __init__(self, plan: SandboxPlan, here: int) -> None:
        """Fork both processes, while bwrap is at work; the login is not read yet. here: the instance's directory.
        Raises ClaudeboxError."""
        self.plan, self.nft = plan.network, plan.tools.nft
        self.init = self.pid = 0
        self.netns = self.leash = self.pidfd = -1
        self.restarts = 1
        self.summary = ""
        self.holder: namespaces.Waiting | None = None
        self.names = descriptors.high(os.memfd_create("names", os.MFD_CLOEXEC))
        self.records = records.opened(here, f"{plan.instance.directory}/{records.DIRECTORY}")
        self.guard = guard.start_guard(plan.tools.sh, hangup=False)
        self.begin()

    def begin(self) -> None:
        """Fork the gateway, and what makes its sockets in the netns."""
        from claudebox.run.gateway.channel import pair

        self.leash, theirs = pair()
        given = {"names": self.names, "log": self.records.log, "control": self.records.control}

        def serve() -> None:
            from claudebox.run.gateway import server

            server.serve(self.plan, server.Files(leash=theirs, **given))

        def prepare() -> None:
            from claudebox.run.gateway import setup

            setup.prepare(self.plan, self.nft, self.leash)

        self.pid = namespaces.fork_serving(self.guard.pid, (theirs, *given.values()), serve)
        os.close(theirs)
        self.pidfd = os.pidfd_open(self.pid)
        kept = [self.leash, *([self.netns] if self.netns >= 0 else [])]
        self.holder = namespaces.fork_waiting(self.guard.pid, namespaces.CLONE_NEWNET, [prepare], kept)

    # --- the start -------------------------------------------------------------------------------

    def load(self, init: int) -> None:
        """11: have addresses, rules and sockets made in the sandbox of init; `lead_out` waits for them."""
        assert self.holder is not None
        self.init = init
        namespaces.tell(self.holder, f"/proc/{init}/ns/net")
        self.netns = descriptors.high(os.open(f"/proc/{init}/ns/net", os.O_RDONLY | os.O_CLOEXEC))

    def lead_out(self, arrivals: signals.Arrivals | None) -> None:
        """12: wait until the gateway serves; then nobody is left that entered the netns. Raises ClaudeboxError, or
        Arrived on a signal."""
        assert self.holder is not None
        answer(self.holder, "the way to the gateway could not be made", arrivals)
        holder, self.holder = self.holder, None
        namespaces.kill(holder)
        if not signals.wait(self.leash, LIMIT, arrivals):
            raise ClaudeboxError(f"the gateway did not get ready within {LIMIT:.0f} s", HINT)
        said = os.read(self.leash, 1 << 12)
        if said != b"R":
            text = said[1:].decode(errors="replace").partition("\0")[0]
            raise ClaudeboxError(f"the gateway could not start: {text or 'it was killed'}", HINT)
        send(self.leash, b"=%d" % self.init)

    # --- while it runs ---------------------------------------------------------------------------

    def follow(self, supervision: Supervision) -> None:
        """12: hear what it says, and notice its end."""
        supervision.watch(self.leash, select.POLLIN, lambda: self.heard(supervision))
        supervision.watch(self.pidfd, select.POLLIN, lambda: self.died(supervision))

    def heard(self, supervision: Supervision) -> None:
        """A message of the gateway's, or the end of all of them."""
        from claudebox.run.gateway import setup

        said = os.read(self.leash, 1 << 12)
        if said[:1] == b"M":
            supervision.say(said[1:].decode(errors="replace"))
        elif said[:1] == b"W":
            self.supply(supervision, lambda: setup.pool(self.leash), "published ports")
        elif said[:1] == b"H":
            port = int(said[1:])
            self.supply(supervision, lambda: setup.add_host_port(port, self.plan, self.leash), f"host port {port}")
        elif not said:
            supervision.unwatch(self.leash)

    def supply(self, supervision: Supervision, work: Callable[[], None], what: str) -> None:
        """Have sockets made in the netns, by a fork that enters it anew, and handed to the gateway."""
        kept = [self.leash, self.netns]
        fork = namespaces.fork_waiting(self.guard.pid, namespaces.CLONE_NEWNET, [work], kept)
        try:
            namespaces.tell(fork, f"/proc/self/fd/{self.netns}")
            answer(fork, f"{what}: no socket could be made inside", None)
        except ClaudeboxError as error:
            supervision.say(error.message)
        finally:
            namespaces.kill(fork)

    def died(self, supervision: Supervision) -> None:
        """It ended: everything is refused. It is started once more."""
        supervision.unwatch(self.pidfd)
        supervision.unwatch(self.leash)
        self.drop()
        if not self.restarts:
            supervision.say("the gateway ended again: the sandbox has no network from now on")
            return
        self.restarts -= 1
        try:
            self.begin()
            assert self.holder is not None
            namespaces.tell(self.holder, f"/proc/self/fd/{self.netns}")
            self.lead_out(None)
        except (ClaudeboxError, OSError) as error:
            self.drop()
            supervision.say(f"the gateway ended, and could not be started again ({reason(error)}): no network")
            return
        supervision.say("the gateway ended and was started again with the same names; connections that stood are lost")
        self.follow(supervision)

    # --- the end ---------------------------------------------------------------------------------

    def drop(self) -> None:
        """End the forks, and reap them."""
        if self.holder is not None:
            namespaces.kill(self.holder)
            self.holder = None
        if self.pid:
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
            self.pid = 0
        for number in (self.leash, self.pidfd):
            if number >= 0:
                os.close(number)
        self.leash = self.pidfd = -1

    def leave(self) -> None:
        """Let it say its last words, then end all of it; returns when it is gone."""
        words = self.last_words() if self.netns >= 0 and self.leash >= 0 else ""
        guard.leave(self.guard)
        self.drop()
        records.close(self.records)
        for number in (self.netns, self.names):
            if number >= 0:
                os.close(number)
        if words and (os.isatty(2) or "refused 0" not in words):
            console.say(f"claudebox: {words}")

    def last_words(self) -> str:
        """What was reached and refused; "" where it does not say so in time."""
        from claudebox.run.gateway.channel import finish

        finish(self.leash)
        while signals.wait(self.leash, LAST_WORDS, None):
            try:
                said = os.read(self.leash, 1 << 12)
            except OSError:
                return ""
            if said[:1] in (b"E", b""):
                return said[1:].decode(errors="replace")
        return ""
