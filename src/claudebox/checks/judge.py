"""Facts → rows. Pure: one function per check, and the table that names them."""

from __future__ import annotations

from collections.abc import Callable

from claudebox.checks import Facts, Finding, Problem, Program, Row, Userns, fixes, tiers

SCOPES_ABI = 6
OLDEST_KERNEL = (5, 12)
# bubblewrap below a version: what is known of it
FLAWS = (
    ((0, 12), "follows planted links (CVE-2026-87766); what it could reach is mounted late, so it does not reach us"),
)
SPACE_NEEDED, SPACE_WANTED = 1 << 20, 200 << 20


def rows(facts: Facts) -> tuple[Row, ...]:
    """Every check with its finding, in the order in which a launch comes to need it."""
    found = [Row(name, False, judge(facts)) for name, judge in CHECKS]
    found += [Row(f"agent {one.name}", False, _agent(facts, one.name)) for one in facts.agents]
    return tiers.rows([row for row in found if row.name != f"agent {facts.default_agent}"], facts.tier)


def _problems(problems: tuple[Problem, ...], found: str) -> Finding:
    if not problems:
        return Finding("ok", found)
    lines = "\n".join(one.message for one in problems)
    return Finding("failed", found, lines, "\n".join(dict.fromkeys(one.fix for one in problems if one.fix)))


def _home(facts: Facts) -> Finding:
    if facts.user:
        return _problems((facts.user,), "HOME")
    return Finding("ok", "HOME is yours")


def _state(facts: Facts) -> Finding:
    state = facts.state
    if not state.problems and not state.exists:
        return Finding("ok", f"{state.directory}, made by the first launch")
    return _problems(state.problems, state.directory)


def _locks(facts: Facts) -> Finding:
    if facts.state.locks:
        fix = "export CLAUDEBOX_HOME=/a/directory/of/yours   # on a local file system"
        return Finding("failed", "no locks", facts.state.locks, fix)
    return Finding("ok", "one holder at a time")


def _space(facts: Facts) -> Finding:
    state = facts.state
    shown = f"{state.space >> 20} MiB free" if state.space < 10 << 30 else f"{state.space >> 30} GiB free"
    where = f"{state.directory} lies on that file system"
    if state.writing or state.space < SPACE_NEEDED:
        return Finding("failed", shown, state.writing or where, "free some space, or set CLAUDEBOX_HOME")
    if state.space < SPACE_WANTED:
        return Finding("warning", shown, where)
    return Finding("ok", shown)


def _config(facts: Facts) -> Finding:
    if facts.config:
        return _problems(facts.config, "cannot be used")
    later = f"{facts.asked_tier} is not part of this release, so {facts.tier} is judged"
    return Finding("ok", f"tier {facts.asked_tier}", later if facts.asked_tier != facts.tier else "")


def _kernel(facts: Facts) -> Finding:
    release = f"Linux {facts.kernel}"
    if numbers(facts.kernel)[:2] < OLDEST_KERNEL:
        text = "mounts through descriptors need Linux 5.12"
        return Finding("failed", release, text, fixes.other(facts.machine, "kernel"))
    return Finding("ok", release)


def _userns(facts: Facts) -> Finding:
    tried = facts.userns
    if not tried.error:
        return Finding("ok", "can be made")
    why, what, values = userns_reason(tried, facts.program("bwrap").path or "/usr/bin/bwrap")
    if facts.sandbox.start == "":
        return Finding("ok", "bubblewrap can make them", f"other programs cannot: {why}")
    return Finding("failed", "cannot be made", why, fixes.other(facts.machine, what, **values) if what else "")


def userns_reason(tried: Userns, bwrap: str) -> tuple[str, str, dict[str, str]]:
    """Why there is no user namespace: a sentence, the name of the fix, and what goes into it."""
    step, _, number = tried.error.partition(": ")
    if tried.maximum == "0":
        values = {"name": "user.max_user_namespaces", "value": "63000"}
        return "user.max_user_namespaces is 0", "sysctl", values
    if tried.clone == "0":
        values = {"name": "kernel.unprivileged_userns_clone", "value": "1"}
        return "kernel.unprivileged_userns_clone is 0", "unprivileged", values
    if tried.apparmor == "1" and number in ("EPERM", "EACCES"):
        why = "AppArmor lets only programs with a profile make them (kernel.apparmor_restrict_unprivileged_userns)"
        return why, "apparmor", {"bwrap": bwrap}
    if number == "EINVAL" and step == "unshare":
        return "this kernel was built without them", "userns kernel", {}
    if number == "ENOSPC":
        values = {"name": "user.max_user_namespaces", "value": "63000"}
        return f"too many are in use (user.max_user_namespaces is {tried.maximum or 'unknown'})", "sysctl", values
    if tried.container or tried.filtered:
        where = f"this is a container ({tried.container})" if tried.container else "a seccomp filter is on this process"
        return f"{where}, and it does not allow them ({tried.error})", "container", {}
    return f"the kernel refuses ({tried.error}); a chroot is one reason", "", {}


def _bwrap(facts: Facts) -> Finding:
    bwrap = facts.program("bwrap")
    finding = _absent(facts, bwrap) or _usable(facts, bwrap)
    if finding.status != "ok":
        return finding
    known = [text for below, text in FLAWS if numbers(bwrap.version) < below]
    return finding._replace(detail="\n".join([*known, *_skipped(bwrap)]))


def _env(facts: Facts) -> Finding:
    env = facts.program("env")
    if finding := _absent(facts, env):
        return finding
    if env.error:
        return Finding("failed", env.path, env.error, fixes.install(facts.machine, "env"))
    return Finding("ok", f"{env.path} --default-signal")


def _seccomp(facts: Facts) -> Finding:
    if facts.seccomp:
        return Finding("failed", "the filter does not load", facts.seccomp, fixes.other(facts.machine, "kernel"))
    return Finding("ok", "the filter loads and refuses")


def _sandbox(facts: Facts) -> Finding:
    start = facts.sandbox.start
    if start is None:
        return Finding("failed", "not tried", "bubblewrap and env come first")
    if start:
        return Finding("failed", "does not start", start)
    return Finding("ok", "starts, and says that it is ready")


def _late(facts: Facts) -> Finding:
    late = facts.sandbox.late
    if late is None:
        return Finding("failed", "not tried", "they need a sandbox that starts")
    if late:
        return Finding("failed", "cannot be made", late, fixes.other(facts.machine, "kernel"))
    if facts.sandbox.differs:
        return Finding("failed", "made, and not as planned", facts.sandbox.differs)
    return Finding("ok", "made in a sandbox, and as planned")


def _landlock(facts: Facts) -> Finding:
    abi = facts.landlock_abi
    shown = f"ABI {abi}" if abi else "none"
    if abi >= SCOPES_ABI and not facts.scopes:
        return Finding("ok", f"{shown}, with scopes")
    text = facts.scopes or "in tier full the host's abstract sockets (X11, D-Bus) can be reached"
    return Finding("warning", shown, text, fixes.other(facts.machine, "landlock"))


def _git(facts: Facts) -> Finding:
    git = facts.program("git")
    if not git.path:
        text = "your name and mail do not come along"
        return Finding("missing", "not found", "\n".join([text, *_skipped(git)]), fixes.install(facts.machine, "git"))
    return _usable(facts, git)


def _nft(facts: Facts) -> Finding:
    nft, rules = facts.program("nft"), facts.sandbox.rules
    finding = _absent(facts, nft) or _usable(facts, nft)
    if finding.status != "ok":
        return finding
    shown = finding.found
    if rules is None:
        return Finding("failed", shown, "not tried: it needs a sandbox that starts")
    if rules:
        return Finding("failed", shown, f"the rules do not load: {rules}", fixes.other(facts.machine, "nf_tables"))
    return finding


def _tun(facts: Facts) -> Finding:
    device, inside = facts.tun, facts.sandbox.tun
    if not device.exists:
        return Finding(
            "missing", "no device", "slirp4netns and pasta need it", fixes.other(facts.machine, "tun missing")
        )
    shown = f"mode {device.mode:04o}"
    if error := device.error or inside:
        what = "tun mode" if device.mode & 0o006 != 0o006 else "tun missing"
        return Finding("failed", shown, f"it cannot be used: {error}", fixes.other(facts.machine, what))
    return Finding("ok", f"{shown}, a tap device was made")


def _backend(name: str) -> Callable[[Facts], Finding]:
    def judge(facts: Facts) -> Finding:
        program = facts.program(name)
        return _absent(facts, program) or _usable(facts, program)

    return judge


def _nix(facts: Facts) -> Finding:
    nix = facts.program("nix")
    if not nix.path:
        text = "--package and packages of a profile need it"
        return Finding("missing", "not found", text, fixes.install(facts.machine, "nix"))
    if facts.nix_daemon:
        text = f"its daemon does not answer: {facts.nix_daemon}"
        return Finding("warning", f"{nix.version}, {nix.path}", text, fixes.other(facts.machine, "nix daemon"))
    finding = _usable(facts, nix)
    return finding._replace(found=f"{finding.found}, {'no daemon' if facts.nix_daemon is None else 'with its daemon'}")


def _default_agent(facts: Facts) -> Finding:
    return _agent(facts, facts.default_agent)


def _agent(facts: Facts, name: str) -> Finding:
    agent = next((one for one in facts.agents if one.name == name), None)
    if agent is None:
        return Finding(
            "failed", name, f'there is no agent "{name}"', "claudebox --agent claude, or agent = in config.toml"
        )
    if agent.problem:
        return Finding("failed", agent.title, agent.problem.message, agent.problem.fix)
    if not agent.found_at:
        return Finding("missing", f"{agent.title}: not found", "", agent.install)
    shown = f"{agent.title} {agent.version or '(version unknown)'}, {agent.found_at}"
    if agent.too_old:
        return Finding("warning", shown, f"older than {agent.too_old}, which claudebox relies on", agent.install)
    return Finding("ok", shown)


def _terminal(facts: Facts) -> Finding:
    if facts.terminal:
        return Finding("warning", "no pseudo-terminals", facts.terminal)
    return Finding("ok", "pseudo-terminals can be made")


def _absent(facts: Facts, program: Program) -> Finding | None:
    if program.path:
        return None
    return Finding("missing", "not found", "\n".join(_skipped(program)), fixes.install(facts.machine, program.name))


def _usable(facts: Facts, program: Program) -> Finding:
    """A program that is there: its words, and the options that we need."""
    shown = f"{program.version or 'version unknown'}, {program.path}"
    if program.error:
        return Finding("failed", shown, program.error, fixes.install(facts.machine, program.name, upgrade=True))
    if program.lacks:
        text = f"it has no {', '.join(program.lacks)}"
        return Finding("failed", shown, text, fixes.install(facts.machine, program.name, upgrade=True))
    return Finding("ok", shown, "\n".join(_skipped(program)))


def _skipped(program: Program) -> list[str]:
    return [f"{path} is skipped: a sandbox can write there" for path in program.skipped]


def numbers(version: str) -> tuple[int, ...]:
    """A version's numbers for comparison: 6.18.44-generic is (6, 18, 44)."""
    result = []
    for part in version.split("-")[0].split("+")[0].split("."):
        if not part.isdigit():
            break
        result.append(int(part))
    return tuple(result)


CHECKS: tuple[tuple[str, Callable[[Facts], Finding]], ...] = (
    ("home", _home),
    ("state", _state),
    ("locks", _locks),
    ("space", _space),
    ("config", _config),
    ("kernel", _kernel),
    ("user namespaces", _userns),
    ("bubblewrap", _bwrap),
    ("env", _env),
    ("seccomp", _seccomp),
    ("sandbox", _sandbox),
    ("late mounts", _late),
    ("agent", _default_agent),
    ("terminal", _terminal),
    ("git", _git),
    ("landlock", _landlock),
    ("nftables", _nft),
    ("/dev/net/tun", _tun),
    ("slirp4netns", _backend("slirp4netns")),
    ("pasta", _backend("pasta")),
    ("nix", _nix),
)
