"""The steps from the moment that bwrap is at work: what it cannot make, and what has to stand before the agent runs.

Imported while bwrap is at work, with all that only these steps need. The numbers are those of docs/architecture.md.
"""

from __future__ import annotations

import os

from claudebox import console
from claudebox.record import NamedTuple
from claudebox.run import locks, mounts, settings, signals, spares
from claudebox.run.limits import Limits
from claudebox.run.mending import Mending
from claudebox.run.processes import Sandbox, still_there, wait_ready
from claudebox.run.supervise import Supervision
from claudebox.run.terminal import Terminal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from claudebox.run.gateway import Gateway
    from claudebox.run.login import Broker
    from claudebox.run.namespaces import Waiting
    from claudebox.run.network import Network
    from claudebox.run.site import Frame, Site

TOKEN = b"go\n"


class Ready(NamedTuple):
    """What was made ready while bwrap was at work. late: the fork that makes the late mounts; clones: the mount points
    that get a clone, and our end of what hands them over; roots: what each source is, as mountinfo says it."""

    arrivals: signals.Arrivals
    terminal: Terminal
    late: Waiting
    clones: tuple[tuple[str, ...], int]
    roots: dict[str, tuple[str, str]]
    limits: Limits
    network: Network | Gateway | None
    broker: Broker | None


def prepare(site: Site, frame: Frame) -> Ready:
    """8: what needs no sandbox yet. Raises ClaudeboxError."""
    plan, leaving = site.plan, site.leaving
    ours, theirs = spares.pair()
    leaving.callback(spares.close, ours, theirs)
    kept = spares.kept(plan)
    late = mounts.waiting(plan, frame.watch.pid, lambda: spares.send(theirs, kept), (theirs,))
    arrivals, terminal, roots = signals.Arrivals(), Terminal(), mounts.roots_of(plan, site.pins)
    arrivals.check = lambda: still_there(frame.start.outer, frame.watch)
    network = prepare_network(site, frame)
    broker = serve(site)
    limits = Limits(plan.bounds)
    leaving.callback(limits.leave)
    leaving.callback(frame.ended.now)
    limits.begin(frame.start.outer)
    site.check.begin()  # what the host would execute, before the agent can change it
    return Ready(
        arrivals=arrivals,
        terminal=terminal,
        late=late,
        clones=(kept, ours),
        roots=roots,
        limits=limits,
        network=network,
        broker=broker,
    )


def prepare_network(site: Site, frame: Frame) -> Network | Gateway | None:
    """What carries the sandbox's packets, where the tier has a way out; it goes after the sandbox."""
    network: Network | Gateway
    if site.plan.network.gate is not None:
        from claudebox.run.gateway import Gateway

        network = Gateway(site.plan, site.here)
    elif site.plan.network.interface is not None:
        from claudebox.run.network import Network

        network = Network(site.plan, site.plan.network.interface)
    else:
        return None
    site.leaving.callback(network.leave)
    site.leaving.callback(frame.ended.now)
    return network


def serve(site: Site) -> Broker | None:
    """Give the sandbox the host's login, if the plan says so, and keep it fresh as long as it runs."""
    if site.plan.login is None:
        return None
    from claudebox.run.login import Broker

    ours = os.path.dirname(os.path.dirname(site.plan.instance.directory))
    broker = Broker(site.plan.login, ours, site.here, site.home)
    site.leaving.callback(broker.close)
    return broker


def take_hold(site: Site, frame: Frame, ready: Ready) -> Sandbox:
    """9: the gate says that it is there, and holds the agent. 10: the settings. Raises ClaudeboxError, or Arrived."""
    sandbox = wait_ready(frame.start, frame.watch, ready.arrivals)
    frame.ended.init_fd = sandbox.init_fd
    ready.limits.set(sandbox)
    with locks.Long(site.here, settings.LOCK, ready.arrivals):
        said = settings.write(site.plan, site.here, site.home, site.pins, ready.arrivals.before_token)
    for text in said:
        console.warn(text)
    return sandbox


def complete(site: Site, sandbox: Sandbox, ready: Ready) -> Supervision:
    """11: rules and late mounts, compared with the plan. 12: the way out, and the login.

    Raises ClaudeboxError, or Arrived.
    """
    if ready.network:
        ready.network.load(sandbox.init)  # while the mounts are made
    mounts.enter(ready.late, sandbox.init, ready.arrivals)
    supervision = Supervision(site.plan, sandbox, ready.terminal, ready.arrivals)
    supervision.record = site.record.add
    kept, ours = ready.clones
    mending = Mending(site.plan, supervision, spares.receive(ours, kept))
    supervision.put_back, site.check.replaced = mending.put_back, mending.replaced
    mounts.verify(site.plan, sandbox.init, ready.roots)
    mending.watch_new_trees()
    if ready.network:
        ready.network.lead_out(ready.arrivals)  # only after the rules
        ready.network.follow(supervision)
    if ready.broker:
        ready.broker.wait(ready.arrivals)
        ready.broker.attach(supervision)
    return supervision


def let_go(site: Site, frame: Frame, sandbox: Sandbox, supervision: Supervision, ready: Ready) -> None:
    """13: hand over the terminal, send the token. Raises ClaudeboxError, or Arrived: then the agent never runs."""
    ready.limits.settle(sandbox)
    ready.arrivals.before_token()
    supervision.stop_early()
    if ready.terminal.ours():
        supervision.hand_over()
    site.check.released = True
    try:
        os.write(frame.start.gate, TOKEN)  # the only line that lets the agent run
    except BrokenPipeError:
        pass  # it was killed meanwhile: its status says so
