"""A repository's layout → what of it is mounted how, which stubs that takes, and the made gitconfig.

COMMON (the common git directory) is a mount of its own, else `mv .git x` would leave the masks behind. It lies in
the project, or is the project (a bare repository), or comes from elsewhere (a linked worktree, a submodule) with
nothing around it. Read-only on it lie `hooks`, `config` and a `commondir` stub, without which the agent could
create that file and make the host's git take configuration and hooks from anywhere; a `.git` that is a file
is read-only too. No file that git tracks is ever mounted read-only: `git switch` would keep its old content.
"""

from __future__ import annotations

from claudebox.model import (
    Access,
    Bind,
    GitTree,
    Host,
    Layer,
    Mount,
    MountRequest,
    Note,
    Origin,
    Project,
    Setting,
    Stub,
    Watch,
    Why,
)
from claudebox.plan import filesystem

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
    """The repository and its masks, parents first; none outside a repository."""
    tree, root = host.project.git, host.project.root
    if tree is None:
        return []
    made: list[Mount] = []
    if tree.pointed:
        made.append(_over_itself(f"{root}/.git", "ro", "leads the host's git to the repository"))
    why = "the repository: a mount of its own cannot be moved away"
    if filesystem.strictly_below(tree.common, root):
        made.append(_over_itself(tree.common, "rw", why))
    elif tree.common != root:
        bind = Bind(source=tree.common, target=tree.common, access="rw", pinned=True, why=Why(why))
        made += filesystem.placed(bind, host)
    return [*made, *_masks(tree, access), *_worktrees(tree), *_borrowed(tree, host)]


def _borrowed(tree: GitTree, host: Host) -> list[Mount]:
    """Object stores elsewhere, read-only. Raises ClaudeboxError for one that would open a way around the sandbox."""
    made: list[Mount] = []
    origin = Origin(Layer.BUILTIN, f"{tree.common}/objects/info/alternates")
    for named, store in tree.borrowed:
        pin = next(one for one in host.pins if one.path == store)
        asked = MountRequest(source=named, target=named, access="ro", kind="auto", optional=False, origin=origin)
        filesystem.check_request(asked, pin, host)
        why = Why("objects that the repository borrows", origin)
        secret = filesystem.sensitive(store, host)
        bind = Bind(source=store, target=named, access="ro", pinned=True, sensitive=secret, why=why)
        made += filesystem.placed(bind, host)
    return made


def _masks(tree: GitTree, access: Setting[Access]) -> list[Mount]:
    """What the host's git obeys, read-only."""
    common, made = tree.common, list[Mount]()
    if access.value == "ro":
        made.append(_over_itself(f"{common}/hooks", "ro", "the host's git would run what lies there"))
        made.append(_over_itself(f"{common}/config", "ro", "the host's git would run programs named there"))
        if tree.worktree_config:
            made.append(_over_itself(f"{common}/config.worktree", "ro", "read by git like config"))
    made.append(_over_itself(f"{common}/commondir", "ro", "could lead the host's git to another configuration"))
    return made


def _worktrees(tree: GitTree) -> list[Mount]:
    """Every working tree's metadata but our own is read-only as a whole: pruned, or misled, otherwise."""
    if tree.worktrees is None:
        return []
    top, made = f"{tree.common}/worktrees", list[Mount]()
    made.append(_over_itself(top, "rw", "a mount of its own cannot be moved away"))
    for name in tree.worktrees:
        if name != tree.entry:
            made.append(_over_itself(f"{top}/{name}", "ro", "another working tree's metadata"))
            continue
        made.append(_over_itself(f"{top}/{name}", "rw", "this working tree's metadata"))
        for file in ("commondir", "gitdir", *(["config.worktree"] if tree.worktree_config else [])):
            made.append(_over_itself(f"{top}/{name}/{file}", "ro", "could lead the host's git elsewhere"))
    return made


def stubs(host: Host, access: Setting[Access]) -> list[Stub]:
    """What must exist for a mask to lie on it and does not exist yet."""
    tree = host.project.git
    if tree is None:
        return []
    common, missing = tree.common, list[tuple[str, bytes | None]]()
    if not tree.commondir:
        # An empty one kills every git command and "." breaks libgit2; "../.git" means what it was.
        text = f"../{common.rpartition('/')[2]}\n".encode(errors="surrogateescape")
        missing.append((f"{common}/commondir", text))
    if access.value == "ro" and not tree.hooks:
        missing.append((f"{common}/hooks", None))
    if access.value == "ro" and tree.worktree_config and not tree.config_worktree:
        missing.append((f"{common}/config.worktree", b""))
    if tree.entry and tree.worktree_config and not tree.entry_config:
        missing.append((f"{common}/worktrees/{tree.entry}/config.worktree", b""))
    return [Stub(path=path, content=content, why=Why("a mask lies on it")) for path, content in missing]


def watch(project: Project) -> Watch:
    """What is compared at the end: no mount can close it."""
    tree = project.git
    if tree is None:
        return Watch(root=project.root)
    targets = tuple(path for path, _ in tree.targets)
    return Watch(root=project.root, common=tree.common, entry=tree.entry, targets=targets)


def notes(tree: GitTree | None) -> list[Note]:
    """What of the project the host's git runs already: git may track it, so that no mask can lie on it."""
    if tree is None or not tree.targets:
        return []
    named = ", ".join(f"{path} ({why})" for path, why in tree.targets[:5])
    more = f" and {len(tree.targets) - 5} more" if len(tree.targets) > 5 else ""
    return [Note("weakening", f"your git runs what the agent can write: {named}{more}; changes are told at the end")]


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
