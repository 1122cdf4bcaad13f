"""Plays two launches that are reviewed on a terminal, for the README: what they print, as text and as a picture.

    capture_review.py CLAUDEBOX PICTURE.svg >TEXT

Everything printed is real; only the home (/home/ada, by bubblewrap) and the keys in it are made for it.
"""

from __future__ import annotations

import io
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import pexpect
from rich._export_format import CONSOLE_SVG_FORMAT
from rich.console import Console
from rich.text import Text

HOME, COLUMNS = "/home/ada", 80
LAUNCH = "claudebox run -n offline -m ~/.aws{} -e GITHUB_TOKEN -- true"
QUESTION = "everything:"


def main() -> None:
    claudebox, picture = sys.argv[1:]
    with tempfile.TemporaryDirectory() as home:
        furnish(Path(home))
        started(claudebox, home, LAUNCH.format(""), "a")
        told = [(LAUNCH.format(":rw"), started(claudebox, home, LAUNCH.format(":rw"), "a"))]
        told.append((LAUNCH.format(":rw"), started(claudebox, home, LAUNCH.format(":rw"), "")))
    styled = "\n".join(f"$ {typed}\n{printed}" for typed, printed in told)
    print(re.sub(r"\x1b\[[0-9;]*m", "", styled), end="")
    Path(picture).write_text(drawn(styled))


def furnish(home: Path) -> None:
    """A project and a secret."""
    (home / "code/app").mkdir(parents=True)
    subprocess.run(["git", "init", "-q", home / "code/app"], check=True)
    (home / ".aws").mkdir(mode=0o700)
    (home / ".aws/credentials").write_text("[default]\n")


def started(claudebox: str, home: str, typed: str, answer: str) -> str:
    """What a launch prints, colours included, when it is typed in the project and its question answered."""
    outside = [
        "--bind",
        "/",
        "/",
        "--dev-bind",
        "/dev",
        "/dev",
        "--proc",
        "/proc",
        "--tmpfs",
        "/home",
        "--bind",
        home,
        HOME,
    ]
    words = ["--unshare-user", "--uid", "1000", "--gid", "1000", *outside, "--chdir", f"{HOME}/code/app", "--"]
    shell = ["sh", "-c", typed.replace("claudebox", f"exec {claudebox}", 1)]
    env = {"PATH": "/usr/bin:/bin", "HOME": HOME, "TERM": "xterm-256color", "GITHUB_TOKEN": "made-for-this"}
    child = pexpect.spawn("bwrap", [*words, *shell], env=env, encoding="utf-8", dimensions=(24, COLUMNS), timeout=30)
    child.logfile_read = seen = io.StringIO()
    if answer:
        child.expect_exact(QUESTION)
        child.sendline(answer)
    child.expect(pexpect.EOF)
    child.close()
    if child.exitstatus != 0:
        sys.exit(f"{typed} ended with {child.exitstatus}: {seen.getvalue()}")
    return seen.getvalue().replace("\r\n", "\n")


def drawn(styled: str) -> str:
    """A picture of a terminal. Fonts of the reader's own: a picture that fetches some is shown by few."""
    console = Console(record=True, width=COLUMNS, file=io.StringIO(), force_terminal=True, color_system="truecolor")
    console.print(Text.from_ansi(styled), end="")
    plain = re.sub(r"@font-face \{\{.*?\}\}\n", "", CONSOLE_SVG_FORMAT, flags=re.DOTALL)
    return console.export_svg(title="claudebox", code_format=plain, unique_id="review")


main()
