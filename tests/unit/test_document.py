"""Errors of config.toml: all at once, each at its place; and no text that ends in a traceback."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from claudebox import schema
from claudebox.document import load
from claudebox.errors import ClaudeboxError
from claudebox.model import Layer, Request
from claudebox.parsed import Loaded
from claudebox.profile import effective_profile

FILE = "~/.claudebox/config.toml"


def read(*contents: bytes) -> tuple[Loaded, ...]:
    names = [FILE, *(f"~/.claudebox/{number}.toml" for number in range(1, len(contents)))]
    return load((name, Layer.CONFIG, content) for name, content in zip(names, contents, strict=True))


def refusal(*contents: bytes) -> ClaudeboxError:
    with pytest.raises(ClaudeboxError) as caught:
        read(*contents)
    return caught.value


ERRORS = """\
tier = "offline"
packages = ["python3", "python3.withPackages"]
netwrk = 3
description = 1
unattended = "yes"
agent = "../x"
env = 5
limits = 1979-05-27
extends = "python"
[network]
tier = "intrenet-only"
backend = "pasta"
allow = ["*.com", { name = "a.example", chek = "sni" }]
publish = [0]
[sandbox]
git_config = true
nested_userns = 1
nix-daemon = true
[[mounts]]
target = "/run/config"
acess = "ro"
[[mounts]]
source = "rel"
access = "rx"
[[mounts]]
source = "~bob/x"
target = "/a/../b"
"""
MORE = """\
extends = []
mounts = { source = "/x" }
[env]
pass = ["A=B", "AWS_*", 3, "*", "!*", ""]
[env.set]
EDITOR = "vim"
TOKEN = "ghp_0123456789abcdefghijklmnop"
"a-b" = "x"
N = 1
Z = "\\u0000"
[limits]
processes = 0
memory = "101%"
tmp = 2
[network]
allow_lan = ["10.0.0.0/8"]
host_ports = [0]
"""


ALL = """\
36 errors in ~/.claudebox/config.toml and ~/.claudebox/1.toml and ~/.claudebox/2.toml:
  ~/.claudebox/config.toml:1:1: unknown key "tier", nearest is "network.tier"
  ~/.claudebox/config.toml:2:24: packages: expected a nix package such as "python3", "nixpkgs#openssl^bin,man" or "github:owner/flake#tool"; what calls a function belongs in a flake of yours, whose package is named here
  ~/.claudebox/config.toml:3:1: unknown key "netwrk", nearest is "network"
  ~/.claudebox/config.toml:4:15: description: expected a string, not a whole number
  ~/.claudebox/config.toml:5:14: unattended: expected true or false, not a string
  ~/.claudebox/config.toml:6:9: agent: expected the name of an agent, such as "claude"
  ~/.claudebox/config.toml:7:7: env is a table, [env], and not a whole number
  ~/.claudebox/config.toml:8:10: limits is a table, [limits], and not a date or time
  ~/.claudebox/config.toml:9:11: extends: expected a list of names of profiles, not a string
  ~/.claudebox/config.toml:11:8: network.tier: expected "offline", "allowlist", "internet-only" or "full", nearest is "internet-only"
  ~/.claudebox/config.toml:13:10: network.allow: expected a wildcard below a name that is somebody's, and anybody can have one below "com"
  ~/.claudebox/config.toml:13:19: network.allow: expected a table of name, ports and check, without "chek"
  ~/.claudebox/config.toml:14:12: network.publish: expected a port from 1 to 65535
  ~/.claudebox/config.toml:16:14: sandbox.git_config: expected "ro" or "rw", not a boolean
  ~/.claudebox/config.toml:17:17: sandbox.nested_userns: expected true or false, not a whole number
  ~/.claudebox/config.toml:18:1: unknown key "nix-daemon" in [sandbox], nearest is "nix_daemon"
  ~/.claudebox/config.toml:19:1: mounts.source is missing: a path of the host, or $NAME: the path that this variable holds
  ~/.claudebox/config.toml:21:1: unknown key "acess" in [mounts], nearest is "access"
  ~/.claudebox/config.toml:23:10: mounts.source: expected a path that is absolute or starts with ~/
  ~/.claudebox/config.toml:24:10: mounts.access: expected "ro" or "rw"
  ~/.claudebox/config.toml:26:10: mounts.source: expected a path without another user's `~`
  ~/.claudebox/config.toml:27:10: mounts.target: expected a path without `..` in it
  ~/.claudebox/1.toml:2:1: mounts is a list of tables: write [[mounts]], with double brackets
  ~/.claudebox/1.toml:4:9: env.pass: expected the name of a variable or a pattern such as "AWS_*", without a value
  ~/.claudebox/1.toml:4:25: env.pass: expected names of variables, not a whole number
  ~/.claudebox/1.toml:4:28: env.pass: expected the name of a variable or a pattern such as "AWS_*", without a value
  ~/.claudebox/1.toml:4:39: env.pass: expected the name of a variable or a pattern such as "AWS_*", without a value
  ~/.claudebox/1.toml:7:9: env.set.TOKEN looks like a GitHub token, which does not belong in a file
  ~/.claudebox/1.toml:8:1: env.set: expected the name of a variable
  ~/.claudebox/1.toml:9:5: env.set.N: expected a string, not a whole number
  ~/.claudebox/1.toml:10:5: env.set.Z: expected a string without a null character
  ~/.claudebox/1.toml:12:13: limits.processes: expected a whole number from 1 to 4194304
  ~/.claudebox/1.toml:13:10: limits.memory: expected a size such as "8G" or a percentage such as "75%"
  ~/.claudebox/1.toml:14:7: limits.tmp: expected a size such as "512M" or "2G", not a whole number
  ~/.claudebox/1.toml:17:15: network.host_ports: expected ports from 1 to 65535
  ~/.claudebox/2.toml:1:5: not valid TOML: invalid value
"""  # noqa: E501


def test_all_errors_of_all_files_at_once() -> None:
    error = refusal(ERRORS.encode(), MORE.encode(), b"x = ")
    assert error.message + "\n" == ALL
    files = "~/.claudebox/config.toml and ~/.claudebox/1.toml and ~/.claudebox/2.toml"
    assert error.hint == f"correct {files}; nothing was started"


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        (b"netwrk = 1", f'{FILE}:1:1: unknown key "netwrk", nearest is "network"', f"correct {FILE}"),
        (
            b"[network]\ntier = 'of'",
            f'{FILE}:2:8: network.tier: expected "offline", "allowlist", "internet-only" or "full"',
            f"correct {FILE}",
        ),
        (
            b'env.set.API_KEY = "sk-0123456789abcdefghij"',
            f"{FILE}:1:19: env.set.API_KEY looks like an API key, which does not belong in a file",
            'export API_KEY in your shell and write pass = ["API_KEY"] under [env]',
        ),
        (
            b'packages = ["./flake#x"]',
            f'{FILE}:1:13: packages: expected a nix package such as "python3", "nixpkgs#openssl^bin,man" or '
            '"github:owner/flake#tool"; the path of a flake is absolute or begins with ~/',
            f"correct {FILE}",
        ),
        (
            b"[mounts]\nsource = '/x'",
            f"{FILE}:1:1: mounts is a list of tables: write [[mounts]], with double brackets",
            f"correct {FILE}",
        ),
        (b'"\\u001b[2J\\n  x" = 1', f'{FILE}:1:1: unknown key "\\x1b[2J\\n  x"', f"correct {FILE}"),
        # TOML syntax
        (b"a = 1\r\nb = \r\n", f"{FILE}:2:5: not valid TOML: invalid value", f"correct {FILE}"),
        (
            b'a = "\xc3\xa4" b',
            f"{FILE}:1:9: not valid TOML: expected newline or end of document after a statement",
            f"correct {FILE}",
        ),
        (b"a = [", f"{FILE}:1:6: not valid TOML: invalid value", f"correct {FILE}"),
        (b"agent = 'x'\nagent = 'y'", f"{FILE}:2:12: not valid TOML: cannot overwrite a value", f"correct {FILE}"),
        (b"ab\nc = '\xff'", f"{FILE}:2:6: the text is not UTF-8", f"correct {FILE}"),
        (b"a = " + b"[" * 100_000, f"{FILE}:1:5: nested too deeply", f"correct {FILE}"),
        (b"\n a = " + b"9" * 5000, f"{FILE}:2:6: a number is too long", f"correct {FILE}"),
    ],
)
def test_one_error_is_one_sentence(text: bytes, message: str, hint: str) -> None:
    error = refusal(text)
    assert (error.message, error.hint, error.exit_code) == (message, hint, 125)


def test_a_byte_order_mark_is_no_error() -> None:
    assert read(b"\xef\xbb\xbfagent = 'x'")[0].document == {"agent": "x"}


def test_no_secret_in_a_message() -> None:
    for text in (
        b'env.pass = ["GITHUB_TOKEN=hunter2"]',
        b'env.pass = "hunter2"',
        b'env.set = "hunter2"',
        b'env.set.PASSWORD = "hunter2-0123456789abcdef"',
        b'network.tier = "hunter2"',
        b'limits.tmp = "hunter2"',
        b'env.set.A = "hunter2',
    ):
        error = refusal(text)
        assert "hunter2" not in error.message + error.hint


# --- any text ------------------------------------------------------------------------------------

POSITION = re.compile(r"(?:~/[^ ]+:[0-9]+:[0-9]+: [^\n]+)")


def profile_or_positioned_error(content: bytes) -> None:
    try:
        loaded = read(content)[0]
    except ClaudeboxError as error:
        lines = error.message.split("\n  ")
        for line in lines[1:] or lines:
            assert POSITION.fullmatch(line), line
        return
    profile = effective_profile(Request("agent"), (loaded,), {}, home="/home/mia", cwd="/x")
    for setting in (profile.agent, profile.tier, profile.unattended, *profile.env_pass, *profile.env_set):
        assert setting.origin.layer is Layer.BUILTIN or re.fullmatch(r"~/\S+:[1-9][0-9]*", setting.origin.where)
    for mount in profile.mounts:
        assert mount.source.startswith("/") and mount.target.startswith("/")


@given(st.binary(max_size=200))
@example(b"\x00")
@example(b"a.b.c.d=1\n[a]\n")
def test_byte_soup(content: bytes) -> None:
    profile_or_positioned_error(content)


TOKENS = [
    *"[]{}=,.\n\"'# \t\\\r", "[[", "]]", '"""', "'''", "true", "1", "1e400", "inf", "nan", "1979-05-27", "-0x1",
    *schema.TABLES, *(key.name for key in schema.KEYS), *(value for key in schema.KEYS for value in key.values),
]  # fmt: skip


@given(st.lists(st.sampled_from(TOKENS), max_size=40).map("".join))
def test_token_soup(text: str) -> None:
    profile_or_positioned_error(text.encode())


# Values that fit a key, and values that fit some other one.
SCALARS = st.one_of(
    st.text(max_size=20),
    st.booleans(),
    st.integers(-10, 1 << 70),
    st.sampled_from(["2G", "75%", "ro", "full", "auto", "socket", "~/x", "/x", "A_*", "!A", "claude", "~", "/"]),
)
VALUES = (
    SCALARS | st.lists(SCALARS, max_size=3) | st.dictionaries(st.text(max_size=5) | st.just("A"), SCALARS, max_size=3)
)


def toml(value: Any) -> str:
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    if isinstance(value, dict):
        return "{" + ", ".join(f"{toml(name)} = {toml(one)}" for name, one in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(toml, value)) + "]"
    return json.dumps(value)


@st.composite
def documents(draw: st.DrawFn) -> str:
    lines = []
    for table in draw(st.lists(st.sampled_from(["", *schema.TABLES, "mounts"]), max_size=5)):
        if table in schema.ARRAYS:
            lines.append(f"[[{table}]]")
        elif table and f"[{table}]" not in lines:
            lines.append(f"[{table}]")
        elif lines:
            continue
        for name in draw(st.sets(st.sampled_from(sorted(schema.keys_of(table))))):
            key = schema.keys_of(table)[name]
            fitting: st.SearchStrategy[Any] = st.sampled_from(key.values or [key.default or "/x"])
            value = draw(fitting.map(lambda one: list(one) if isinstance(one, tuple) else one) | VALUES)
            lines.append(f"{toml(name) if draw(st.booleans()) else name} = {toml(value)}")
    return "\n".join(lines)


@given(documents())
def test_any_document(text: str) -> None:
    profile_or_positioned_error(text.encode())
