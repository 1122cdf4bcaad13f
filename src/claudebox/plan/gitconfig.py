"""What a repository's config says, read as text: git itself would follow includes. Compared over a session.

The syntax is git-config(1)'s, as far as it takes to tell settings apart; a line that is none is a setting of its own.
"""

from __future__ import annotations

# What git itself writes there in daily work and nothing runs, includes or redirects: all else ends a session when it
# appears. (section, key); values of `url` are judged besides: `ext::` is a program.
HARMLESS = frozenset({
    ("branch", "remote"), ("branch", "merge"), ("branch", "rebase"), ("branch", "description"),
    ("branch", "pushremote"), ("remote", "fetch"), ("remote", "url"), ("remote", "pushurl"), ("remote", "tagopt"),
    ("remote", "prune"), ("submodule", "url"), ("submodule", "active"), ("submodule", "branch"),
    ("user", "name"), ("user", "email"), ("pull", "rebase"), ("pull", "ff"), ("push", "default"),
    ("push", "autosetupremote"), ("core", "filemode"), ("core", "ignorecase"), ("core", "precomposeunicode"),
    ("core", "logallrefupdates"), ("core", "autocrlf"), ("core", "eol"), ("core", "quotepath"),
    ("merge", "conflictstyle"), ("rebase", "autostash"), ("rebase", "autosquash"), ("rerere", "enabled"),
    ("color", "ui"), ("fetch", "prune"), ("gc", "auto"), ("maintenance", "auto"), ("lfs", "repositoryformatversion"),
})  # fmt: skip

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


def added(before: bytes, after: bytes) -> tuple[list[str], list[str]]:
    """The names of the settings that are new or have a new value: harmless ones, and all others."""
    known = settings(before)
    harmless: list[str] = []
    others: list[str] = []
    for setting in settings(after):
        if setting in known:
            continue
        section, subsection, key, value = setting
        name = ".".join(filter(None, (section, subsection, key)))
        program = key in ("url", "pushurl") and "::" in value
        (harmless if (section, key) in HARMLESS and not program else others).append(name)
    return harmless, others
