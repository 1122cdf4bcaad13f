"""nix: packages on PATH, the store that they lie in, the daemon's socket. Nothing is realised here: until then
`<nix:INSTALLABLE>` stands for what a package puts on PATH."""

from __future__ import annotations

from claudebox.errors import ClaudeboxError
from claudebox.model import (
    Bind,
    File,
    Grant,
    Host,
    Mount,
    Nix,
    Note,
    Package,
    Profile,
    Request,
    SandboxPlan,
    Variable,
    Why,
)
from claudebox.typed import matches

STORE, SETTINGS = "/nix/store", "/etc/nix/nix.conf"
FEATURES = ("--extra-experimental-features", "nix-command flakes")  # they need not be enabled
# A flake's own nixConfig could name programs to be run on the host; its lock file is the user's to write.
CAREFUL = ("--option", "accept-flake-config", "false", "--no-write-lock-file")
# Of the host's environment: nix's own, and how it reaches the world. Nothing that loads code into it.
PASSED = (
    "HOME", "USER", "LOGNAME", "LANG", "LC_*", "TMPDIR", "XDG_CONFIG_HOME", "XDG_CONFIG_DIRS", "XDG_CACHE_HOME",
    "XDG_DATA_HOME", "XDG_STATE_HOME", "NIX_PATH", "NIX_REMOTE", "NIX_CONF_DIR", "NIX_USER_CONF_FILES", "NIX_CONFIG",
    "NIX_SSL_CERT_FILE", "NIX_SSHOPTS", "NIX_STORE_DIR", "NIX_STATE_DIR", "NIX_DATA_DIR", "NIX_LOG_DIR",
    "NIX_DAEMON_SOCKET_PATH", "SSL_CERT_FILE", "SSL_CERT_DIR", "CURL_CA_BUNDLE", "SSH_AUTH_SOCK", "http_proxy",
    "https_proxy", "ftp_proxy", "all_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "FTP_PROXY", "ALL_PROXY",
    "NO_PROXY",
)  # fmt: skip


def build(profile: Profile) -> tuple[Package, ...]:
    """The packages, in the order in which they are on PATH."""
    if not profile.packages:
        return ()
    from claudebox.installable import local

    return tuple(
        Package(name=one.value, why=Why("asked for", one.origin), local=local(one.value)) for one in profile.packages
    )


def nix(request: Request, profile: Profile, host: Host) -> Nix | None:
    """What realises them. Raises ClaudeboxError where there is no nix."""
    if not profile.packages:
        return None
    if not host.nix.program:
        first = profile.packages[0]
        raise ClaudeboxError(
            f"{first.value} ({first.origin}) needs nix, which was not found",
            "install nix (Debian: apt install nix-setup-systemd; or nixos.org/download), or leave the packages out",
        )
    why = Why("nix's own, and how it reaches the world")
    given = [(name, value) for name, value in host.environment if matches(name, PASSED)]
    named = [*given, ("PATH", host.nix.path), ("TERM", "dumb")]
    refresh = ("--refresh",) if request.refresh_packages else ()
    # from /: it may look around where it is started
    start = (host.tools.env, "-C", "/", host.nix.program, *FEATURES, "build", *CAREFUL, *refresh, "--json")
    return Nix(
        start=(*start, "--out-link", "<root>"),
        environment=tuple(Variable(name=name, value=value, secret=True, why=why) for name, value in named),
        refresh=request.refresh_packages,
        home=host.user.home,
    )


# --- what the sandbox sees of it -----------------------------------------------------------------


def daemon(profile: Profile, host: Host) -> bool:
    """Whether the sandbox may talk to the host's daemon: in tier allowlist, and where the daemon does whatever this
    user says, only if somebody wrote that it may."""
    if not host.nix.daemon or not profile.nix_daemon.value:
        return False
    return bool(profile.nix_daemon.origin.where) or not (host.nix.trusted or profile.tier.value == "allowlist")


def mounts(profile: Profile, host: Host) -> list[Mount]:
    """The store as one bind (one for each path of a closure is quadratic in bwrap), the daemon's socket, nix.conf."""
    made: list[Mount] = []
    talks = daemon(profile, host)
    if (talks or profile.packages) and STORE not in host.system.trees:
        origin = profile.packages[0].origin if profile.packages else profile.nix_daemon.origin
        made.append(Bind(source=STORE, target=STORE, access="ro", why=Why("where nix packages lie", origin)))
    if talks:
        why = Why("the host's nix daemon", profile.nix_daemon.origin)
        # the directory, not the socket: a daemon that is started again makes a new one
        made.append(Bind(source=host.nix.daemon, target=host.nix.daemon, access="ro", why=why))
        content = host.nix.settings.encode(errors="surrogateescape")
        made.append(File(target=SETTINGS, content=content, why=Why("nix.conf, without tokens")))
    return made


def variables(profile: Profile, host: Host) -> list[tuple[str, str, Why]]:
    """(name, value, why) of what nix inside needs."""
    if not daemon(profile, host):
        return []
    return [("NIX_REMOTE", "daemon", Why("nix asks the host's daemon", profile.nix_daemon.origin))]


def notes(profile: Profile, host: Host) -> list[Note]:
    """What it means, in words."""
    found = []
    if talks := daemon(profile, host):
        found.append(daemon_note(profile, host))
    elif host.nix.daemon and profile.nix_daemon.value:
        reason = (
            "it does whatever you say (trusted-users), as root" if host.nix.trusted else "this tier does without it"
        )
        found.append(Note("info", f"the nix daemon is left out: {reason} ([sandbox] nix_daemon = true brings it)"))
    if talks or profile.packages:
        found.append(Note("info", f"all of {STORE} can be read in the sandbox, not only the packages that were named"))
    return found


def daemon_note(profile: Profile, host: Host) -> Note:
    """What the daemon's socket brings."""
    if host.nix.trusted:
        return Note("danger", "the nix daemon does whatever you say (trusted-users): the sandbox can be root by it")
    text = "the nix daemon builds and fetches for the sandbox whatever it names, with this machine's network"
    hint = "[sandbox] nix_daemon = false takes it away"
    return Note("info" if profile.tier.value == "full" else "weakening", f"{text} ({hint})")


def grants(profile: Profile, host: Host) -> list[Grant]:
    """The packages by name; the daemon where it is root's hand. (In tier allowlist it is an exception of the tier.)"""
    found = [Grant(kind="package", name=one.value, origin=one.origin) for one in profile.packages]
    if daemon(profile, host) and host.nix.trusted:
        origin = profile.nix_daemon.origin
        found.append(Grant(kind="nix", name="the daemon, as root", severity="danger", origin=origin))
    return found


# --- placeholders --------------------------------------------------------------------------------


def placeholder(name: str) -> str:
    """What stands for a package on PATH until it is realised."""
    return f"<nix:{name}>"


def entries(profile: Profile) -> list[str]:
    """The beginning of PATH."""
    return [placeholder(one.value) for one in profile.packages]


def filled(plan: SandboxPlan, found: dict[str, tuple[str, ...]]) -> SandboxPlan:
    """The plan with what of its packages is known, and nothing else changed. found: name → directories for PATH."""

    def fill(variable: Variable) -> Variable:
        value = variable.value + ":"
        for name, paths in found.items():
            value = value.replace(placeholder(name) + ":", "".join(f"{path}:" for path in paths))
        return variable._replace(value=value[:-1])

    return plan._replace(
        packages=tuple(one._replace(paths=found.get(one.name, one.paths)) for one in plan.packages),
        environment=tuple(fill(one) if one.name == "PATH" else one for one in plan.environment),
    )
