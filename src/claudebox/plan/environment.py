"""The environment of the sandbox: it starts empty, and every variable in it was added by name."""

from __future__ import annotations

from claudebox.agents import AgentSpec
from claudebox.errors import ClaudeboxError
from claudebox.model import Bind, Host, Mount, Note, Profile, Setting, Symlink, Variable, Why
from claudebox.plan import login, packages
from claudebox.plan.filesystem import below
from claudebox.typed import matches

BIN = "/run/claudebox/bin"  # where the agent is found by its name
HARMLESS = ("TERM", "COLORTERM", "TERM_PROGRAM", "TERM_PROGRAM_VERSION", "LANG", "LANGUAGE", "TZ", "NO_COLOR")
HARMLESS_PATTERNS = ("LC_*",)
PASSED = (*HARMLESS, "FORCE_COLOR", "CLICOLOR", "EDITOR", "VISUAL", "PAGER")
SHOWN = (*PASSED, "HOME", "USER", "LOGNAME", "SHELL", "PATH", "PWD")

# Never by a pattern, only when named in full: they start programs, or lead out of the sandbox.
NEVER = (
    "LD_*", "*PRELOAD*", "BASH_ENV", "BASH_FUNC_*", "ENV", "PYTHON*", "NODE_OPTIONS", "GIT_*", "SSH_*", "DBUS_*",
    "XDG_RUNTIME_DIR", "CLAUDECODE", "CLAUDE_CODE_*",
)  # fmt: skip
# The shell at the gate sets or unsets these itself: a value of ours would not hold.
SHELL_OWN = ("PWD", "OLDPWD", "SHLVL", "_")


def build(
    profile: Profile, host: Host, spec: AgentSpec, mounts: list[Mount], *, no_auth: bool = False
) -> tuple[Variable, ...]:
    """Every variable that the sandbox gets, by name; of the host only what the lists above, the agent's data or
    the user name. no_auth: without those that are a login of the agent's, but for what the user names."""
    variables: dict[str, Variable] = {}
    theirs = dict(host.environment)

    def put(name: str, value: str, why: Why, *, secret: bool = False) -> None:
        variables[name] = Variable(name=name, value=value, secret=secret, why=why)

    for name, value in theirs.items():
        if matches(name, PASSED) or matches(name, HARMLESS_PATTERNS):
            put(name, value, Why("the terminal, the language, the editor"))
    user = host.user
    own = {"HOME": user.home, "USER": user.name, "LOGNAME": user.name, "SHELL": user.shell}
    for name, value in own.items():
        put(name, value, Why("the sandbox's own"))
    found = ":".join((*packages.entries(profile), path(host, mounts)))
    put("PATH", found, Why("the host's, less what the sandbox does not see"))
    for name, value, why in packages.variables(profile, host):
        put(name, value, why)
    for name, value in spec.env_set:
        put(name, value, Why(f"for {spec.title}"))
    for name in theirs:
        if matches(name, spec.env_pass):
            put(name, theirs[name], Why(f"for {spec.title}"), secret=True)
    for name, value in () if no_auth else login.variables(theirs, spec).items():
        put(name, value, Why(f"a login of {spec.title}"), secret=True)
    if profile.unattended.value:
        extra = (*spec.unattended_environment, *(spec.unattended_environment_root if user.uid == 0 else ()))
        for name, value in extra:
            put(name, value, Why("unattended", profile.unattended.origin))
    ours = (*own, "PATH", *dict(spec.env_set), *dict(spec.unattended_environment))
    for entry in profile.env_pass:
        passed(entry, theirs, variables, never(spec), ours)
    for one in _of_sets(profile, host):
        variables[one.name] = one
    for setting in profile.env_set:
        name, value = setting.value
        put(name, value, Why("set", setting.origin), secret=name not in SHOWN)
    for name in SHELL_OWN:
        if name in variables:
            raise ClaudeboxError(f"{name} cannot be given to the sandbox: its shell sets it", f"leave {name} out")
    return tuple(variables[name] for name in sorted(variables))


def _of_sets(profile: Profile, host: Host) -> list[Variable]:
    """Settings of package managers whose names are let through as a set."""
    if not host.sets:
        return []
    from claudebox.plan.network import listed

    return listed.variables(profile, host.sets)


def never(spec: AgentSpec) -> tuple[str, ...]:
    """The names and patterns of what only its full name brings."""
    return NEVER + SHELL_OWN + spec.env_never


def passed(
    entry: Setting[str],
    theirs: dict[str, str],
    variables: dict[str, Variable],
    never: tuple[str, ...],
    ours: tuple[str, ...],
) -> None:
    """Pass what one entry of `[env] pass` or one `-e NAME` names; `!NAME` takes it out again.

    never: what only the full name brings, no pattern; ours: what only the full name takes out (`!*` leaves a HOME).
    """
    pattern = entry.value
    if pattern.startswith("!"):
        for name in [n for n in variables if matches(n, (pattern[1:],))]:
            if "*" not in pattern or name not in ours:
                del variables[name]
        return
    for name in theirs:
        if name == pattern or ("*" in pattern and matches(name, (pattern,)) and not matches(name, never)):
            why = Why("passed", entry.origin)
            variables[name] = Variable(name=name, value=theirs[name], secret=name not in SHOWN, why=why)


def path(host: Host, mounts: list[Mount]) -> str:
    """PATH inside: the host's entries that are visible there, the agent's name, the home's own bin last."""
    entries: list[str] = []
    for written, canonical in host.path:
        shown = next((p for p in (written, canonical) if visible(p, mounts, host)), None)
        if shown and shown not in entries:
            entries.append(shown)
    return ":".join((*entries, BIN, host.user.home + "/.local/bin"))


def visible(entry: str, mounts: list[Mount], host: Host) -> bool:
    """Whether a directory of the host is there inside, at the same path, with the same content."""
    if below(entry, host.project.root):
        return True
    for mount in mounts:
        if isinstance(mount, Symlink) and below(entry, mount.target):
            return True
        if isinstance(mount, Bind) and mount.source == mount.target and below(entry, mount.target):
            return True
    return False


def hidden(host: Host, mounts: list[Mount]) -> list[Note]:
    """PATH entries and a `.venv` that lie in the home and are not visible inside, each named once."""
    missing = [w for w, c in host.path if not visible(w, mounts, host) and not visible(c, mounts, host)]
    notes = []
    if missing:
        where = ", ".join(missing)
        notes.append(Note("info", f"on your PATH, not in the sandbox: {where} (bring one in with -m DIRECTORY)"))
    if host.venv and not visible(host.venv, mounts, host):
        tree = host.venv.rpartition("/bin/")[0] or host.venv
        notes.append(Note("info", f".venv leads to {host.venv}, which is not in the sandbox (-m {tree} brings it)"))
    return notes


def agent_name(spec: AgentSpec, command: tuple[str, ...]) -> list[Mount]:
    """The agent under its own name on PATH, wherever it was installed, and the interpreter that its script names."""
    why = Why(f"{spec.title} by its name")
    *interpreter, program = command
    names = [(spec.executables[0], program), *((one.rpartition("/")[2], one) for one in interpreter)]
    return [Symlink(target=f"{BIN}/{name}", to=to, why=why) for name, to in names]
