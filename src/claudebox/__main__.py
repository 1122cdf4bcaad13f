"""`python -P -m claudebox`: refuses where a planted module of the working directory would be imported."""

import sys

if not sys.flags.safe_path:
    sys.stderr.write("claudebox: error: python -m claudebox would import from the working directory\n")
    sys.stderr.write("hint: use the claudebox command, or python -P -m claudebox\n")
    sys.exit(125)

from claudebox.cli import main

main()
