"""PURE: what the host executes or follows of a project, as a table: what it is, who runs it, what sets that off.

None of it is mounted read-only: what git tracks would keep its old content at a `git switch`, and the rest is the
agent's job. It is looked at when a session starts and when it ends, and what changed is reported.
"""

from __future__ import annotations

from claudebox.record import NamedTuple


class Row(NamedTuple):
    """reason: what runs or follows it; sets_off: what a user does that sets it off; unasked: that is no order to
    run anything, so it is red."""

    reason: str
    sets_off: str
    unasked: bool = True


GIT = "any git command there, a prompt that shows the branch"
ROWS = {
    # git's, which no mount can close
    "repository": Row("a git repository: git runs what its configuration and hooks name", GIT),
    "bare": Row("git takes it for a repository, and runs what its configuration and hooks name", GIT),
    "pointer": Row("leads git to a repository, whose configuration and hooks it runs", GIT),
    "gitlink": Row("git enters it as a submodule, and runs what its configuration names", "git status in the project"),
    "unlisted": Row("an index whose submodules cannot be listed; git may enter new ones", "git status in the project"),
    "link": Row("a link in a git directory: git writes and reads through it", "git commit, git fetch"),
    "config": Row("names programs that git runs, or files that it includes", GIT),
    "commondir": Row("leads git to another configuration", GIT),
    "hook": Row("git runs it", "git commit, switch, merge, push"),
    "todo": Row("the rebase that it belongs to runs its exec lines", "git rebase --continue"),
    "entry": Row("a working tree was added; its metadata is protected from the next launch on", "git in it", False),
    "alternates": Row("git reads objects from there", "any git command", False),
    "closed": Row("cannot be looked into; what lies there may be run all the same", "cd, any git command"),
    "target": Row("your git's own configuration leads there", "git commit, any git command"),
    # the shell's
    "direnv": Row("direnv runs it", "cd"),
    "mise": Row("mise runs its hooks and sets its variables", "cd"),
    "nix": Row("nix builds it, direnv with `use flake` too", "cd, nix develop"),
    # an editor's, an agent's
    "vscode": Row("VS Code runs its tasks and the programs that it names", "opening the editor"),
    "idea": Row("JetBrains IDEs run what it names", "opening the editor"),
    "exrc": Row("vim runs it where exrc is set", "opening the editor"),
    "cargo": Row("cargo runs the programs that it names", "opening the editor (rust-analyzer), cargo"),
    "mcp": Row("agents on the host start the servers that it names", "starting an agent outside the sandbox"),
    "agent": Row("agents on the host run its hooks", "starting an agent outside the sandbox"),
    # hook managers'
    "hooks": Row("git runs it where it is set up as hooks", "git commit, switch, merge, push"),
    "hook manager": Row("the hooks that are installed run what it names", "git commit, push"),
    # what a user has to ask for
    "container": Row("builds and starts a container", "reopening in a container", False),
    "workflow": Row("the forge runs it", "a push", False),
    "make": Row("make runs it", "make", False),
    "just": Row("just runs it", "just", False),
    "package": Row("npm runs its scripts, and those of what it names", "npm install, npm run", False),
    "npmrc": Row("npm, yarn or pnpm runs what it names, and fetches from there", "npm install, npm run", False),
    "debugger": Row("the debugger runs it", "starting gdb or lldb there", False),
    "submodules": Row("git fetches submodules from there", "git submodule update", False),
}

# A name, in every directory that is looked into.
FILES = {
    ".envrc": "direnv", "mise.toml": "mise", ".mise.toml": "mise", "mise.local.toml": "mise",
    ".mise.local.toml": "mise", "flake.nix": "nix", "shell.nix": "nix",
    ".exrc": "exrc", ".nvimrc": "exrc", ".nvim.lua": "exrc", ".vimrc": "exrc", ".mcp.json": "mcp",
    "opencode.json": "mcp", ".pre-commit-config.yaml": "hook manager", "lefthook.yml": "hook manager",
    ".lefthook.yml": "hook manager", "lefthook.yaml": "hook manager", "lefthook-local.yml": "hook manager",
    ".devcontainer.json": "container", "Makefile": "make", "makefile": "make", "GNUmakefile": "make",
    "justfile": "just", ".justfile": "just", "package.json": "package", ".npmrc": "npmrc", ".yarnrc": "npmrc",
    ".yarnrc.yml": "npmrc", ".pnpmfile.cjs": "npmrc", ".gdbinit": "debugger", ".lldbinit": "debugger",
    ".gitmodules": "submodules",
}  # fmt: skip

# What lies in a directory of that name: a file, or with a slash at the end every file below.
DIRECTORIES = {
    ".vscode": (("tasks.json", "vscode"), ("settings.json", "vscode"), ("launch.json", "vscode"),
                ("mcp.json", "mcp")),
    ".idea": (("/", "idea"),),
    ".claude": (("settings.json", "agent"), ("settings.local.json", "agent")),
    ".codex": (("config.toml", "agent"),),
    ".gemini": (("settings.json", "agent"),),
    ".cursor": (("mcp.json", "mcp"),),
    ".husky": (("/", "hooks"),),
    ".githooks": (("/", "hooks"),),
    ".cargo": (("config.toml", "cargo"), ("config", "cargo")),
    ".devcontainer": (("/", "container"),),
    ".github": (("workflows/", "workflow"),),
    ".config": (("mise.toml", "mise"), ("mise/config.toml", "mise")),
    ".mise": (("config.toml", "mise"),),
}  # fmt: skip

SKIPPED = frozenset({"node_modules"})  # as large as it is written by others


def executes(text: bytes) -> bytes:
    """The lines of a rebase's todo list that run something."""
    lines = [line.strip() for line in text.splitlines()]
    return b"\n".join(line for line in lines if line.split(maxsplit=1)[:1] in ([b"exec"], [b"x"]))
