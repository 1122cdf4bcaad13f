"""The lists of `[network]` over all layers: what may be reached beyond the tier, in the order in which it counts.

Imported only where a file, the project or the command line has one.
"""

from __future__ import annotations

from claudebox import typed
from claudebox.allowing import parse_entry
from claudebox.errors import ClaudeboxError
from claudebox.model import Layer, Origin, Setting, Why

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from typing import Any

    from claudebox.model import Allowance, Request
    from claudebox.parsed import Loaded

EXAMPLES = {
    "allow": "--allow docs.python.org, --allow '*.example.com:443' or --allow @github",
    "host_ports": "--host-port 5432",
    "publish": "--publish 3000, or --publish 8080:80 for another number on the host",
}
OPTIONS = {"allow": "--allow", "host_ports": "--host-port", "publish": "--publish"}
SAVED = Origin(Layer.REMEMBERED, "claudebox network allow")


def lists(files: tuple[Loaded, ...], request: Request, saved: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of Profile. saved: what is remembered for the project, by key; files: checked. Raises ClaudeboxError
    about what was typed."""
    return {
        "allow_lan": _allow_lan(files),
        "allow": tuple(_parsed("allow", files, request, saved, _entry)),
        "host_ports": _last(_parsed("host_ports", files, request, saved, lambda one, _: typed.port(str(one)))),
        "publish": _last(_parsed("publish", files, request, saved, lambda one, _: typed.publication(one))),
        "learn": Setting(request.learn, Origin(Layer.COMMAND_LINE, "--learn") if request.learn else Origin(0)),
    }


def _entry(written: Any, origin: Origin) -> Any:
    return parse_entry(written, Why("allow", origin))


def _parsed(
    key: str,
    files: tuple[Loaded, ...],
    request: Request,
    saved: Mapping[str, Any],
    read: Callable[[Any, Origin], Any],
) -> Iterator[Setting[Any]]:
    """Every entry of every layer, a lower one first."""
    written = [
        (one, file.origin("network", key, index))
        for file in files
        for index, one in enumerate(file.document.get("network", {}).get(key, ()))
    ]
    written += [(one, SAVED) for one in saved[key]]
    option = OPTIONS[key]
    written += [(one, Origin(Layer.COMMAND_LINE, f"{option} {one}")) for one in getattr(request, key)]
    for one, origin in sorted(written, key=lambda pair: pair[1].layer):
        try:
            yield Setting(read(one, origin), origin)
        except typed.Unusable as error:
            raise ClaudeboxError(f"{origin}: expected {error}", f"an example is {EXAMPLES[key]}") from None


def _last(found: Iterator[Setting[Any]]) -> tuple[Setting[Any], ...]:
    """Each port of the host once, as the highest layer has it."""
    return tuple({getattr(one.value, "host", one.value): one for one in found}.values())


def _allow_lan(files: tuple[Loaded, ...]) -> tuple[Setting[Allowance], ...]:
    """Exceptions of all files, each once; `!` before one takes out what was said below it."""
    found: dict[str, Setting[Allowance]] = {}
    for file in files:
        for index, written in enumerate(file.document.get("network", {}).get("allow_lan", ())):
            found.pop(written.removeprefix("!"), None)
            if not written.startswith("!"):
                found[written] = Setting(typed.allowance(written), file.origin("network", "allow_lan", index))
    return tuple(found.values())
