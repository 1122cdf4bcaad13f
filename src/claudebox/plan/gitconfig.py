"""What a repository's config says, read as text: git itself would follow includes. Compared over a session.

The syntax is git-config(1)'s, as far as it takes to tell settings apart; a line that is none is a setting of its own.
"""

from __future__ import annotations

# What nothing runs, includes or redirects for: all else ends a session when it appears in the middle, and is red at its
# end. Section → keys; values of `url` are judged besides: `ext::` is a program.
HARMLESS = {
    "core": frozenset({
        "repositoryformatversion", "filemode", "bare", "logallrefupdates", "ignorecase", "precomposeunicode",
        "symlinks", "autocrlf", "eol", "safecrlf", "quotepath", "abbrev", "compression",
    }),
    "remote": frozenset({"url", "fetch", "pushurl", "push", "tagopt", "prune", "mirror"}),
    "branch": frozenset({"remote", "merge", "rebase", "pushremote", "description", "vscode-merge-base", "base"}),
    "submodule": frozenset({"url", "active", "branch", "path"}),
    "user": frozenset({"name", "email", "signingkey"}),
    "extensions": frozenset({"objectformat", "refstorage"}),
    "init": frozenset({"defaultbranch"}),
    "pull": frozenset({"rebase", "ff"}),
    "push": frozenset({"default", "autosetupremote"}),
    "fetch": frozenset({"prune"}),
    "merge": frozenset({"conflictstyle"}),
    "rebase": frozenset({"autostash", "autosquash"}),
    "rerere": frozenset({"enabled"}),
    "color": frozenset({"ui"}),
    "gc": frozenset({"auto"}),
    "maintenance": frozenset({"auto"}),
    "lfs": frozenset({"repositoryformatversion"}),
}  # fmt: skip

Setting = tuple[str, str, str, str]  # section, subsection, key, value


def settings(content: bytes) -> list[Setting]:
    """The settings of a config, in order."""
    section = subsection = ""
    found: list[Setting] = []
    for line in _joined(content.decode(errors="surrogateescape")):
        rest = line.strip()
        if rest.startswith("["):
            header, closed, rest = rest.partition('"]' if '"' in rest.partition("]")[0] else "]")
            if not closed:
                found.append(("", "", line, ""))
                continue
            section, _, subsection = header[1:].strip().partition(" ")
            section, dot, plain = section.partition(".")
            subsection = plain if dot else subsection.strip().removeprefix('"')
            section, rest = section.lower(), rest.strip()
        if rest and rest[0] not in "#;":
            key, _, value = rest.partition("=")
            found.append((section, subsection, key.strip().lower(), value.strip()))
    return found


def _joined(text: str) -> list[str]:
    """The lines, each with those that a backslash at its end continues it by."""
    lines: list[str] = []
    going_on = False
    for line in text.replace("\r\n", "\n").split("\n"):
        if going_on:
            lines[-1] = lines[-1][:-1] + line
        else:
            lines.append(line)
        going_on = _goes_on(lines[-1])
    return lines


def _goes_on(line: str) -> bool:
    """Whether a line ends in a backslash that continues it: none of a comment does, nor one that is escaped itself.

    As git_config_parse_source() and parse_value() of git's config.c read them: else a comment would hide a setting.
    """
    quoted = escaped = False
    for one in line:
        if escaped:
            escaped = False
        elif one == "\\":
            escaped = True
        elif one == '"':
            quoted = not quoted
        elif one in "#;" and not quoted:
            return False
    return escaped


def plain(value: str) -> str:
    """A value without quotation marks, escapes and a comment behind it, as parse_value() of git's config.c reads it."""
    found, quoted, escaped = "", False, False
    for one in value:
        if escaped:
            found += {"n": "\n", "t": "\t", "b": "\b"}.get(one, one)
            escaped = False
        elif one == "\\":
            escaped = True
        elif one == '"':
            quoted = not quoted
        elif one in "#;" and not quoted:
            return found.rstrip()
        else:
            found += one
    return found


def is_harmless(setting: Setting) -> bool:
    """Whether nothing is run, included or redirected for a setting."""
    section, _, key, value = setting
    program = key in ("url", "pushurl") and "::" in value
    return key in HARMLESS.get(section, ()) and not program


def named(setting: Setting) -> str:
    """A setting's name with its dots."""
    return ".".join(filter(None, setting[:3]))


def obeyed(content: bytes) -> bytes:
    """The settings of a configuration that may run or include something, one a line: all but the harmless ones."""
    lines = [f"{named(one)} = {one[3]}" for one in settings(content) if not is_harmless(one)]
    return "\n".join(lines).encode(errors="surrogateescape")


def added(before: bytes, after: bytes) -> tuple[list[str], list[str]]:
    """The names of the settings that are new or have a new value: harmless ones, and all others."""
    known = settings(before)
    new = [one for one in settings(after) if one not in known]
    return [named(one) for one in new if is_harmless(one)], [named(one) for one in new if not is_harmless(one)]


def difference(before: bytes, after: bytes) -> list[str]:
    """What one has and the other has not, as lines of a diff."""
    old, new = settings(before), settings(after)
    gone = [f"- {named(one)} = {one[3]}" for one in old if one not in new]
    return gone + [f"+ {named(one)} = {one[3]}" for one in new if one not in old]
