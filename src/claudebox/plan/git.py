"""A repository's layout → what of it is mounted how, which stubs that takes, and the made gitconfig.

For a main working tree: COMMON (its `.git`) is a mount of its own, else `mv .git x` would leave the
masks behind; read-only on it lie `hooks`, `config` and a `commondir` stub, without which the agent
could create that file and make the host's git take configuration and hooks from anywhere.
No file that git tracks is ever mounted read-only: `git switch` would keep its old content silently.
"""

from __future__ import annotations

from claudebox.model import Access, Bind, GitTree, Host, Mount, Setting, Stub, Why

# What avoids writes to the repository's own config, which is read-only: branch.*.remote of `push -u`
# and `switch --track`, submodule.*.url of `submodule init`. The three expiries and the switched-off
# maintenance: `git gc` dies with 128 on read-only worktrees otherwise.
SETTINGS = (
    ("push.default", "current"),
    ("branch.autoSetupMerge", "false"),
    ("branch.autoSetupRebase", "never"),
    ("submodule.active", "."),
    ("gc.auto", "0"),
    ("gc.reflogExpire", "never"),
    ("gc.reflogExpireUnreachable", "never"),
    ("gc.worktreePruneExpire", "never"),
    ("maintenance.auto", "false"),
)


def mounts(host: Host, access: Setting[Access]) -> list[Mount]:
    """The masks of the project's repository, parents first; none outside a repository."""
    tree = host.project.git
    if tree is None:
        return []
    common = tree.common
    made: list[Mount] = [_over_itself(common, "rw", "the repository: a mount of its own cannot be moved away")]
    if access.value == "ro":
        made.append(_over_itself(f"{common}/hooks", "ro", "the host's git would run what lies there"))
        made.append(_over_itself(f"{common}/config", "ro", "the host's git would run programs named there"))
        if tree.worktree_config:
            made.append(_over_itself(f"{common}/config.worktree", "ro", "read by git like config"))
    made.append(_over_itself(f"{common}/commondir", "ro", "could lead the host's git to another configuration"))
    if tree.worktrees is not None:
        made.append(_over_itself(f"{common}/worktrees", "rw", "a mount of its own cannot be moved away"))
        for name in tree.worktrees:
            why = "another working tree's metadata: pruned or misled otherwise"
            made.append(_over_itself(f"{common}/worktrees/{name}", "ro", why))
    return made


def stubs(host: Host, access: Setting[Access]) -> list[Stub]:
    """What must exist for a mask to lie on it and does not exist yet."""
    tree = host.project.git
    if tree is None:
        return []
    common, made = tree.common, []
    if not tree.commondir:
        # An empty one kills every git command and "." breaks libgit2; "../.git" means what it was.
        text = f"../{common.rpartition('/')[2]}\n".encode(errors="surrogateescape")
        made.append(Stub(path=f"{common}/commondir", content=text, why=Why("a mask lies on it")))
    if access.value == "ro" and not tree.hooks:
        made.append(Stub(path=f"{common}/hooks", content=None, why=Why("a mask lies on it")))
    if access.value == "ro" and tree.worktree_config and not tree.config_worktree:
        made.append(Stub(path=f"{common}/config.worktree", content=b"", why=Why("a mask lies on it")))
    return made


def config(tree: GitTree | None, user: tuple[tuple[str, str], ...]) -> str:
    """The text of the made /etc/gitconfig: ours, then the user's harmless settings."""
    lines = ["# Made by claudebox for this sandbox. `git config --global` writes to the home inside.\n"]
    for key, value in (*(SETTINGS if tree else ()), *user):
        section, _, name = key.rpartition(".")
        first, dot, subsection = section.partition(".")
        header = f'{first} "{_quoted(subsection)}"' if dot else first
        lines.append(f'[{header}]\n\t{name} = "{_quoted(value)}"\n')
    return "".join(lines)


def _over_itself(path: str, access: Access, reason: str) -> Bind:
    return Bind(source=path, target=path, access=access, late=True, inside=True, why=Why(reason))


def _quoted(text: str) -> str:
    """A value as git-config(1) wants it between double quotes."""
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n").replace("\t", "\\t").replace("\b", "\\b")
