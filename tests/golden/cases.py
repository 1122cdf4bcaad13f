"""The cases of the golden files: what is special about each is in its builder's arguments."""

from __future__ import annotations

from collections.abc import Callable

from builders import (
    HOME,
    make_agent,
    make_git,
    make_host,
    make_mount,
    make_plan,
    make_profile,
    make_project,
    make_request,
    make_system,
    make_uplink,
    make_user,
)
from claudebox.allowing import parse_entry
from claudebox.model import (
    AllowEntry,
    GitTree,
    Kernel,
    Layer,
    MountRequest,
    NameSet,
    Note,
    Origin,
    SandboxPlan,
    Setting,
    UserFile,
    UserSettings,
    Why,
)

CODE = f"{HOME}/code/app"
PASSED = Origin(Layer.COMMAND_LINE, "-e")
FROM_FILE = Origin(Layer.CONFIG, f"{HOME}/.claudebox/config.toml:7")


GITHUB = NameSet(
    name="github", rules=(("github.com:443", "pages", ""), ("ssh.github.com:443 none", "git over ssh", ""))
)
ALLOWED = ("docs.python.org", "@github", "*.github.io:*", "!platform.claude.com")


def allowed() -> tuple[Setting[AllowEntry], ...]:
    return tuple(Setting(parse_entry(one, Why("allow", FROM_FILE)), FROM_FILE) for one in ALLOWED)


def mounted(*mounts: MountRequest, root: str = "/srv/app", directories: bool = True) -> SandboxPlan:
    """A project with mounts that were asked for."""
    host = make_host(make_project(root), pinned=tuple(m.source + "/" * directories for m in mounts))
    return make_plan(host, make_profile(mounts=mounts))


def git_project(root: str, directory: str = "", **tree: object) -> SandboxPlan:
    return make_plan(make_host(make_project(root, directory, make_git(f"{root}/.git", **tree))))


def worktree() -> GitTree:
    """What stands beside a main tree elsewhere."""
    return make_git(worktrees=("fix", "topic"), entry="fix", pointed=True, worktree_config=True)


def agent(*command: str, grants: tuple[str, ...], version: str = "2.1.330") -> SandboxPlan:
    return make_plan(make_host(agent=make_agent(*command, grants=grants, version=version)))


def variables() -> SandboxPlan:
    given = {"TOKEN": "s3cr3t", "AWS_REGION": "eu-1", "AWS_KEY": "k3y", "LD_PRELOAD": "/x.so", "LESS": "-R"}
    profile = make_profile(
        env_pass=(Setting("TOKEN", PASSED), Setting("AWS_*", FROM_FILE), Setting("!AWS_KEY", FROM_FILE)),
        env_set=(Setting(("EDITOR", "vim"), FROM_FILE), Setting(("GREETING", "--$(id) 'x'\n"), PASSED)),
    )
    return make_plan(make_host(environment=given), profile)


def full(abi: int) -> SandboxPlan:
    kernel = Kernel(release="6.1.0", machine="x86_64", landlock_abi=abi)
    return make_plan(make_host(kernel=kernel), make_profile(tier="full"))


def nixos() -> SandboxPlan:
    system = make_system(
        kind="nixos",
        trees=("/usr", "/bin", "/nix/store"),
        binds=(("/etc/ssl", "/etc/ssl", True),),
        links=(
            ("/run/current-system", "/nix/store/s-nixos-system"),
            ("/etc/os-release", "/nix/store/e-etc/etc/os-release"),
        ),
    )
    sw = "/run/current-system/sw/bin"
    claude = "/nix/store/c-claude-code/bin/claude"
    return make_plan(
        make_host(
            system=system, agent=make_agent(claude), user=make_user(shell=f"{sw}/bash"), path=((sw, sw + "-canonical"),)
        )
    )


def unmerged() -> SandboxPlan:
    system = make_system(trees=("/usr", "/bin", "/sbin", "/lib", "/lib64"), links=())
    return make_plan(make_host(system=system))


def settings() -> UserSettings:
    """What of the user's own settings comes along: bound, merged, copied once."""
    claude = f"{HOME}/.claude"
    file = UserFile(
        path=".claude/settings.json",
        source=f"{claude}/settings.json",
        stamp="1",
        text='{"model": "opus"}\n',
        keys=(),
        notes=(Note("info", f"{claude}/settings.json comes along: model"),),
    )
    return UserSettings(
        directory=claude,
        shown=((f"{claude}/CLAUDE.md", f"{claude}/CLAUDE.md"),),
        files=(file,),
        trees=((".claude/plugins", f"{claude}/plugins", False),),
    )


def unattended() -> SandboxPlan:
    return make_plan(profile=make_profile(unattended=True), host=make_host(user=make_user(uid=0, gid=0)))


def submounts() -> SandboxPlan:
    below = (("/srv/app/data", "0:41", "/"), ("/srv/app/data/deep", "0:42", "/x"), ("/usr/local", "0:43", "/"))
    return make_plan(make_host(submounts=below))


def hostile() -> SandboxPlan:
    root = f"{HOME}/a b/$(id) `id` 'x' \"y\"\n# \x1b]0;t\x07\udcff"
    request = make_request("run", "echo", "--x", "\udcff\n", "a'b")
    return make_plan(make_host(make_project(root)), request=request)


def keys() -> SandboxPlan:
    """Logins in the environment, and a proxy with a password."""
    given = {"ANTHROPIC_API_KEY": "s3cr3t", "CLAUDE_CODE_USE_BEDROCK": "1", "AWS_ACCESS_KEY_ID": "s3cr3t"}
    proxy = {"HTTPS_PROXY": "http://ada:s3cr3t@proxy:3128", "CLAUDE_CODE_USE_VERTEX": "0", "CLOUD_ML_REGION": "s3cr3t"}
    return make_plan(make_host(environment=given | proxy))


CASES: dict[str, Callable[[], SandboxPlan]] = {
    "no-git": make_plan,
    "keys": keys,
    "no-auth": lambda: make_plan(make_host(environment={"ANTHROPIC_API_KEY": "k3y"}), None, make_request(no_auth=True)),
    "login-in-project": lambda: make_plan(make_host(make_project(CODE), login_store=f"{CODE}/.claude")),
    "main-tree": lambda: git_project("/srv/app"),
    "main-tree-in-home": lambda: git_project(CODE),
    "linked-worktrees": lambda: git_project("/srv/app", worktrees=("fix", "topic"), worktree_config=True),
    "linked-worktree": lambda: make_plan(make_host(make_project(f"{HOME}/fix", git=worktree()))),
    "bare": lambda: make_plan(make_host(make_project("/srv/app.git", git=make_git("/srv/app.git")))),
    "no-hooks": lambda: git_project("/srv/app", hooks=False, commondir=True),
    "git-config-rw": lambda: make_plan(
        make_host(make_project(git=make_git())), make_profile(git_config="rw", nested_userns=False)
    ),
    "subdirectory": lambda: git_project(CODE, f"{CODE}/src/deep"),
    "in-git-directory": lambda: git_project(CODE, f"{CODE}/.git"),
    "project-is-below-home": lambda: git_project(f"{HOME}/app"),
    "uid-0": lambda: make_plan(make_host(user=make_user(uid=0, gid=0, name="root", group="root"))),
    "full-scoped": lambda: full(6),
    "full-unscoped": lambda: full(5),
    "allowlist": lambda: make_plan(
        make_host(uplink=make_uplink(), sets=(GITHUB,)),
        make_profile(tier="allowlist", allow=allowed()),
    ),
    "internet-only": lambda: make_plan(make_host(uplink=make_uplink()), make_profile(tier="internet-only")),
    "nixos": nixos,
    "unmerged-usr": unmerged,
    "mount-ro": lambda: mounted(make_mount("/srv/data")),
    "mount-rw": lambda: mounted(make_mount("/srv/data", access="rw", origin=FROM_FILE)),
    "mount-secret": lambda: mounted(make_mount(f"{HOME}/.ssh")),
    "mount-below-project": lambda: mounted(make_mount("/srv/data", "/srv/app/data", access="rw")),
    "mount-below-home": lambda: mounted(
        make_mount("/srv/data", f"{HOME}/work/data"), make_mount("/srv/x", f"{HOME}/x")
    ),
    "mount-file-in-run": lambda: mounted(make_mount("/srv/config", "/run/config"), directories=False),
    "variables": variables,
    "agent-native": lambda: agent(
        f"{HOME}/.local/share/claude/versions/2.1.330", grants=(f"{HOME}/.local/share/claude/versions/2.1.330",)
    ),
    "agent-npm": lambda: agent(
        "/usr/bin/node", "/usr/local/lib/node_modules/@anthropic-ai/claude-code/cli.js", grants=("/usr/bin/node",)
    ),
    "agent-nvm": lambda: agent(
        f"{HOME}/.nvm/v22/bin/node",
        f"{HOME}/.nvm/v22/lib/node_modules/@anthropic-ai/claude-code/cli.js",
        grants=(f"{HOME}/.nvm/v22/lib/node_modules/@anthropic-ai/claude-code", f"{HOME}/.nvm/v22/bin/node"),
        version="2.0.1",
    ),
    "agent-nix-store": lambda: agent("/nix/store/c-claude/bin/claude", grants=("/nix/store/c-claude/bin/claude",)),
    "settings": lambda: make_plan(make_host(settings=settings())),
    "unattended-as-root": unattended,
    "submounts": submounts,
    "hostile-names": hostile,
    "run": lambda: make_plan(request=make_request("run", "make", "test")),
    "shell": lambda: make_plan(request=make_request("shell")),
    "aarch64": lambda: make_plan(make_host(kernel=Kernel(release="6.12.0", machine="aarch64", landlock_abi=6))),
}
