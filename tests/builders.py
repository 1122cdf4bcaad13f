"""Plain values with defaults, for the pure tests: a request, a profile, a host, and the plan made of them.

Every builder takes the fields of what it makes as keywords; a field that model.py adds needs a default here
and nowhere else.
"""

from __future__ import annotations

from typing import Any

from claudebox.agents import AgentSpec, load_agent
from claudebox.model import (
    BUILTIN,
    AgentInstall,
    Carrier,
    GitTree,
    Host,
    HostAddress,
    Instance,
    Kernel,
    Layer,
    Limits,
    MountRequest,
    Origin,
    Pin,
    Profile,
    Project,
    Request,
    Route,
    SandboxPlan,
    Setting,
    System,
    Tools,
    Uplink,
    User,
)
from claudebox.plan import build_plan
from claudebox.plan.network.addresses import known

HOME = "/home/ada"
OURS = f"{HOME}/.claudebox"
TYPED = Origin(Layer.COMMAND_LINE, "-m")
ENVIRONMENT = {"PATH": "/usr/local/bin:/usr/bin:/bin", "HOME": HOME, "LANG": "C.UTF-8", "TERM": "xterm-256color"}


def make_user(**changes: Any) -> User:
    return User(uid=1000, gid=1000, name="ada", group="ada", home=HOME, shell="/bin/bash")._replace(**changes)


def make_git(common: str = "/srv/app/.git", **changes: Any) -> GitTree:
    """A main working tree's repository: hooks, no commondir, no linked trees."""
    main = common.removesuffix("/.git")
    tree = GitTree(
        common=common,
        main=main,
        hooks=True,
        commondir=False,
        config_worktree=False,
        worktree_config=False,
        worktrees=None,
    )
    return tree._replace(**changes)


def make_project(root: str = "/srv/app", directory: str = "", git: GitTree | None = None) -> Project:
    return Project(root=root, directory=directory or root, main=git.main if git else root, git=git)


def make_system(**changes: Any) -> System:
    """A Debian with a merged /usr."""
    system = System(
        kind="fhs",
        trees=("/usr",),
        binds=(("/etc/alternatives", "/etc/alternatives", True), ("/etc/nsswitch.conf", "/etc/nsswitch.conf", False)),
        links=(("/bin", "usr/bin"), ("/lib", "usr/lib"), ("/lib64", "usr/lib64"), ("/etc/os-release", "/usr/lib/os")),
    )
    return system._replace(**changes)


def make_agent(*command: str, grants: tuple[str, ...] | None = None, version: str = "2.1.330") -> AgentInstall:
    command = command or ("/usr/lib/claude/claude",)
    return AgentInstall(
        name="claude",
        command=command,
        grants=command if grants is None else grants,
        version=version,
        found_at=command[-1],
    )


def make_uplink(**changes: Any) -> Uplink:
    """A laptop in a LAN, with slirp4netns."""
    here = known("192.168.1.5/32")
    default = Route(prefix=known("0.0.0.0/0"), device=2, gateway=bytes((192, 168, 1, 1)), kind=1, protocol=16)
    options = ("--enable-sandbox", "--enable-seccomp")
    uplink = Uplink(
        addresses=(HostAddress(address=here, peer=here, length=24),),
        routes=(default, Route(prefix=known("192.168.1.0/24"), device=2, gateway=b"", kind=1, protocol=2)),
        nameservers=("192.168.1.1",),
        carriers=(Carrier(name="slirp4netns", program="/usr/bin/slirp4netns", version=(1, 2, 0), options=options),),
        tun="",
        names=(),
        root=False,
    )
    return uplink._replace(**changes)


def make_host(project: Project | None = None, environment: dict[str, str] | None = None, **changes: Any) -> Host:
    """A machine on which everything is there. Pins follow from the project, the agent and pinned=…"""
    project = project or make_project()
    pinned = changes.pop("pinned", ())  # paths of mounts asked for, canonical; a directory ends in "/"
    path = ENVIRONMENT["PATH"].split(":")
    host = Host(
        user=make_user(),
        claudebox_home=OURS,
        code="/opt/claudebox/lib",
        system=make_system(),
        kernel=Kernel(release="6.12.0", machine="x86_64", landlock_abi=6),
        tools=Tools(
            bwrap="/usr/bin/bwrap",
            bwrap_version=(0, 12, 0),
            sh="/bin/sh",
            env="/usr/bin/env",
            git="/usr/bin/git",
            nft="/usr/sbin/nft",
            timeout="/usr/bin/timeout",
        ),
        environment=tuple({**ENVIRONMENT, **(environment or {})}.items()),
        path=tuple((entry, "/usr/bin" if entry == "/bin" else entry) for entry in path),
        venv="",
        resolver="/run/systemd/resolve/stub-resolv.conf",
        project=project,
        git_settings=(("user.name", "Ada Example"), ("user.email", "ada@example.org")),
        agent=make_agent(),
        first_start=(("theme", '"dark"'),),
        pins=(),
        sources=tuple((p.rstrip("/"), p.rstrip("/")) for p in pinned),
        submounts=(),
        sensitive=((f"{HOME}/.ssh", "SSH keys"), (f"{HOME}/.aws", "AWS credentials")),
        hostname="lovelace",
        login_store=f"{HOME}/.claude",
        memory=16 << 30,
    )._replace(**changes)
    if "pins" in changes:
        return host
    common = (project.git.common + "/",) if project.git else ()
    paths = (project.root + "/", *common, *(host.agent.grants if host.agent else ()), *pinned)
    pins = tuple(Pin(path=p.rstrip("/"), fd=-1, directory=p.endswith("/")) for p in paths)
    return host._replace(pins=pins)


def make_mount(source: str, target: str = "", **changes: Any) -> MountRequest:
    request = MountRequest(
        source=source, target=target or source, access="ro", kind="auto", optional=False, origin=TYPED
    )
    return request._replace(**changes)


def make_profile(**changes: Any) -> Profile:
    """The built-in settings in tier offline. A plain value becomes a Setting of the built-in layer."""
    profile = Profile(
        agent=Setting("claude"),
        unattended=Setting(False),
        tier=Setting("offline", Origin(Layer.COMMAND_LINE, "-n")),
        backend=Setting("auto"),
        allow_lan=(),
        env_pass=(),
        env_set=(),
        mounts=(),
        nix_daemon=Setting(True),
        nested_userns=Setting(True),
        git_config=Setting("ro"),
        limits=Limits(processes=4096, memory="75%", tmp=2 << 30),
    )
    given = {k: v if isinstance(v, tuple) else Setting(v, BUILTIN) for k, v in changes.items()}
    return profile._replace(**given)


def make_request(action: str = "agent", *arguments: str, **changes: Any) -> Request:
    return Request(action=action, arguments=arguments)._replace(**changes)  # type: ignore[arg-type]


def make_instance(root: str = "/srv/app") -> Instance:
    identity = "0123456789abcdef"
    return Instance(id=identity, root=root, directory=f"{OURS}/instances/{identity}")


def make_plan(
    host: Host | None = None,
    profile: Profile | None = None,
    request: Request | None = None,
    spec: AgentSpec | None = None,
) -> SandboxPlan:
    """The plan of a launch; without arguments that of `claudebox -n offline` outside a repository."""
    host = host or make_host()
    spec = spec or load_agent("claude", "")
    instance = make_instance(host.project.main)
    return build_plan(request or make_request(), profile or make_profile(), host, spec, instance)
