"""Which variables of the host reach the sandbox, and which of them are masked where they are shown."""

from __future__ import annotations

import pytest

from builders import ENVIRONMENT, HOME, make_agent, make_host, make_mount, make_plan, make_profile, make_user
from claudebox.errors import ClaudeboxError
from claudebox.model import BUILTIN, Layer, Origin, Setting, Symlink, Variable
from claudebox.plan import environment

TYPED = Origin(Layer.COMMAND_LINE, "-e")
HOSTILE = {
    "LD_PRELOAD": "/x.so",
    "LD_LIBRARY_PATH": "/x",
    "MY_PRELOAD_LIST": "/x",
    "BASH_ENV": "/x",
    "BASH_FUNC_ls%%": "() { :; }",
    "ENV": "/x",
    "PYTHONPATH": "/x",
    "NODE_OPTIONS": "--require /x",
    "GIT_DIR": "/x",
    "GIT_SSH_COMMAND": "/x",
    "SSH_AUTH_SOCK": "/x",
    "DBUS_SESSION_BUS_ADDRESS": "unix:path=/x",
    "XDG_RUNTIME_DIR": "/run/user/1000",
    "CLAUDECODE": "1",
    "CLAUDE_CODE_ENTRYPOINT": "cli",
}


def inside(host: dict[str, str] | None = None, *passed: str, **sets: str) -> dict[str, Variable]:
    profile = make_profile(
        env_pass=tuple(Setting(one, TYPED) for one in passed),
        env_set=tuple(Setting(pair, TYPED) for pair in sets.items()),
    )
    return {v.name: v for v in make_plan(make_host(environment=host), profile).environment}


def test_it_starts_empty() -> None:
    found = inside({"SOMETHING": "x", "LESS": "-R", "AWS_KEY": "k"})
    assert not {"SOMETHING", "LESS", "AWS_KEY"} & set(found)
    assert {"HOME", "USER", "LOGNAME", "SHELL", "PATH", "TERM", "LANG"} <= set(found), "the control"


@pytest.mark.parametrize("name", [*environment.PASSED, "LC_ALL", "LC_TIME"])
def test_the_harmless_ones_pass_and_are_shown(name: str) -> None:
    found = inside({name: "value"})[name]
    assert (found.value, found.secret, found.why.origin) == ("value", False, BUILTIN)


@pytest.mark.parametrize("name", HOSTILE)
def test_what_starts_programs_passes_by_its_full_name_only(name: str) -> None:
    assert name not in inside(HOSTILE)
    assert name not in inside(HOSTILE, "*"), "no pattern brings it"
    assert name not in inside(HOSTILE, name[:2] + "*")
    assert inside(HOSTILE, name)[name].value == HOSTILE[name], "the control"


def test_patterns_take_what_they_name_and_give_it_back() -> None:
    host = {"AWS_KEY": "k", "AWS_REGION": "r", "MY_AWS": "m"}
    assert {n for n in inside(host, "AWS_*") if "AWS" in n} == {"AWS_KEY", "AWS_REGION"}
    assert {n for n in inside(host, "AWS_*", "!AWS_KEY") if "AWS" in n} == {"AWS_REGION"}
    assert {n for n in inside(host, "!AWS_KEY", "AWS_*") if "AWS" in n} == {"AWS_KEY", "AWS_REGION"}, "in order"
    assert {n for n in inside(host, "*AWS*") if "AWS" in n} == set(host)
    assert "TERM" not in inside(None, "!TERM"), "a built-in one too"
    bare = set(inside(host, "AWS_*", "!*"))
    assert {"HOME", "PATH", "USER", "SHELL"} <= bare and not bare & {"TERM", "LANG", "AWS_KEY"}, "a home there is"


def test_what_is_given_is_masked_unless_it_is_harmless() -> None:
    found = inside({"TOKEN": "s3cr3t"}, "TOKEN", EDITOR="vim", GREETING="hello")
    assert {n: found[n].secret for n in ("TOKEN", "GREETING", "EDITOR")} == {
        "TOKEN": True, "GREETING": True, "EDITOR": False,
    }  # fmt: skip
    assert "s3cr3t" not in repr(found["TOKEN"]) and found["TOKEN"].value == "s3cr3t"
    assert found["TOKEN"].why.origin == TYPED


def test_set_wins_over_passed_and_both_over_ours() -> None:
    assert inside({"EDITOR": "ed"}, "EDITOR", EDITOR="vim")["EDITOR"].value == "vim"
    assert inside(None, HOME="/elsewhere")["HOME"].value == "/elsewhere"


@pytest.mark.parametrize("name", environment.SHELL_OWN)
def test_what_the_gate_sets_itself_is_refused(name: str) -> None:
    with pytest.raises(ClaudeboxError, match=name):
        inside({name: "x"}, name)
    with pytest.raises(ClaudeboxError, match=name):
        inside(None, **{name: "x"})
    assert name not in inside({name: "x"}, "*"), "a pattern does not mean it"


def test_path_holds_what_is_visible_and_the_homes_own_bin_last() -> None:
    entries = (("/usr/bin", "/usr/bin"), ("/bin", "/usr/bin"), (f"{HOME}/.cargo/bin", f"{HOME}/.cargo/bin"),
               (f"{HOME}/.nix-profile/bin", "/nix/store/p/bin"), ("/srv/app/bin", "/srv/app/bin"))  # fmt: skip
    plan = make_plan(make_host(path=entries, system=make_host().system._replace(trees=("/usr", "/nix/store"))))
    path = next(v.value for v in plan.environment if v.name == "PATH")
    own = f"{environment.BIN}:{HOME}/.local/bin"
    assert path == f"/usr/bin:/bin:/nix/store/p/bin:/srv/app/bin:{own}"
    assert [n.text for n in plan.notes if ".cargo/bin" in n.text] == [
        f"on your PATH, not in the sandbox: {HOME}/.cargo/bin (bring one in with -m DIRECTORY)"
    ]


def test_a_mount_brings_its_path_entry() -> None:
    cargo = f"{HOME}/.cargo/bin"
    host = make_host(path=((cargo, cargo),), pinned=(cargo + "/",))
    plan = make_plan(host, make_profile(mounts=(make_mount(cargo),)))
    assert next(v.value for v in plan.environment if v.name == "PATH").startswith(cargo + ":")
    assert not [n for n in plan.notes if "not in the sandbox" in n.text]
    elsewhere = make_plan(host, make_profile(mounts=(make_mount(cargo, "/opt/cargo"),)))
    assert [n for n in elsewhere.notes if "not in the sandbox" in n.text], "at another path it is not the entry"


def test_a_venv_that_leads_out_is_named_with_what_brings_it() -> None:
    python = f"{HOME}/.local/share/uv/python/cpython/bin/python3"
    (note,) = [n.text for n in make_plan(make_host(venv=python)).notes if ".venv" in n.text]
    assert note.endswith(f"(-m {HOME}/.local/share/uv/python/cpython brings it)")
    assert not [n for n in make_plan(make_host(venv="/usr/bin/python3")).notes if ".venv" in n.text], "the control"


def test_the_agent_is_on_path_by_its_name() -> None:
    """The script under the agent's name, not what interprets it; that is there for the script's first line."""
    node, script = f"{HOME}/.nvm/bin/node", f"{HOME}/.nvm/lib/cli.js"
    plan = make_plan(make_host(agent=make_agent(node, script)))
    links = {m.target: m.to for m in plan.mounts if isinstance(m, Symlink)}
    assert links[f"{environment.BIN}/claude"] == script and links[f"{environment.BIN}/node"] == node
    native = make_plan(make_host(agent=make_agent("/opt/claude"))).mounts
    assert [m.to for m in native if isinstance(m, Symlink) and m.target.startswith(environment.BIN)] == ["/opt/claude"]


@pytest.mark.parametrize(("uid", "given"), [(1000, False), (0, True)])
def test_unattended_as_root_needs_a_word_more(uid: int, given: bool) -> None:
    host = make_host(user=make_user(uid=uid))
    names = {v.name for v in make_plan(host, make_profile(unattended=True)).environment}
    assert ("IS_SANDBOX" in names) == given
    assert "IS_SANDBOX" not in {v.name for v in make_plan(host).environment}


@pytest.mark.parametrize(
    ("pattern", "yes", "no"),
    [("A*", "AB", "BA"), ("*A", "BA", "AB"), ("*A*", "BAB", "B"), ("A", "A", "AA"), ("*", "ANY", None)],
)
def test_matches(pattern: str, yes: str, no: str | None) -> None:
    assert environment.matches(yes, (pattern,))
    assert no is None or not environment.matches(no, (pattern,))


def test_the_builders_environment_is_the_hosts() -> None:
    assert dict(make_host().environment) == ENVIRONMENT
