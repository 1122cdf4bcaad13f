"""What of an agent's settings acts by itself: hooks by their commands, servers, variables, helpers."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from claudebox.plan.brings import LONG, MOST, brings

JSON: Any = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner, max_size=3),
)


def test_each_kind() -> None:
    hooks = {"Stop": [{"matcher": "", "hooks": [{"type": "command", "command": "say done\n"}]}]}
    value = {
        "model": "opus", "hooks": hooks, "mcpServers": {"one": {"command": "x"}}, "env": {"A": "secret"},
        "statusLine": {"command": "y"}, "apiKeyHelper": "",
    }  # fmt: skip
    assert brings(value) == (
        ("hook", "Stop: say done\\n"), ("MCP server", "one: x"), ("agent's variable", "A"),
        ("helper", "statusLine: y"),
    )  # fmt: skip


def test_another_command_is_another_hook_and_a_secret_is_masked() -> None:
    def hook(command: str) -> tuple[tuple[str, str], ...]:
        return brings({"hooks": {"Stop": [{"hooks": [{"command": command}]}]}})

    assert hook("x" * 500) != hook("x" * 499 + "y")
    assert len(hook("x" * 500)[0][1]) < LONG + 40
    assert hook("curl -H 'x: ghp_0123456789abcdef0123'") == (("hook", "Stop: ***"),)


def server(**what: object) -> str:
    ((_, name),) = brings({"mcpServers": {"db": what}})
    return name


def test_another_command_is_another_server_and_its_secrets_are_masked() -> None:
    token = "a1b2c3d4e5f6g7h8i9j0k1"
    assert server(command="npx", args=["-y", "@x/db"], env={"A": token}) == "db: npx -y @x/db"
    assert server(command=["node", "db.js"]) == "db: node db.js"
    assert server(command="db", args=["--api-key", token]) == "db: db --api-key ***"
    assert server(command="db", args=[f"--token={token}"]) == "db: db --token=***"
    assert server(url=f"https://db.example.com/mcp?key={token}") == "db: https://db.example.com/mcp?***"
    assert server(headers={"Authorization": token}) == "db"
    assert server(command="x " * 500 + "a") != server(command="x " * 500 + "b")


def test_it_is_bounded() -> None:
    assert len(brings({"env": {str(n): "" for n in range(5 * MOST)}})) == MOST + 1


@given(st.dictionaries(st.sampled_from(["hooks", "mcpServers", "env", "notify", "plugin", "statusLine"]), JSON))
def test_any_value(value: dict[str, Any]) -> None:
    assert all(one.isprintable() and other.isprintable() for one, other in brings(value))
