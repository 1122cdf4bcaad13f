"""What the rules of a running sandbox have counted: read by a fork that enters its netns, as the owner may."""

from __future__ import annotations

import os

from claudebox import descriptors, process
from claudebox.errors import ClaudeboxError
from claudebox.plan.network.ruleset import TABLE
from claudebox.record import NamedTuple
from claudebox.run import namespaces
from claudebox.run.processes import children

LIMIT = 1 << 20  # bytes of nft's answer
OWN_GROUP = 0
VERDICTS = {"accept": "accepted", "goto": "refused", "drop": "dropped"}


class Count(NamedTuple):
    """One rule that counts. verdict: accepted, refused or dropped (from outside); octets: bytes, headers included."""

    rule: str
    verdict: str
    packets: int
    octets: int


def sandbox_of(launcher: int) -> int:
    """Pid 1 of the sandbox of a launcher: the child of its bwrap that has another netns; 0 when there is none."""
    try:
        ours = os.readlink(f"/proc/{launcher}/ns/net")
        for child in children(launcher):
            for pid in children(child):
                if os.readlink(f"/proc/{pid}/ns/net") != ours:
                    return pid
    except OSError:
        pass  # it has just ended
    return 0


def counters(init: int, nft: str) -> tuple[Count, ...]:
    """The counters of the sandbox whose pid 1 is init. Raises ClaudeboxError when they cannot be read."""
    listing = descriptors.memory_file("listing", b"")

    def work() -> None:
        argv = [nft, "list", "table", *TABLE.split()]
        nothing = os.open("/dev/null", os.O_RDWR | os.O_CLOEXEC)
        pid = process.spawn(argv, environment={}, descriptors={0: nothing, 1: listing, 2: nothing})
        _, status = os.waitpid(pid, 0)
        if status:
            raise ClaudeboxError(f"nft list: status {process.exit_status(status)}")

    fork = namespaces.fork_waiting(OWN_GROUP, namespaces.CLONE_NEWNET, [work], [listing])
    try:
        namespaces.tell(fork, f"/proc/{init}/ns/net")
        namespaces.answered(fork, "the rules of the session cannot be read", "claudebox ps")
        return parsed(os.pread(listing, LIMIT, 0).decode(errors="replace"))
    finally:
        namespaces.end(fork)
        os.close(listing)


def parsed(listing: str) -> tuple[Count, ...]:
    """The rules with a counter and a name, in their order; what one name has in several rows is added up."""
    found: dict[tuple[str, str], tuple[int, int]] = {}
    for line in listing.splitlines():
        _, counter, after = line.partition("counter packets ")
        words = after.split()
        if not counter or len(words) < 4 or 'comment "' not in after:
            continue
        rule = after.partition('comment "')[2].rpartition('"')[0]
        key = (rule, VERDICTS.get(words[3], words[3]))
        packets, octets = found.get(key, (0, 0))
        found[key] = (packets + int(words[0]), octets + int(words[2]))
    return tuple(Count(rule, verdict, *numbers) for (rule, verdict), numbers in found.items())
