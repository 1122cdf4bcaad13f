"""What a launch needs of this machine: tried (`trials`, `survey`), judged (`judge`, pure), and what to type (`fixes`).

The survey of a launch stops at the first thing that is wrong; this one goes on and tells all of it.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

Status = Literal["ok", "warning", "failed", "missing"]


class Finding(NamedTuple):
    """What one check came to.

    found: what there is, in a few words; detail: what is wrong with it or should be known, a sentence per
    line; fix: what to type, line by line, to be pasted as it is.
    """

    status: Status
    found: str
    detail: str = ""
    fix: str = ""


class Row(NamedTuple):
    """One check with its finding. needed: whether the launch that is judged cannot do without it."""

    name: str
    needed: bool
    finding: Finding


class Machine(NamedTuple):
    """The distribution, and who asks. family: a key of `fixes`, "" for one that it does not know."""

    family: str
    title: str
    root: bool


class Userns(NamedTuple):
    """A user namespace of our own, tried in a fork. error: STEP: ERRNO, "" when it worked.

    The others may say why not: sysctls ("" where this kernel has none), and what confines us.
    """

    error: str
    clone: str = ""  # kernel.unprivileged_userns_clone
    maximum: str = ""  # user.max_user_namespaces
    apparmor: str = ""  # kernel.apparmor_restrict_unprivileged_userns
    container: str = ""
    filtered: bool = False  # a seccomp filter is on us already


class Program(NamedTuple):
    """A program of the host. path: "" when there is none; error: why it cannot serve; lacks: missing options;
    skipped: places where one lies that a sandbox could write."""

    name: str
    path: str = ""
    version: str = ""
    error: str = ""
    lacks: tuple[str, ...] = ()
    skipped: tuple[str, ...] = ()


class Sandbox(NamedTuple):
    """A sandbox of our own. Each is what went wrong, "" when it worked, None when it could not be tried."""

    start: str | None = None
    late: str | None = None
    differs: str | None = None  # its mounts from what was planned
    rules: str | None = None
    tun: str | None = None


class Device(NamedTuple):
    """/dev/net/tun. error: of opening it as ourselves, "" when that worked."""

    exists: bool
    mode: int = 0
    error: str = ""


class Problem(NamedTuple):
    """A sentence, and what to type about it."""

    message: str
    fix: str = ""


class Agent(NamedTuple):
    """An agent's client. version: "" if unknown; too_old: the oldest that will do, where this one is older."""

    name: str
    title: str
    found_at: str = ""
    version: str = ""
    too_old: str = ""
    problem: Problem | None = None
    install: str = ""


class State(NamedTuple):
    """claudebox's own directory. space: free bytes for us on its file system; locks: why none can be had."""

    directory: str
    exists: bool
    problems: tuple[Problem, ...]
    locks: str
    space: int
    writing: str


class Facts(NamedTuple):
    """Everything that was tried."""

    machine: Machine
    kernel: str
    asked_tier: str  # of the default launch
    tier: str  # whose needs are judged
    user: Problem | None
    userns: Userns
    seccomp: str
    landlock_abi: int
    scopes: str
    sandbox: Sandbox
    programs: tuple[Program, ...]
    tun: Device
    nix_daemon: str | None  # None: there is no socket; else why it does not answer
    default_agent: str
    agents: tuple[Agent, ...]
    config: tuple[Problem, ...]
    state: State
    terminal: str

    def program(self, name: str) -> Program:
        """One of the programs, by its name."""
        return next(one for one in self.programs if one.name == name)
