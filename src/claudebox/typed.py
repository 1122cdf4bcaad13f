"""Values as a person types them, on the command line and in TOML: sizes, names, paths, `-e`, `-m`."""

from __future__ import annotations

from claudebox.errors import ClaudeboxError
from claudebox.record import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Literal

    from claudebox.model import Allowance, Publish

DASHES = str.maketrans("-.", "__")
UNITS = {"K": 10, "M": 20, "G": 30, "T": 40}
LARGEST = 1 << 50  # what no machine has, and what bwrap's --size still reads


class Unusable(ValueError):
    """A value that cannot be meant; the text says what was expected and repeats no value."""


class MountSpec(NamedTuple):
    """What `-m SRC[:DST][:ro|rw]` says; an empty target is the same path."""

    source: str
    target: str
    access: Literal["ro", "rw"]


def is_name(text: str) -> bool:
    """A variable's name, as a shell takes it."""
    return text.isascii() and text.isidentifier()


def is_pattern(text: str) -> bool:
    """A variable's name, with `*` at an end of it or `!` before it. `*` alone would be the whole environment."""
    name = text.removeprefix("!")
    core = name.strip("*")
    return text == "!*" or (core != "" and "*" not in core and is_name(name.replace("*", "_")))


def is_agent(text: str) -> bool:
    """An agent's name: also that of a file, so nothing that leads elsewhere."""
    return 0 < len(text) <= 64 and not text.startswith(("-", ".")) and is_name(f"_{text}".translate(DASHES))


def variable(text: str) -> str:
    """The name of the host's variable that a source stands for: `$SSH_AUTH_SOCK`, whole; "" where it is a path."""
    return text[1:] if text.startswith("$") and is_name(text[1:]) else ""


def is_profile(text: str) -> bool:
    """A profile's name: as an agent's, and without `.toml`, which the file has."""
    return is_agent(text) and not text.endswith(".toml")


def matches(name: str, patterns: tuple[str, ...]) -> bool:
    """Whether name is one of patterns, in which `*` stands at the start, at the end, or at both."""
    for pattern in patterns:
        core = pattern.strip("*")
        if pattern.startswith("*") and pattern.endswith("*"):
            found = core in name
        elif pattern.endswith("*"):
            found = name.startswith(core)
        else:
            found = name.endswith(core) if pattern.startswith("*") else name == pattern
        if found:
            return True
    return False


def _number(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 15 else 0


def size(text: str) -> int:
    """Bytes of `2G`, `512M`, `4096`: powers of 1024."""
    shift = UNITS.get(text[-1:], 0)
    number = _number(text[:-1] if shift else text) << shift
    if not 0 < number <= LARGEST:
        raise Unusable('a size such as "512M" or "2G"')
    return number


def memory(text: str) -> str:
    """A size, or a percentage of the machine's memory, as written."""
    try:
        if not (text.endswith("%") and 1 <= _number(text[:-1]) <= 100):
            size(text)
    except Unusable:
        raise Unusable('a size such as "8G" or a percentage such as "75%"') from None
    return text


def path(text: str, home: str, base: str = "") -> str:
    """An absolute path as written: `~` is the host's home, a relative one starts at base if there is one.

    Links are left alone: the survey pins what is really there. `..` is taken only where it climbs
    from base, which is canonical; behind a link it would mean something else than it says.
    """
    if not text or "\0" in text:
        raise Unusable("a path")
    relative = not text.startswith(("/", "~"))
    if text == "~" or text.startswith("~/"):
        base, text = home, text[2:]
    elif text.startswith("~"):
        raise Unusable("a path without another user's `~`")
    elif not relative:
        base = ""
    elif not base:
        raise Unusable("a path that is absolute or starts with ~/")
    names = [name for name in text.split("/") if name not in ("", ".")]
    above = [name for name in base.split("/") if name]
    while names[:1] == [".."] and relative:
        del names[0], above[-1:]
    if ".." in names:
        raise Unusable("a path without `..` in it")
    return "/" + "/".join(above + names)


def assignment(text: str) -> tuple[str, str | None]:
    """`-e NAME` or `-e NAME=VALUE`. The value is in no message: it may be a secret."""
    name, equals, value = text.partition("=")
    if not is_name(name):
        safe = name and value.strip("=") and len(name) <= 32  # else the "name" may be a secret itself
        raise ClaudeboxError(
            "-e takes the name of a variable" + (f', and "{name}" is none' if safe else ""),
            "write -e NAME to pass a variable of the host, -e NAME=VALUE to set one",
        )
    return name, value if equals else None


def mount(text: str) -> MountSpec:
    """`-m SRC[:DST][:ro|rw]`, where `\\:` is a colon of a path."""
    pieces = [piece.replace("\0", ":") for piece in text.replace("\\:", "\0").split(":")]
    access: Literal["ro", "rw"] = "ro"
    if len(pieces) > 1 and pieces[-1] in ("ro", "rw"):
        access = "rw" if pieces.pop() == "rw" else "ro"
    if len(pieces) > 2 or not all(pieces):
        raise ClaudeboxError(
            f'-m "{text}" is not SRC[:DST][:ro|rw]',
            r"an example is -m ~/data:/data:rw; write \: for a colon that belongs to a path",
        )
    return MountSpec(source=pieces[0], target=pieces[1] if len(pieces) == 2 else "", access=access)


def allowance(text: str) -> Allowance:
    """`HOST[:PORT][/tcp|/udp]` of `allow_lan`, where HOST is an address, a prefix or a name; IPv6 with a port in []."""
    from claudebox import address
    from claudebox.model import Allowance

    rest, protocol = text, ""
    for name in ("tcp", "udp"):
        if rest.endswith(f"/{name}"):
            rest, protocol = rest[: -len(name) - 1], name
    host, port = _host_and_port(rest)
    prefix = address.parse(host)
    if port is None or (prefix is None and not is_host(host)):
        raise Unusable(
            'an address, a prefix or a name, such as "192.168.1.20:5432", "10.20.0.0/16" or "db.lan:5432/tcp"'
        )
    return Allowance(written=text, name="" if prefix else host, prefix=prefix, port=port, protocol=protocol)


def port(text: str) -> int:
    """A port as it is typed."""
    number = _number(text)
    if not 1 <= number <= 65535:
        raise Unusable("a port from 1 to 65535")
    return number


def publication(written: int | str) -> Publish:
    """`[HOSTPORT:]PORT`: a port of the sandbox, and the one of the host's 127.0.0.1 where that is another."""
    from claudebox.model import Publish

    first, colon, second = str(written).partition(":")
    host = port(first)
    return Publish(host=host, inside=port(second) if colon else host)


def _host_and_port(text: str) -> tuple[str, int | None]:
    """Port 0 where none is written, None where it is none."""
    if text.startswith("["):
        host, closed, after = text[1:].partition("]")
        colon, digits = (after[:1], after[1:]) if closed else ("[", "")
    elif text.count(":") == 1:
        host, colon, digits = text.partition(":")
    else:
        return text, 0
    if not colon and not digits:
        return host, 0
    port = _number(digits)
    return host, port if colon == ":" and 1 <= port <= 65535 else None


def is_host(text: str) -> bool:
    """A name of a host as DNS has them; what looks like an address is none."""
    labels = text.removesuffix(".").split(".")
    plain = all(0 < len(one) <= 63 and is_name(f"_{one}".translate(DASHES)) and one[0] != "-" for one in labels)
    return len(text) <= 100 and plain and not labels[-1].isdigit() and "_" not in labels[-1]
