"""The host's credentials file and the sandbox's copy, read and written for the broker.

The host's file is only read. The sandbox's is hostile: opened through descriptors, following no link, bounded; of it
only what the client keeps beside the login is used, to be written back there.
"""

from __future__ import annotations

import os
import stat

from claudebox import descriptors
from claudebox.digest import sha256
from claudebox.errors import ClaudeboxError
from claudebox.model import Login, Shape
from claudebox.plan import broker
from claudebox.plan.broker import CopySeen, HostSeen
from claudebox.record import NamedTuple
from claudebox.run.home import put_aside

STAMP = "login"  # in the instance's directory: digests of what was published last, and the expiry
NEVER_STALE = 4_000_000_000  # seconds: the modification time of our lock, in the year 2096
CLIENTS_LOCK = ".storage-write.lock"  # what a client takes for milliseconds to write its file
HOST_LIMIT = 1 << 20
READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
WRITE = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
PROBLEMS = {
    6: "is no regular file", 13: "cannot be read: permission denied", 20: "does not lie in a directory",
    40: "is a symbolic link",
}  # fmt: skip


class Stamp(NamedTuple):
    """What was published: SHA-256 of the host's file and of the copy, and the real expiry in milliseconds."""

    host: str
    copy: str
    expires: int


class Seen(NamedTuple):
    """Both files at one moment. raw: the host's bytes; expires: of the host's login, 0 without one; identity: of
    the copy, to tell a later one by; directory: of the copy, -1 where there is none."""

    host: HostSeen
    copy: CopySeen
    raw: bytes
    expires: int
    identity: tuple[int, int, int] | None
    directory: int


class Files:
    """Both files of one session."""

    def __init__(self, login: Login, here: int, home: int) -> None:
        """here: the instance's directory; home: its `home`. Nothing is made yet."""
        self.login, self.here, self.home = login, here, home
        *self.above, self.name = descriptors.parts(login.file)
        self.open_to_others = False  # the host's file can be read by others
        self.stamp = read_stamp(here)

    def see(self, directory: int, now: int) -> Seen:
        """Look at both. Nothing is parsed where both are what they were at the last publish, and fresh.

        directory: of the copy, -1 where there is none; now: milliseconds since 1970.
        """
        raw, odd, self.open_to_others = host_bytes(self.login.store, self.name)
        identity = self._identity(directory)
        try:
            copy, strange = self._copy_bytes(directory), False
        except OSError:
            copy, strange = None, True
        locked = self.locked(directory)
        if raw is not None and copy is not None and locked and self._as_stamped(raw, copy, now):
            assert self.stamp is not None
            return Seen(HostSeen("good"), CopySeen("current", {}), raw, self.stamp.expires, identity, directory)
        host = HostSeen("odd", why=odd) if odd else broker.see_host(raw, now, self.login.shape)
        expires = host.tokens.expires if host.tokens else 0
        found = CopySeen("odd", {}) if strange else broker.see_copy(copy, host.tokens, self.login.shape, locked=locked)
        return Seen(host, found, raw or b"", expires, identity, directory)

    def _as_stamped(self, raw: bytes, copy: bytes, now: int) -> bool:
        stamp = self.stamp
        if stamp is None or stamp.expires - now < broker.DUE:
            return False
        return (stamp.host, stamp.copy) == (digest(raw), digest(copy))

    # --- reading --------------------------------------------------------------------------------

    def _copy_bytes(self, directory: int) -> bytes | None:
        found = None if directory < 0 else _read(directory, self.name, broker.LIMIT)
        return found[0] if found else None

    def _identity(self, directory: int) -> tuple[int, int, int] | None:
        try:
            found = os.stat(self.name, dir_fd=directory, follow_symlinks=False) if directory >= 0 else None
        except OSError:
            return None
        return (found.st_ino, found.st_mtime_ns, found.st_size) if found else None

    def locked(self, directory: int) -> bool:
        """Whether the lock that never goes stale lies there, where there is to be one."""
        if not self.login.lock:
            return True
        try:
            found = os.stat(self.login.lock, dir_fd=directory, follow_symlinks=False) if directory >= 0 else None
        except OSError:
            return False
        return found is not None and stat.S_ISDIR(found.st_mode) and found.st_mtime == NEVER_STALE

    # --- writing, in the sandbox's home ----------------------------------------------------------

    def directory(self, *, make: bool) -> int:
        """A descriptor of the copy's directory, which the caller closes; -1 where there is none.

        make: make it, and move aside what is no directory in its place. Raises OSError.
        """
        here = os.open(".", descriptors.DIRECTORY, dir_fd=self.home)
        for name in self.above:
            try:
                inner = self._inner(here, name, make=make)
            finally:
                os.close(here)
            if inner < 0:
                return -1
            here = inner
        return here

    def _inner(self, here: int, name: str, *, make: bool) -> int:
        try:
            mode = os.stat(name, dir_fd=here, follow_symlinks=False).st_mode
        except FileNotFoundError:
            return descriptors.make_directory(here, name) if make else -1
        if not stat.S_ISDIR(mode):
            if not make:
                return -1
            put_aside(here, self.here, name)
        return descriptors.make_directory(here, name)

    def publish(self, seen: Seen) -> None:
        """Put the host's login and our lock there, unless the client wrote since it was seen: then that wakes us.

        Raises OSError.
        """
        assert seen.host.tokens is not None
        content = broker.published(seen.copy.other, seen.host.tokens, self.login.shape)
        if seen.copy.state == "odd" and seen.identity:
            put_aside(seen.directory, self.here, self.name)
            seen = seen._replace(identity=None)
        if self._replace(seen, content):
            self._put_lock(seen.directory)
            self.stamp = Stamp(host=digest(seen.raw), copy=digest(content), expires=seen.expires)
            descriptors.replace_file(self.here, STAMP, "\n".join(map(str, self.stamp)).encode())

    def withdraw(self, seen: Seen) -> None:
        """Take our login and our lock away; what else the client keeps in the file stays. Raises OSError."""
        content = broker.withdrawn(seen.copy.other)
        if content is not None:
            self._replace(seen, content)
        elif seen.identity == self._identity(seen.directory):
            os.unlink(self.name, dir_fd=seen.directory)
        self.remove_lock(seen.directory)

    def own_tokens(self, seen: Seen) -> broker.Tokens | None:
        """The login that was made in this sandbox; None where there is none, or in a shape that is not known."""
        if seen.copy.state != "own":
            return None
        try:
            raw = self._copy_bytes(seen.directory)
        except OSError:
            return None
        return broker.see_host(raw, 0, self.login.shape).tokens

    def _put_lock(self, directory: int) -> None:
        if not self.login.lock:
            return
        lock = self._inner(directory, self.login.lock, make=True)
        try:
            os.utime(lock, (NEVER_STALE, NEVER_STALE))
        finally:
            os.close(lock)

    def remove_lock(self, directory: int) -> None:
        """Remove the lock, if it is ours; one that something was planted in is moved aside. Raises OSError."""
        if not self.login.lock or not self.locked(directory):
            return
        try:
            os.rmdir(self.login.lock, dir_fd=directory)
        except OSError:
            put_aside(directory, self.here, self.login.lock)

    def _replace(self, seen: Seen, content: bytes) -> bool:
        """By a file in the instance's directory, which the sandbox does not see, and a rename into its home."""
        temporary = f".{STAMP}.{os.getpid()}.tmp"  # as `descriptors.sweep_temporary` knows them: it has a token in it
        file = os.open(temporary, WRITE, 0o600, dir_fd=self.here)
        try:
            descriptors.write_all(file, content)
            os.fsync(file)
            same = seen.identity == self._identity(seen.directory)
            if same:
                os.rename(temporary, self.name, src_dir_fd=self.here, dst_dir_fd=seen.directory)
            else:
                os.unlink(temporary, dir_fd=self.here)
            return same
        except OSError:
            os.unlink(temporary, dir_fd=self.here)
            raise
        finally:
            os.close(file)


def host_bytes(store: str, name: str) -> tuple[bytes | None, str, bool]:
    """The host's file, None where there is none; what is wrong with it where it cannot be used; and whether others
    than its owner can read it."""
    try:
        directory = os.open(store, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            found = _read(directory, name, HOST_LIMIT)
        finally:
            os.close(directory)
    except FileNotFoundError:
        return None, "", False
    except OSError as error:
        return None, PROBLEMS.get(error.errno or 0, error.strerror or "cannot be read"), False
    return (found[0], "", bool(found[1].st_mode & 0o077)) if found else (None, "", False)


def put_host(store: str, name: str, tokens: broker.Tokens, shape: Shape) -> None:
    """Make a login the host's: `auth import` alone. Other keys of the file stay, and its mode is 0600.

    Under the lock that the host's client takes to write there. Raises ClaudeboxError.
    """
    raw, odd, _ = host_bytes(store, name)
    document = {} if raw is None else broker.parsed(raw)
    if odd or document is None:
        raise ClaudeboxError(f"{store}/{name} {odd or 'is no JSON object'}", "move it away first")
    try:
        os.makedirs(store, 0o700, exist_ok=True)
        directory = os.open(store, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        os.mkdir(CLIENTS_LOCK, dir_fd=directory)
    except FileExistsError:
        raise ClaudeboxError(f"a client is writing in {store} just now", "try again") from None
    except OSError as error:
        raise ClaudeboxError(f"cannot write {store}/{name}: {error.strerror}", "free space, or check it") from None
    try:
        descriptors.replace_file(directory, name, broker.as_host(document, tokens, shape), durable=True)
    except OSError as error:
        raise ClaudeboxError(f"cannot write {store}/{name}: {error.strerror}", "free space, or check it") from None
    finally:
        os.rmdir(CLIENTS_LOCK, dir_fd=directory)
        os.close(directory)


def read_stamp(here: int) -> Stamp | None:
    """What was published last into the home of an instance. here: its directory."""
    try:
        lines = (descriptors.read_file(here, STAMP, 256) or b"").decode().split("\n")
        return Stamp(host=lines[0], copy=lines[1], expires=int(lines[2]))
    except (OSError, ValueError, IndexError):
        return None


def digest(raw: bytes) -> str:
    """SHA-256 of a file."""
    return sha256(raw).hexdigest()


def _read(directory: int, name: str, limit: int) -> tuple[bytes, os.stat_result] | None:
    """A regular file of our own, and its status; None where there is none. Raises OSError for anything else."""
    try:
        file = os.open(name, READ, dir_fd=directory)
    except FileNotFoundError:
        return None
    try:
        found = os.fstat(file)
        if not stat.S_ISREG(found.st_mode):
            raise OSError(22, "is a directory" if stat.S_ISDIR(found.st_mode) else "is no regular file")
        if found.st_uid != os.geteuid():
            raise OSError(1, "belongs to somebody else")
        if found.st_size > limit:
            raise OSError(27, f"is larger than {limit >> 10} KiB")
        return descriptors.read_all(file, limit), found
    finally:
        os.close(file)
