"""The submodules that an index has, read without the repository's configuration, whose includes no option turns off.

Nearly every index has none, and a search for the mode that each would have shows it. Otherwise git lists them for us,
in an empty git directory of our own. What was found is kept by the index's inode, size and times.
"""

from __future__ import annotations

import os
import stat
import time

from claudebox import descriptors, process
from claudebox.errors import ClaudeboxError
from claudebox.run.listings import own_times

MODE = b"\0\0\xe0\0"  # of a gitlink, as it stands in an index: index-format(5)
LARGEST = 1 << 28  # bytes of an index
SMALL = 1 << 18  # up to here it is quicker to read it than to know it
OUTPUT = 1 << 27  # bytes of git's listing
EMPTY = (
    ("empty.git", b""),
    ("empty256.git", b"[core]\n\trepositoryformatversion = 1\n[extensions]\n\tobjectformat = sha256\n"),
)
CACHE, CACHE_LIMIT, KEPT = "gitlinks", 1 << 22, 100
FRESH = 2 * 10**9  # nanoseconds
ESCAPE = "surrogateescape"


class Gitlinks:
    """Lists gitlinks. git: the host's, "" without one; here: the instance's directory, where what is known lies.

    hits: of the last index that could not be listed, how many gitlinks it may have, as text.
    """

    def __init__(self, git: str, here: int) -> None:
        self.git, self.here, self.hits = git, here, ""
        self.known: dict[str, list[str]] | None = None
        self.changed = False

    def of(self, parent: int, name: str, *, sha256: bool = False) -> list[str] | None:
        """The paths of the gitlinks of an index; None where they cannot be listed. sha256: of the repository's objects,
        which an index does not say."""
        try:
            file = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=parent)
        except OSError:
            return []  # nor can git read it
        try:
            found = os.fstat(file)
            return self.looked_up(file, found, sha256) if stat.S_ISREG(found.st_mode) else []
        finally:
            os.close(file)

    def looked_up(self, file: int, found: os.stat_result, sha256: bool) -> list[str] | None:
        """What is known of an open index, or what it says."""
        key = f"{found.st_dev}.{found.st_ino}.{found.st_size}.{found.st_mtime_ns}.{found.st_ctime_ns}.{sha256:d}"
        if found.st_size > SMALL and (links := self.remembered().get(key)) is not None:
            return links
        hits = _hits(file, found.st_size)
        if not hits and found.st_size <= SMALL:
            return []
        links = self.remembered().get(key) if hits else []
        if links is None:
            links = self.listed(file, sha256)
        self.hits = f"{hits} of {found.st_size}" if hits < 0 else str(hits)
        if links is not None and own_times(file):
            self.remember(key, links, found.st_ctime_ns)
        return links

    def listed(self, file: int, sha256: bool) -> list[str] | None:
        """What git says."""
        if not self.git:
            return None
        directory = self.empty(*EMPTY[sha256])
        argv = [self.git, "-C", "/", f"--git-dir={directory}", "-c", "core.fsmonitor=false", "ls-files", "-s", "-z"]
        own = {"HOME": "/nonexistent", "PATH": process.SYSTEM_PATH, "LC_ALL": "C"}
        own |= {"GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": "/dev/null", "GIT_OPTIONAL_LOCKS": "0"}
        # by our descriptor: whatever has the index's name by then
        own["GIT_INDEX_FILE"] = f"/proc/{os.getpid()}/fd/{file}"
        done = process.capture(argv, environment=own, limit=OUTPUT)
        if done.status != 0:
            return None
        lines = done.output.decode(errors=ESCAPE).split("\0")
        return [line.partition("\t")[2] for line in lines if line.startswith("160000 ")]

    def empty(self, name: str, config: bytes) -> str:
        """The path of an empty git directory of our own. Raises ClaudeboxError."""
        try:
            made = descriptors.make_directory(self.here, name)
            try:
                for inner in ("objects", "refs"):
                    os.close(descriptors.make_directory(made, inner))
                for file, text in (("HEAD", b"ref: refs/heads/none\n"), ("config", config)):
                    if descriptors.read_file(made, file, 1 << 12) != text:
                        descriptors.replace_file(made, file, text)
                return os.readlink(f"/proc/self/fd/{made}")
            finally:
                os.close(made)
        except OSError as error:
            raise ClaudeboxError(f"cannot make {name}: {error.strerror}", "free some space") from None

    # --- what is known -----------------------------------------------------------------------------

    def remembered(self) -> dict[str, list[str]]:
        """Index → its gitlinks, of earlier looks. No sandbox can write this."""
        if self.known is None:
            self.known = {}
            try:
                text = descriptors.read_file(self.here, CACHE, CACHE_LIMIT) or b""
            except OSError:
                text = b""
            try:
                for line in text.decode(errors=ESCAPE).split("\n"):
                    key, *links = line.split("\t")
                    self.known[key] = [bytes.fromhex(link).decode(errors=ESCAPE) for link in links]
            except ValueError:  # torn: all of it is looked up again
                self.known = {}
        return self.known

    def remember(self, key: str, links: list[str], changed: int) -> None:
        """Keep what an index has, unless it was written so lately that another write could show the same times."""
        if self.remembered().get(key) != links and time.time_ns() - changed > FRESH:
            self.remembered()[key] = links
            self.changed = True

    def save(self) -> None:
        """Write down what is new. A disk that is full by now costs the next look some time, and nothing else."""
        if not self.changed:
            return
        last = list(self.remembered().items())[-KEPT:]
        text = "\n".join("\t".join([key, *(link.encode(errors=ESCAPE).hex() for link in links)]) for key, links in last)
        if len(text) <= CACHE_LIMIT:
            try:
                descriptors.replace_file(self.here, CACHE, text.encode())
            except OSError:
                pass


def _hits(file: int, size: int) -> int:
    """How many gitlinks an index may have, -1 for one that is larger than any."""
    if size > LARGEST:
        return -1
    hits, rest = 0, b""
    while chunk := os.read(file, 1 << 20):
        hits += (rest + chunk).count(MODE)
        rest = (rest + chunk)[-3:]
    return hits
