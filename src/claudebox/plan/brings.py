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

# Top-level keys of Claude Code, Codex, Gemini CLI and opencode. Of a table the names are listed, of a server also what
# it starts or where it is: another command under a name that was accepted is another grant.
SERVER = "MCP server"
TABLES = {
    "mcpServers": SERVER, "mcp_servers": SERVER, "mcp": SERVER,
    "env": "agent's variable", "enabledPlugins": "plugin", "plugin": "plugin",
}  # fmt: skip
STARTS = ("command", "args", "url", "httpUrl", "serverUrl")
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
        if TABLES.get(key) == SERVER and isinstance(one, dict):
            found += [(SERVER, _short(_with(str(name), _started(server)))) for name, server in one.items()]
        elif key in TABLES and isinstance(one, dict | list):
            found += [(TABLES[key], _short(str(name))) for name in one]
        elif key in HELPERS and one:
            found.append(("helper", _short(_with(key, _started(one)))))
        elif key == HOOKS and isinstance(one, dict):
            found += [
                ("hook", _short(f"{event}: {command}")) for event, group in one.items() for command in _commands(group)
            ]
    found = list(dict.fromkeys(found))
    return tuple(found[:MOST]) + ((("hook", f"and {len(found) - MOST} more"),) if len(found) > MOST else ())


def _with(name: str, words: list[str]) -> str:
    return f"{name}: {' '.join(words)}" if words else name


def _started(value: Any) -> list[str]:
    """The words of what a server or a helper starts, or its address; each that looks like a secret masked."""
    if isinstance(value, dict):
        return [word for key in STARTS for word in _started(value.get(key))]
    words = [value] if isinstance(value, str) else value if isinstance(value, list) else []
    words = [word for word in words if isinstance(word, str)]
    return [_masked(option, word) for option, word in zip(["", *words], words, strict=False)]


def _masked(option: str, word: str) -> str:
    """A word of a command as it may be shown: `--token=***`, `https://name/path?***`. option: the word before it."""
    start, mark, value = word.partition("?" if "://" in word else "=")
    if mark == "?" or (mark and looks_like(start, value)):
        return f"{start}{mark}***"
    return "***" if looks_like(option, word) else word


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
