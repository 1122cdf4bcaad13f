"""Completions and the man page, as the shells and man read them."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest

from box import Box
from claudebox.options import COMMANDS, OPTIONS, OTHERS
from claudebox.whole import script, whole

ROOT = Path(__file__).parents[2]


def complete(box: Box, *words: str) -> set[str]:
    """What bash offers for the last word."""
    (box.home / "completion").write_text(box.claudebox("completion", "bash").stdout)
    line = " ".join(f"'{word}'" for word in words)
    tried = (
        f"source ~/completion; COMP_WORDS=({line}); COMP_CWORD={len(words) - 1}; "
        "_shtab_claudebox 2>/dev/null; printf '%s\\n' \"${COMPREPLY[@]}\""
    )
    return set(box.run(["bash", "-c", tried]).stdout.split())


def test_bash_offers_options_commands_and_values(box: Box) -> None:
    assert {"run", "shell", *OTHERS} <= complete(box, "claudebox", "")
    assert complete(box, "claudebox", "--netw") == {"--network"}
    assert complete(box, "claudebox", "--network", "o") == {"offline"}
    assert complete(box, "claudebox", "run", "--agent", "co") == {"codex"}
    assert complete(box, "claudebox", "ps", "--js") == {"--json"}
    assert complete(box, "claudebox", "ps", "--netw") <= {"--network"}


def test_bash_offers_profiles_those_of_the_user_too(box: Box) -> None:
    assert complete(box, "claudebox", "-P", "pyt") == {"python"}
    (box.state / "profiles").mkdir(parents=True)
    for name in ("pyramid", "pyre$(touch planted)", "pyr s"):
        (box.state / "profiles" / f"{name}.toml").touch()
    assert complete(box, "claudebox", "-P", "py") == {"python", "pyramid"}
    assert complete(box, "claudebox", "profile", "show", "py") == {"python", "pyramid"}
    assert complete(box, "claudebox", "use", "pyr") == {"pyramid"}
    assert not (box.app / "planted").exists()


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_script_is_the_shell_s(box: Box, shell: str) -> None:
    done = box.claudebox("completion", shell)
    assert (done.status, done.stderr) == (0, "") and done.stdout == script(shell)
    for name in (*COMMANDS, *OTHERS):
        assert name in done.stdout
    if program := shutil.which(shell):
        assert box.run([program, "-n"], input=done.stdout).status == 0


def test_another_shell_is_refused(box: Box) -> None:
    done = box.claudebox("completion", "tcsh")
    assert (done.status, done.stdout) == (125, "") and "tcsh" in done.stderr


def test_nothing_hidden_is_offered() -> None:
    made = script("fish")
    for option in OPTIONS:
        shown = f"-l {option.flags[-1][2:]} " in made
        assert shown is bool(option.help) or any(option.flags[-1] in text for text in command_options()), option.flags


def command_options() -> list[list[str]]:
    sub = next(action for action in whole()._actions if action.dest == "==SUPPRESS==" and action.choices)
    assert isinstance(sub.choices, dict)
    return [list(parser._option_string_actions) for name, parser in sub.choices.items() if name not in COMMANDS]


def test_the_man_page_has_every_command_and_option(box: Box, tmp_path: Path) -> None:
    page = tmp_path / "claudebox.1"
    made = box.run([sys.executable, "-P", ROOT / "scripts" / "make_man.py", page], cwd=ROOT)
    assert made.status == 0, made.stderr
    text = page.read_text().replace("\\-", "-")
    for word in [*OTHERS, *(flag for option in OPTIONS if option.help for flag in option.flags)]:
        assert word in text
    if man := shutil.which("man"):
        shown = box.run([man, "--warnings", "-l", page], env={"MANWIDTH": "80"})
        assert shown.status == 0 and "CLAUDEBOX(1)" in shown.stdout and shown.stderr == ""
