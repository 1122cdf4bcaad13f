"""`claudebox completion`: the completion script of a shell."""

from __future__ import annotations

from claudebox import arguments, console

USAGE = "claudebox completion bash|zsh|fish"
EXAMPLES = """examples:
  claudebox completion bash >~/.local/share/bash-completion/completions/claudebox
  claudebox completion zsh >~/.zfunc/_claudebox        (a directory in $fpath)
  claudebox completion fish >~/.config/fish/completions/claudebox.fish"""


def completion(argv: list[str], environment: dict[str, str]) -> int:
    """Print the script."""
    made = arguments.make("claudebox completion", USAGE, EXAMPLES)
    made.add_argument("shell", metavar="SHELL", choices=("bash", "zsh", "fish"), help="bash, zsh or fish")
    typed = arguments.parse(made, argv)
    from claudebox.whole import script

    console.write(script(typed.shell), 1)
    return 0
