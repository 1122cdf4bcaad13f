"""Named profiles: what applies, in which order, from where; circles, missing ones, all errors at once."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from claudebox import lineage
from claudebox.errors import ClaudeboxError
from claudebox.lineage import Places
from claudebox.model import Layer, Origin, Profile, Request, Setting
from claudebox.profile import Remembered, effective_profile, load_files


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / "box" / "profiles").mkdir(parents=True, mode=0o700)
    (tmp_path / "box").chmod(0o700)
    return tmp_path


def put(home: Path, name: str, text: str | bytes) -> Path:
    """A profile, or with the name "" config.toml."""
    path = home / "box" / (f"profiles/{name}.toml" if name else "config.toml")
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    path.chmod(0o600)
    return path


def effective(
    home: Path, *profiles: str, environment: dict[str, str] | None = None, remembered: Any = (), **request: Any
) -> Profile:
    kept = Remembered(**dict(remembered))
    given_ = environment or {}
    files = load_files(profiles, given_, kept, ours=str(home / "box"), home=str(home))
    asked = Request("agent", profiles=profiles, **request)
    return effective_profile(asked, files, given_, home=str(home), cwd="/srv/app", remembered=kept)


def order(home: Path, *profiles: str, **options: Any) -> list[str]:
    return [one.value for one in effective(home, *profiles, **options).env_pass]


def refusal(home: Path, *profiles: str, **options: Any) -> tuple[str, str]:
    with pytest.raises(ClaudeboxError) as caught:
        effective(home, *profiles, **options)
    return caught.value.message, caught.value.hint


def chain(home: Path, **extends: list[str]) -> None:
    """Profiles that each pass a variable of their own name."""
    for name, others in extends.items():
        names = ", ".join(f'"{other}"' for other in others)
        put(home, name, f'extends = [{names}]\nagent = "{name}"\nenv.pass = ["{name}"]\n')


# --- order ---------------------------------------------------------------------------------------


def test_what_a_profile_extends_is_applied_first(home: Path) -> None:
    chain(home, a=["b", "c"], b=["d"], c=["d"], d=[])
    assert order(home, "a") == ["d", "b", "c", "a"]
    found = effective(home, "a")
    assert found.agent == Setting("a", Origin(Layer.COMMAND_LINE, "~/box/profiles/a.toml:2"))
    assert [one.value for one in found.profiles] == ["d", "b", "c", "a"]
    assert {one.origin for one in found.profiles} == {Origin(Layer.COMMAND_LINE, "-P")}


def test_several_from_left_to_right(home: Path) -> None:
    chain(home, a=["c"], b=["c"], c=[])
    assert order(home, "a", "b") == ["c", "a", "b"]
    assert effective(home, "a", "b").agent.value == "b"
    assert effective(home, "b", "a").agent.value == "a"
    assert effective(home, "a", "c").agent.value == "c", "named itself, and last"


def test_the_configuration_extends_too_and_ranks_below(home: Path) -> None:
    chain(home, a=[], b=[])
    put(home, "", 'extends = ["a"]\nenv.pass = ["config"]\n')
    assert order(home, "b") == ["a", "config", "b"]
    found = effective(home)
    assert found.agent == Setting("a", Origin(Layer.CONFIG, "~/box/profiles/a.toml:2"))
    assert found.profiles == (Setting("a", Origin(Layer.CONFIG, "config.toml")),)


def test_a_profile_replaces_a_built_in_one_and_can_extend_it(home: Path) -> None:
    built_in = effective(home, "github").env_pass
    assert str(built_in[0].origin).startswith("builtin/github.toml:")
    put(home, "github", 'env.pass = ["MINE"]')
    assert order(home, "github") == ["MINE"]
    put(home, "github", 'extends = ["github"]\nenv.pass = ["MINE"]')
    assert order(home, "github") == [*(one.value for one in built_in), "MINE"]


# --- who names them ------------------------------------------------------------------------------


def test_each_way_to_name_profiles_replaces_the_lower_one(home: Path) -> None:
    chain(home, a=[], b=[], c=[], d=[])
    put(home, "", 'env.pass = ["config"]')
    remembered, environment = {"profiles": ("a",)}, {"CLAUDEBOX_PROFILE": "b, c"}
    assert order(home, remembered=remembered) == ["config", "a"]
    assert order(home, remembered=remembered, environment=environment) == ["config", "b", "c"]
    assert order(home, "d", remembered=remembered, environment=environment) == ["config", "d"]
    assert effective(home, remembered=remembered).profiles[0].origin == Origin(Layer.REMEMBERED, "claudebox use")
    assert effective(home, environment=environment).profiles[0].origin == Origin(Layer.ENVIRONMENT, "CLAUDEBOX_PROFILE")


def test_a_profile_ranks_where_it_was_named(home: Path) -> None:
    put(home, "a", 'network.tier = "offline"')
    full = {"network": "full"}
    assert effective(home, "a", remembered=full).tier.value == "offline"
    assert effective(home, "a", environment={"CLAUDEBOX_NETWORK": "full"}).tier.value == "offline"
    assert effective(home, "a", **full).tier.value == "full"
    remembered = {"profiles": ("a",)}
    assert effective(home, remembered=remembered).tier.value == "offline"
    assert effective(home, remembered={**remembered, **full}).tier.value == "full"
    assert effective(home, remembered=remembered, environment={"CLAUDEBOX_NETWORK": "full"}).tier.value == "full"
    both = {"CLAUDEBOX_PROFILE": "a", "CLAUDEBOX_NETWORK": "full"}
    assert effective(home, environment=both).tier.value == "full"
    assert effective(home, environment={"CLAUDEBOX_PROFILE": "a"}, remembered=full).tier.value == "offline"


# --- lists ---------------------------------------------------------------------------------------


def test_lists_add_up_and_one_entry_is_taken_out(home: Path) -> None:
    put(home, "low", '[network]\nallow_lan = ["10.0.0.0/8", "db.lan"]\n[env]\npass = ["A_1", "B"]\nset.A_2 = "x"\n')
    put(home, "high", '[network]\nallow_lan = ["!db.lan", "10.1.0.0/16"]\n[env]\npass = ["!A_*", "C"]\nset.B = "y"\n')
    found = effective(home, "low", "high")
    assert [one.value.written for one in found.allow_lan] == ["10.0.0.0/8", "10.1.0.0/16"]
    assert [one.value for one in found.env_pass] == ["A_1", "!A_*", "C"]
    assert [one.value for one in found.env_set] == [("B", "y")], "set later counts, and A_2 is out"
    assert [one.value for one in effective(home, "high", "low").env_set] == [("A_2", "x")], "B passes again"


def test_a_mount_is_replaced_at_its_target(home: Path) -> None:
    put(home, "low", '[[mounts]]\nsource = "/a"\ntarget = "/t"\n[[mounts]]\nsource = "/b"\n')
    put(home, "high", '[[mounts]]\nsource = "/c"\ntarget = "/t"\naccess = "rw"\n')
    found = effective(home, "low", "high").mounts
    assert [(one.source, one.target, one.access, str(one.origin)) for one in found] == [
        ("/b", "/b", "ro", "~/box/profiles/low.toml:4"),
        ("/c", "/t", "rw", "~/box/profiles/high.toml:1"),
    ]


def test_a_source_by_a_variable_of_the_host(home: Path) -> None:
    put(home, "a", '[[mounts]]\nsource = "$SOCK"\ntarget = "/run/s.sock"\nkind = "socket"\n')
    (mount,) = effective(home, "a", environment={"SOCK": "/tmp/agent.1"}).mounts
    assert (mount.source, mount.target, mount.kind) == ("/tmp/agent.1", "/run/s.sock", "socket")
    where = "mount $SOCK (~/box/profiles/a.toml:1): expected a path"
    assert refusal(home, "a") == (f"{where} in the host's SOCK", "export SOCK, or leave out what names it")
    message, hint = refusal(home, "a", environment={"SOCK": "rel"})
    assert message.startswith(where) and hint == "correct SOCK"
    put(home, "a", '[[mounts]]\nsource = "$SOCK"\noptional = true\n')
    assert effective(home, "a").mounts == ()
    put(home, "a", '[[mounts]]\nsource = "$SOCK/x"\n')
    assert "expected a path that is absolute" in refusal(home, "a", environment={"SOCK": "/tmp"})[0]


# --- errors --------------------------------------------------------------------------------------


def test_a_circle_is_printed(home: Path) -> None:
    chain(home, a=["b"], b=["c"], c=["b"])
    assert refusal(home, "a") == (
        "~/box/profiles/c.toml:1:12: extends: a circle: b → c → b",
        "correct ~/box/profiles/c.toml",
    )
    chain(home, mine=["mine"])
    assert refusal(home, "mine")[0] == "~/box/profiles/mine.toml:1:12: extends: a circle: mine → mine"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, '-P: there is no profile "pyton", nearest is "python"'),
        ({"environment": {"CLAUDEBOX_PROFILE": "pyton"}}, 'CLAUDEBOX_PROFILE: there is no profile "pyton", nearest is'),
        ({"remembered": {"profiles": ("pyton",)}}, 'claudebox use: there is no profile "pyton", nearest is "python"'),
    ],
)
def test_a_missing_one_names_the_nearest(arguments: dict[str, Any], message: str, home: Path) -> None:
    found, hint = refusal(home, *(() if arguments else ("pyton",)), **arguments)
    assert found.startswith(message)
    assert hint.startswith("the profiles are aws, ") and "python" in hint
    assert ("claudebox use --clear" in hint) == ("remembered" in arguments)


@pytest.mark.parametrize("name", ["../config", "", ".", "a/b", "/etc/passwd", "x.toml", "-x", "a\0b", "x" * 300])
def test_a_name_leads_nowhere_else(name: str, home: Path) -> None:
    put(home, "", "")
    assert refusal(home, name)[0].startswith("-P: there is no profile ")
    if "\0" not in name:
        put(home, "a", f'extends = ["{name}"]')
        assert "~/box/profiles/a.toml:1:12: extends: expected the name of a profile" in refusal(home, "a")[0]


def test_all_errors_of_all_files_at_once(home: Path) -> None:
    put(home, "", 'extends = ["a"]\ntier = 1\n')
    put(home, "a", 'extends = ["b", "zzz", "c"]\nagent = 3\n').chmod(0o600)
    put(home, "b", "x = ")
    put(home, "c", "").chmod(0o666)
    message, hint = refusal(home, "a", "pyton")
    at = f"{home}/box/profiles"
    assert message.split("\n  ") == [
        "6 errors in ~/box/config.toml and ~/box/profiles/a.toml and ~/box/profiles/b.toml and ~/box/profiles/c.toml"
        " and -P:",
        '~/box/config.toml:2:1: unknown key "tier", nearest is "network.tier"',
        "~/box/profiles/a.toml:2:9: agent: expected the name of an agent, not a whole number",
        "~/box/profiles/b.toml:1:5: not valid TOML: invalid value",
        '~/box/profiles/a.toml:1:17: extends: there is no profile "zzz"',
        f"{at}/c.toml is writable by others than you (chmod go-w {at}/c.toml)",
        '-P: there is no profile "pyton", nearest is "python"'
        " (the profiles are a, aws, b, c, github, go, node, python, rust, ssh-agent)",
    ]
    assert hint.startswith("correct ~/box/config.toml and")


def test_a_link_is_followed_and_every_hop_judged(home: Path) -> None:
    good, open_ = home / "good", home / "open"
    for directory in (good, open_):
        directory.mkdir(mode=0o700)
        (directory / "p.toml").write_text('env.pass = ["LINKED"]')
        (directory / "p.toml").chmod(0o600)
    path = home / "box/profiles/p.toml"
    path.symlink_to(good / "p.toml")
    assert order(home, "p") == ["LINKED"]
    open_.chmod(0o777)
    path.unlink()
    path.symlink_to(open_ / "p.toml")
    assert refusal(home, "p") == (f"{open_} is writable by others than you", f"chmod go-w {open_}")
    path.unlink()
    path.symlink_to(good / "gone.toml")
    assert "cannot be read" in refusal(home, "p")[0]


@contextmanager
def closed(directory: Path) -> Iterator[None]:
    """A directory that cannot be looked into; root can, so for root it is a link that leads to itself."""
    aside = directory.with_name("aside")
    if os.geteuid() == 0:
        directory.rename(aside)
        directory.symlink_to(directory.name)
    else:
        directory.chmod(0)
    try:
        yield
    finally:
        if os.geteuid() == 0:
            directory.unlink()
            aside.rename(directory)
        directory.chmod(0o700)


def test_what_cannot_be_looked_at_is_no_reason_for_less(home: Path) -> None:
    """Neither the built-in profile instead of the user's, nor a launch without config.toml."""
    put(home, "python", 'network.tier = "offline"')
    put(home, "", 'network.tier = "offline"')
    for directory in (home / "box/profiles", home / "box"):
        with closed(directory):
            assert "cannot be read" in refusal(home, "python")[0]
            if directory.name == "box":
                assert "cannot be read" in refusal(home)[0]
    assert effective(home, "python").tier.value == "offline", "the control"


def test_far_too_many(home: Path) -> None:
    for number in range(150):
        put(home, f"p{number}", f'extends = ["p{number + 1}"]' if number < 149 else "")
    assert "these are more than 100 profiles" in refusal(home, "p0")[0]
    assert len(effective(home, "p60").profiles) == 90


# --- anything ------------------------------------------------------------------------------------

NAMES = ("a", "b", "c", "d", "python", "gone")
LINES = st.sampled_from(
    [f'extends = ["{x}", "{y}"]\n' for x in NAMES for y in NAMES]
    + ['agent = "x"\n', "unattended = true\n", "agent = 1\n", "extends = 3\n", "extends = [1]\n", 'env.pass = ["!A"]\n']
    + ['[[mounts]]\nsource = "$A"\noptional = true\n', "\0", '[network]\nallow_lan = ["!10.0.0.0/8", "db.lan"]\n']
)
FILES = st.dictionaries(st.sampled_from(["", "a", "b", "c", "d", "python"]), st.lists(LINES, max_size=4).map("".join))
ERROR = re.compile(r"~/box/[a-z/]+\.toml:[0-9]+:[0-9]+: [^\n]+|-P: there is no profile [^\n]+")


@given(FILES, st.lists(st.sampled_from(NAMES), max_size=3))
def test_any_files_give_a_profile_or_positioned_errors(files: dict[str, str], names: list[str]) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as made:
        home = Path(made)
        (home / "box" / "profiles").mkdir(parents=True, mode=0o700)
        (home / "box").chmod(0o700)
        for name, text in files.items():
            put(home, name, text)
        try:
            found = effective(home, *names)
        except ClaudeboxError as error:
            lines = error.message.split("\n  ")
            for line in lines[1:] or lines:
                assert ERROR.fullmatch(line), line
            return
    for setting in (found.agent, found.unattended, *found.env_pass, *found.allow_lan):
        where = setting.origin.where
        assert setting.origin.layer == Layer.BUILTIN or re.fullmatch(r"(~/box|builtin)/\S+:[1-9][0-9]*", where)
    assert set(names) <= {one.value for one in found.profiles}


@given(st.binary(max_size=99))
def test_any_bytes_in_a_profile_are_a_profile_or_positioned_errors(content: bytes) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as made:
        home = Path(made)
        (home / "box" / "profiles").mkdir(parents=True, mode=0o700)
        (home / "box").chmod(0o700)
        put(home, "a", content)
        put(home, "b", 'extends = ["a"]')
        try:
            effective(home, "b")
        except ClaudeboxError as error:
            lines = error.message.split("\n  ")
            for line in lines[1:] or lines:
                assert ERROR.fullmatch(line), line


def test_names_are_those_of_files(home: Path) -> None:
    chain(home, mine=[])
    (home / "box/profiles/notes.txt").touch()
    (home / "box/profiles/a b.toml").touch()
    built_in = {path.stem for path in Path(lineage.BUILTIN).glob("*.toml")}
    assert set(lineage.names(Places(str(home / "box"), str(home)).directory, lineage.BUILTIN)) == built_in | {"mine"}
    assert os.path.isdir(lineage.BUILTIN)


@pytest.mark.parametrize("name", [path.stem for path in sorted(Path(lineage.BUILTIN).glob("*.toml"))])
def test_a_built_in_profile_is_right_and_says_why(name: str, home: Path) -> None:
    environment = {"SSH_AUTH_SOCK": "/tmp/agent"}
    found = effective(home, name, environment=environment)
    assert [one.value for one in found.profiles] == [name]
    assert found.env_pass or found.env_set or found.mounts
    assert not [one for one in found.mounts if one.access == "rw"], "what a sandbox writes, the host might run"
    text = Path(lineage.BUILTIN, f"{name}.toml").read_text()
    assert text.startswith("# ") and "\ndescription = " in text
