"""Which mounts are refused, where the others land, and what is late."""

from __future__ import annotations

import pytest

from builders import HOME, OURS, make_git, make_host, make_mount, make_plan, make_profile, make_project
from claudebox.errors import ClaudeboxError
from claudebox.model import Bind, Mount, MountRequest, SandboxPlan, Stage, System, Tmpfs, is_late
from claudebox.plan import filesystem

WORKTREE = make_project("/srv/fix", git=make_git("/srv/app/.git", entry="fix", pointed=True, worktrees=("fix",)))


def planned(request: MountRequest, canonical: str = "", project: object = None) -> SandboxPlan:
    source = canonical or request.source
    host = make_host(project or make_project(git=make_git()), pinned=(source + "/",))  # type: ignore[arg-type]
    host = host._replace(sources=((request.source, source),))
    return make_plan(host, make_profile(mounts=(request,)))


REFUSED: tuple[tuple[MountRequest, str, str], ...] = (
    # what no sandbox may have
    (make_mount(OURS), "", "no sandbox may have"),
    (make_mount(f"{OURS}/instances"), "", "no sandbox may have"),
    (make_mount(HOME, "/srv/home"), "", f"contains {OURS}"),
    (make_mount(HOME, "/srv/home", access="rw"), "", "no sandbox may have"),
    (make_mount("/opt/claudebox", access="rw"), "", "claudebox's own code"),
    (make_mount("/opt/claudebox/lib/claudebox", access="rw"), "", "claudebox's own code"),
    # a way around the masks
    (make_mount("/srv/link", "/srv/link"), "/srv/app", "a link to what contains the project"),
    (make_mount("/srv/app/.git/hooks", "/srv/hooks"), "", "a second path into the git directory"),
    (make_mount("/srv/app/.git"), "", "a second path into the git directory"),
    (make_mount("/srv", "/data"), "", "a second path around its masks"),
    (make_mount("/srv/app", "/data"), "", "a second path around its masks"),
    (make_mount("/srv"), "", "it contains the project"),
    # what is made by claudebox or served by the kernel
    *((make_mount("/data", target), "", "made by claudebox itself") for target in filesystem.KEPT_TARGETS),
    *((make_mount("/data", target), "", "made by claudebox itself") for target in filesystem.MADE_FILES),
    (make_mount("/data", "/run/s/0"), "", "made by claudebox itself"),
    (make_mount("/data", "/run", access="rw"), "", "made by claudebox itself"),  # /run/s would be made in it
    (make_mount("/data", "/proc/sys"), "", "served by the kernel"),
    (make_mount("/data", "/dev/shm"), "", "served by the kernel"),
    # what would hide what matters
    (make_mount("/data", "/srv/app/.git/hooks"), "", "in the git directory"),
    (make_mount("/data", "/srv/app"), "", "would hide the project or the home"),
    (make_mount("/data", "/srv"), "", "would hide the project or the home"),
    (make_mount("/data", HOME), "", "would hide the project or the home"),
    (make_mount("/data", "/home"), "", "would hide the project or the home"),
)


@pytest.mark.parametrize(("request_", "canonical", "words"), REFUSED, ids=lambda one: str(one)[:60])
def test_a_mount_is_refused(request_: MountRequest, canonical: str, words: str) -> None:
    with pytest.raises(ClaudeboxError) as error:
        planned(request_, canonical)
    assert words in error.value.message and error.value.hint
    assert error.value.message.startswith(f"mount {request_.source} (-m): "), "it says which, and who asked"


@pytest.mark.parametrize(
    "request_",
    [
        make_mount("/data"),
        make_mount("/data", "/srv/app/data"),
        make_mount("/data", "/srv/data"),
        make_mount("/data", f"{HOME}/data"),
        make_mount("/data", "/etc/data"),
        make_mount("/data", "/run/data"),
        make_mount("/data", "/usr/local/data"),
        make_mount("/opt/claudebox"),
        make_mount("/srv/app/src", "/srv/src"),
        make_mount("/srv/application", access="rw"),
        make_mount(f"{HOME}/.claudebox-notes", access="rw"),
    ],
    ids=lambda one: f"{one.source}-{one.target}",
)
def test_its_neighbours_are_not(request_: MountRequest) -> None:
    """The controls: the same kind of path beside what is refused."""
    (made,) = [m for m in planned(request_).mounts if isinstance(m, Bind) and m.why.reason == "asked for"]
    assert (made.source, made.target, made.access) == (request_.source, request_.target, request_.access)
    assert made.pinned, "from the descriptor of the survey, never by name"


@pytest.mark.parametrize("target", ["/srv/fix", "/srv/app", "/srv/app/.git", "/srv/app/.git/hooks"])
def test_a_mount_over_a_worktree_and_its_repository(target: str) -> None:
    with pytest.raises(ClaudeboxError):
        planned(make_mount("/data", target), project=WORKTREE)
    assert planned(make_mount("/data", "/srv/elsewhere"), project=WORKTREE), "the control"


def test_an_optional_mount_that_is_missing_is_left_out() -> None:
    host = make_host()
    plan = make_plan(host, make_profile(mounts=(make_mount("/nowhere", optional=True),)))
    assert plan.mounts == make_plan(host).mounts


def binds(plan: SandboxPlan) -> dict[str, Bind]:
    return {m.target: m for m in plan.mounts if isinstance(m, Bind)}


@pytest.mark.parametrize(
    ("target", "late", "holders"),
    [
        ("/data", False, []),
        ("/run/data", False, []),
        ("/srv/app/data", True, []),  # in the project
        (f"{HOME}/data", True, []),  # a first component of the home
        (f"{HOME}/.cache/data", True, []),  # the home's own directory
        (f"{HOME}/work/a/data", True, [f"{HOME}/work"]),  # behind a first component that is held
    ],
)
def test_what_lies_where_an_agent_writes_is_late(target: str, late: bool, holders: list[str]) -> None:
    plan = planned(make_mount("/data", target))
    made = binds(plan)[target]
    assert made.late == late and bool(made.stage) == late
    held = [m for m in plan.mounts if isinstance(m, Tmpfs) and m.late]
    assert [m.target for m in held] == holders and all(m.access == "ro" for m in held)


def test_late_mounts_come_last_and_parents_first() -> None:
    plan = planned(make_mount("/data", "/srv/app/a/b/c", access="rw"))
    late = [is_late(m) for m in plan.mounts]
    assert late == sorted(late)
    places = [m.target for m in plan.mounts if is_late(m)]
    assert all(not place.startswith(after + "/") for i, place in enumerate(places) for after in places[i + 1 :])


def test_every_stage_is_of_one_mount() -> None:
    requests = tuple(make_mount("/data", f"{HOME}/{name}") for name in "abc")
    plan = make_plan(make_host(pinned=("/data/",)), make_profile(mounts=requests))
    stages = [m.stage for m in plan.mounts if isinstance(m, Bind) and m.late and not m.inside]
    assert len(set(stages)) == len(stages) and all(filesystem.below(s, filesystem.STAGING) for s in stages)


def test_host_mounts_below_a_source_come_along_with_its_access() -> None:
    submounts = (("/data/in", "0:9", "/"), ("/database", "0:8", "/"))
    host = make_host(pinned=("/data/",), submounts=submounts)
    made = binds(make_plan(host, make_profile(mounts=(make_mount("/data", "/other"),))))
    assert (made["/other/in"].source, made["/other/in"].access, made["/other/in"].submount) == ("/data/in", "ro", True)
    assert "/database" not in made and "/otherbase" not in made


def test_a_secret_is_named_whether_it_lies_below_or_above() -> None:
    for source in (f"{HOME}/.ssh", f"{HOME}/.ssh/id"):
        assert binds(planned(make_mount(source, "/x")))["/x"].sensitive == "SSH keys"
    assert binds(planned(make_mount(f"{HOME}/.sshd", "/x")))["/x"].sensitive == "", "the control"


def system(*links: tuple[str, str], binds: tuple[tuple[str, str, bool], ...] = ()) -> list[Mount]:
    made = System(kind="nixos", trees=("/nix/store",), binds=binds, links=links)
    return list(make_plan(make_host(system=made)).mounts)


def test_a_link_in_run_is_made_after_the_private_run() -> None:
    targets = [m.target for m in system(("/run/current-system", "/nix/store/s"), ("/bin", "usr/bin"))]
    assert targets.index("/bin") < targets.index("/run") < targets.index("/run/current-system")


def test_what_of_etc_lies_elsewhere_is_no_clone_of_its_stage() -> None:
    assert filesystem.configuration("/etc/x", "/etc/x", False).stage == "/run/s/etc/x"
    moved = filesystem.configuration("/etc/x", "/etc/y", False)
    assert (moved.late, moved.stage, moved.source) == (False, "", "/etc/y")
    assert filesystem.stages((moved,)) == ()
    assert filesystem.stages((filesystem.configuration("/etc/x", "/etc/x", True),)) == (Stage("/etc", "/run/s/etc"),)


@pytest.mark.parametrize(
    ("path", "directory", "expected"),
    [("/a", "/a", True), ("/a/b", "/a", True), ("/ab", "/a", False), ("/a", "/a/b", False), ("/x", "/", True)],
)
def test_below(path: str, directory: str, expected: bool) -> None:
    assert filesystem.below(path, directory) == expected
