"""`claudebox profile`, and the grants of a profile inside: they are there, and nothing else is."""

from __future__ import annotations

import json
import os
import re
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from box import Box
from capability import needs

pytestmark = [needs("userns", "bwrap", "git"), pytest.mark.uid0]
OFFLINE = ("run", "-n", "offline", "-y")


def put(box: Box, name: str, text: str) -> Path:
    """A profile, or with the name "" config.toml."""
    for directory in (box.state, box.state / "profiles"):
        directory.mkdir(mode=0o700, exist_ok=True)
    path = box.state / (f"profiles/{name}.toml" if name else "config.toml")
    path.write_text(text)
    return path


# --- the command ---------------------------------------------------------------------------------


def test_list(box: Box) -> None:
    put(box, "mine", 'description = "my \\u001b[31m own"\nextends = ["python"]\n')
    put(box, "torn", "x = ")
    done = box.claudebox("profile", "list", "--json")
    assert (done.status, done.stderr) == (0, "")
    found = {one["name"]: one for one in json.loads(done.stdout)["profiles"]}
    assert found["mine"]["description"] == "my \x1b[31m own" and found["mine"]["wrong"] is None
    assert found["torn"]["wrong"] == "~/.claudebox/profiles/torn.toml:1:5: not valid TOML: invalid value"
    assert found["python"]["file"] == "builtin/python.toml" and found["python"]["description"]
    assert {"aws", "github", "go", "node", "python", "rust", "ssh-agent"} < set(found), "the wheel has them"
    done = box.claudebox("profile", "list")
    assert "my \\x1b[31m own" in done.stdout and "\x1b" not in done.stdout


def test_show(box: Box) -> None:
    put(box, "", 'limits.tmp = "1G"\n')
    put(box, "mine", 'extends = ["github"]\n[network]\ntier = "offline"\n[env.set]\nA = "b c"\n')
    done = box.claudebox("profile", "show", "mine", "--json", env={"CLAUDEBOX_NETWORK": "full"})
    assert (done.status, done.stderr) == (0, "")
    document = json.loads(done.stdout)
    found = {(one["name"], one["value"]): one["origin"] for one in document["values"]}
    assert document["schema_version"] == 1 and document["profiles"] == ["mine"]
    assert found["network", "offline"] == "~/.claudebox/profiles/mine.toml:3"
    assert found["tmp", "1G"] == "~/.claudebox/config.toml:1"
    assert found["env", "A=b c"] == "~/.claudebox/profiles/mine.toml:5"
    assert re.fullmatch(r"builtin/github\.toml:\d+", found["env", "GH_TOKEN"])
    assert found["agent", "claude"] == found["processes", "4096"] == "builtin"
    table = box.claudebox("profile", "show", "mine").stdout.splitlines()
    assert table[0].split() == ["setting", "value", "from"] and len(table) == len(document["values"]) + 1


def test_new_is_checked_shown_and_never_overwritten(box: Box) -> None:
    done = box.claudebox("profile", "new", "mine")
    assert (done.status, done.stdout) == (0, "")
    assert done.stderr == "made ~/.claudebox/profiles/mine.toml: edit it, then claudebox profile check mine\n"
    path = box.state / "profiles" / "mine.toml"
    assert path.stat().st_mode & 0o777 == 0o600 and box.state.stat().st_mode & 0o777 == 0o700
    assert box.claudebox("profile", "check", "mine").status == 0
    assert box.claudebox(*OFFLINE, "-P", "mine", "--", "true").status == 0
    path.write_text("# mine\n")
    done = box.claudebox("profile", "new", "mine")
    assert done.status == 125 and "there is ~/.claudebox/profiles/mine.toml already" in done.stderr
    assert path.read_text() == "# mine\n"
    for name in ("../x", "a/b", "", "-x"):
        assert box.claudebox("profile", "new", "--", name).status == 125
    assert os.listdir(box.state / "profiles") == ["mine.toml"]


def test_check_says_all_that_is_wrong(box: Box) -> None:
    assert box.claudebox("profile", "check").status == 0
    put(box, "a", 'extends = ["b"]\nagent = 1\n')
    put(box, "b", 'extends = ["a"]\n')
    put(box, "", "tier = 1\n")
    done = box.claudebox("profile", "check")
    assert (done.status, done.stderr) == (1, "")
    assert done.stdout.splitlines() == [
        '~/.claudebox/config.toml:1:1: unknown key "tier", nearest is "network.tier"',
        "~/.claudebox/profiles/a.toml:2:9: agent: expected the name of an agent, not a whole number",
        "~/.claudebox/profiles/b.toml:1:12: extends: a circle: a → b → a",
    ]
    done = box.claudebox("profile", "check", "pyton", "--json")
    assert done.status == 1
    (first, second) = json.loads(done.stdout)["errors"]
    assert (first["file"], first["line"], first["column"]) == ("~/.claudebox/config.toml", 1, 1)
    assert second["line"] is None and second["text"].endswith('there is no profile "pyton", nearest is "python"')
    put(box, "", "").chmod(0o666)
    done = box.claudebox("profile", "check", "python")
    assert done.status == 1 and f"chmod go-w {box.state}/config.toml" in done.stdout


def test_schema_is_json(box: Box) -> None:
    done = box.claudebox("profile", "schema")
    assert (done.status, done.stderr) == (0, "")
    assert json.loads(done.stdout)["properties"]["network"]["properties"]["tier"]["enum"][0] == "offline"


@pytest.mark.parametrize(
    ("words", "sentence", "hint"),
    [
        (["list", "x"], "claudebox profile list takes no name", "claudebox profile --help"),
        (["new"], "claudebox profile new wants a name", "claudebox profile new mine"),
        (["show", "pyton"], '-P: there is no profile "pyton", nearest is "python"', "the profiles are aws, "),
        (["shw"], "argument COMMAND: invalid choice", "claudebox profile --help"),
    ],
)
def test_refused(box: Box, words: list[str], sentence: str, hint: str) -> None:
    done = box.claudebox("profile", *words)
    assert (done.status, done.stdout) == (125, "")
    first, second = done.stderr.splitlines()
    assert sentence in first and hint in second
    assert not box.state.exists()


def test_a_launch_with_a_wrong_profile_starts_nothing(box: Box) -> None:
    put(box, "mine", 'agent = "claude"\n[[mounts]]\nsource = "rel"\n')
    done = box.claudebox(*OFFLINE, "-P", "mine", "--", "touch", "started")
    assert done.status == 125 and "mine.toml:3:10: mounts.source: expected a path" in done.stderr
    assert not (box.app / "started").exists()


# --- the grants inside ---------------------------------------------------------------------------

SEEN = 'env | cut -d= -f1 | sort; echo --; find "$HOME" -name granted -o -name kept 2>/dev/null | sort'


def inside(box: Box, *words: str, script: str = SEEN, **env: str) -> list[str]:
    done = box.claudebox(*OFFLINE, *words, "--", "sh", "-c", script, env=env)
    assert done.status == 0, done.stderr
    return done.stdout.splitlines()


def test_the_grants_of_a_profile_are_inside_and_nothing_else(box: Box) -> None:
    for name in ("one", "two", "other"):
        (box.home / "data" / name).mkdir(parents=True)
        (box.home / "data" / name / "granted").write_text(name)
    put(
        box, "low",
        '[env]\npass = ["LOW_*"]\nset = { SET = "low" }\n'
        '[[mounts]]\nsource = "~/data/one"\n[[mounts]]\nsource = "~/data/gone"\noptional = true\n',
    )  # fmt: skip
    put(
        box, "high",
        'extends = ["low"]\n[env]\npass = ["!LOW_B", "HIGH"]\nset = { SET = "high" }\n'
        '[[mounts]]\nsource = "~/data/two"\ntarget = "~/here"\naccess = "rw"\n',
    )  # fmt: skip
    theirs = {"LOW_A": "1", "LOW_B": "2", "HIGH": "3", "NEITHER": "4", "CLAUDEBOX_PROFILE": ""}
    plain, granted = inside(box, **theirs), inside(box, "-P", "high", **theirs)
    assert set(plain[: plain.index("--")]).isdisjoint({"LOW_A", "LOW_B", "HIGH", "SET", "NEITHER"})
    assert plain[-1] == "--", "the control: no grant, no file"
    assert set(granted) - set(plain) == {
        "LOW_A", "HIGH", "SET", f"{box.home}/data/one/granted", f"{box.home}/here/granted",
    }  # fmt: skip
    assert set(plain) <= set(granted)
    tried = inside(box, "-P", "high", script='echo $SET; touch ~/here/new; touch ~/data/one/new || echo "no"')
    assert tried == ["high", "no"]
    assert (box.home / "data/two/new").exists() and not (box.home / "data/one/new").exists()


@contextmanager
def listening(path: Path) -> Iterator[None]:
    """A socket that says "granted" to whoever connects."""
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(os.fspath(path))
        server.listen()

        def answer() -> None:
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                with connection:
                    connection.sendall(b"granted")

        thread = threading.Thread(target=answer, daemon=True)
        thread.start()
        try:
            yield
        finally:
            server.shutdown(socket.SHUT_RDWR)
            thread.join()


CONNECT = """
import os, socket
try:
    client = socket.socket(socket.AF_UNIX)
    client.connect(os.environ.get("SSH_AUTH_SOCK") or "/run/ssh-agent.socket")
    print(client.recv(99).decode())
except OSError as error:
    print(error.strerror)
"""


def test_a_socket_by_the_hosts_variable(box: Box) -> None:
    path = box.home / "agent"
    ask = [*OFFLINE, "-P", "ssh-agent", "--", "python3", "-c", CONNECT]
    with listening(path):
        done = box.claudebox(*ask, env={"SSH_AUTH_SOCK": str(path)})
        assert (done.status, done.stdout) == (0, "granted\n"), done.stderr
        assert str(path) in done.stderr and "it reaches the SSH agent" in done.stderr
        without = [*OFFLINE, "--", *ask[ask.index("--") + 1 :]]
        done = box.claudebox(*without, env={"SSH_AUTH_SOCK": str(path)})
        assert (done.status, done.stdout) == (0, "No such file or directory\n"), "the variable does not pass either"
    done = box.claudebox(*ask)
    assert done.status == 125 and "in the host's SSH_AUTH_SOCK" in done.stderr
    path.unlink()
    path.write_text("no socket")
    done = box.claudebox(*ask, env={"SSH_AUTH_SOCK": str(path)})
    assert done.status == 125 and "it is no socket" in done.stderr


def test_a_socket_below_the_home(box: Box) -> None:
    path = box.home / "db.sock"
    put(box, "db", '[[mounts]]\nsource = "~/db.sock"\ntarget = "~/.run/db.sock"\nkind = "socket"\n')
    with listening(path):
        words = ["-P", "db", "-e", f"SSH_AUTH_SOCK={box.home}/.run/db.sock"]
        done = box.claudebox(*OFFLINE, *words, "--", "python3", "-c", CONNECT)
        assert (done.status, done.stdout) == (0, "granted\n"), done.stderr


# --- built-in profiles ---------------------------------------------------------------------------


def program(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)


def test_python_sees_uvs_interpreter_and_pip_keeps_its_cache_per_project(box: Box) -> None:
    real = box.home / ".local/share/uv/python/cpython-3.99"
    program(real / "bin/python3", 'exec /usr/bin/python3 "$@"')
    program(box.home / ".local/bin/uv", "echo uv")
    cache = box.home / ".cache/pip"
    cache.mkdir(parents=True)
    venv = box.app / ".venv/bin"
    venv.mkdir(parents=True)
    (venv / "python").symlink_to(real / "bin/python3")
    script = (
        '.venv/bin/python -c "print(6 * 7)"; uv; mkdir -p ~/.cache/pip && touch ~/.cache/pip/mine; echo $UV_LINK_MODE'
    )
    path = f"{box.home}/.local/bin:/usr/bin:/bin"
    assert inside(box, "-P", "python", script=script, PATH=path) == ["42", "uv", "copy"]
    assert os.listdir(cache) == []
    assert inside(box, "-P", "python", script="ls ~/.cache/pip") == ["mine"], "kept for the next session"
    assert inside(box, script=".venv/bin/python -V 2>&1 || true") != ["42"], "the control"


def test_node_of_nvm_and_fnm_is_on_path(box: Box) -> None:
    nvm = box.home / ".nvm/versions/node/v99.0.0/bin"
    fnm = box.home / ".local/share/fnm/node-versions/v98.0.0/installation/bin"
    program(nvm / "nvm-node", "echo nvm; touch $(dirname $0)/planted 2>/dev/null || echo kept")
    program(fnm / "fnm-node", "echo fnm")
    shell = box.home / ".local/state/fnm_multishells/1"
    shell.parent.mkdir(parents=True)
    shell.symlink_to(fnm.parent)
    path = f"{nvm}:{shell}/bin:/usr/bin:/bin"
    assert inside(box, "-P", "node", script="nvm-node; fnm-node", PATH=path) == ["nvm", "kept", "fnm"]
    assert inside(box, script="nvm-node 2>/dev/null; fnm-node 2>/dev/null; echo none", PATH=path) == ["none"]


def test_rust_has_the_toolchain_and_a_registry_of_its_own(box: Box) -> None:
    toolchain = box.home / ".rustup/toolchains/stable/bin"
    program(toolchain / "cargo", "mkdir -p ~/.cargo/registry && touch ~/.cargo/registry/mine && echo built")
    program(box.home / ".cargo/bin/cargo", f'exec {toolchain}/cargo "$@"')
    (box.home / ".cargo/credentials.toml").write_text("kept")
    (box.home / ".cargo/config.toml").write_text("config")
    script = "cargo build; cat ~/.cargo/config.toml; echo; test -e ~/.cargo/credentials.toml || echo none"
    path = f"{box.home}/.cargo/bin:/usr/bin:/bin"
    assert inside(box, "-P", "rust", script=script, PATH=path) == ["built", "config", "none"]
    assert not (box.home / ".cargo/registry").exists()
    tried = inside(box, "-P", "rust", script="touch ~/.cargo/bin/x ~/.rustup/x 2>/dev/null || echo kept", PATH=path)
    assert tried == ["kept"]


def test_go_keeps_its_modules_to_itself(box: Box) -> None:
    program(box.home / "sdk/go1.99/bin/go", "mkdir -p ~/go/pkg && touch ~/go/pkg/mine && echo built $GOPRIVATE")
    (box.home / "go").mkdir()
    path = f"{box.home}/sdk/go1.99/bin:/usr/bin:/bin"
    theirs = {"GOPRIVATE": "git.example", "GOPROXY": "https://user:secret@proxy"}
    assert inside(box, "-P", "go", script='go; echo "$GOPROXY"', PATH=path, **theirs) == ["built git.example", ""]
    assert os.listdir(box.home / "go") == []


def test_github_gives_git_the_token_by_gh(box: Box) -> None:
    """With a stand-in for gh that answers as `gh auth git-credential` does with GH_TOKEN."""
    program(box.app / "bin/gh", '[ "$3" != get ] || printf "username=x-access-token\\npassword=%s\\n" "$GH_TOKEN"')
    (box.home / ".config/gh").mkdir(parents=True)
    (box.home / ".config/gh/hosts.yml").write_text("oauth_token: kept")
    ask = 'printf "protocol=https\\nhost=%s\\n\\n" "$0" | GIT_TERMINAL_PROMPT=0 PATH=$PWD/bin:$PATH git credential fill'
    script = f"sh -c '{ask}' github.com | grep password; sh -c '{ask}' other.example 2>/dev/null || echo none; ls -a ~"
    found = inside(box, "-P", "github", script=script, GH_TOKEN="t0k3n")
    assert found[:2] == ["password=t0k3n", "none"] and ".config" not in found


def test_aws_passes_keys_and_mounts_names_only(box: Box) -> None:
    (box.home / ".aws").mkdir()
    (box.home / ".aws/config").write_text("[profile dev]\n")
    (box.home / ".aws/credentials").write_text("kept")
    theirs = {"AWS_ACCESS_KEY_ID": "id", "AWS_SESSION_TOKEN": "token", "AWS_CA_BUNDLE": "/x"}
    found = inside(box, "-P", "aws", script="ls ~/.aws; env | grep AWS_ | sort", **theirs)
    assert found == ["config", "AWS_ACCESS_KEY_ID=id", "AWS_SESSION_TOKEN=token"]


def test_nothing_of_the_host_is_needed(box: Box) -> None:
    """Every source of the built-in profiles is optional, but for the agent's socket."""
    every = ["python", "node", "rust", "go", "github", "aws"]
    words = [word for name in every for word in ("-P", name)]
    assert box.claudebox(*OFFLINE, *words, "--", "true").status == 0
