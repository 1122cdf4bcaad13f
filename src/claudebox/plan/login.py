"""Which login the sandbox gets, and how the host's client is asked to refresh it."""

from __future__ import annotations

from claudebox.agents import AgentSpec
from claudebox.model import Bind, Host, Login, Mount, Note, Request, Shape, Variable, Why
from claudebox.plan.filesystem import below, placed

# Of the refresher: no directory of the user's PATH, which a project may have put there.
PATH = "/run/current-system/sw/bin:/usr/local/bin:/usr/bin:/bin"
PATIENCE = 60  # seconds, then a refresher is killed: before that its answer may not be saved yet
LOCK = 3  # the number of our lock in the refresher: its shell has it until the client has ended, whatever becomes of us
# The client does not get it: what that leaves behind would hold the lock for good. Not the last command, or a shell
# replaces itself by it.
KEEPER = f'"$@" {LOCK}>&-; exit $?'


def build(request: Request, host: Host, spec: AgentSpec) -> Login | None:
    """The broker's part of the plan; None for an agent without a broker, and with --no-auth."""
    if request.no_auth or not host.login_store:
        return None
    reason = (
        f"{spec.title}'s access token, kept fresh from {shown(host.login_store, host)}; its refresh token stays there"
    )
    return Login(
        store=host.login_store,
        file=spec.credentials[0],
        lock=spec.login_lock,
        refresher=refresher(host, spec),
        environment=environment(host, spec),
        needed=request.action == "agent" and not variables(dict(host.environment), spec),
        why=Why(reason),
        shape=shape(spec),
        agent=spec.name,
        program=spec.executables[0],
    )


def shape(spec: AgentSpec) -> Shape:
    """How an agent with a broker writes its credentials file."""
    keys = dict(spec.login_keys)
    return Shape(
        login=keys["login"],
        access=keys["access"],
        refresh=keys["refresh"],
        expires=keys.get("expires", ""),
        kept=spec.login_kept,
        beside=spec.login_beside,
        early=spec.login_early * 1000,
    )


def refresher(host: Host, spec: AgentSpec) -> tuple[str, ...]:
    """The words that have the user's own client refresh its login, on the host."""
    if host.agent is None or not spec.login_refresh:
        return ()
    bounded = (host.tools.timeout, "-s", "KILL", str(PATIENCE)) if host.tools.timeout else ()
    keeper = (host.tools.sh, "-c", KEEPER, "sh")
    return (host.tools.env, "-C", "<empty>", *keeper, *bounded, *host.agent.command, *spec.login_refresh)


def environment(host: Host, spec: AgentSpec) -> tuple[Variable, ...]:
    """The refresher's environment: of the host's its proxies and certificates alone."""
    theirs = dict(host.environment)
    own = {
        "HOME": host.user.home,
        "PATH": PATH,
        spec.config_variable: "<config>",
        spec.login_store_variable: host.login_store,
    }
    made = [
        Variable(name=name, value=value, secret=False, why=Why("the refresher's own")) for name, value in own.items()
    ]
    passed = Why("the host's proxies and certificates")
    made += [Variable(name=n, value=theirs[n], secret=True, why=passed) for n in spec.login_pass if n in theirs]
    return tuple(made)


def variables(theirs: dict[str, str], spec: AgentSpec) -> dict[str, str]:
    """The host's variables that are a login of the agent's: name → value."""
    names = [*spec.credential_variables]
    for switch, group in spec.credential_groups:
        if theirs.get(switch, "").lower() in ("1", "true", "yes", "on"):
            names += [switch, *group]
    return {name: theirs[name] for name in names if theirs.get(name)}


def masks(request: Request, host: Host, spec: AgentSpec) -> list[Mount]:
    """With --no-auth: nothing where the home keeps a login."""
    if not request.no_auth:
        return []
    made: list[Mount] = []
    for file in spec.credentials:
        why = Why("no login in this sandbox (--no-auth)")
        made += placed(Bind(source="/dev/null", target=f"{host.user.home}/{file}", access="ro", why=why), host)
    return made


def notes(host: Host, spec: AgentSpec) -> list[Note]:
    """What is worth a word: a refresh token inside, or the very directory that the sandbox should not see."""
    if host.own_login:
        text = (
            f"{spec.title} keeps a login of its own in the home of this project's sandbox, with a refresh token: the"
            " agent can use it and hand it on, until you revoke it"
        )
        return [Note("weakening", text)]
    store, root = host.login_store, host.project.root
    if store and (below(store, root) or below(root, store)):
        text = (
            f"the project and {shown(store, host)}, which holds your login, overlap: the sandbox can read and change it"
        )
        return [Note("danger", text)]
    return []


def shown(path: str, host: Host) -> str:
    """A path of the host from ~, where it lies there."""
    home = host.user.home
    return "~" + path[len(home) :] if path.startswith(home + "/") else path
