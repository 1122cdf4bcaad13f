#!/usr/bin/env python3
"""Makes src/claudebox/agents/builtin.py from the TOML files beside it: run it after a change to one.

Then `ruff format` that file. A unit test holds the two equal.
"""

from __future__ import annotations

import pprint
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "src"))

from claudebox.agents.parse import read  # noqa: E402

TARGET = ROOT / "src" / "claudebox" / "agents" / "builtin.py"
HEAD = '''"""The built-in agents as values: made by scripts/make_agents.py from the TOML files beside this one."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

# Constants, in the order of AgentSpec's fields: compiled, they cost a launch nothing.
AGENTS: dict[str, tuple[Any, ...]] = '''


def text() -> str:
    """The module, as it ought to be."""
    files = sorted(TARGET.parent.glob("*.toml"))
    agents = {path.stem: tuple(read(path.stem, str(path))) for path in files}
    return HEAD + pprint.pformat(agents, width=110, sort_dicts=False) + "\n"


if __name__ == "__main__":
    TARGET.write_text(text(), encoding="utf-8")
