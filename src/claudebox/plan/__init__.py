"""PURE: decides. `build_plan` turns what was asked for and what the machine is into the plan."""

from __future__ import annotations

from claudebox.agents import AgentSpec
from claudebox.model import Bind, Host, Instance, Mount, Note, Profile, Request, SandboxPlan
from claudebox.plan import (
    agent,
    environment,
    filesystem,
    git,
    isolation,
    limits,
    login,
    network,
    packages,
    review,
    settings,
    sockets,
)


def build_plan(request: Request, profile: Profile, host: Host, spec: AgentSpec, instance: Instance) -> SandboxPlan:
    """The sandbox for this launch: every grant with its why, every weakening as a note.

    Raises ClaudeboxError for whatever cannot be enforced or must not be granted.
    """
    net, helpers, net_notes = network.build(profile, host, spec)
    console = request.action != "run"
    mounts: list[Mount] = filesystem.base_system(host.system)
    mounts += packages.mounts(profile, host)
    mounts += filesystem.made_files(host, git.config(host.project.git, host.git_settings), network.resolver_text(net))
    mounts += network.mounts(net)
    mounts += filesystem.private(profile.limits.tmp, console)
    mounts += filesystem.links(host.system, running=True)
    mounts += filesystem.own_proc_sys(host.user.uid)
    mounts.append(filesystem.home(instance.directory, host.user.home))
    mounts += filesystem.project(host)
    mounts += git.mounts(host, profile.git_config)
    mounts += filesystem.agent(host, mounts)
    mounts += environment.agent_name(spec, host.agent.command) if host.agent else []
    mounts += settings.mounts(profile, host, spec)
    mounts += filesystem.requested(profile, host)
    mounts += login.masks(request, host, spec)
    mounts += sockets.masks(mounts, host)
    tier = profile.tier.value
    made = filesystem.ordered(mounts, host.submounts)
    bounds = limits.build(profile, host)
    return SandboxPlan(
        instance=instance,
        command=agent.command(request, profile, host, spec),
        directory=host.project.directory,
        project=host.project.root,
        repository=host.project.git.common if host.project.git else "",
        home=host.user.home,
        mounts=made,
        stages=filesystem.stages(made),
        stubs=tuple(git.stubs(host, profile.git_config)),
        home_files=tuple(agent.home_files(host, spec)),
        environment=environment.build(profile, host, spec, mounts, no_auth=request.no_auth),
        isolation=isolation.build(profile, host, tier),
        limits=profile.limits,
        bounds=bounds,
        network=net,
        helpers=helpers,
        packages=packages.build(profile),
        nix=packages.nix(request, profile, host),
        agent=spec.name,
        unattended=profile.unattended.value,
        tools=host.tools,
        login=login.build(request, host, spec),
        notes=(
            *host.notes,
            *host.project.notes,
            *net_notes,
            *grants(mounts),
            *sockets.notes(mounts),
            *git.notes(host.project.git),
            *isolation.notes(profile, host, tier),
            *packages.notes(profile, host),
            *limits.notes(bounds, profile, host),
            *agent.notes(profile, host, spec),
            *settings.notes(profile, host, spec),
            *login.notes(host, spec),
            *environment.hidden(host, mounts),
        ),
        settings=tuple(settings.copies(profile, host, spec)),
        watch=git.watch(host.project),
        profiles=tuple(one.value for one in profile.profiles),
        grants=review.asked(profile, host, mounts, spec),
    )


def grants(mounts: list[Mount]) -> list[Note]:
    """A note for every mount asked for that reaches a secret, or that an agent may write outside the project."""
    found = []
    for mount in mounts:
        if not isinstance(mount, Bind) or not mount.why.origin.where:
            continue
        if mount.sensitive:
            found.append(
                Note("danger", f"{mount.source} is in the sandbox ({mount.access}): it reaches {mount.sensitive}")
            )
        elif mount.access == "rw":
            found.append(Note("weakening", f"{mount.source} outside the project can be written"))
    return found
