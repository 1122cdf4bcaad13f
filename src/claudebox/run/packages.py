"""nix installables → store paths, before the sandbox starts: from the cache where nothing changed that decides what a
name means, else by nix. Imported only where there are packages.

    cache/packages/HASH/     one per installable
      record                 what it came to, and by what
      root, root-bin, …      nix's own links: as long as they stand its garbage collector keeps what they name
      lock                   whoever realises it
"""

from __future__ import annotations

import fcntl
import os

from claudebox import console, descriptors
from claudebox.digest import sha256
from claudebox.errors import ClaudeboxError
from claudebox.model import Package, SandboxPlan
from claudebox.plan.packages import STORE, filled
from claudebox.record import NamedTuple
from claudebox.run import signals
from claudebox.run.decisive import fingerprint, registry

TYPE_CHECKING = False
if TYPE_CHECKING:
    from claudebox.model import Nix

FORM = "claudebox packages 1"  # of a record; one of another form counts for nothing
ROOT, LIMIT = "root", 1 << 16


class Record(NamedTuple):
    """What a package came to. decided, registry: fingerprints of what decided it; roots: (link, store path); paths:
    its directories for PATH; when: seconds of the wall clock."""

    decided: str
    registry: str
    roots: tuple[tuple[str, str], ...]
    paths: tuple[str, ...]
    when: float = 0.0


def realised(plan: SandboxPlan, ours: str) -> SandboxPlan:
    """The plan with store paths in the place of its packages. ours: claudebox's directory.

    Raises ClaudeboxError where nix fails and there is no result of before, and Arrived for a signal that ends us.
    """
    if plan.nix is None:
        return plan
    decided, found = _decided(plan, plan.nix), {}
    for one in plan.packages:
        record = None if plan.nix.refresh else _usable(ours, one, decided[one.name])
        found[one.name] = (record or _made(plan.nix, one, ours, decided[one.name])).paths
    return filled(plan, found)


def known(plan: SandboxPlan, ours: str) -> SandboxPlan:
    """The plan with what the cache knows: nothing is started, and nothing written."""
    if plan.nix is None or plan.nix.refresh:
        return plan
    decided = _decided(plan, plan.nix)
    records = {one.name: _usable(ours, one, decided[one.name]) for one in plan.packages}
    return filled(plan, {name: record.paths for name, record in records.items() if record})


def _decided(plan: SandboxPlan, nix: Nix) -> dict[str, tuple[str, str]]:
    environment = {one.name: one.value for one in nix.environment}
    everywhere, world = fingerprint(environment, nix.home), registry(environment, nix.home)
    return {one.name: (sha256((everywhere + local(one)).encode()).hexdigest(), world) for one in plan.packages}


def local(package: Package) -> str:
    """What decides a package whose flake lies on this machine."""
    if not package.local:
        return ""
    from claudebox.run.decisive import tree

    return tree(package.local)


# --- the cache -----------------------------------------------------------------------------------


def directory(ours: str, package: Package) -> str:
    """Where a package's result is kept."""
    return f"{ours}/cache/packages/{sha256(os.fsencode(package.name)).hexdigest()[:24]}"


def read(ours: str, package: Package) -> Record | None:
    """The last result of a package, where all of it still stands."""
    where = directory(ours, package)
    try:
        with open(f"{where}/record", "rb") as file:
            text, when = file.read(LIMIT), os.fstat(file.fileno()).st_mtime
    except OSError:
        return None
    record = _parsed(os.fsdecode(text), package.name)
    return record._replace(when=when) if record and all(_stands(where, *root) for root in record.roots) else None


def _parsed(text: str, name: str) -> Record | None:
    form, named, *lines = text.split("\n")
    rows = [line.split(" ") for line in lines if line]
    if (form, named) != (FORM, name) or not all(len(row) == 2 + (row[0] == ROOT) for row in rows):
        return None
    given = {row[0]: row[1] for row in rows}
    return Record(
        decided=given.get("decided", ""),
        registry=given.get("registry", ""),
        roots=tuple((row[1], row[2]) for row in rows if row[0] == ROOT),
        paths=tuple(row[1] for row in rows if row[0] == "path" and row[1].startswith(STORE + "/")),
    )


def _stands(where: str, link: str, path: str) -> bool:
    """Whether the collector still keeps a path, and it is there: one may have been collected all the same."""
    try:
        return os.readlink(f"{where}/{link}") == path and os.path.lexists(path)
    except OSError:
        return False


def _usable(ours: str, package: Package, decided: tuple[str, str]) -> Record | None:
    record = read(ours, package)
    return record if record and (record.decided, record.registry) == decided else None


def _write(here: int, name: str, record: Record) -> None:
    lines = [FORM, name, f"decided {record.decided}", f"registry {record.registry}"]
    lines += [f"{ROOT} {link} {path}" for link, path in record.roots]
    lines += [f"path {path}" for path in record.paths]
    descriptors.replace_file(here, "record", os.fsencode("\n".join(lines) + "\n"))


# --- realising -----------------------------------------------------------------------------------


def _made(nix: Nix, package: Package, ours: str, decided: tuple[str, str]) -> Record:
    """Have nix realise a package, unless another launch just did. Raises ClaudeboxError and Arrived."""
    import time

    began = time.time()
    arrivals = signals.Arrivals()
    try:
        here = _open(ours, package)
        lock = _locked(here, package, arrivals)
        try:
            record = read(ours, package)
            fresh = record and (record.decided, record.registry) == decided
            if record and fresh and (record.when >= began or not nix.refresh):
                return record
            return _by_nix(nix, package, directory(ours, package), here, decided, record, arrivals)
        finally:
            os.close(lock)
            os.close(here)
    finally:
        os.close(arrivals.descriptor)


def _open(ours: str, package: Package) -> int:
    top = descriptors.walk(None, descriptors.parts(ours))
    try:
        return descriptors.make_directories(top, descriptors.parts(directory(ours, package)[len(ours) :]))
    finally:
        os.close(top)


def _locked(here: int, package: Package, arrivals: signals.Arrivals) -> int:
    """The package's lock. Whoever holds it builds, which may take long: a signal ends the wait."""
    lock = os.open("lock", os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600, dir_fd=here)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return lock
    except BlockingIOError:
        pass
    import _thread  # flock(2) cannot be polled

    console.say(f"claudebox: another launch realises {package.name}, waiting for it")
    ready, done = os.pipe()

    def wait() -> None:
        fcntl.flock(lock, fcntl.LOCK_EX)
        os.close(done)

    _thread.start_new_thread(wait, ())
    signals.wait(ready, None, arrivals)
    os.close(ready)
    return lock


def _by_nix(
    nix: Nix,
    package: Package,
    where: str,
    here: int,
    decided: tuple[str, str],
    before: Record | None,
    arrivals: signals.Arrivals,
) -> Record:
    from claudebox.run import realising

    console.say(f"claudebox: nix realises {package.name}")
    try:
        outputs = realising.build(nix, package, f"{where}/{ROOT}", arrivals)
    except ClaudeboxError as error:
        if before is None:
            raise
        _say_kept(package, before, error)
        return before
    roots = _roots(where, outputs)
    paths = tuple(f"{path}/bin" for path in outputs if os.path.isdir(f"{path}/bin"))
    if not paths:
        console.warn(f"{package.name} has no bin directory: nothing of it is on PATH")
    environment = {one.name: one.value for one in nix.environment}
    # nix itself may just have fetched the world's registry anew
    record = Record(decided[0], registry(environment, nix.home), roots, paths)
    _write(here, package.name, record)
    return record


def _roots(where: str, outputs: tuple[str, ...]) -> tuple[tuple[str, str], ...]:
    """(link, store path) of what nix keeps for us now; links to other outputs than these are of before, and go."""
    found = []
    for link in sorted(os.listdir(where)):
        if not link.startswith(ROOT) or not os.path.islink(f"{where}/{link}"):
            continue
        path = os.readlink(f"{where}/{link}")
        if path in outputs:
            found.append((link, path))
        else:
            os.unlink(f"{where}/{link}")
    return tuple(found)


def _say_kept(package: Package, before: Record, error: ClaudeboxError) -> None:
    import time

    when = time.strftime("%Y-%m-%d %H:%M", time.localtime(before.when))
    first, *rest = error.message.split("\n  ")
    console.warn(first.removesuffix(":"))
    console.listing("weakening", f"the result of {when} is used for {package.name}", rest)
