"""The broker at work: keeps a sandbox logged in without a refresh token. plan/broker.py says what is to be done.

Whatever woke us, both files are looked at as they are now; nothing is concluded from an event. An idle session is
never woken: the directories are watched, and one alarm is set for the moment when the token is due.
"""

from __future__ import annotations

import os
import select
import time

from claudebox import console
from claudebox.errors import ClaudeboxError
from claudebox.model import Login
from claudebox.plan import broker
from claudebox.run import notify, refresh
from claudebox.run.credentials import Files, Seen

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from claudebox.plan.broker import Event, HostState, Topic
    from claudebox.run.signals import Arrivals
    from claudebox.run.supervise import Supervision

BUSY = 2_000  # milliseconds until a refresh is tried again while another launcher's is at work
UNWATCHED = 60_000  # milliseconds between two looks where inotify is used up
QUIET, PATIENCE = 1.0, 60.0  # seconds at a launch: until we say that we wait, and until we no longer do


class Broker:
    """The login of one session. Made before its sandbox is up, then given to its supervision."""

    def __init__(self, login: Login, ours: str, here: int, home: int) -> None:
        """Publish what the host has. ours: claudebox's directory; here: the instance's; home: its `home`."""
        self.login, self.ours = login, ours
        self.files = Files(login, here, home)
        self.acts: dict[int, Callable[[], None]] = {}
        self.supervision: Supervision | None = None
        self.told: set[str] = set()
        self.host: notify.Changes | None = None
        self.copy: notify.Changes | None = None
        self.watched: tuple[str, tuple[int, int]] = "", (0, 0)  # of the host; of the copy
        self.rate, self.paused, self.blind = broker.Rate(), 0, False
        self.refresher: refresh.Refresher | None = None
        self.state: HostState = "absent"
        self.failures, self.next_try, self.tried = 0, 0, -1
        self.alarm = notify.Alarm()
        self._watch(self.alarm.descriptor, self._rang)
        self.watching, self.begin = False, notify.now() + broker.SECOND
        self.look("launch")
        if self.state not in ("good", "absent"):
            self._begin_to_watch()

    # --- looking and acting ----------------------------------------------------------------------

    def look(self, event: Event) -> None:
        """Look at both files, do what the table says, and set the alarm for the next time."""
        now = notify.now()
        directory = self._directory(make=False)
        try:
            self._act(event, self.files.see(directory, now), now)
        finally:
            if directory >= 0:
                os.close(directory)

    def _act(self, event: Event, seen: Seen, now: int) -> None:
        self.state = seen.host.state
        step = broker.decide(seen.host.state, seen.copy.state, event)
        try:
            self._write(step.copy, seen)
        except FileNotFoundError:
            pass  # the directory was removed under our hands: that wakes us again
        except OSError as error:
            self._say(
                "disk", f"the login in the sandbox's home cannot be written ({error.strerror}): it stays as it is"
            )
        self._tell(step.tell, seen, event)
        if event == "refreshed":
            self._refreshed(seen, now)
        if step.refresh:
            self._refresh(seen, now)
        self._set_alarm(seen, now)

    def _write(self, act: str, seen: Seen) -> None:
        if act == "publish":
            if seen.directory >= 0:
                self.files.publish(seen)
                return
            made = self._directory(make=True)
            try:
                self.files.publish(seen._replace(directory=made))
            finally:
                os.close(made)
        elif act == "withdraw":
            self.files.withdraw(seen)
        elif act == "yield":
            self.files.remove_lock(seen.directory)

    def _refresh(self, seen: Seen, now: int) -> None:
        """Have the host's client refresh, unless that is under way or was tried just now."""
        if not self.login.refresher:
            self._say("late", late(self.login, seen.host.state))
        if self.refresher or now < self.next_try or not self.login.refresher:
            return
        self.tried, self.next_try = seen.expires, now + BUSY
        try:
            self.refresher = refresh.start(self.login, self.ours, self._still_due)
        except (OSError, ClaudeboxError) as error:
            self._say("refresher", f"the host's client could not be started to refresh the login: {error}")
            self.failures += 1
            self.next_try = now + 1000 * broker.wait(self.failures)
        if self.refresher:
            self._watch(self.refresher.ended, self._ended)

    def _still_due(self) -> bool:
        return self.files.see(-1, notify.now()).host.state in ("due", "expired")

    def _refreshed(self, seen: Seen, now: int) -> None:
        """A refresher has ended: either the expiry has moved, or it is tried again, later and later."""
        self.failures = 0 if seen.expires != self.tried else self.failures + 1
        self.next_try = now + 1000 * max(broker.wait(self.failures), BUSY // 1000)
        if broker.tells_late(seen.host.state, self.failures):
            self._say("late", late(self.login, seen.host.state))

    def _set_alarm(self, seen: Seen, now: int) -> None:
        moments = [self.paused] if self.paused else []
        if not self.watching:
            moments.append(self.begin)
        if seen.host.state == "good":
            moments.append(seen.expires - broker.DUE)
        elif seen.host.state in ("due", "expired") and not self.refresher and self.login.refresher:
            moments.append(self.next_try)
        elif seen.host.state == "due":
            moments.append(seen.expires)
        if self.blind:
            moments.append(now + UNWATCHED)
        self.alarm.at(min(moments) if moments else None)

    # --- what wakes us ---------------------------------------------------------------------------

    def _begin_to_watch(self) -> None:
        """Not at once: closing inotify waits some 20 ms for the kernel (synchronize_srcu), which a command of less
        than a second need not pay. What changed meanwhile is seen by the look that follows."""
        self.watching = True
        self._watch_host()
        self.look("host")

    def _rang(self) -> None:
        self.alarm.arrived()
        if not self.watching and notify.now() >= self.begin:
            self._begin_to_watch()
        if self.paused and notify.now() >= self.paused:
            self.paused = 0
        if self.blind:
            self._watch_host()
        self.look("time")

    def _host_changed(self) -> None:
        assert self.host is not None
        named, gone = self.host.arrived()
        if gone or (named and self.watched[0] != self.login.store):
            self._watch_host()
        if named:
            self.look("host")

    def _copy_changed(self) -> None:
        assert self.copy is not None
        named, _ = self.copy.arrived()
        self.rate, too_often = broker.woken(self.rate, notify.now())
        if too_often:
            self._unwatch_copy()
            self.paused = notify.now() + broker.SECOND
            self.alarm.at(self.paused)
        elif named:
            self.look("copy")

    def _ended(self) -> None:
        assert self.refresher is not None
        ended, self.refresher = self.refresher, None
        self._unwatch(ended.ended)
        refresh.collect(ended, self.ours)
        self.look("refreshed")

    # --- watches ---------------------------------------------------------------------------------

    def _watch_host(self) -> None:
        """Watch the host's directory; where there is none yet, the one above it for its name."""
        if self.host:
            self._unwatch(self.host.descriptor)
            self.host.close()
        store, above = self.login.store, os.path.dirname(self.login.store)
        self.host = self._changes((store,), (self.files.name,))
        where = store if self.host else above
        self.host = self.host or self._changes((above,), (os.path.basename(store),))
        self.watched = where, self.watched[1]
        if self.host:
            self._watch(self.host.descriptor, self._host_changed)

    def _directory(self, *, make: bool) -> int:
        """A descriptor of the copy's directory as it is now, watched from now on, which the caller closes; -1 where
        there is none. Raises OSError where it is to be made and cannot be."""
        try:
            directory = self.files.directory(make=make)
        except OSError:
            if make:
                raise
            directory = -1
        found = os.fstat(directory) if directory >= 0 else None
        identity = (found.st_dev, found.st_ino) if found else (0, 0)
        if self.watching and not self.paused and (self.copy is None or self.watched[1] != identity):
            self._unwatch_copy()
            self.watched = self.watched[0], identity
            directories = (self.files.home, directory) if found else (self.files.home,)
            self.copy = self._changes(
                directories, tuple(filter(None, (self.files.name, self.login.lock, *self.files.above)))
            )
            if self.copy:
                self._watch(self.copy.descriptor, self._copy_changed)
        return directory

    def _unwatch_copy(self) -> None:
        if self.copy:
            self._unwatch(self.copy.descriptor)
            self.copy.close()
            self.copy = None

    def _changes(self, directories: tuple[int | str, ...], names: tuple[str, ...]) -> notify.Changes | None:
        try:
            return notify.Changes(directories, names)
        except OSError as error:
            if error.errno in (24, 28):  # EMFILE, ENOSPC: the user's instances, or watches, are used up
                self.blind = True
                self._say("blind", "inotify is used up here: a change of the login is seen within 60 s, not at once")
            return None

    def _watch(self, descriptor: int, act: Callable[[], None]) -> None:
        self.acts[descriptor] = act
        if self.supervision:
            self.supervision.watch(descriptor, select.POLLIN, act)

    def _unwatch(self, descriptor: int) -> None:
        self.acts.pop(descriptor, None)
        if self.supervision:
            self.supervision.unwatch(descriptor)

    # --- what the user hears ---------------------------------------------------------------------

    def _tell(self, topic: Topic, seen: Seen, event: Event) -> None:
        if seen.host.state == "good":
            self.told -= {"late", "broken", "odd", "logout", "refresher"}
        store, again = self.login.store, self.login.command("login")
        if self.files.open_to_others and seen.host.state in ("good", "due", "expired"):
            self._say("mode", f"{store} has a login that others can read: chmod 600 {store}/{self.files.name}")
        if topic == "absent" and self.login.needed:
            self._say("absent", f"no login in {store}, so none in the sandbox: {again}")
        elif topic == "logout":
            self._say("logout", f"the host was logged out, and so is this sandbox: {again}")
        elif topic == "broken":
            self._say("broken", f"the login in {store} is no longer valid: {again}")
        elif topic == "odd":
            self._say("odd", f"{store}/{self.files.name} {seen.host.why}: the sandbox gets no login from it")
        elif topic == "own" and (self.login.needed or event != "launch"):
            self._say_own()

    def _say_own(self) -> None:
        self._say("own", f"this sandbox has a login of its own: {self.login.command('import')} takes it to the host")

    def _say(self, topic: str, text: str) -> None:
        """Once for each topic."""
        if topic in self.told:
            return
        self.told.add(topic)
        if self.supervision:
            self.supervision.say(text)
        elif topic in ("absent", "own"):
            console.note("info", text)
        else:
            console.warn(text)

    # --- the session -----------------------------------------------------------------------------

    def wait(self, arrivals: Arrivals) -> None:
        """While the token is expired and a refresh is under way: wait for it, at most a minute.

        Raises Arrived for a signal that ends the launch, and what the check of arrivals raises.
        """
        said, started = not self.login.needed, time.monotonic()
        while self.login.needed and self.state == "expired" and self.login.refresher and not self.failures:
            spent = time.monotonic() - started
            if spent >= PATIENCE:
                break
            if spent >= QUIET and not said:
                said = True
                console.say("claudebox: the login has expired; waiting for the host's client to refresh it")
            poll = select.poll()
            for descriptor in (arrivals.descriptor, *self.acts):
                poll.register(descriptor, select.POLLIN)
            for descriptor, _ in poll.poll(((PATIENCE if said else QUIET) - spent) * 1000 + 1):
                if descriptor == arrivals.descriptor:
                    arrivals.before_token()
                    arrivals.check()
                elif act := self.acts.get(descriptor):
                    act()

    def attach(self, supervision: Supervision) -> None:
        """From now on the supervision's loop wakes us, and says what we have to say."""
        self.supervision = supervision
        for descriptor, act in self.acts.items():
            supervision.watch(descriptor, select.POLLIN, act)

    def finish(self) -> None:
        """The sandbox has ended: a login that was made in it is named. A refresher at work goes on without us."""
        try:
            directory = self.files.directory(make=False)
        except OSError:
            return  # closed by the agent: nothing is to be had there
        if directory < 0:
            return
        if self.files.see(directory, notify.now()).copy.state == "own":
            self._say_own()
        os.close(directory)

    def close(self) -> None:
        """End the watches."""
        for descriptor in list(self.acts):
            self._unwatch(descriptor)
            os.close(descriptor)


def late(login: Login, state: HostState) -> str:
    """What to do when a refresh did not happen, or is not ours to start."""
    how = "has expired" if state == "expired" else "is about to expire"
    if not login.refresher:
        return f"the login {how}: run {login.program} once on the host, which refreshes it; sandboxes that run get it"
    done = f"the login {how} and could not be refreshed; it is tried again."
    return f"{done} If you are online: run {login.program} once on the host"
