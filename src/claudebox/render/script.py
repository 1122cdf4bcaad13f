"""The plan → commands for a shell: what `--dry-run` prints to be pasted.

A launch mounts through descriptors, holds the agent at a gate and supervises it. A shell can do none of that, so
what is pasted is an approximation, and says so: late mounts are made by bwrap, by name and in its order. Wherever
something is missing a comment says what.

The commands stand in one quoted here-document, so any shell takes them (its history expansion too leaves them alone)
and bash runs them. Every word of a path or a value is quoted on one line: none can end its quotes, its comment or
the document.
"""

from __future__ import annotations

import base64
import shlex

from claudebox.model import Bind, File, Mount, SandboxPlan, SettingsTree, Stub, is_late
from claudebox.render import bwrap, network
from claudebox.text import printable

END = "CLAUDEBOX"  # no line of ours is this word: each is a comment, a command or indented
RAW = "\0"  # before words that are the shell's; no argument of a program can hold one

HEAD = """\
# Paste from here on into a shell (it needs bash, printf, base64). It starts nearly the same sandbox without claudebox:
# for looking around in it, not for leaving an agent alone in it. What a launch does besides:
#   - whatever it mounts where an agent can write, it mounts through descriptors. Here bwrap does so by name:
#     a link that an agent planted in the home or the project would be followed. Missing mount points stay behind.
#   - it watches over the mounts, ends the sandbox with itself, keeps a second session out, bounds the number of
#     processes (and memory, where a cgroup can be had)."""

# What the shell has open would be open inside; 255 is this script, which bash closes itself.
CLOSE = "for fd in /proc/self/fd/*; do fd=${fd##*/}; ((fd < 3 || fd == 255)) || exec {fd}<&-; done"

# The working directory only now, as the gate does it: bwrap's own would lie below the mounts.
GATE = 'cd -P -- "$1" || exit 125; shift; unset OLDPWD; exec "$@"'


def text(plan: SandboxPlan) -> str:
    """The commands, with the comments that say what they lack. Values of secrets come from the pasting shell."""
    lines = [HEAD, *(f"#   - {printable(line)}" for line in lacking(plan))]
    lines += [f"bash /dev/fd/9 9<<'{END}'", CLOSE]
    lines += home(plan)
    descriptors: dict[str, str] = {}
    for name, content in contents(plan).items():
        descriptors[name] = f"made{len(descriptors)}"
        lines.append(f"exec {{{descriptors[name]}}}< <({content})")
    lines.append("exec {options}< <(printf '%s\\0' \\")
    lines += [f"  {' '.join(map(word, row))} \\" for row in rows(plan, lambda name: f'{RAW}"${descriptors[name]}"')]
    lines[-1] = lines[-1].removesuffix(" \\") + ")"
    lines += [f"exec {' '.join(map(word, command(plan)))}", END]
    # Never to be pasted: as root they would change the host's own rules.
    lines += [f"# {printable(line)}".rstrip() for line in network.commands(plan).splitlines()]
    return "\n".join(lines) + "\n"


def command(plan: SandboxPlan) -> list[str]:
    """bwrap with a clean environment, its options behind a descriptor; and at once what the gate would start."""
    start = [plan.tools.env, "-i", plan.tools.bwrap, "--args", f'{RAW}"$options"', "--"]
    return [*start, plan.tools.sh, "-c", GATE, "sh", plan.directory, *plan.command]


def rows(plan: SandboxPlan, descriptor: bwrap.Descriptor) -> list[list[str]]:
    """bwrap's options as a shell can give them: every mount by name, in the order of the plan."""
    masked = {stub.path for stub in plan.stubs}
    mounts = [named(m) for m in plan.mounts if not (isinstance(m, Bind) and (m.submount or m.source in masked))]
    made = [*bwrap.isolation(plan), ["--seccomp", descriptor("seccomp")]]
    for mount in mounts:
        made += bwrap.mount_rows(mount, descriptor)
    made += bwrap.remounts(mounts)
    for variable in plan.environment:
        name, value = variable.name, variable.value
        if not variable.secret:
            made.append(["--setenv", name, value])
        elif nameable(name):
            made.append(["--setenv", name, f'{RAW}"${{{name}?a secret: export it in this shell first}}"'])
    return [*made, ["--chdir", "/"]]


def named(mount: Mount) -> Mount:
    """The mount as bwrap makes it at once: neither from a descriptor nor late."""
    return mount._replace(pinned=False) if isinstance(mount, Bind) else mount


def home(plan: SandboxPlan) -> list[str]:
    """The instance's home, which a first launch would make."""
    path = f"{plan.instance.directory}/home"
    return [f"(umask 077 && mkdir -p -- {quoted(path)}) || exit 125"]


def contents(plan: SandboxPlan) -> dict[str, str]:
    """Name of a made file → the command that prints it."""
    made = {"seccomp": f"printf %s {base64.b64encode(plan.isolation.seccomp).decode()} | base64 -d"}
    for mount in plan.mounts:
        if isinstance(mount, File):
            content = mount.content.decode(errors="surrogateescape")
            made[mount.target] = f"printf %s {quoted(content)}"
    return made


def lacking(plan: SandboxPlan) -> list[str]:
    """What this plan has and the pasted commands do not."""
    found = [not_masked(stub) for stub in plan.stubs]
    if plan.isolation.landlock_scopes:
        found.append(
            "it scopes abstract sockets and signals with Landlock: here the host's X11 and D-Bus are in reach."
        )
    if "net" in plan.isolation.namespaces and (plan.helpers or plan.network.tier != "offline"):
        found.append("it connects the sandbox's network under rules (below): here there is no way out of it.")
    for package in plan.packages:
        if package.paths is None:
            found.append(f"it realises {package.name}, for which <nix:{package.name}> stands on PATH here.")
    copied = [one for one in plan.settings if not (isinstance(one, SettingsTree) and one.done)]
    if written := [one.path for one in (*plan.home_files, *copied)]:
        found.append(f"into the sandbox's home it writes {', '.join(dict.fromkeys(written))}.")
    for variable in plan.environment:
        if variable.secret and not nameable(variable.name):
            found.append(f"it passes {variable.name}, which no shell can name: left out here.")
    late = [m.target for m in plan.mounts if is_late(m) and not (isinstance(m, Bind) and (m.inside or m.point))]
    if late:
        found.append(f"of that kind are here {', '.join(late)}.")
    return found


def not_masked(stub: Stub) -> str:
    """What the absence of a stub leaves open."""
    return f"it masks {stub.path}, which is not there: NOT MASKED here, and the host's git would obey one made inside."


def nameable(name: str) -> bool:
    """Whether a shell can say "$NAME"."""
    return name.isascii() and name.isidentifier()


def word(argument: str) -> str:
    """A word of the commands: the shell's own as it is, everything else quoted."""
    return argument[len(RAW) :] if argument.startswith(RAW) else quoted(argument)


def quoted(argument: str) -> str:
    """An argument for a shell: as shlex quotes it, or as $'...' of bytes where it has control characters."""
    if argument.isprintable():
        return shlex.quote(argument)
    short = {9: "\\t", 10: "\\n"}
    shown = (
        short.get(b) or (chr(b) if 32 <= b < 127 and b not in b"\\'" else f"\\x{b:02x}")
        for b in argument.encode(errors="surrogateescape")
    )
    return "$'" + "".join(shown) + "'"
