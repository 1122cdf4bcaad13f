from __future__ import annotations

import pytest

from claudebox.model import BUILTIN, Bind, GitTree, Host, Project, Setting
from claudebox.plan import git


class Survey:
    """As much of a Host as the recipe reads."""

    def __init__(self, tree: GitTree | None) -> None:
        self.project = Project(root="/p", directory="/p", main="/p", git=tree)


def host(tree: GitTree | None) -> Host:
    return Survey(tree)  # type: ignore[return-value]


def tree(**changes: object) -> GitTree:
    base = GitTree("/p/.git", "/p", True, False, False, False, None)
    return base._replace(**changes)  # type: ignore[arg-type]


RO: Setting[str] = Setting("ro", BUILTIN)


def test_the_recipe_of_a_main_tree() -> None:
    made = [(m.target, m.access) for m in git.mounts(host(tree()), RO) if isinstance(m, Bind)]  # type: ignore[arg-type]
    assert made == [("/p/.git", "rw"), ("/p/.git/hooks", "ro"), ("/p/.git/config", "ro"), ("/p/.git/commondir", "ro")]


def test_every_mask_lies_in_the_repository_and_is_late() -> None:
    made = git.mounts(host(tree(worktrees=("a", "b"), worktree_config=True)), RO)  # type: ignore[arg-type]
    assert all(isinstance(m, Bind) and m.late and m.inside and m.source == m.target for m in made)
    assert [m.access for m in made if m.target.startswith("/p/.git/worktrees/")] == ["ro", "ro"]


@pytest.mark.parametrize(("there", "stubs"), [(False, ["/p/.git/commondir"]), (True, [])])
def test_a_stub_only_where_nothing_is(there: bool, stubs: list[str]) -> None:
    assert [s.path for s in git.stubs(host(tree(commondir=there)), RO)] == stubs  # type: ignore[arg-type]


def test_the_stub_says_what_was() -> None:
    (stub,) = git.stubs(host(tree()), RO)  # type: ignore[arg-type]
    assert stub.content == b"../.git\n"


def test_nothing_outside_a_repository() -> None:
    assert git.mounts(host(None), RO) == [] and git.stubs(host(None), RO) == []  # type: ignore[arg-type]


def test_a_hostile_name_stays_a_value() -> None:
    text = git.config(None, (("user.name", 'a"\n[alias]\n\tx = !evil\\'),))
    assert "\n[alias]" not in text
    assert '\tname = "a\\"\\n[alias]\\n\\tx = !evil\\\\"\n' in text
