"""Rules, backend, readiness; then following the host's networks, and what becomes of a backend that dies."""

from __future__ import annotations

import fcntl
import os
import select

from claudebox import descriptors, netlink, process
from claudebox.errors import ClaudeboxError
from claudebox.model import Interface, SandboxPlan
from claudebox.plan.network.addresses import has_way, own_networks
from claudebox.plan.network.ruleset import update
from claudebox.run import guard, inside, namespaces, signals
from claudebox.signals import signal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from claudebox.model import Prefix
    from claudebox.run.supervise import Supervision

LIMIT = 10.0  # seconds for each step; a healthy one takes 20 ms
NOISE = 1 << 16  # bytes of a backend's own words that are kept
# What backends say though nothing is the matter: slirp4netns of its options, a pasta of 2023 of a missing syslog.
CHATTER = ("syslog", "WARNING: Support for", "sent tapfd=", "received tapfd=")
F_ADD_SEALS, F_SEAL_SHRINK, F_SEAL_GROW = 1033, 2, 4


class Network:
    """The network of one sandbox: its rules, the process that carries its packets, and the host's networks.

    Every process of it lives in a background process group under a guard of its own: no terminal signal
    reaches it, the agent's `kill 0` neither, and our death ends it.
    """

    def __init__(self, plan: SandboxPlan, interface: Interface) -> None:
        """Make ready what needs no sandbox yet, while bwrap is at work. Raises ClaudeboxError."""
        self.plan, self.interface, self.nft = plan.network, interface, plan.tools.nft
        (self.helper,) = plan.helpers
        self.init = self.pid = 0
        self.netns = self.owner = self.pidfd = self.exit = -1
        self.restarts = 1
        self.listener = netlink.listener()  # before the dump: what changes in between wakes the loop
        self.own, self.way = self.look()
        self.noise = -1
        self.guard = guard.start_guard(plan.tools.sh, hangup=False)
        rules = self.plan.ruleset + (update(self.own) if self.own != self.plan.own else "")
        works = (
            lambda: inside.prepare(interface, self.nft, rules, device=self.leads),
            lambda: inside.configure(interface),
        )
        # Of all processes this one alone has capabilities over the netns, and it is gone before the token.
        self.holder: namespaces.Waiting | None = namespaces.fork_waiting(self.guard.pid, namespaces.CLONE_NEWNET, works)

    def look(self) -> tuple[tuple[Prefix, ...], bool]:
        """The host's networks at this moment, and whether it has a way out for the sandbox. Raises OSError."""
        routes = netlink.routes()
        versions = {6 if ":" in gateway else 4 for gateway in self.interface.gateways}
        return own_networks(netlink.addresses(), routes), any(has_way(version, routes) for version in versions)

    @property
    def leads(self) -> bool:
        """Whether the backend is to run now: some start only where the host has a way out."""
        return self.way or not self.interface.wants_way

    # --- the start -------------------------------------------------------------------------------

    def load(self, init: int) -> None:
        """11: have address detection off and the rules loaded in the sandbox of init; `lead_out` waits for it."""
        assert self.holder is not None
        self.init = init
        namespaces.tell(self.holder, f"/proc/{init}/ns/net")
        self.netns = descriptors.high(os.open(f"/proc/{init}/ns/net", os.O_RDONLY | os.O_CLOEXEC))
        owner: int = fcntl.ioctl(self.netns, namespaces.NS_GET_USERNS)
        self.owner = descriptors.high(owner)

    def lead_out(self, arrivals: signals.Arrivals) -> None:
        """12: once the rules stand, start what leads out, have addresses and routes set and verified; then nobody
        holds a capability over the netns. Raises ClaudeboxError, or Arrived on a signal."""
        assert self.holder is not None
        answer(self.holder, "the rules of the network could not be loaded", arrivals)
        if self.leads:
            self.attach(self.holder, arrivals)
        holder, self.holder = self.holder, None
        namespaces.kill(holder)

    def attach(self, holder: namespaces.Waiting, arrivals: signals.Arrivals | None) -> None:
        """Start the backend, wait for its word, have the rest configured and all of it verified."""
        ready, theirs = os.pipe()
        theirs = descriptors.high(theirs)
        self.drop()
        try:
            self.start(holder.pid, theirs)
        finally:
            os.close(theirs)
        try:
            if not signals.wait(ready, LIMIT, arrivals):
                raise self.failed(f"did not get ready within {LIMIT:.0f} s")
            if not os.read(ready, 1):
                raise self.failed("could not attach")
        finally:
            os.close(ready)
        namespaces.tell(holder)
        answer(holder, "the sandbox's addresses could not be set", arrivals)

    def start(self, holder: int, ready: int) -> None:
        """Spawn the backend, with a clean environment and the descriptors that its arguments name."""
        self.noise = noise()
        exit_read, exit_write = os.pipe()
        self.exit, exit_read = exit_write, descriptors.high(exit_read)
        nothing = descriptors.high(os.open("/dev/null", os.O_RDWR | os.O_CLOEXEC))
        given = {"ready": ready, "exit": exit_read, "owner": self.owner, "nothing": nothing, "errors": self.noise}
        numbers = {f"<fd:{name}>": number for name, number in given.items()}
        numbers |= {"<pid:holder>": holder, "<pid:sandbox>": self.init}
        argv = [filled(argument, numbers) for argument in self.helper.argv]
        theirs = {0: given[self.helper.streams[0]], 1: given[self.helper.streams[1]], 2: self.noise}
        theirs |= {
            given[name]: given[name] for name in ("ready", "exit") if f"<fd:{name}>" in "".join(self.helper.argv)
        }
        usual = [signal.SIGPIPE, signal.SIGXFSZ, signal.SIGTERM]
        try:
            self.pid = process.spawn(
                argv, environment={}, descriptors=theirs, group=self.guard.pid, default_signals=usual
            )
        finally:
            os.close(exit_read)
            os.close(nothing)
        self.pidfd = os.pidfd_open(self.pid)

    def failed(self, what: str) -> ClaudeboxError:
        """The backend's failure, in its own words."""
        said = self.words()
        return ClaudeboxError(f"{self.helper.name} {what}" + (f": {said}" if said else ""), self.helper.hint)

    def words(self) -> str:
        """The first lines that the backend said of what is the matter."""
        lines = os.pread(self.noise, NOISE, 0).rstrip(b"\0").decode(errors="replace").splitlines()
        said = [line.strip() for line in lines if line.strip() and not any(sign in line for sign in CHATTER)]
        return "; ".join(said[:3])[:400]

    # --- while it runs ---------------------------------------------------------------------------

    def follow(self, supervision: Supervision) -> None:
        """14: watch the host's networks and the backend."""
        supervision.watch(self.listener, select.POLLIN, lambda: self.changed(supervision))
        if self.pid:
            supervision.watch(self.pidfd, select.POLLIN, lambda: self.died(supervision))
        if self.interface.keeps_resolver:
            from claudebox.run.resolver import Watch

            Watch(supervision, self.helper.name)

    def changed(self, supervision: Supervision) -> None:
        """The host's networks may have changed: refuse what it has now. If that fails, nothing leads out any longer."""
        netlink.drain(self.listener)
        waited = not self.pid and not self.leads
        try:
            own, self.way = self.look()
            if own != self.own:
                self.enter([lambda: inside.load(self.nft, update(own))])
                self.own = own
        except (ClaudeboxError, OSError) as error:
            supervision.unwatch(self.listener)
            self.lost(supervision, f"the rules could not follow the host's networks ({reason(error)})")
            return
        if waited and self.way:
            self.bring_up(supervision, "this machine has a way to the internet", "the sandbox has it too")

    def died(self, supervision: Supervision) -> None:
        """The backend ended: nothing leads out. It is started once more, under the rules that stand."""
        said = self.words()
        how = f"{self.helper.name} ended" + (f" ({said})" if said else "")
        supervision.unwatch(self.pidfd)
        if not self.restarts:
            self.lost(supervision, how)
            return
        self.restarts -= 1
        self.bring_up(supervision, how, "it was started again, under the same rules; connections that stood are lost")

    def bring_up(self, supervision: Supervision, why: str, then: str) -> None:
        """Start the backend in mid-session, and say so."""
        try:
            works = (
                lambda: inside.make_device_anew(self.interface.device),
                lambda: inside.configure(self.interface),
            )
            self.enter(works, lambda fork: self.attach(fork, None))
        except (ClaudeboxError, OSError) as error:
            self.lost(supervision, f"{why}; {self.helper.name} could not be started ({reason(error)})")
            return
        supervision.say(f"{why}: {then}")
        supervision.watch(self.pidfd, select.POLLIN, lambda: self.died(supervision))

    def lost(self, supervision: Supervision, why: str) -> None:
        """Nothing leads out of the sandbox any longer; the session goes on without."""
        if self.pid:
            supervision.unwatch(self.pidfd)
        self.drop()
        try:
            self.enter([lambda: inside.end_device(self.interface.device)])
        except (ClaudeboxError, OSError):
            pass  # nothing leads out of it either way: then a connection is not refused, it hangs
        supervision.say(f"{why}: the sandbox has no network from now on")

    def enter(
        self, works: Sequence[Callable[[], None]], then: Callable[[namespaces.Waiting], None] | None = None
    ) -> None:
        """Do works in the netns, from a fork that enters it anew: the first of them, then what `then` tells it to.
        Raises ClaudeboxError."""
        fork = namespaces.fork_waiting(self.guard.pid, namespaces.CLONE_NEWNET, works, [self.netns])
        try:
            namespaces.tell(fork, f"/proc/self/fd/{self.netns}")
            answer(fork, "the sandbox's network could not be changed", None)
            if then:
                then(fork)
        finally:
            namespaces.kill(fork)

    # --- the end ---------------------------------------------------------------------------------

    def drop(self) -> None:
        """End the backend, if there is one, and reap it."""
        if self.pid:
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
            self.pid = 0
        for number in (self.pidfd, self.exit, self.noise):
            if number >= 0:
                os.close(number)
        self.pidfd = self.exit = self.noise = -1

    def leave(self) -> None:
        """End all of it; returns when it is gone."""
        guard.leave(self.guard)
        if self.holder is not None:
            namespaces.kill(self.holder)
            self.holder = None
        self.drop()


def reason(error: ClaudeboxError | OSError) -> str:
    """What an error says."""
    return error.message if isinstance(error, ClaudeboxError) else str(error.strerror)


def answer(fork: namespaces.Waiting, what: str, arrivals: signals.Arrivals | None) -> None:
    """Wait for the word of a fork. Raises ClaudeboxError, or Arrived on a signal."""
    if not signals.wait(fork.answer, LIMIT, arrivals):
        raise ClaudeboxError(f"{what}: no answer within {LIMIT:.0f} s", "the machine may be too busy: try again")
    namespaces.answered(fork, what, "claudebox doctor")


def filled(argument: str, numbers: dict[str, int]) -> str:
    """An argument with numbers for its placeholders."""
    for name, number in numbers.items():
        argument = argument.replace(name, str(number))
    return argument


def noise() -> int:
    """A file for a backend's words that cannot grow: an agent could have it complain for days."""
    file = descriptors.high(os.memfd_create("noise", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING))
    os.ftruncate(file, NOISE)
    fcntl.fcntl(file, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW)
    return file
