"""Layers, origins, and what comes later."""

from __future__ import annotations

import importlib
import itertools
import sys
from pathlib import Path
from typing import Any

import pytest

from claudebox.document import Loaded, load
from claudebox.errors import ClaudeboxError
from claudebox.installable import EXPECTED
from claudebox.model import BUILTIN, Layer, Limits, MountRequest, Origin, Profile, Request, Setting
from claudebox.profile import Remembered, effective_profile, load_files

HOME, CWD = "/home/mia", "/home/mia/web"
FILE = "~/.claudebox/config.toml"


def config(text: str) -> tuple[Loaded, ...]:
    return load([(FILE, Layer.CONFIG, text.encode())])


def effective(
    toml: str | None = None,
    environment: dict[str, str] | None = None,
    remembered: Remembered | None = None,
    **request: Any,
) -> Profile:
    loaded = () if toml is None else config(toml)
    return effective_profile(
        Request("agent", **request), loaded, environment or {}, home=HOME, cwd=CWD, remembered=remembered
    )


def refusal(**arguments: Any) -> tuple[str, str]:
    with pytest.raises(ClaudeboxError) as caught:
        effective(**arguments)
    assert caught.value.exit_code == 125
    return caught.value.message, caught.value.hint


def test_built_in_defaults() -> None:
    assert effective() == Profile(
        agent=Setting("claude"),
        unattended=Setting(False),
        tier=Setting("internet-only"),
        backend=Setting("auto"),
        allow_lan=(),
        env_pass=(),
        env_set=(),
        mounts=(),
        nix_daemon=Setting(True),
        nested_userns=Setting(True),
        git_config=Setting("ro"),
        limits=Limits(processes=4096, memory="75%", tmp=2 << 30),
    )
    assert effective("# nothing\n") == effective()


def test_a_whole_config() -> None:
    profile = effective(
        """\
description = "web service"
agent = "codex"
unattended = true

[network]
tier = "offline"
backend = "auto"
allow = []

[env]
pass = ["AWS_*",
        "!AWS_PROFILE"]
set = { EDITOR = "vim -u NONE", "EMPTY" = "" }

[[mounts]]
source = "~/data/my project/\\"config\\""
[[mounts]]
source = "/srv/socket"
target = "~/socket"
access = "rw"
kind = "socket"
optional = true

[sandbox]
nix_daemon = false
nested_userns = false
git_config = "rw"

[limits]
processes = 100
memory = "4G"
tmp = "512M"
"""
    )
    first = '/home/mia/data/my project/"config"'
    assert profile == Profile(
        agent=Setting("codex", at(2)),
        unattended=Setting(True, at(3)),
        tier=Setting("offline", at(6)),
        backend=Setting("auto", at(7)),
        allow_lan=(),
        env_pass=(Setting("AWS_*", at(11)), Setting("!AWS_PROFILE", at(12))),
        env_set=(Setting(("EDITOR", "vim -u NONE"), at(13)), Setting(("EMPTY", ""), at(13))),
        mounts=(
            MountRequest(source=first, target=first, access="ro", kind="auto", optional=False, origin=at(15)),
            MountRequest(
                source="/srv/socket",
                target="/home/mia/socket",
                access="rw",
                kind="socket",
                optional=True,
                origin=at(17),
            ),
        ),
        nix_daemon=Setting(False, at(25)),
        nested_userns=Setting(False, at(26)),
        git_config=Setting("rw", at(27)),
        limits=Limits(processes=100, memory="4G", tmp=512 << 20),
    )


def at(line: int) -> Origin:
    return Origin(Layer.CONFIG, f"{FILE}:{line}")


# --- precedence ----------------------------------------------------------------------------------

LAYERS = ("config", "remembered", "environment", "command line")
ORIGINS = {
    "config": at(1),
    "remembered": Origin(Layer.REMEMBERED, "claudebox use"),
    "environment": Origin(Layer.ENVIRONMENT, "CLAUDEBOX_NETWORK"),
}


@pytest.mark.parametrize("said", [c for n in range(5) for c in itertools.combinations(LAYERS, n)])
@pytest.mark.parametrize("tiers", [("offline", "allowlist", "full", "internet-only"), ("full",) * 4])
def test_precedence_of_the_tier(said: tuple[str, ...], tiers: tuple[str, ...]) -> None:
    tier = {layer: tier if layer in said else "" for layer, tier in zip(LAYERS, tiers, strict=True)}
    found = effective_profile(
        Request("agent", network=tier["command line"]),
        config(f'network.tier = "{tier["config"]}"') if tier["config"] else (),
        {"CLAUDEBOX_NETWORK": tier["environment"]},
        home=HOME,
        cwd=CWD,
        remembered=Remembered(network=tier["remembered"]),
    ).tier
    last = said[-1] if said else None
    typed = Origin(Layer.COMMAND_LINE, f"-n {tier['command line']}")
    assert found == (Setting(tier[last], ORIGINS.get(last, typed)) if last else Setting("internet-only", BUILTIN))


def test_agent_and_unattended() -> None:
    assert effective('agent = "codex"', agent="gemini").agent == Setting(
        "gemini", Origin(Layer.COMMAND_LINE, "--agent gemini")
    )
    remembered = effective_profile(
        Request("agent"), config('agent = "codex"'), {}, home=HOME, cwd=CWD, remembered=Remembered(agent="opencode")
    )
    assert remembered.agent == Setting("opencode", Origin(Layer.REMEMBERED, "claudebox use"))
    assert effective("unattended = false", unattended=True).unattended == Setting(
        True, Origin(Layer.COMMAND_LINE, "--unattended")
    )
    assert effective("unattended = true").unattended == Setting(True, at(1))


def test_lists_add_up() -> None:
    profile = effective(
        '[env]\npass = ["A"]\nset = { B = "1" }\n[[mounts]]\nsource = "/a"\n',
        env=("C", "D=2=3", "E="),
        mounts=("/b:rw",),
    )
    assert profile.env_pass == (Setting("A", at(2)), Setting("C", Origin(Layer.COMMAND_LINE, "-e C")))
    assert profile.env_set == (
        Setting(("B", "1"), at(3)),
        Setting(("D", "2=3"), Origin(Layer.COMMAND_LINE, "-e D")),
        Setting(("E", ""), Origin(Layer.COMMAND_LINE, "-e E")),
    )
    assert [(one.source, one.access, str(one.origin)) for one in profile.mounts] == [
        ("/a", "ro", f"{FILE}:4"),
        ("/b", "rw", "-m /b:rw"),
    ]


@pytest.mark.parametrize(
    ("toml", "env", "passed", "assigned"),
    [
        ('env.set = { A = "1" }', ("A=2",), [], [("A", "2")]),
        ('env.set = { A = "1" }', ("A",), ["A"], []),
        ('env.pass = ["A"]', ("A=2",), [], [("A", "2")]),
        ('env.pass = ["A*", "!AB"]', ("AB",), ["A*", "!AB", "AB"], []),
        ("", ("A=1", "A"), ["A"], []),
        ("", ("A", "A=1", "A=2"), [], [("A", "2")]),
    ],
)
def test_a_typed_variable_counts_alone(
    toml: str, env: tuple[str, ...], passed: list[str], assigned: list[tuple[str, str]]
) -> None:
    profile = effective(toml, env=env)
    assert [one.value for one in profile.env_pass] == passed
    assert [one.value for one in profile.env_set] == assigned


def test_a_value_is_no_part_of_an_origin() -> None:
    profile = effective(env=("SECRET=hunter2",))
    assert "hunter2" not in str(profile.env_set[0].origin)
    assert profile.env_set[0].value == ("SECRET", "hunter2")


def test_a_mount_replaces_one_at_its_target() -> None:
    profile = effective('[[mounts]]\nsource = "/a"\n[[mounts]]\nsource = "/b"', mounts=("/c:/a/:rw",))
    assert [(one.source, one.target) for one in profile.mounts] == [("/b", "/b"), ("/c", "/a")]


def test_links_stay_as_written(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("/etc")
    profile = effective(mounts=(f"{tmp_path}/link/x",))
    assert profile.mounts[0].source == f"{tmp_path}/link/x"


# --- refused -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "message", "hint"),
    [
        (
            {"packages": ("-x",)},
            f"--package -x: expected {EXPECTED}",
            "an example is --package python3",
        ),
        (
            {"environment": {"CLAUDEBOX_NETWORK": "of line"}},
            'CLAUDEBOX_NETWORK: there is no network tier "of line", nearest is "offline"',
            "the tiers are offline, allowlist, internet-only, full",
        ),
        ({"network": "x"}, '-n: there is no network tier "x"', "the tiers are offline, allowlist, internet-only, full"),
        (
            {"agent": "../x"},
            '--agent: "../x" is not a name of an agent',
            "an example is --agent claude",
        ),
        (
            {"mounts": ("a:b:c",)},
            '-m "a:b:c" is not SRC[:DST][:ro|rw]',
            "an example is -m ~/data:/data:rw; write \\: for a colon that belongs to a path",
        ),
        (
            {"mounts": ("a:b",)},
            '-m "a:b": expected a path that is absolute or starts with ~/',
            "an example is -m ~/data:/data:rw",
        ),
    ],
)
def test_refused(arguments: dict[str, Any], message: str, hint: str) -> None:
    assert refusal(**arguments) == (message, hint)


def test_learning_is_a_tier() -> None:
    found = effective(learn=True)
    assert found.tier == Setting("allowlist", Origin(Layer.COMMAND_LINE, "--learn")) and found.learn.value
    assert effective(learn=True, network="allowlist").tier.value == "allowlist"
    assert refusal(learn=True, network="full")[0] == "--learn means tier allowlist, not -n full"
    assert not effective().learn.value


def test_what_is_reached_over_all_layers() -> None:
    saved = Remembered(allow=("!a.example.com", "saved.example.com"), host_ports=("5432",), publish=("81:80",))
    text = """
[network]
allow = ["a.example.com", "@github", { name = "b.example.com", ports = [22], check = "none" }]
host_ports = [5432, 3306]
publish = [3000, "8080:80"]
"""
    found = effective(text, remembered=saved, allow=("c.example.com",), host_ports=("1",), publish=("3000:80",))
    said = [(one.value.written, str(one.origin)) for one in found.allow]
    assert said == [
        ("a.example.com", "~/.claudebox/config.toml:3"),
        ("@github", "~/.claudebox/config.toml:3"),
        ("b.example.com:22", "~/.claudebox/config.toml:3"),
        ("!a.example.com", "claudebox network allow"),
        ("saved.example.com", "claudebox network allow"),
        ("c.example.com", "--allow c.example.com"),
    ]
    ports = [(one.value, one.origin.layer) for one in found.host_ports]
    assert ports == [(5432, Layer.REMEMBERED), (3306, Layer.CONFIG), (1, Layer.COMMAND_LINE)]
    published = {(one.value.host, one.value.inside): one.origin.layer for one in found.publish}
    assert published == {(3000, 80): 4, (8080, 80): 1, (81, 80): 2}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"allow": ("*.com",)}, "--allow *.com: expected a wildcard below a name that is somebody's"),
        ({"allow": ("@nothing",)}, "--allow @nothing: expected a set that there is: @anthropic"),
        ({"host_ports": ("0",)}, "--host-port 0: expected a port from 1 to 65535"),
        ({"publish": ("80:",)}, "--publish 80:: expected a port from 1 to 65535"),
        ({"publish": ("x",)}, "--publish x: expected a port from 1 to 65535"),
    ],
)
def test_what_cannot_be_reached(arguments: dict[str, Any], message: str) -> None:
    assert refusal(**arguments)[0].startswith(message)


def test_an_empty_variable_says_nothing() -> None:
    assert effective(environment={"CLAUDEBOX_NETWORK": "", "CLAUDEBOX_PROFILE": ""}) == effective()


# --- config.toml ---------------------------------------------------------------------------------


def test_config_is_read_where_it_lies(tmp_path: Path) -> None:
    home = tmp_path / "box"
    where = {"ours": str(home), "home": str(tmp_path)}
    assert load_files((), {}, Remembered(), **where) == ()
    home.mkdir(mode=0o700)
    assert load_files((), {}, Remembered(), **where) == ()
    (home / "config.toml").write_text('agent = "codex"')
    (home / "config.toml").chmod(0o600)
    (loaded,) = load_files((), {}, Remembered(), **where)
    assert loaded.origin("agent") == Origin(Layer.CONFIG, "~/box/config.toml:1")


def test_a_launch_without_a_config_imports_next_to_nothing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in [name for name in sys.modules if name.split(".")[0] == "claudebox"]:
        monkeypatch.delitem(sys.modules, name)
    heavy = ("tomllib", "dataclasses", "difflib", "shlex", "json", "rich", "pathlib", "shutil")
    ours = ("document", "validate", "locate", "secret", "nearest", "console", "lineage", "checked")
    for name in (*heavy, *(f"claudebox.{one}" for one in ours)):
        monkeypatch.setitem(sys.modules, name, None)
    profile, model = importlib.import_module("claudebox.profile"), importlib.import_module("claudebox.model")
    where = {"ours": str(tmp_path), "home": "/home/mia"}
    assert profile.load_files((), {}, profile.Remembered(), **where) == ()
    request = model.Request("agent", network="offline", env=("A", "B=1"), mounts=("~/x:rw",))
    found = profile.effective_profile(request, (), {}, home=HOME, cwd=CWD)
    assert found.tier.value == "offline"
    with pytest.raises(ImportError):  # the control: a config does need them
        (tmp_path / "config.toml").write_text("")
        (tmp_path / "config.toml").chmod(0o600)
        profile.load_files((), {}, profile.Remembered(), **where)
    with pytest.raises(ImportError):
        profile.load_files(("python",), {}, profile.Remembered(), ours="/nonexistent", home="/home/mia")
