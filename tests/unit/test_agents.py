"""Agents are data: the built-in files, the user's over them, and what is wrong with a file."""

from __future__ import annotations

from pathlib import Path

import pytest

from claudebox import agents
from claudebox.agents import AgentSpec, agent_names, load_agent, parse_agent
from claudebox.agents.builtin import AGENTS
from claudebox.agents.parse import KEYS, read
from claudebox.errors import ClaudeboxError

FILES = Path(agents.__file__).parent
MINIMAL = {"title": "An agent", "program": {"executables": ["agent"]}}


def refusal(data: dict[str, object]) -> str:
    with pytest.raises(ClaudeboxError) as caught:
        parse_agent(data, "/x/agent.toml")
    return f"{caught.value.message}\n{caught.value.hint}"


@pytest.mark.parametrize("name", agent_names(""))
def test_built_in_agents_are_whole(name: str) -> None:
    spec = load_agent(name, "")
    assert spec.name == name
    assert spec.executables and spec.packages and spec.credentials and spec.hosts
    assert spec.unattended_arguments or spec.unattended_environment
    secret = set(spec.credential_variables)
    assert not secret & set(spec.env_pass), "a login is no harmless variable"


@pytest.mark.parametrize("path", sorted(FILES.glob("*.toml")), ids=lambda path: path.stem)
def test_what_a_launch_loads_is_what_the_file_says(path: Path) -> None:
    assert load_agent(path.stem, "") == read(path.stem, str(path)), "run scripts/make_agents.py"


def test_no_built_in_agent_is_without_its_file() -> None:
    assert {path.stem for path in FILES.glob("*.toml")} == set(AGENTS)


def test_claude_is_the_one_that_was_measured() -> None:
    spec = load_agent("claude", "")
    assert ("DISABLE_AUTOUPDATER", "1") in spec.env_set
    assert spec.unattended_environment_root == (("IS_SANDBOX", "1"),)
    assert "CLAUDE_CODE_*" in spec.env_never
    assert spec.config_dir == ".claude" and spec.copy == ("settings.json",)


def test_every_field_has_a_key() -> None:
    assert {field for field, _ in KEYS.values()} | {"name"} == set(AgentSpec._fields)


def test_the_users_file_replaces_single_keys(tmp_path: Path) -> None:
    (tmp_path / "claude.toml").write_text('[program]\nminimum_version = "9.0"\n[unattended]\narguments = []\n')
    built_in, own = load_agent("claude", ""), load_agent("claude", str(tmp_path))
    assert own == built_in._replace(minimum_version="9.0", unattended_arguments=())


def test_the_users_file_adds_an_agent(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text('title = "Mine"\nprogram.executables = ["mine"]\n')
    assert load_agent("mine", str(tmp_path)) == AgentSpec(name="mine", title="Mine", executables=("mine",))
    assert "mine" in agent_names(str(tmp_path)) and "claude" in agent_names(str(tmp_path))


def test_an_unknown_agent_has_a_hint(tmp_path: Path) -> None:
    with pytest.raises(ClaudeboxError) as caught:
        load_agent("cluade", str(tmp_path))
    assert '"cluade"' in caught.value.message and '"claude"' in caught.value.hint


@pytest.mark.parametrize("name", ["../claude", "", ".", ".hidden", "a/b", "x" * 65, "a\n", "é"])
def test_a_name_is_no_path(name: str, tmp_path: Path) -> None:
    with pytest.raises(ClaudeboxError, match="there is no agent"):
        load_agent(name, str(tmp_path))


def test_everything_wrong_is_named_at_once() -> None:
    text = refusal({"titel": "x", "program": {"executables": ["a/b"], "minimum_version": 2}, "state": 3})
    for word in ("/x/agent.toml", '"titel"', '"title" is missing', '"program.executables"',
                 '"program.minimum_version"', '"state" must be a table', 'did you mean "title"'):  # fmt: skip
        assert word in text


@pytest.mark.parametrize(
    ("table", "key", "value"),
    [
        ("program", "executables", []),
        ("program", "executables", "claude"),
        ("program", "places", ["relative/path"]),
        ("program", "places", ["/a/../b"]),
        ("program", "own_options", ["-p", "print"]),
        ("program", "minimum_version", "two"),
        ("state", "config_dir", "/etc"),
        ("state", "config_dir", "../other"),
        ("state", "config_variable", "A-B"),
        ("state", "directories", [".a", "b/../c"]),
        ("credentials", "files", ["/etc/shadow"]),
        ("credentials", "variables", ["A_*"]),
        ("environment", "pass", ["*"]),
        ("environment", "set", {"A": 1}),
        ("environment", "set", ["A"]),
        ("settings", "copy", [""]),
        ("first_start", "set", {"theme": ["dark"]}),
        ("unattended", "arguments", "--yes"),
        ("unattended", "arguments", ["a\0b"]),
        ("network", "hosts", ["https://example.org/"]),
    ],
)
def test_a_wrong_value_is_refused_with_its_key(table: str, key: str, value: object) -> None:
    parse_agent(MINIMAL, "/x/agent.toml")
    tables = {"program": {"executables": ["agent"]}}
    tables.setdefault(table, {})[key] = value  # type: ignore[index,assignment]
    assert f'"{table}.{key}" must be' in refusal({"title": "An agent", **tables})


@pytest.mark.parametrize("content", [b"title = ", b"\xff\xfe", b"a = " + b"[" * 5000])
def test_a_broken_file_is_an_error_with_its_name(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_bytes(content)
    with pytest.raises(ClaudeboxError) as caught:
        load_agent("mine", str(tmp_path))
    assert str(path) in caught.value.message and caught.value.hint
