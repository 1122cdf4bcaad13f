"""The recipes of docs/profiles.md, as they stand there: the files are taken from the page."""

from __future__ import annotations

import json
import os
import re
import socket
import threading
from pathlib import Path

import pytest

from box import Box
from capability import needs

pytestmark = needs("userns", "bwrap", "git")
PAGE = Path(__file__).parents[2] / "docs" / "profiles.md"
BLOCK = re.compile(r"```toml\n# (\S+\.toml)\n(.*?)```", re.DOTALL)


@pytest.fixture
def recipes(box: Box) -> Box:
    """A home that has all files of the page but config.toml."""
    (box.state / "profiles").mkdir(parents=True)
    for path in (box.state, box.state / "profiles"):
        path.chmod(0o700)
    found = dict(BLOCK.findall(PAGE.read_text()))
    assert {"config.toml", "profiles/database.toml", "profiles/web.toml"} < set(found)
    for name, text in found.items():
        if name != "config.toml":
            (box.state / name).write_text(text)
    return box


def plan(box: Box, *words: str, **env: str) -> dict:  # type: ignore[type-arg]
    done = box.claudebox("run", *words, "--dry-run", "--json", "--", "true", env=env)
    assert done.status == 0, done.stderr
    return json.loads(done.stdout)  # type: ignore[no-any-return]


def names(found: dict) -> set[str]:  # type: ignore[type-arg]
    return {one["name"] for one in found["environment"]}


def test_every_file_of_the_page_is_right(recipes: Box) -> None:
    (recipes.state / "config.toml").write_text(dict(BLOCK.findall(PAGE.read_text()))["config.toml"])
    done = recipes.claudebox("profile", "check")
    assert done.status == 0, done.stdout


def test_a_database_by_its_socket(recipes: Box) -> None:
    """In a directory of ours instead of /run/postgresql, which is root's on the host."""
    path = recipes.home / ".s.PGSQL.5432"
    file = recipes.state / "profiles/database.toml"
    file.write_text(file.read_text().replace('source = "/run/postgresql', 'source = "~', 1))
    ask = "import os, socket; c = socket.socket(socket.AF_UNIX); c.connect(os.environ['PGHOST'] + '/.s.PGSQL.5432')"
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(os.fspath(path))
        server.listen()
        answering = threading.Thread(target=lambda: server.accept()[0].sendall(b"ready"), daemon=True)
        answering.start()
        script = f"{ask}; print(c.recv(9).decode())"
        done = recipes.claudebox("run", "-y", "-n", "offline", "-P", "database", "--", "python3", "-c", script)
        assert (done.status, done.stdout) == (0, "ready\n"), done.stderr


@pytest.mark.parametrize(
    ("layers", "tier", "token"), [(["web"], "internet-only", True), (["web", "offline"], "offline", False)]
)
def test_two_profiles_layered(recipes: Box, layers: list[str], tier: str, token: bool) -> None:
    file = recipes.state / "profiles/database.toml"
    file.write_text(file.read_text().replace("[[mounts]]", "[[mounts]]\noptional = true"))
    found = plan(recipes, *(word for name in layers for word in ("-P", name)), "-n", tier, NPM_TOKEN="t")
    assert found["network"]["tier"] == tier
    assert ("NPM_TOKEN" in names(found)) == token
    shown = recipes.claudebox("profile", "show", *layers, "--json", env={"NPM_TOKEN": "t"})
    values = {one["name"]: one["value"] for one in json.loads(shown.stdout)["values"]}
    assert values["network"] == tier


def test_aws_with_sso(recipes: Box) -> None:
    keys = {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b", "AWS_SESSION_TOKEN": "c"}
    assert set(keys) < names(plan(recipes, "-n", "offline", "-P", "aws", **keys))
    assert not set(keys) & names(plan(recipes, "-n", "offline", **keys))


def test_a_token_for_a_registry(recipes: Box) -> None:
    found = plan(recipes, "-n", "offline", "-P", "registry", NPM_TOKEN="t0k3n")
    (token,) = [one for one in found["environment"] if one["name"] == "NPM_TOKEN"]
    assert token["secret"] is True and token["value"] is None


def test_a_monorepo(recipes: Box) -> None:
    shared = recipes.home / "code/shared"
    (shared / "schemas").mkdir(parents=True)
    (shared / "schemas/a").write_text("a\n")
    (shared / "secret").write_text("kept\n")
    script = "cat ~/code/shared/schemas/a; ls ~/code/shared; touch ~/code/shared/schemas/b 2>/dev/null || echo kept"
    done = recipes.claudebox("run", "-y", "-n", "offline", "-P", "part", "--", "sh", "-c", script)
    assert (done.status, done.stdout) == (0, "a\nschemas\nkept\n"), done.stderr


def test_data_and_results(recipes: Box) -> None:
    (recipes.home / "data/field notes").mkdir(parents=True)
    (recipes.home / "data/field notes/a").write_text("a\n")
    (recipes.home / "results").mkdir()
    script = "cat ~/data/field*/a >~/results/b; echo x 2>/dev/null >~/data/field*/a || echo kept"
    done = recipes.claudebox("run", "-y", "-n", "offline", "-P", "experiment", "--", "sh", "-c", script)
    assert (done.status, done.stdout) == (0, "kept\n"), done.stderr
    assert (recipes.home / "results/b").read_text() == "a\n"


def test_a_companys_proxy(recipes: Box) -> None:
    (recipes.home / "certificates").mkdir()
    (recipes.home / "certificates/company.pem").write_text("a certificate\n")
    proxy = {"HTTPS_PROXY": "http://192.168.7.1:3128"}
    script = "echo $HTTPS_PROXY; cat $NODE_EXTRA_CA_CERTS"
    words = ("-P", "company", "-n", "offline", "--", "sh", "-c", script)
    done = recipes.claudebox("run", "-y", *words, env=proxy)
    assert (done.status, done.stdout) == (0, "http://192.168.7.1:3128\na certificate\n"), done.stderr
    assert plan(recipes, "-P", "company", **proxy)["network"]["allow_lan"] == ["192.168.7.1:3128"]


def test_a_large_build(recipes: Box) -> None:
    script = "df --output=size -B1M /tmp | tail -1; ulimit -u"
    done = recipes.claudebox("run", "-n", "offline", "-P", "build", "--", "sh", "-c", script)
    assert done.stdout.split()[0] == "300", done.stderr
    assert plan(recipes, "-P", "build")["limits"]["processes"] == 2000


def test_tools_that_set_hooks(recipes: Box) -> None:
    script = "git config core.hooksPath .husky"
    words = ("run", "-y", "-n", "offline", "--", "sh", "-c", script)
    assert recipes.claudebox(*words).status != 0
    assert recipes.claudebox(*words[:4], "-P", "hooks", *words[4:]).status == 0
    assert "hooksPath = .husky" in (recipes.app / ".git/config").read_text()


def test_defaults_for_every_launch(recipes: Box) -> None:
    (recipes.state / "config.toml").write_text(dict(BLOCK.findall(PAGE.read_text()))["config.toml"])
    assert plan(recipes)["network"]["tier"] == "offline"
    shown = recipes.claudebox("use", "--json")
    values = {(one["name"], one["value"]): one["origin"] for one in json.loads(shown.stdout)["values"]}
    assert values["profile", "python"] == "config.toml"
    assert values["tmp", "512M"] == "~/.claudebox/config.toml:7"
