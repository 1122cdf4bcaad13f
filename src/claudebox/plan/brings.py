"""What of an agent's settings acts by itself inside: hooks, MCP servers, variables, helpers. Read as hostile.

Imported only when a settings file has changed.
"""

from __future__ import annotations

from claudebox.secret import looks_like
from claudebox.text import printable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

# Top-level keys of Claude Code, Codex, Gemini CLI and opencode. A table's names are what is listed.
TABLES = {
    "mcpServers": "MCP server", "mcp_servers": "MCP server", "mcp": "MCP server",
    "env": "agent's variable", "enabledPlugins": "plugin", "plugin": "plugin",
}  # fmt: skip
HELPERS = frozenset({
    "statusLine", "subagentStatusLine", "apiKeyHelper", "awsAuthRefresh", "awsCredentialExport", "gcpAuthRefresh",
    "otelHeadersHelper", "fileSuggestion", "notify", "toolDiscoveryCommand", "toolCallCommand", "formatter", "lsp",
})  # fmt: skip
HOOKS = "hooks"
LONG, MOST = 160, 200  # characters of a command, what is listed of a file


def brings(value: dict[str, Any]) -> tuple[tuple[str, str], ...]:
    """(kind, name) of each; names are printable, in one line, and hold no secret."""
    found = []
    for key, one in value.items():
        if key in TABLES and isinstance(one, dict | list):
            found += [(TABLES[key], _short(str(name))) for name in one]
        elif key in HELPERS and one:
            found.append(("helper", key))
        elif key == HOOKS and isinstance(one, dict):
            found += [
                ("hook", _short(f"{event}: {command}")) for event, group in one.items() for command in _commands(group)
            ]
    found = list(dict.fromkeys(found))
    return tuple(found[:MOST]) + ((("hook", f"and {len(found) - MOST} more"),) if len(found) > MOST else ())


def _commands(group: Any) -> Iterator[str]:
    """Every command in the groups of one event, whatever lies around it."""
    waiting = [group]
    while waiting:
        one = waiting.pop(0)
        if isinstance(one, list):
            waiting += one
        elif isinstance(one, dict):
            own = next((one[key] for key in ("command", "prompt", "url") if isinstance(one.get(key), str)), None)
            if own is not None:
                yield "***" if looks_like("", own) else own
            waiting += [inner for inner in one.values() if isinstance(inner, dict | list)]


def _short(text: str) -> str:
    """In one line. What is cut off still counts: its digest tells two long commands apart."""
    line = printable(text)
    if len(line) <= LONG:
        return line
    from claudebox.digest import sha256

    return f"{line[:LONG]}... ({sha256(line.encode(errors='surrogateescape')).hexdigest()[:12]})"
