"""nix at work: its lines shown as they come, its result read, its errors in its own words."""

from __future__ import annotations

import os

from claudebox import console, process
from claudebox.errors import ClaudeboxError
from claudebox.installable import split
from claudebox.plan.packages import STORE
from claudebox.run import signals
from claudebox.signals import signal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from claudebox.model import Nix, Package

USUAL = (signal.SIGINT, signal.SIGQUIT, signal.SIGHUP, signal.SIGTERM, signal.SIGPIPE, signal.SIGXFSZ)
OUTPUT, LINES, LAST = 1 << 22, 1 << 16, 14
PATIENCE = 10  # seconds that a nix which is to end gets
CARET = (2, 9)  # the first nix that knows `^bin,man`
FIRST = ("bin", "out")  # of a package's outputs, where several have programs

# What nix says (in small letters) → what to do about it.
HINTS = (
    (("did you mean", "does not provide attribute", "attribute '"), "nix search nixpkgs WORD finds names"),
    (
        ("cannot connect to socket", "cannot connect to daemon", "connection refused"),
        "is the daemon running? systemctl start nix-daemon.socket",
    ),
    (("is not allowed to connect", "not allowed to access"), "allowed-users of /etc/nix/nix.conf has to name you"),
    (
        ("could not resolve host", "couldn't resolve host", "unable to download", "couldn't connect", "timed out"),
        "nix needs the network for this, on this machine, not in the sandbox",
    ),
    (("no space left", "disk is full", "disk quota"), "free some space: nix-collect-garbage -d removes what is unused"),
    (
        ("creating directory '/nix", "opening lock file '/nix", "permission denied"),
        "nix is not set up for you: apt install nix-setup-systemd, or make yourself the owner of /nix",
    ),
    (("unfree license", "is marked as insecure", "is marked as broken"), "put it into a flake of yours that allows it"),
)  # fmt: skip


def build(nix: Nix, package: Package, root: str, arrivals: signals.Arrivals) -> tuple[str, ...]:
    """Realise a package and keep it by links that begin with root; its store paths, the one with programs first.

    Raises ClaudeboxError with nix's own last lines, and Arrived for a signal that ends us; then nix has ended.
    """
    start = [root if word == "<root>" else word for word in nix.start]
    status, output, lines = _run([*start, *words(nix, package)], nix, arrivals)
    if status != 0:
        raise failed(package, lines)
    found = store_paths(output)
    missing = [path for path in found if not os.path.lexists(path)]
    if missing or not found:
        raise ClaudeboxError(
            f"nix put {package.name} where no sandbox could see it: {missing[0] if missing else 'nothing was said'}",
            f"a store that is not at {STORE} (store = … in nix.conf, NIX_REMOTE) cannot be used",
        )
    return found


def words(nix: Nix, package: Package) -> list[str]:
    """The package as this nix understands it: before 2.9 outputs are attributes. Raises ClaudeboxError."""
    parts = split(package.name)
    if not parts.outputs:
        return [package.name]
    numbers = _version(nix)
    if not numbers or numbers >= CARET:
        return [package.name]
    if parts.outputs == ("*",):
        raise ClaudeboxError(f"{package.name}: this nix knows no ^*", "name the outputs: ^bin,man; or use nix 2.9")
    attribute = parts.attribute or "default"
    return [f"{parts.reference}#{attribute}.{output}" for output in parts.outputs]


def _version(nix: Nix) -> tuple[int, ...]:
    environment = {one.name: one.value for one in nix.environment}
    program = nix.start[nix.start.index("-C") + 2]
    said = process.capture([program, "--version"], environment=environment).output.split()
    return tuple(int(one) for one in said[-1].decode(errors="replace").split(".")[:2] if one.isdigit()) if said else ()


def store_paths(output: bytes) -> tuple[str, ...]:
    """The store paths of `nix build --json`, of every release: what has programs first, each once."""
    import json

    try:
        found = json.loads(output or b"[]")
    except ValueError:
        return ()
    named: list[tuple[str, str]] = []
    for one in found if isinstance(found, list) else []:
        outputs = one.get("outputs", {}) if isinstance(one, dict) else {"": one}
        named += outputs.items() if outputs else [("", one.get("path", ""))]
    order = {name: number for number, name in enumerate(FIRST)}
    named.sort(key=lambda pair: order.get(pair[0], len(order)))
    return tuple(dict.fromkeys(path for _, path in named if _is_path(path)))


def _is_path(path: object) -> bool:
    return isinstance(path, str) and os.path.dirname(path) == STORE and path.isprintable() and " " not in path


# --- the process ---------------------------------------------------------------------------------


def _run(argv: list[str], nix: Nix, arrivals: signals.Arrivals) -> tuple[int, bytes, list[str]]:
    """Run nix, in our group, so that a Ctrl-C is its own too: its status, its output, the lines of its error."""
    nothing = os.open("/dev/null", os.O_RDONLY | os.O_CLOEXEC)
    (out, out_w), (err, err_w) = os.pipe(), os.pipe()
    try:
        pid = process.spawn(
            argv,
            environment={one.name: one.value for one in nix.environment},
            descriptors={0: nothing, 1: out_w, 2: err_w},
            default_signals=USUAL,
        )
    finally:
        for descriptor in (nothing, out_w, err_w):
            os.close(descriptor)
    ended, said = os.pidfd_open(pid), Said()
    try:
        output = _followed(out, err, said, arrivals)
    except signals.Arrived:
        signal.pidfd_send_signal(ended, signal.SIGTERM)
        if not signals.wait(ended, PATIENCE, None):
            signal.pidfd_send_signal(ended, signal.SIGKILL)
        raise
    finally:
        _, status = os.waitpid(pid, 0)
        for descriptor in (ended, out, err):
            os.close(descriptor)
    return process.exit_status(status), output, said.errors


class Said:
    """What nix says: its lines are shown as they come, those of its error are kept for the end."""

    def __init__(self) -> None:
        self.rest, self.errors = b"", list[str]()

    def add(self, chunk: bytes) -> None:
        """More of it; an empty chunk is the end."""
        *whole, self.rest = (self.rest + chunk).replace(b"\r", b"\n").split(b"\n")
        if not chunk or len(self.rest) > LINES:
            whole, self.rest = [*whole, self.rest], b""
        for line in whole:
            text = line.decode(errors="replace").rstrip()
            if text.startswith("error:") or self.errors:
                self.errors.append(text)
            elif text:
                console.say(f"  {text}")


def _followed(out: int, err: int, said: Said, arrivals: signals.Arrivals) -> bytes:
    """What nix prints, until it has closed both pipes. Raises Arrived for a signal that ends us."""
    import select

    poll, open_ends, chunks = select.poll(), {out, err}, list[bytes]()
    for descriptor in (out, err, arrivals.descriptor):
        poll.register(descriptor, select.POLLIN)
    while open_ends:
        for descriptor, _ in poll.poll():
            if descriptor == arrivals.descriptor:
                arrivals.before_token()
                _stop_too(arrivals)
                continue
            chunk = os.read(descriptor, 1 << 16)
            if descriptor == err:
                said.add(chunk)
            elif sum(map(len, chunks)) < OUTPUT:
                chunks.append(chunk)
            if not chunk:
                poll.unregister(descriptor)
                open_ends.discard(descriptor)
    return b"".join(chunks)


def _stop_too(arrivals: signals.Arrivals) -> None:
    """A Ctrl-Z stops nix, and with it us: the shell waits for both."""
    stopped = any(one.number == signal.SIGTSTP for one in arrivals.kept)
    arrivals.kept.clear()
    if stopped:
        os.kill(os.getpid(), signal.SIGSTOP)


# --- its errors ----------------------------------------------------------------------------------


def failed(package: Package, lines: list[str]) -> ClaudeboxError:
    """nix's own last lines, one sentence of ours, and what to do about what they say."""
    kept = [line for line in lines if line.strip() and "--show-trace" not in line]
    text = "\n".join(kept).lower()
    hint = next((hint for words, hint in HINTS if any(word in text for word in words)), "")
    shown = "".join(f"\n  {line.strip()}" for line in kept[:LAST])
    return ClaudeboxError(f"nix could not realise {package.name}:{shown}", hint or "the lines above are nix's own")
