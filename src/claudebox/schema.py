"""The one table of config.toml and of profiles: every key with its kind, default and meaning.

Parser, validator, JSON Schema and documents are made of it. Only data, so that a launch without a
config.toml takes its defaults from here for next to nothing.
"""

from __future__ import annotations

from claudebox.record import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Literal

    Kind = Literal[
        "text",  # any string
        "name",  # of an agent
        "names",  # of profiles
        "choice",  # one of `values`
        "flag",
        "count",  # a whole number, 1 or more
        "size",  # bytes: 2G, 512M
        "memory",  # bytes, or a percentage of the machine's
        "source",  # a path of the host, absolute or from ~
        "places",  # paths of the host, absolute or from ~
        "target",  # a path in the sandbox, absolute or from ~
        "variables",  # names and patterns of variables
        "assignments",  # a table of variables
        "packages",  # of nix
        "ports",
        "publications",  # ports, or HOSTPORT:PORT
        "allowances",  # exceptions of internet-only: address, prefix or name, with a port
        "rules",  # names of hosts, or tables about them
    ]


class Key(NamedTuple):
    """One key. table: "" is the top level, "mounts" an array of tables, the others are tables.

    example: a value in TOML, where the default says nothing of what one looks like.
    """

    table: str
    name: str
    kind: Kind
    default: Any
    meaning: str
    values: tuple[str, ...] = ()
    required: bool = False
    example: str = ""

    @property
    def path(self) -> str:
        """As it is written in a message: `network.tier`."""
        return f"{self.table}.{self.name}" if self.table else self.name


TIERS = ("offline", "allowlist", "internet-only", "full")
BACKENDS = ("auto", "slirp4netns", "pasta")
ARRAYS = frozenset({"mounts"})

KEYS: tuple[Key, ...] = (
    Key("", "description", "text", "", "what this profile is for", example='"web service with a database"'),
    Key("", "extends", "names", (), "other profiles, applied first", example='["python"]'),
    Key("", "agent", "name", "claude", "the agent that is started"),
    Key("", "unattended", "flag", False, "the agent asks nothing"),
    Key(
        "",
        "packages",
        "packages",
        (),
        "nix packages on PATH; a bare name is one of nixpkgs; `!` takes one out",
        example='["python3", "nixpkgs#openssl^bin"]',
    ),
    Key("network", "tier", "choice", "internet-only", "how much network", values=TIERS),
    Key("network", "backend", "choice", "auto", "who carries packets", values=BACKENDS),
    Key(
        "network",
        "allow_lan",
        "allowances",
        (),
        "hosts and prefixes in the LAN: HOST[:PORT][/tcp|/udp]; `!` takes one out",
        example='["192.168.1.20:5432", "10.20.0.0/16"]',
    ),
    Key(
        "network",
        "allow",
        "rules",
        (),
        "what tier allowlist reaches: NAME[:PORT], @SET, tables; `!` takes one out",
        example='["*.github.com:443", "@pip"]',
    ),
    Key("network", "host_ports", "ports", (), "ports of the host's 127.0.0.1 that the agent reaches", example="[5432]"),
    Key(
        "network",
        "publish",
        "publications",
        (),
        "the agent's ports on the host's 127.0.0.1: PORT, or HOSTPORT:PORT",
        example='[3000, "8080:80"]',
    ),
    Key(
        "env",
        "pass",
        "variables",
        (),
        "variables of the host, by name or pattern; `!` takes one out again",
        example='["GITHUB_TOKEN", "AWS_*", "!AWS_PROFILE"]',
    ),
    Key("env", "set", "assignments", (), "variables and their values, never secrets", example='{ EDITOR = "vim" }'),
    Key(
        "mounts",
        "source",
        "source",
        "",
        "a path of the host, or $NAME: the path that this variable holds",
        required=True,
        example='"~/data"',
    ),
    Key("mounts", "target", "target", "", "where it appears; the same path by default", example='"/srv/data"'),
    Key("mounts", "access", "choice", "ro", "read-only or read-write", values=("ro", "rw")),
    Key("mounts", "kind", "choice", "auto", "a file or directory, or a socket", values=("auto", "socket")),
    Key("mounts", "optional", "flag", False, "a missing source is skipped"),
    Key("sandbox", "nix_daemon", "flag", True, "the host's nix daemon socket, where there is one"),
    Key("sandbox", "nested_userns", "flag", True, "the agent may start sandboxes of its own"),
    Key("sandbox", "git_config", "choice", "ro", "the repository's own .git/config and hooks", values=("ro", "rw")),
    Key("sandbox", "secrets", "places", (), "more places that hold a secret: a grant that reaches one says SECRET"),
    Key("limits", "processes", "count", 4096, "processes and threads"),
    Key("limits", "memory", "memory", "75%", "memory, of the machine's or in bytes"),
    Key("limits", "tmp", "size", "2G", "each of the private temporary directories"),
)
BY_PATH = {key.path: key for key in KEYS}
TABLES = tuple(dict.fromkeys(key.table for key in KEYS if key.table))


def keys_of(table: str) -> dict[str, Key]:
    """The keys of a table by their names."""
    return {key.name: key for key in KEYS if key.table == table}
