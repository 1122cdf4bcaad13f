"""The survey: facts about machine, user and project, probed by trying, frozen into a `Host`."""

from __future__ import annotations

import os
import pwd
import stat

from claudebox import borrowed, cgroups, listening, process, targets
from claudebox.agents import AgentSpec
from claudebox.errors import ClaudeboxError
from claudebox.layout import Place, find_repository, read_tree
from claudebox.locating import find_agent, find_program, has_own_login, login_store, sibling
from claudebox.model import Host, Kernel, NameSet, NixInstall, Note, Setting, System, Tools, Uplink, User
from claudebox.pinning import check_links, pin
from claudebox.places import PLACES
from claudebox.probes import remembered
from claudebox.run import kept
from claudebox.usersettings import survey_settings

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from claudebox.model import Profile, Project

# Never ssl or pki whole: private keys lie in them, which root and the group ssl-cert can read.
ETC = (
    "alternatives", "bash.bashrc", "bashrc", "ca-certificates", "ca-certificates.conf", "crypto-policies",
    "debian_version", "default/locale", "fonts", "gai.conf", "gnutls", "host.conf", "inputrc", "ld.so.cache",
    "ld.so.conf", "ld.so.conf.d", "locale.conf", "localtime", "lsb-release", "magic", "mime.types", "nsswitch.conf",
    "os-release", "perl", "pki/ca-trust", "pki/java", "pki/tls/cert.pem", "pki/tls/certs", "pki/tls/ct_log_list.cnf",
    "pki/tls/openssl.cnf", "pki/tls/openssl.d", "pki/trust", "profile", "profile.d", "profiles", "protocols", "python3",
    "python3.11", "rpc", "services", "shells", "ssl/ca-bundle.pem", "ssl/cert.pem", "ssl/certs", "ssl/ct_log_list.cnf",
    "ssl/openssl.cnf", "ssl/openssl.d", "static", "terminfo", "timezone",
)  # fmt: skip
NIX_DAEMON = "/nix/var/nix/daemon-socket"
ENV = "/usr/bin/env"  # the one that runs in the sandbox, whatever PATH says
GIT_HARMLESS = (
    r"^(user\.(name|email)|init\.defaultbranch|core\.(autocrlf|eol|safecrlf|quotepath|whitespace|abbrev)"
    r"|pull\.(rebase|ff)|rebase\.(autosquash|autostash)|merge\.(conflictstyle|ff)|rerere\.enabled"
    r"|diff\.(algorithm|renames|colormoved|mnemonicprefix)|color\..*|column\.ui|log\.date|commit\.verbose"
    r"|tag\.sort|branch\.sort|advice\..*|safe\.directory|i18n\..*)$"
)


def survey_user(environment: Mapping[str, str]) -> User:
    """The person who runs us. Raises ClaudeboxError without a HOME that is theirs."""
    uid, gid = os.getuid(), os.getgid()
    try:
        entry = pwd.getpwuid(uid)
        name, shell = entry.pw_name, entry.pw_shell
    except KeyError:
        name, shell = environment.get("USER", "") or f"user{uid}", "/bin/sh"
    written = environment.get("HOME", "")
    if not written.startswith("/"):
        raise ClaudeboxError("HOME is not set to a directory", "export HOME=/home/you")
    home = os.path.realpath(written)
    try:
        owner = os.stat(home).st_uid
    except OSError as error:
        raise ClaudeboxError(
            f"HOME ({written}) cannot be used: {error.strerror}", "set HOME to your own home"
        ) from None
    if owner != uid:
        raise ClaudeboxError(f"HOME ({written}) is not yours", "set HOME to your own home (sudo -H, su -)")
    shell = (
        shell if shell.startswith(("/bin/", "/usr/", "/run/current-system/")) and os.path.exists(shell) else "/bin/sh"
    )
    return User(uid=uid, gid=gid, name=name, group=name, home=home, shell=shell)


def survey(
    profile: Profile,
    spec: AgentSpec,
    user: User,
    environment: Mapping[str, str],
    project: Project,
    *,
    ours: str,
    code: str,
    instance: str,
    keep: bool,
) -> Host:
    """Everything else that the plan needs to know. ours: claudebox's directory; code: where it is installed;
    instance: the instance's directory; keep: whether what was tried may be remembered.

    Opens what will be mounted and keeps the descriptors (`Host.pins`). Raises ClaudeboxError.
    """
    roots = (ours, *kept.projects(ours))
    written = tuple(os.path.realpath(m.source) for m in profile.mounts if m.access == "rw")
    untrusted = (*roots, project.root, *written)
    path = environment.get("PATH", "") or process.SYSTEM_PATH
    tools, shadowed = survey_tools(path, untrusted, ours, keep=keep)
    store = login_store(spec, user, environment, ours)
    tools = tools._replace(timeout=sibling(tools.env, "timeout")) if store else tools
    place = find_repository(project.root)
    started = git_settings_started(tools, user, git_directory(place))
    uplink, nft, skipped = survey_uplink(profile, path, untrusted, ours, keep=keep)
    missed: list[Note] = []
    agent = find_agent(spec, user.home, path, untrusted, missed)
    system = survey_system()
    tree = read_tree(place) if place else None
    if tree:
        lent = borrowed.find(project.root, tree.common)
        tree = tree._replace(targets=targets.find(project.root, tree.common, user.home), borrowed=lent)
    pins = [pin(project.root), *([] if agent is None else map(pin, agent.grants))]
    if tree and tree.common != project.root and not tree.common.startswith(project.root + "/"):
        pins.append(pin(tree.common))
    for named, store in tree.borrowed if tree else ():
        check_links(named, untrusted)
        pins.append(pin(store))
    sources = []
    for request in profile.mounts:
        source = os.path.realpath(request.source)
        if not os.path.exists(source):
            if request.optional:
                continue
            raise ClaudeboxError(f"mount {request.source} ({request.origin}): there is no such file", "check the path")
        check_links(request.source, untrusted)
        pins.append(pin(source))
        sources.append((request.source, source))
    settings, bound = survey_settings(spec, user.home, environment, untrusted, instance)
    pins += bound
    return Host(
        user=user,
        claudebox_home=ours,
        code=code,
        system=system,
        kernel=survey_kernel(profile.tier.value),
        tools=tools._replace(nft=nft),
        environment=tuple(environment.items()),
        path=tuple((e, os.path.realpath(e)) for e in path.split(":") if e.startswith("/") and os.path.isdir(e)),
        venv=venv_target(project.root),
        resolver=os.path.realpath("/etc/resolv.conf") if os.path.exists("/etc/resolv.conf") else "",
        project=project._replace(git=tree),
        agent=agent,
        first_start=tuple(answer for file in settings.files for answer in file.answers),
        pins=tuple(pins),
        sources=tuple(sources),
        submounts=submounts([p.path for p in pins], system),
        sensitive=tuple(secret_places(user, environment, profile.secrets)),
        hostname=os.uname().nodename,
        notes=(*shadowed, *skipped, *dict.fromkeys(missed)),
        uplink=uplink,
        settings=settings,
        login_store=store,
        own_login=has_own_login(spec, instance),
        memory=os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"),
        cgroups=cgroups.survey(),
        nix=survey_nix(profile, user, environment, path, untrusted),
        listening=listening.survey([p.path for p in pins]),
        sets=survey_sets(profile, user, environment, untrusted),
        git_settings=git_settings(started, tools, user),  # last: git has been at work meanwhile
    )


def survey_sets(
    profile: Profile, user: User, environment: Mapping[str, str], untrusted: tuple[str, ...]
) -> tuple[NameSet, ...]:
    """The sets of names that the profile names. Raises ClaudeboxError."""
    names = dict.fromkeys(one.value.group for one in profile.allow if one.value.group)
    if not names or profile.tier.value != "allowlist":
        return ()
    from claudebox import toolsets

    return toolsets.survey(tuple(names), user.home, environment, untrusted)


def secret_places(
    user: User, environment: Mapping[str, str], more: tuple[Setting[str], ...]
) -> Iterator[tuple[str, str]]:
    """(path, what secret it is) of every known place, links followed where it is there; it may be tomorrow.

    more: places that a profile names."""
    yield from ((os.path.realpath(one.value), f"what {one.origin} calls a secret") for one in more)
    for written, what, _ in PLACES:
        path = user.home + written[1:] if written[0] == "~" else written.replace("%U", str(user.uid))
        if path[0] == "$":
            path = environment.get(path[1:], "")
        if path.startswith("/"):
            yield os.path.realpath(path) if os.path.lexists(path) else path, what


def survey_tools(path: str, untrusted: tuple[str, ...], ours: str, *, keep: bool) -> tuple[Tools, tuple[Note, ...]]:
    """The programs that a launch runs. Raises ClaudeboxError for one that is missing or too old."""
    notes: list[Note] = []
    found = {name: find_program(name, path, untrusted, notes) for name in ("bwrap", "sh", "env", "git")}
    if not found["bwrap"]:
        raise ClaudeboxError("bubblewrap is not installed", "apt install bubblewrap (or dnf, pacman, apk, nix)")
    version = remembered(ours, found["bwrap"], lambda: bwrap_version(found["bwrap"]), keep=keep)
    numbers = tuple(int(n) for n in version.split(".") if n.isdigit())
    if not found["sh"] or not found["env"]:
        raise ClaudeboxError("sh or env is missing", "install coreutils")
    remembered(ours, ENV, lambda: env_signals(ENV), keep=keep)
    tools = Tools(bwrap=found["bwrap"], bwrap_version=numbers, sh="/bin/sh", env=ENV, git=found["git"])
    return tools, tuple(notes)


def survey_nix(
    profile: Profile, user: User, environment: Mapping[str, str], path: str, untrusted: tuple[str, ...]
) -> NixInstall:
    """nix, where a package asks for it, and its daemon, where there is one."""
    daemon = profile.nix_daemon.value and os.path.exists(f"{NIX_DAEMON}/socket")
    if not daemon and not profile.packages:
        return NixInstall()
    from claudebox import nix

    return nix.survey(profile, user, environment, path, untrusted, NIX_DAEMON if daemon else "")


def survey_uplink(
    profile: Profile, path: str, untrusted: tuple[str, ...], ours: str, *, keep: bool
) -> tuple[Uplink | None, str, tuple[Note, ...]]:
    """Where the tier has rules: how the host reaches the world, and nft."""
    if profile.tier.value not in ("internet-only", "allowlist"):
        return None, "", ()
    from claudebox import uplink

    notes: list[Note] = []
    found = uplink.survey(profile, lambda name: find_program(name, path, untrusted, notes), ours, keep=keep)
    return found, find_program("nft", path, untrusted, notes), tuple(notes)


def bwrap_version(bwrap: str) -> str:
    """bubblewrap's version. Raises ClaudeboxError when it cannot bind from a descriptor."""
    text = process.capture([bwrap, "--help"], environment={})
    if b"--ro-bind-fd" not in text.output + text.errors:
        raise ClaudeboxError("this bubblewrap has no --bind-fd", "install 0.10 or newer (Debian: 0.8.0-2+deb12u1)")
    words = process.capture([bwrap, "--version"], environment={}).output.split()
    return words[-1].decode(errors="replace") if words else ""


def env_signals(env: str) -> str:
    """That env can give signals their default action: the gate is started by it.

    Raises ClaudeboxError where it cannot (busybox, coreutils before 8.31).
    """
    # itself as the command: with an empty environment it prints nothing
    tried = process.capture([env, "--default-signal=INT,QUIT,HUP,TERM", env], environment={})
    if tried.status != 0:
        hint = "install GNU coreutils 8.31 or newer (Alpine: apk add coreutils)"
        raise ClaudeboxError(f"this env ({env}) has no --default-signal", hint)
    return "--default-signal"


def survey_kernel(tier: str) -> Kernel:
    """Release and machine of the running kernel, and Landlock's ABI where the tier uses it."""
    uname = os.uname()
    release = tuple(int(n) for n in uname.release.split("-")[0].split(".")[:2] if n.isdigit())
    if release < (5, 12):
        raise ClaudeboxError(f"Linux {uname.release} cannot mount through descriptors", "Linux 5.12 or newer is needed")
    abi = 0
    if tier == "full":
        from claudebox.run.landlock import landlock_abi

        abi = landlock_abi()
    return Kernel(release=uname.release, machine=uname.machine, landlock_abi=abi)


def survey_system() -> System:
    """What of this machine's system the sandbox sees: FHS with merged or unmerged /usr, or NixOS."""
    trees, links, binds = ["/usr"], [], []
    nixos = os.path.isdir("/run/current-system/sw")
    for name in ("bin", "sbin", "lib", "lib32", "lib64", "libx32"):
        path = "/" + name
        if os.path.islink(path):
            links.append((path, os.readlink(path)))
        elif os.path.isdir(path):
            trees.append(path)
    if os.path.isdir("/nix/store"):
        trees.append("/nix/store")
    if nixos:
        links.append(("/run/current-system", os.path.realpath("/run/current-system")))
    plain = not os.path.islink("/etc")
    for name in ETC:
        path = f"/etc/{name}"
        try:
            mode = os.lstat(path).st_mode
        except OSError:
            continue
        if plain and "/" not in name and not stat.S_ISLNK(mode):  # nearly all: nothing leads elsewhere
            binds.append((path, path, stat.S_ISDIR(mode)))
            continue
        real = os.path.realpath(path)
        if not os.path.exists(real):
            continue
        if os.path.islink(path) and real.startswith(("/usr/", "/nix/store/")):
            links.append((path, real))
        else:
            binds.append((path, real, os.path.isdir(real)))
    trees = [t for t in trees if os.path.isdir(t)]
    return System(kind="nixos" if nixos else "fhs", trees=tuple(trees), binds=tuple(binds), links=tuple(links))


def submounts(granted: list[str], system: System) -> tuple[tuple[str, str, str], ...]:
    """The host's own mounts below what will be granted, of the system too (a /usr/local on another disk):
    (path, device, root)."""
    from claudebox.mountinfo import read

    tops = tuple(p.rstrip("/") + "/" for p in (*granted, *system.trees, *(source for _, source, _ in system.binds)))
    found = []
    for entry in read("/proc/self/mountinfo"):
        if entry.target.startswith(tops):
            found.append((entry.target, entry.device, entry.root))
    return tuple(found)


def venv_target(root: str) -> str:
    """Where the project's `.venv/bin/python` leads; "" without one."""
    path = f"{root}/.venv/bin/python"
    return os.path.realpath(path) if os.path.islink(path) else ""


def git_directory(place: Place | None) -> str:
    """The git directory of the project's own working tree, "" without one."""
    if place is None:
        return ""
    return f"{place.common}/worktrees/{place.entry}" if place.entry else place.common


def git_settings_started(tools: Tools, user: User, directory: str) -> process.Capture | None:
    """Ask git for the user's own settings in a git directory, from / and without any repository's configuration.

    `includeIf` looks at the path of the git directory, and its configuration is that of the common one: an empty one.
    """
    if not tools.git:
        return None
    own = {"HOME": user.home, "PATH": process.SYSTEM_PATH}
    argv = [tools.git, "-C", "/", "--git-dir=/dev/null", "config", "--includes", "-z", "--get-regexp", GIT_HARMLESS]
    if directory:
        empty = os.path.dirname(os.path.abspath(__file__)) + "/empty.git"
        own |= {"GIT_DIR": directory, "GIT_COMMON_DIR": empty, "GIT_OBJECT_DIRECTORY": "/", "GIT_OPTIONAL_LOCKS": "0"}
        argv.remove("--git-dir=/dev/null")
    return process.start_capture(argv, environment=own)


def git_settings(started: process.Capture | None, tools: Tools, user: User) -> tuple[tuple[str, str], ...]:
    """The harmless settings that git named: identity, line ends, merge and display habits."""
    if started is None:
        return ()
    done = process.finish_capture(started)
    if done.status not in (0, 1) and (again := git_settings_started(tools, user, "")):  # no git directory to git
        done = process.finish_capture(again)
    pairs = []
    for record in done.output.decode(errors="surrogateescape").split("\0"):
        key, newline, value = record.partition("\n")
        if key and newline:
            pairs.append((key, value))
    return tuple(pairs)
