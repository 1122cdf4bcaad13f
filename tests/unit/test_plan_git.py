from __future__ import annotations

import pytest

from builders import make_git, make_host, make_project
from claudebox.model import BUILTIN, Access, Bind, GitTree, Host, Setting
from claudebox.plan import git


def host(tree: GitTree | None) -> Host:
    return make_host(make_project("/p", git=tree))


def tree(**changes: object) -> GitTree:
    return make_git("/p/.git", **changes)


RO: Setting[Access] = Setting("ro", BUILTIN)


def test_the_recipe_of_a_main_tree() -> None:
    made = [(m.target, m.access) for m in git.mounts(host(tree()), RO) if isinstance(m, Bind)]
    assert made == [("/p/.git", "rw"), ("/p/.git/hooks", "ro"), ("/p/.git/config", "ro"), ("/p/.git/commondir", "ro")]


def test_every_mask_lies_in_the_repository_and_is_late() -> None:
    made = git.mounts(host(tree(worktrees=("a", "b"), worktree_config=True)), RO)
    assert all(isinstance(m, Bind) and m.late and m.inside and m.source == m.target for m in made)
    assert [m.access for m in made if m.target.startswith("/p/.git/worktrees/")] == ["ro", "ro"]


@pytest.mark.parametrize(("there", "stubs"), [(False, ["/p/.git/commondir"]), (True, [])])
def test_a_stub_only_where_nothing_is(there: bool, stubs: list[str]) -> None:
    assert [s.path for s in git.stubs(host(tree(commondir=there)), RO)] == stubs


def test_the_stub_says_what_was() -> None:
    (stub,) = git.stubs(host(tree()), RO)
    assert stub.content == b"../.git\n"


def test_nothing_outside_a_repository() -> None:
    assert git.mounts(host(None), RO) == [] and git.stubs(host(None), RO) == []


def test_a_hostile_name_stays_a_value() -> None:
    text = git.config(None, (("user.name", 'a"\n[alias]\n\tx = !evil\\'),))
    assert "\n[alias]" not in text
    assert '\tname = "a\\"\\n[alias]\\n\\tx = !evil\\\\"\n' in text
