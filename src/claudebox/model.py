"""Every noun of the program, as immutable values. Imports nothing of ours.

NamedTuples, not dataclasses: twenty dataclasses cost a launch 12 ms. They are made with keywords,
and two kinds are told apart by `match`, never by `==`.
"""

from __future__ import annotations

from claudebox.record import Generic, NamedTuple, TypeVar

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Literal

    Tier = Literal["offline", "allowlist", "internet-only", "full"]
    Access = Literal["ro", "rw"]
    Severity = Literal["info", "weakening", "danger"]
    Action = Literal["agent", "run", "shell"]
    Check = Literal["sni", "ech", "none"]
else:
    Tier = Access = Severity = Action = Check = str

T = TypeVar("T")


class Layer:
    """Who may ask for a value; a later layer wins. Nothing that a sandbox can write is one. What a profile says
    is of the layer that named the profile."""

    BUILTIN = 0
    CONFIG = 1
    REMEMBERED = 2
    ENVIRONMENT = 3
    COMMAND_LINE = 4
    NAMES = ("builtin", "config", "remembered", "environment", "command line")


class Origin(NamedTuple):
    """Where a value comes from: the layer, and `FILE:LINE`, the variable or the option."""

    layer: int
    where: str = ""

    def __str__(self) -> str:
        return self.where or Layer.NAMES[self.layer]


BUILTIN = Origin(Layer.BUILTIN)


class Why(NamedTuple):
    """The reason for a grant, and who asked for it. Audit, JSON and dry run print it."""

    reason: str
    origin: Origin = BUILTIN


class Setting(NamedTuple, Generic[T]):
    """One effective value of the profile with its origin."""

    value: T
    origin: Origin = BUILTIN


class Note(NamedTuple):
    """A sentence for the user about this plan: every weakening is one."""

    severity: Severity
    text: str


# --- what was asked for ------------------------------------------------------------------------


class Request(NamedTuple):
    """What was typed on this call."""

    action: Action
    arguments: tuple[str, ...] = ()  # the agent's, or the command with its own
    project: str = ""  # -C; "" is the current directory
    profiles: tuple[str, ...] = ()
    network: str = ""
    allow: tuple[str, ...] = ()
    learn: bool = False
    host_ports: tuple[str, ...] = ()
    publish: tuple[str, ...] = ()
    agent: str = ""
    unattended: bool = False
    env: tuple[str, ...] = ()
    mounts: tuple[str, ...] = ()
    packages: tuple[str, ...] = ()
    refresh_packages: bool = False
    dry_run: bool = False
    json: bool = False
    yes: bool = False
    review: str = "changed"
    force: bool = False
    no_auth: bool = False
    verbose: bool = False


class MountRequest(NamedTuple):
    """One more mount, as a profile or `-m` asks for it. Paths are absolute, `~` is expanded."""

    source: str
    target: str
    access: Access
    kind: Literal["auto", "socket"]
    optional: bool
    origin: Origin


class Prefix(NamedTuple):
    """An IP prefix as numbers: version 4 or 6, the address with nothing set behind length bits. address.py has
    the arithmetic."""

    version: int
    value: int
    length: int


class Allowance(NamedTuple):
    """An exception of `[network] allow_lan` as written. name: "" where prefix says it; port 0: all of them;
    protocol: "tcp", "udp", or "" for both (without a port: for every protocol)."""

    written: str
    name: str
    prefix: Prefix | None
    port: int
    protocol: str


class AllowRule(NamedTuple):
    """What tier allowlist lets through, or takes out again.

    what: a name, `*.` before one (one and more labels), or an address or a prefix, in canonical text; ports: () is
    every one; check: what a TLS hello must show on port 443, "none" for an address; strict: the check was written,
    so it holds on every port; refused: it takes out what less specific rules let through.
    """

    what: str
    ports: tuple[int, ...]
    check: Check
    why: Why
    strict: bool = False
    refused: bool = False


class AllowEntry(NamedTuple):
    """An entry of `[network] allow` or `--allow`, as written. group: the set that it names, without its `@`, then
    rule is None; out: it takes out what was said before it."""

    written: str
    group: str
    rule: AllowRule | None
    out: bool


class NameSet(NamedTuple):
    """A set of names as this launch has it. rules: (as written in a file, what it is for, where it is from, "" where
    it is built in); variables: (name, value, where it is from) of settings that pass inside."""

    name: str
    rules: tuple[tuple[str, str, str], ...]
    variables: tuple[tuple[str, str, str], ...] = ()
    notes: tuple[Note, ...] = ()


class Publish(NamedTuple):
    """A port of the sandbox's 127.0.0.1 that the host's 127.0.0.1 has at host."""

    host: int
    inside: int


class Limits(NamedTuple):
    """Bounds of one sandbox. processes: tasks; tmp: bytes of each private tmpfs; memory: as written."""

    processes: int
    memory: str
    tmp: int


class Profile(NamedTuple):
    """The effective settings of this launch: built-in < config.toml < remembered < environment < command line.

    profiles: the named ones with those that they extend, in the order in which they apply, and who named them.
    """

    agent: Setting[str]
    unattended: Setting[bool]
    tier: Setting[Tier]
    backend: Setting[str]
    allow_lan: tuple[Setting[Allowance], ...]
    env_pass: tuple[Setting[str], ...]  # names and patterns, "!NAME" takes one out again, in order
    env_set: tuple[Setting[tuple[str, str]], ...]
    mounts: tuple[MountRequest, ...]
    nix_daemon: Setting[bool]
    nested_userns: Setting[bool]
    git_config: Setting[Access]
    limits: Limits
    profiles: tuple[Setting[str], ...] = ()
    packages: tuple[Setting[str], ...] = ()  # of nix, in full: `nixpkgs#python3`
    secrets: tuple[Setting[str], ...] = ()  # more places that hold one, beside places.py
    allow: tuple[Setting[AllowEntry], ...] = ()  # in the order in which they count
    host_ports: tuple[Setting[int], ...] = ()
    publish: tuple[Setting[Publish], ...] = ()
    learn: Setting[bool] = Setting(False)


# --- what the machine is -----------------------------------------------------------------------


class User(NamedTuple):
    """The person who runs claudebox. home: canonical path of $HOME; shell: of the sandbox's shell."""

    uid: int
    gid: int
    name: str
    group: str
    home: str
    shell: str


class Pin(NamedTuple):
    """A canonical path of the host, opened once (`O_PATH`) while no component of it was a link."""

    path: str
    fd: int
    directory: bool
    socket: bool = False


class Tools(NamedTuple):
    """Host programs that a launch runs, each from a directory that no sandbox can write."""

    bwrap: str
    bwrap_version: tuple[int, ...]
    sh: str
    env: str
    git: str = ""
    nft: str = ""  # looked for only where the tier has rules
    timeout: str = ""  # of coreutils; "" without one


class System(NamedTuple):
    """What of the host's system the sandbox sees.

    trees: directories to bind at their own path; binds: (target, source, whether it is a directory) of
    what is chosen of /etc; links: symbolic links to repeat, as (path, what it says).
    """

    kind: Literal["fhs", "nixos"]
    trees: tuple[str, ...]
    binds: tuple[tuple[str, str, bool], ...]
    links: tuple[tuple[str, str], ...]


class Kernel(NamedTuple):
    """What the running kernel gives. landlock_abi: 0 without Landlock, and where the
    tier does not ask for it; machine: as uname(2) says."""

    release: str
    machine: str
    landlock_abi: int


class Cgroup(NamedTuple):
    """A cgroup of the host below which we may make one. controller: what it bounds, "memory" or "pids";
    version: of cgroups(7)."""

    directory: str
    controller: str
    version: int


class GitTree(NamedTuple):
    """The repository around the project. common: the common git directory, canonical; main: what names the project.

    entry: the project's own name in COMMON/worktrees, "" in a main tree; pointed: ROOT/.git is a file.
    hooks, commondir, config_worktree, entry_config (config.worktree of the entry): whether it has them;
    worktrees: entries of COMMON/worktrees; targets: (path in the project, what of the host's git leads there);
    apart: common lies elsewhere and does not lead back; borrowed: object stores elsewhere, (path as it is named,
    canonical path).
    """

    common: str
    main: str
    hooks: bool
    commondir: bool
    config_worktree: bool
    worktree_config: bool  # extensions.worktreeConfig is on
    worktrees: tuple[str, ...] | None  # None: no such directory
    entry: str = ""
    pointed: bool = False
    entry_config: bool = False
    targets: tuple[tuple[str, str], ...] = ()
    apart: bool = False
    borrowed: tuple[tuple[str, str], ...] = ()


class Project(NamedTuple):
    """root is mounted read-write; directory is where the command starts, at or below it. main: what names the
    project for all working trees of a repository: the main one, or the bare repository."""

    root: str
    directory: str
    main: str
    git: GitTree | None
    notes: tuple[Note, ...] = ()


class AgentInstall(NamedTuple):
    """The agent as it is installed here. command: its program, absolute and links followed; grants:
    paths to bind read-only so that it runs; version: "" if unknown; found_at: where it was found."""

    name: str
    command: tuple[str, ...]
    grants: tuple[str, ...]
    version: str
    found_at: str


class HostAddress(NamedTuple):
    """An address of the host. peer: the other end of a point-to-point link, else the address again; length: of
    the prefix that is on this link."""

    address: Prefix
    peer: Prefix
    length: int


class Route(NamedTuple):
    """A route of any table of the host. device: its index, 0 without one; gateway: as the kernel says it, b""
    without one; kind, protocol: RTN_* and RTPROT_* of rtnetlink(7)."""

    prefix: Prefix
    device: int
    gateway: bytes
    kind: int
    protocol: int


class Carrier(NamedTuple):
    """A program that can carry a sandbox's packets, as it is installed. options: what we ask for of its --help."""

    name: str
    program: str
    version: tuple[int, ...]
    options: tuple[str, ...]


class Uplink(NamedTuple):
    """How the host reaches the world, and what could carry a sandbox's packets there.

    nameservers: of its resolv.conf, in order; tun: what is wrong with /dev/net/tun, "" if nothing;
    names: what the names of allow_lan resolve to now; root: we are uid 0 of the initial user namespace; ipv6: the
    kernel has it.
    """

    addresses: tuple[HostAddress, ...]
    routes: tuple[Route, ...]
    nameservers: tuple[str, ...]
    carriers: tuple[Carrier, ...]
    tun: str
    names: tuple[tuple[str, tuple[Prefix, ...]], ...]
    root: bool
    ipv6: bool = True


class UserFile(NamedTuple):
    """A settings file of the host's agent that comes along as a copy, as it was read once.

    path: below the home inside; source: canonical; stamp: which state of it this is, "" when it could not be
    read; text: what of it comes along, as text of its own format, None when that is as at the last copy;
    keys: the only top-level keys that follow the host's, () for all; notes: what it brings and what it leaves
    out; answers: what a first start was answered, (key, JSON text); brings: (kind, name) of what acts by itself.
    """

    path: str
    source: str
    stamp: str
    text: str | None
    keys: tuple[str, ...]
    notes: tuple[Note, ...]
    answers: tuple[tuple[str, str], ...] = ()
    brings: tuple[tuple[str, str], ...] = ()


class UserSettings(NamedTuple):
    """The user's own settings of the agent. directory: where they lie on the host, canonical; shown: (target,
    canonical source) of what is bound; files: what is copied; trees: (path below the home inside, canonical
    source, whether it was copied before) of what is copied once."""

    directory: str = ""
    shown: tuple[tuple[str, str], ...] = ()
    files: tuple[UserFile, ...] = ()
    trees: tuple[tuple[str, str, bool], ...] = ()
    notes: tuple[Note, ...] = ()


class NixInstall(NamedTuple):
    """nix on this machine. program: "" where no package asks for it, or there is none; path: PATH for it, without what
    a sandbox can write; settings: what of nix.conf, the user's and the machine's, a sandbox may have, as text;
    trusted: whether the daemon does whatever this user says; daemon: the directory of its socket, "" without one."""

    program: str = ""
    path: str = ""
    settings: str = ""
    trusted: bool = False
    daemon: str = ""


class Host(NamedTuple):
    """The survey: facts about machine, user, project and agent, probed by trying, then frozen."""

    user: User
    claudebox_home: str
    code: str  # where claudebox itself is installed, canonical
    system: System
    kernel: Kernel
    tools: Tools
    environment: tuple[tuple[str, str], ...]  # the host's, whole; plan/ takes by name
    path: tuple[tuple[str, str], ...]  # entries of the host's PATH that exist: (as written, canonical)
    venv: str  # where PROJECT/.venv/bin/python leads, canonical; "" without one
    resolver: str  # canonical path of the host's resolv.conf, "" without one
    project: Project
    git_settings: tuple[tuple[str, str], ...]  # of the user's own configuration, harmless ones only
    agent: AgentInstall | None
    first_start: tuple[tuple[str, str], ...]  # what the host's agent was answered: (key, JSON text)
    pins: tuple[Pin, ...]
    sources: tuple[tuple[str, str], ...]  # of the mounts asked for: (as written, canonical)
    submounts: tuple[tuple[str, str, str], ...]  # host mounts below what is granted: (path, device, root)
    sensitive: tuple[tuple[str, str], ...]  # (path, what secret it is), canonical
    hostname: str
    notes: tuple[Note, ...] = ()
    uplink: Uplink | None = None  # None where the tier asks for none
    settings: UserSettings = UserSettings()
    login_store: str = ""  # the host's directory with the agent's login, canonical; "" where none is brokered
    own_login: bool = False  # the instance's home holds a login that was made inside, for an agent whose way that is
    memory: int = 0  # of the machine, bytes
    cgroups: tuple[Cgroup, ...] = ()
    nix: NixInstall = NixInstall()
    listening: tuple[str, ...] = ()  # sockets of the host below what is granted, canonical
    sets: tuple[NameSet, ...] = ()  # those that the profile names


# --- what was decided --------------------------------------------------------------------------


class Grant(NamedTuple):
    """Something beyond the built-in defaults, as it was asked for. The review compares it by all but the last four.

    level: how much of it; target: of a mount; without: what is taken out of a pattern again; secret: which known
    secret it reaches, or ""; detail: what else a person should know; alone: a variable that no pattern brings.
    """

    kind: str
    name: str
    origin: Origin
    level: Literal["", "ro", "rw", "set", "pass", "ech", "none"] = ""
    target: str = ""
    without: tuple[str, ...] = ()
    secret: str = ""
    severity: Severity = "info"
    detail: str = ""
    alone: bool = False


class Bind(NamedTuple):
    """A path of the host (or, with inside, of the sandbox itself) that appears at target.

    pinned: source was opened at the survey and is bound from that descriptor, not by name.
    late: mounted through descriptors after bwrap is up, because the mount point lies in a tree that
    the agent can write; stage: where bwrap puts it until then. inside: a late mount of a path of the
    sandbox over itself. point: bwrap makes the mount point, and the mount is a clone of what lies in a
    `Stage`. sensitive: which known secret it reaches, or "". submount: it came along with
    the bind of a directory above it, on the host too. covers: the socket of the host that it hides; then source
    is another path of the sandbox.
    """

    source: str
    target: str
    access: Access
    why: Why
    pinned: bool = False
    late: bool = False
    stage: str = ""
    inside: bool = False
    point: Literal["", "file", "directory"] = ""
    sensitive: str = ""
    submount: bool = False
    covers: str = ""


class Tmpfs(NamedTuple):
    """A private file system in memory. size: bytes, 0 for the kernel's default. access "ro": made
    read-only after everything in it stands."""

    target: str
    why: Why
    size: int = 0
    access: Access = "rw"
    mode: int = 0o755
    late: bool = False


class Stage(NamedTuple):
    """A directory of the host that bwrap binds at path until the late mounts of what lies in it are made.

    bwrap reads all of mountinfo for every bind: thirty of /etc cost 4 ms, one and thirty clones a tenth of it.
    """

    source: str
    path: str


class Proc(NamedTuple):
    """proc(5) of the sandbox's own pid namespace."""

    target: str
    why: Why


class Dev(NamedTuple):
    """bwrap's minimal /dev: null, zero, full, random, urandom, tty, pts, and console on a terminal."""

    target: str
    why: Why
    console: bool = False


class Directory(NamedTuple):
    """An empty directory that only carries a mount point or a made file."""

    target: str
    why: Why
    mode: int = 0o755


class Symlink(NamedTuple):
    """A made symbolic link: target is where it lies, to is what it says."""

    target: str
    to: str
    why: Why


class File(NamedTuple):
    """A made file: a read-only mount of its own."""

    target: str
    content: bytes
    why: Why
    mode: int = 0o444


Mount = Bind | Tmpfs | Proc | Dev | Directory | Symlink | File


def is_late(mount: Mount) -> bool:
    """Whether a mount is made through descriptors, after bwrap is up."""
    return isinstance(mount, Bind | Tmpfs) and mount.late


class Variable(NamedTuple):
    """One variable of the sandbox's environment. Its repr masks a secret."""

    name: str
    value: str
    secret: bool
    why: Why

    def __repr__(self) -> str:
        shown = "'***'" if self.secret else repr(self.value)
        return f"Variable(name={self.name!r}, value={shown}, secret={self.secret}, why={self.why!r})"


class Stub(NamedTuple):
    """An empty thing that must exist on the host for a mask to lie on it: recorded before it is made,
    gone afterwards. content None: a directory."""

    path: str
    content: bytes | None
    why: Why


class HomeFile(NamedTuple):
    """A file of the instance's home that is written when it is missing there; path: relative to it."""

    path: str
    content: bytes
    why: Why


class SettingsFile(NamedTuple):
    """A file of the instance's home that follows the host's: keys that were not changed inside.

    path: relative to the home; text: what the host says now, None when that is as at the last copy; keys: the
    only top-level keys that are touched, () for all; remembered: lines that the next launch needs to know.
    """

    path: str
    source: str
    text: str | None
    keys: tuple[str, ...]
    remembered: tuple[str, ...]
    why: Why


class SettingsTree(NamedTuple):
    """A directory that is copied into the instance's home once. done: it was, in an earlier launch."""

    path: str
    source: str
    done: bool
    why: Why


class Isolation(NamedTuple):
    """Namespaces by their names in /proc/PID/ns, the seccomp program as struct sock_filter[], and
    the machine it was assembled for. landlock_scopes: abstract sockets and signals are scoped."""

    namespaces: tuple[str, ...]
    seccomp: bytes
    machine: str
    nested_userns: bool
    landlock_scopes: bool


class CgroupLimit(NamedTuple):
    """What a cgroup of ours below parent is to hold. settings: (file, number)."""

    parent: str
    controller: str
    settings: tuple[tuple[str, int], ...]


class Bounds(NamedTuple):
    """What holds the limits. processes: RLIMIT_NPROC of everything in the sandbox; core files are never written."""

    processes: int
    cgroups: tuple[CgroupLimit, ...] = ()


class Blocked(NamedTuple):
    """A prefix that the rules refuse, and why."""

    prefix: str
    reason: str


class Interface(NamedTuple):
    """The one way out of the sandbox's netns. addresses: its own, with length; gateways, resolvers: IPv4 first;
    neighbours: what IPv6 neighbour discovery may ask; carries_tcp: the resolver takes TCP too; configures:
    what is set on it by us and not by the backend; wants_way: the backend starts only where the host has a way out;
    keeps_resolver: it asks the resolver that the host had when it started."""

    device: str
    addresses: tuple[str, ...]
    gateways: tuple[str, ...]
    resolvers: tuple[str, ...]
    neighbours: tuple[str, ...]
    ipv6: bool
    carries_tcp: bool
    configures: tuple[str, ...] = ()
    wants_way: bool = False
    keeps_resolver: bool = False


class Exempt(NamedTuple):
    """An exception of allow_lan as the gateway obeys it. port 0: all of them."""

    prefix: Prefix
    port: int


class Gate(NamedTuple):
    """The gateway's end in a netns that has no way out. addresses: its own there, where names are answered; exempt:
    what may be dialled although the table refuses it."""

    addresses: tuple[str, ...]
    exempt: tuple[Exempt, ...] = ()


class NetworkPlan(NamedTuple):
    """How much network, and who carries it. ruleset: the nft file, whole; allow_lan: each with the addresses
    that it was pinned to; own: the host's own networks as the rules have them; gate: of tier allowlist."""

    tier: Tier
    backend: str
    resolver: str
    why: Why
    ruleset: str = ""
    blocked: tuple[Blocked, ...] = ()
    allow_lan: tuple[str, ...] = ()
    allow: tuple[AllowRule, ...] = ()
    host_ports: tuple[int, ...] = ()
    publish: tuple[Publish, ...] = ()
    learn: bool = False
    interface: Interface | None = None
    own: tuple[Prefix, ...] = ()
    gate: Gate | None = None


class Shape(NamedTuple):
    """How a credentials file is written.

    login: the key of the object with the tokens; access, refresh, expires: keys in that (expires: milliseconds since
    1970; "" where the access token says it itself, as a JWT does); kept: what else of it a sandbox gets; beside: what
    of the file's other keys; early: milliseconds by which the client refreshes before the expiry that it reads.
    """

    login: str
    access: str
    refresh: str
    expires: str = ""
    kept: tuple[str, ...] = ()
    beside: tuple[str, ...] = ()
    early: int = 0


class Login(NamedTuple):
    """The agent's login as the sandbox gets it: an access token in a file of its own, kept fresh by a broker.

    store: the host's directory, which alone holds the refresh token; file: below $HOME in the sandbox, and in
    store by its name; shape: how that is written; lock: the directory beside it, "" for none; refresher: what has the
    host's client refresh, () where there is none, with `<empty>` and `<config>` for empty directories of ours; needed:
    the command is the agent and has no other login, so a missing one is said and an expired one waited for; agent,
    program: its name, and its command on the host.
    """

    store: str
    file: str
    lock: str
    refresher: tuple[str, ...]
    environment: tuple[Variable, ...]  # the refresher's
    needed: bool
    why: Why
    shape: Shape
    agent: str = "claude"
    program: str = "claude"

    def command(self, word: str) -> str:
        """What to type: a command of `claudebox auth` for this agent."""
        return f"claudebox auth {word}" + ("" if self.agent == "claude" else f" {self.agent}")


class Helper(NamedTuple):
    """A host process that lives exactly as long as the sandbox.

    argv: with `<fd:NAME>` and `<pid:NAME>` where a number exists only at run time; streams: what its standard
    input and output are, "nothing", "errors" or the name of a descriptor; ready: which descriptor it says on
    that it is; hint: what to do when it does not.
    """

    name: str
    argv: tuple[str, ...]
    streams: tuple[str, str]
    ready: str
    hint: str


class Package(NamedTuple):
    """A nix package whose programs are on PATH. name: in full, `nixpkgs#openssl^bin`; local: where its flake lies on
    this machine, "" for one elsewhere; paths: what of it is on PATH, None until it is realised."""

    name: str
    why: Why
    local: str = ""
    paths: tuple[str, ...] | None = None


class Nix(NamedTuple):
    """What realises packages on the host. start: the words before the installable, with `<root>` for the link that
    keeps the result; refresh: resolve all of them anew; home: the user's."""

    start: tuple[str, ...]
    environment: tuple[Variable, ...]
    refresh: bool
    home: str


class Instance(NamedTuple):
    """One project's identity and state. id: first 16 hex digits of sha256("UID:CANONICAL-ROOT")."""

    id: str
    root: str
    directory: str


class Watch(NamedTuple):
    """What is looked at when a session starts and ends, because the host may run it later. root: the project;
    common: the common git directory, "" without one; entry: the project's own name in COMMON/worktrees, ""
    in a main tree; targets: what of the project the host's git obeys already."""

    root: str
    common: str = ""
    entry: str = ""
    targets: tuple[str, ...] = ()


class SandboxPlan(NamedTuple):
    """The immutable decision. Audit, JSON, dry run and launch are made of it and nothing else."""

    instance: Instance
    command: tuple[str, ...]
    directory: str
    project: str  # the project's root
    home: str  # $HOME inside
    mounts: tuple[Mount, ...]  # in the order in which they are made; the last one wins
    stages: tuple[Stage, ...]  # none of them is left when the command runs
    stubs: tuple[Stub, ...]
    home_files: tuple[HomeFile, ...]
    environment: tuple[Variable, ...]
    isolation: Isolation
    limits: Limits
    bounds: Bounds
    network: NetworkPlan
    helpers: tuple[Helper, ...]
    packages: tuple[Package, ...]
    agent: str
    unattended: bool
    tools: Tools
    notes: tuple[Note, ...]
    repository: str = ""  # the common git directory, "" without one
    settings: tuple[SettingsFile | SettingsTree, ...] = ()
    login: Login | None = None
    watch: Watch = Watch(root="")
    profiles: tuple[str, ...] = ()
    nix: Nix | None = None  # where there are packages
    grants: tuple[Grant, ...] = ()  # what was asked for beyond the defaults, for the review


# --- what a session leaves behind ----------------------------------------------------------------


class Seen(NamedTuple):
    """Something that the host executes or follows. row: of the table in plan/watched.py; path: absolute;
    state: another one when what matters of it is another."""

    row: str
    path: str
    state: str


class Snapshot(NamedTuple):
    """All of it at one moment. head: the commit that is checked out, "" if unknown; cut: there was more than is
    looked at."""

    watch: Watch
    seen: tuple[Seen, ...]
    head: str = ""
    cut: bool = False


class Change(NamedTuple):
    """What differs between two snapshots. new: it was not there; state: as it is now; reason, sets_off, unasked:
    what runs or follows it, what a user does that sets it off, and whether that is no order to run anything."""

    row: str
    path: str
    new: bool
    state: str
    reason: str
    sets_off: str
    unasked: bool


class ExitReport(NamedTuple):
    """What changed while a session ran. head: the commit that was checked out before; moved: links in git
    directories, (path, what it says, where it is now, "" where it could not be moved); replaced: configurations
    that the host replaced meanwhile, with the lines of a diff; cut: there was more than is looked at, and had not been
    at the start."""

    root: str
    head: str
    changes: tuple[Change, ...]
    moved: tuple[tuple[str, str, str], ...] = ()
    replaced: tuple[tuple[str, tuple[str, ...]], ...] = ()
    cut: bool = False
