"""The host's resolv.conf while a sandbox runs whose backend keeps the resolver that it started with."""

from __future__ import annotations

import ctypes
import os
import select

from claudebox.run.namespaces import LIBC, checked
from claudebox.uplink import RESOLVERS, nameservers

TYPE_CHECKING = False
if TYPE_CHECKING:
    from claudebox.run.supervise import Supervision

# inotify(7): a file in the directory was written and closed, moved there, made (a link), removed
EVENTS = 0x008 | 0x080 | 0x100 | 0x200


class Watch:
    """Says, each time that the host's resolvers become others, that the sandbox does not follow."""

    def __init__(self, supervision: Supervision, backend: str) -> None:
        self.supervision, self.backend, self.known = supervision, backend, nameservers()
        try:
            self.descriptor = checked(LIBC.inotify_init1(ctypes.c_int(os.O_CLOEXEC | os.O_NONBLOCK)), "inotify_init1")
        except OSError:  # a user has 128 instances by default, and 50 sandboxes use them up
            supervision.say("inotify is used up here: that this machine's resolvers become others will not be noticed")
            return
        self.look()
        supervision.watch(self.descriptor, select.POLLIN, self.changed)

    def look(self) -> None:
        """Watch the file, where it is linked from and where it lies: one that is replaced is another one then."""
        real = os.path.realpath(RESOLVERS)
        for path in (real, os.path.dirname(real), os.path.dirname(RESOLVERS)):
            # what cannot be watched costs the message, nothing else; what is watched already stays
            LIBC.inotify_add_watch(self.descriptor, os.fsencode(path), ctypes.c_uint(EVENTS))

    def changed(self) -> None:
        """Something in those directories is another; most of it is none of ours."""
        try:
            os.read(self.descriptor, 1 << 16)
        except BlockingIOError:
            return
        self.look()
        now = nameservers()
        if now == self.known:
            return
        self.known = now
        text = f"this machine's resolvers are others now ({', '.join(now) or 'none'})"
        self.supervision.say(f"{text}; {self.backend} keeps those it started with: start again if names do not resolve")
