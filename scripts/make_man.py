"""usage: make_man.py [FILE]: the man page claudebox(1), made from the parser; for packages. Needs argparse-manpage."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "src"))

from argparse_manpage.manpage import Manpage

from claudebox import __version__
from claudebox.whole import whole

SAYS = "a sandbox per project for AI coding agents: one project, as much network as you choose, nothing else"


def text() -> str:
    """The page."""
    made = whole()
    made.description = SAYS.capitalize() + "."
    data = {"project_name": "claudebox", "version": __version__, "description": SAYS, "manual_title": "claudebox"}
    return str(Manpage(made, data)).rstrip("\n") + "\n"


if __name__ == "__main__":
    if len(sys.argv) > 1:
        Path(sys.argv[1]).write_text(text(), encoding="utf-8")
    else:
        sys.stdout.write(text())
