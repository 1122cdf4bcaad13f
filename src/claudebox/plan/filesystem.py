"""Base system, home, project and further mounts: what appears where, in which order, what is late."""

from __future__ import annotations

from claudebox.errors import ClaudeboxError
from claudebox.model import (
    Bind,
    Dev,
    Directory,
    File,
    Host,
    Mount,
    MountRequest,
    Pin,
    Proc,
    Profile,
    Stage,
    Symlink,
    System,
    Tmpfs,
    Why,
    is_late,
)

STAGING = "/run/s"  # private to the start: nothing of it is left at the token
LISTENER = "whoever listens on this socket"  # what a socket brings is a program of the host's, whatever the access
ETC = Stage(source="/etc", path=f"{STAGING}/etc")

# Places of the host that a mount may not cover: the launch's own, and what the kernel serves.
KEPT_TARGETS = ("/", "/proc", "/dev", "/run/s", "/etc", "/usr", "/nix", "/nix/store", "/bin", "/lib", "/lib64", "/sbin")
MADE_FILES = (
    "/etc/passwd", "/etc/group", "/etc/gitconfig", "/etc/hosts", "/etc/hostname", "/etc/resolv.conf",
    "/etc/nix/nix.conf",
)  # fmt: skip


def below(path: str, directory: str) -> bool:
    """Whether path is directory or lies in it; both canonical."""
    return path == directory or directory == "/" or path.startswith(directory + "/")


def covered(path: str, mounts: tuple[Mount, ...] | list[Mount]) -> bool:
    """Whether path of the host is visible at its own path through a bind of mounts."""
    return any(isinstance(m, Bind) and m.source == m.target and below(path, m.target) for m in mounts)


def base_system(system: System) -> list[Mount]:
    """The host's programs and libraries, read-only, and nothing else of the host."""
    mounts: list[Mount] = [Tmpfs(target="/", access="ro", why=Why("what holds the mount points"))]
    for tree in system.trees:
        mounts.append(Bind(source=tree, target=tree, access="ro", why=Why("the system's programs")))
    mounts.append(Directory(target="/etc", why=Why("a selection of /etc")))
    mounts += [configuration(*bind) for bind in system.binds]
    return [*mounts, *links(system, running=False)]


def links(system: System, *, running: bool) -> list[Mount]:
    """The system's own links. running: those in /run, which are made after the private one that would cover them."""
    why = Why("a link of the system's")
    return [Symlink(target=path, to=to, why=why) for path, to in system.links if below(path, "/run") == running]


def configuration(target: str, source: str, directory: bool) -> Bind:
    """A file or directory of /etc. What lies there under its own name is a late clone of the one stage of /etc."""
    bind = Bind(source=source, target=target, access="ro", why=Why("the system's configuration"))
    if source != target or not strictly_below(target, ETC.source):
        return bind
    stage = ETC.path + target[len(ETC.source) :]
    return bind._replace(late=True, stage=stage, point="directory" if directory else "file")


def stages(mounts: tuple[Mount, ...]) -> tuple[Stage, ...]:
    """What bwrap stages whole, for the late mounts of what lies in it."""
    return (ETC,) if any(isinstance(m, Bind) and m.point for m in mounts) else ()


def made_files(host: Host, gitconfig: str, resolver: str) -> list[Mount]:
    """The files of /etc that are written for this sandbox: they name its user alone."""
    user = host.user
    names = f"127.0.0.1 localhost {host.hostname}\n::1 localhost ip6-localhost ip6-loopback\n"
    texts = [
        ("/etc/passwd", f"{user.name}:x:{user.uid}:{user.gid}::{user.home}:{user.shell}\n", "the user alone"),
        ("/etc/group", f"{user.group}:x:{user.gid}:\n", "the user's group alone"),
        ("/etc/hostname", host.hostname + "\n", "the host's name"),
        ("/etc/hosts", names, "this sandbox's own names"),
        ("/etc/gitconfig", gitconfig, "the user's name and mail for git, no helper"),
    ]
    if resolver:
        texts.append(("/etc/resolv.conf", resolver, "the resolver of this tier"))
    return [File(target=t, content=c.encode(errors="surrogateescape"), why=Why(w)) for t, c, w in texts]


def private(tmp: int, console: bool) -> list[Mount]:
    """What every sandbox has of its own: processes, devices, memory."""
    mounts: list[Mount] = [
        Proc(target="/proc", why=Why("its own processes")),
        Dev(target="/dev", console=console, why=Why("the few devices that every program needs")),
        Tmpfs(target="/dev/shm", size=tmp, mode=0o1777, why=Why("private shared memory")),
    ]
    for target in ("/tmp", "/var/tmp"):
        mounts.append(Tmpfs(target=target, size=tmp, mode=0o1777, why=Why("private and empty")))
    mounts.append(Tmpfs(target="/run", size=tmp, why=Why("private and empty")))
    mounts.append(Symlink(target="/var/run", to="../run", why=Why("a link of the system's")))
    return mounts


def own_proc_sys(uid: int) -> list[Mount]:
    """As uid 0 core_pattern and some 760 more files stay writable in spite of --cap-drop ALL."""
    if uid != 0:
        return []
    why = Why("uid 0 could change the host's kernel settings there")
    return [Bind(source="/proc/sys", target="/proc/sys", access="ro", late=True, inside=True, why=why)]


def home(instance_directory: str, target: str) -> Bind:
    """$HOME: the instance's own, never the real one."""
    why = Why("this project's own home, kept between sessions")
    return Bind(source=f"{instance_directory}/home", target=target, access="rw", pinned=True, why=why)


def project(host: Host) -> list[Mount]:
    """The project at its own path. Below $HOME it is late: that tree is the agent's to write."""
    root = host.project.root
    return placed(Bind(source=root, target=root, access="rw", pinned=True, why=Why("the project")), host)


def agent(host: Host, mounts: list[Mount]) -> list[Mount]:
    """The agent's program and what it needs, read-only at the same path, where nothing shows it yet."""
    made: list[Mount] = []
    for path in host.agent.grants if host.agent else ():
        if covered(path, mounts):
            continue
        made += placed(Bind(source=path, target=path, access="ro", pinned=True, why=Why("the agent's program")), host)
    return made


def requested(profile: Profile, host: Host) -> list[Mount]:
    """Every mount beyond the defaults, in the order in which it was asked for."""
    made: list[Mount] = []
    for request in profile.mounts:
        canonical = dict(host.sources).get(request.source)
        pin = next((p for p in host.pins if p.path == canonical), None)
        if pin is None:  # the survey left it out: optional and missing
            continue
        check_request(request, pin, host)
        why = Why("asked for", request.origin)
        secret = sensitive(pin.path, host) or sensitive(request.source, host) or (LISTENER if pin.socket else "")
        bind = Bind(source=pin.path, target=request.target, access=request.access, pinned=True, why=why)
        made += placed(bind._replace(sensitive=secret), host)
    return made


def check_request(request: MountRequest, pin: Pin, host: Host) -> None:
    """Refuse a mount that would open a way around the sandbox. Raises ClaudeboxError."""
    root, ours = host.project.root, host.claudebox_home
    git = host.project.git.common if host.project.git else root
    where = f"mount {request.source} ({request.origin})"
    reaches_ours = below(pin.path, ours) or below(ours, pin.path)
    if reaches_ours and (request.access == "rw" or below(pin.path, ours)):
        raise ClaudeboxError(f"{where}: it reaches {ours}, which no sandbox may have", "mount something narrower")
    if reaches_ours:
        raise ClaudeboxError(f"{where}: it contains {ours}", "mount the directories that you need one by one")
    if request.target == request.source and request.source != pin.path and below(root, pin.path):
        raise ClaudeboxError(f"{where}: it is a link to what contains the project", "start claudebox there instead")
    if request.kind == "socket" and not pin.socket:
        raise ClaudeboxError(f"{where}: it is no socket", "leave kind out, or start what listens there")
    if request.access == "rw" and (below(pin.path, host.code) or below(host.code, pin.path)):
        raise ClaudeboxError(f"{where}: it reaches claudebox's own code in {host.code}", "mount it ro")
    if git != root and below(pin.path, git):
        raise ClaudeboxError(f"{where}: it would be a second path into the git directory", "leave it out")
    if request.target != pin.path and (below(root, pin.path) or below(git, pin.path)):
        raise ClaudeboxError(
            f"{where}: it contains the project, which would get a second path around its masks",
            "mount the directories that you need one by one",
        )
    if request.target == pin.path and below(root, pin.path):
        raise ClaudeboxError(f"{where}: it contains the project", "start claudebox in that directory instead")
    staging = below(request.target, STAGING) or below(STAGING, request.target)  # in /run too
    if request.target in KEPT_TARGETS + MADE_FILES or staging:
        raise ClaudeboxError(f"{where}: {request.target} is made by claudebox itself", "choose another target")
    if below(request.target, "/proc") or below(request.target, "/dev"):
        raise ClaudeboxError(f"{where}: {request.target} is served by the kernel", "choose another target")
    if below(request.target, git) and git != root:
        raise ClaudeboxError(f"{where}: its target lies in the git directory {git}", "choose another target")
    if any(below(path, request.target) for path in (root, git, host.user.home)):
        raise ClaudeboxError(f"{where}: {request.target} would hide the project or the home", "choose another target")


def sensitive(path: str, host: Host) -> str:
    """Which known secret a grant of path reaches, or ""."""
    return next((what for place, what in host.sensitive if below(path, place) or below(place, path)), "")


def placed(bind: Bind, host: Host) -> list[Mount]:
    """The mounts that bring bind where it belongs: as it is, or late where an agent could write.

    Below $HOME a first component that is not the home's own (`~/code`) is a tmpfs, made read-only
    afterwards: nothing in it can be moved, and what is left of it is one empty directory.
    """
    user_home, root = host.user.home, host.project.root
    if bind.target == user_home or not (below(bind.target, user_home) or strictly_below(bind.target, root)):
        return [bind]
    late = bind._replace(late=True)
    if not below(bind.target, user_home) or strictly_below(bind.target, root):
        return [late]
    first = user_home.rstrip("/") + "/" + bind.target[len(user_home) :].strip("/").split("/")[0]
    if first == bind.target or first.rpartition("/")[2].startswith("."):
        return [late]
    why = Why(f"holds {bind.target}, which cannot be moved in it", bind.why.origin)
    return [Tmpfs(target=first, access="ro", late=True, why=why), late]


def strictly_below(path: str, directory: str) -> bool:
    """Whether path lies in directory and is not it."""
    return path != directory and below(path, directory)


def ordered(mounts: list[Mount], submounts: tuple[tuple[str, str, str], ...]) -> tuple[Mount, ...]:
    """bwrap's mounts first, then the late ones, parents before children: the last mount wins."""
    early = [m for m in mounts if not is_late(m)]
    late = with_submounts([m for m in mounts if is_late(m)], submounts)
    unique: dict[str, Mount] = {}
    for mount in late:
        if isinstance(mount, Tmpfs) and mount.target in unique:
            continue  # two grants below ~/code share one tmpfs
        unique[mount.target] = mount
    by_depth = sorted(unique.values(), key=lambda m: (m.target.count("/"), isinstance(m, Bind) and m.submount))
    return (*with_submounts(early, submounts), *with_stages(by_depth))


def with_stages(late: list[Mount]) -> list[Mount]:
    """Each late bind from elsewhere with the place where bwrap puts it until it is moved."""
    result: list[Mount] = []
    for mount in late:
        if isinstance(mount, Bind) and not (mount.inside or mount.submount or mount.point):
            mount = mount._replace(stage=f"{STAGING}/{len(result)}")
        result.append(mount)
    return result


def with_submounts(mounts: list[Mount], submounts: tuple[tuple[str, str, str], ...]) -> list[Mount]:
    """Every bind followed by the host's own mounts below it, which come along with it."""
    result: list[Mount] = []
    for mount in mounts:
        result.append(mount)
        if not isinstance(mount, Bind) or mount.inside:
            continue
        for path, _, _ in submounts:
            if not strictly_below(path, mount.source):
                continue
            target = mount.target.rstrip("/") + path[len(mount.source.rstrip("/")) :]
            why = Why(f"a mount of the host below {mount.source}", mount.why.origin)
            result.append(mount._replace(source=path, target=target, submount=True, why=why))
    return result
