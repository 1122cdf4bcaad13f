"""`claudebox doctor --sandbox`: the probes of `checks/inspection.py`, in a real sandbox of this project and profile.

It is an ordinary launch whose command is ours: nothing that somebody else wrote runs in it, so nothing is asked and
nothing is remembered as accepted. An agent that works in this tree meanwhile could change what the probes say, as it
could change any file of the project: what they show is the sandbox, not the session beside it.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import socket
import sys
from collections.abc import Callable, Iterator

from claudebox import address, console, descriptors, netlink
from claudebox.checks import inside
from claudebox.checks.inspection import Beside, Outside, Probe, probes
from claudebox.commands import launch
from claudebox.errors import ClaudeboxError
from claudebox.host import secret_places
from claudebox.model import Request, SandboxPlan
from claudebox.plan.filesystem import below, covered
from claudebox.text import printable

VISIBLE = ("/usr", "/nix/store")  # every sandbox has what lies there
VARIABLE = "SSH_CLAUDEBOX_PROBE"  # of a kind that no pattern grants
LARGEST = 1 << 20  # bytes of answers
Answered = list[tuple[Probe, str]]


def inspect(environment: dict[str, str], *, online: bool, as_json: bool) -> int:
    """Launch, try, show; 0 when all of it is as it should be, else 1. Raises ClaudeboxError."""
    program, brought = interpreter()
    text = inspect_source()
    request = Request(action="run", arguments=(program, "-I", "-S", "-c", text), force=True, mounts=brought)
    with contextlib.ExitStack() as stack:
        abstract, port = stack.enter_context(listeners())
        value = secrets.token_hex(16)
        environment = {**environment, VARIABLE: value}
        start = launch.begin(request, environment)
        here, held = launch.join(request, start)
        plan, pins = launch.decide(request, environment, start)
        if not covered(program, plan.mounts):
            raise ClaudeboxError(f"{program} is not in the sandbox, and the probes are its program", "mount it with -m")
        beside = Beside(
            uid=os.getuid(),
            secrets=tuple(known_secrets(start, environment)),
            variable=(VARIABLE, value),
            file=f"{plan.instance.directory}/sessions/{os.getpid()}.json",
            abstract=abstract,
            port=port,
            pid=os.getpid(),
        )
        table = probes(plan, beside, stack.enter_context(outside()) if online else None)
        answers = ask(table, lambda: launch.run(plan, {pin.path: pin.fd for pin in pins}, here, held))
    found = list(zip(table, answers, strict=True))
    console.write(document(plan, found) if as_json else shown(plan, found), 1)
    return 0 if all(holds(probe, answer) for probe, answer in found) else 1


def interpreter() -> tuple[str, tuple[str, ...]]:
    """A Python that the sandbox can have, our own: its path, and what of it has to be mounted."""
    program = os.path.realpath(sys.executable)
    if any(below(program, place) for place in VISIBLE):
        return program, ()
    return program, (os.path.realpath(sys.base_prefix),)


def inspect_source() -> str:
    """The text of the program that tries the probes."""
    source = inside.__spec__.loader.get_source(inside.__name__) if inside.__spec__ else None  # type: ignore[union-attr]
    if not source:
        raise ClaudeboxError("this installation of claudebox lacks the probes' source", "install it again")
    return str(source)


def known_secrets(start: launch.Start, environment: dict[str, str]) -> Iterator[tuple[str, int, int]]:
    """The known places of secrets that are there, as `Beside` has them."""
    for path, _ in secret_places(start.user, environment, ()):
        try:
            found = os.stat(path)
        except OSError:
            continue
        yield path, found.st_dev, found.st_ino


@contextlib.contextmanager
def listeners() -> Iterator[tuple[str, int]]:
    """An abstract socket and a port of the loopback interface that listen: the name and the number."""
    name = f"claudebox-probe-{secrets.token_hex(8)}"
    with socket.socket(socket.AF_UNIX) as one, socket.socket(socket.AF_INET) as two:
        one.bind("\0" + name)
        two.bind(("127.0.0.1", 0))
        for listener in (one, two):
            listener.listen()
        yield name, two.getsockname()[1]


@contextlib.contextmanager
def outside() -> Iterator[Outside]:
    """The gateways of this machine, and sockets that listen on its own addresses."""
    with contextlib.ExitStack() as stack:
        try:
            own = [address.text(one.address) for one in netlink.addresses()]
            ways = [address.text(address.packed(route.gateway)) for route in netlink.routes() if usable(route.gateway)]
        except OSError as error:
            raise ClaudeboxError(f"cannot read this machine's addresses: {error.strerror}") from None
        here = []
        for text in own:
            if text.startswith(("127.", "fe80:")) or text == "::1":
                continue
            listener = stack.enter_context(socket.socket(socket.AF_INET6 if ":" in text else socket.AF_INET))
            listener.bind((text, 0))
            listener.listen()
            here.append((text, listener.getsockname()[1]))
        yield Outside(gateways=tuple(dict.fromkeys(ways)), here=tuple(here))


def usable(gateway: bytes) -> bool:
    """Whether a route's gateway is an address that can be written without an interface."""
    return len(gateway) == 4 or (len(gateway) == 16 and gateway[:2] != b"\xfe\x80")


def ask(table: tuple[Probe, ...], perform: Callable[[], int]) -> list[str]:
    """Launch with the probes on standard input; what they answered. Raises ClaudeboxError.

    What is answered comes out of a sandbox, and is taken for no more than words.
    """
    questions = json.dumps([[probe.way, probe.arguments] for probe in table]).encode(errors="surrogateescape")
    given = {0: descriptors.memory_file("probes", questions), 1: descriptors.memory_file("answers", b"")}
    kept = {number: descriptors.high(os.dup(number)) for number in given}
    for number, file in given.items():
        os.dup2(file, number)
    try:
        status = perform()
        said = os.pread(given[1], LARGEST, 0)
    finally:
        for number, file in kept.items():
            os.dup2(file, number)
            os.close(file)
    answers = words(said)
    if status or answers is None or len(answers) != len(table):
        raise ClaudeboxError(f"the probes did not answer (status {status})", "claudebox run -n offline -- true")
    return answers


def words(said: bytes) -> list[str] | None:
    """The answers in what came out of a sandbox; None where that is none."""
    try:
        found = json.loads(said)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, list) and all(isinstance(one, str) for one in found) else None


def holds(probe: Probe, answer: str) -> bool:
    """Whether an answer is one that the probe should get."""
    return answer in probe.expected


def document(plan: SandboxPlan, found: Answered) -> str:
    """The probes for programs, schema_version 1."""
    rows = [
        {"name": one.name, "expected": list(one.expected), "got": got, "holds": holds(one, got)} for one, got in found
    ]
    whole = {
        "schema_version": 1,
        "project": plan.project,
        "tier": plan.network.tier,
        "holds": all(row["holds"] for row in rows),
        "probes": rows,
    }
    return json.dumps(whole, indent=2) + "\n"


def shown(plan: SandboxPlan, found: Answered) -> str:
    """The probes for a person: what was tried, what should come of it, what came."""
    colour = console.colour(1)
    rows = [("ok" if holds(one, got) else "OPEN", one.name, one.expected[0], got) for one, got in found]
    styles = [console.RED if row[0] != "ok" and colour else "" for row in rows]
    bad = [row[1] for row in rows if row[0] != "ok"]
    profiles = f", profiles {', '.join(plan.profiles)}" if plan.profiles else ""
    head = f"a sandbox of {plan.project}, tier {plan.network.tier}{profiles}"
    table = console.laid_out(("", "tried", "should be", "is"), rows, console.columns(1), ["", *styles])
    verdict = f"{len(bad)} of {len(rows)} do not hold: {', '.join(bad)}" if bad else f"all {len(rows)} hold"
    return f"{printable(head)}\n\n{table}\n{printable(verdict)}\n"
