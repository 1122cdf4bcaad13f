"""Sets of names that follow the user's own configuration of package managers."""

from __future__ import annotations

from pathlib import Path

import pytest

from claudebox import allowing, namesets, toolsets
from claudebox.errors import ClaudeboxError
from claudebox.model import NameSet, Why


@pytest.fixture(autouse=True)
def _no_system_files(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Only what lies in the test's own home is there."""
    read = toolsets.Reader.text
    monkeypatch.setattr(
        toolsets.Reader, "text", lambda self, path: read(self, path) if path.startswith(str(tmp_path)) else ""
    )
    monkeypatch.setattr(toolsets, "_pip_default", lambda: toolsets._defaults("pip"))


def made(name: str, home: Path, files: dict[str, str], environment: dict[str, str] | None = None) -> NameSet:
    for path, text in files.items():
        (home / path).parent.mkdir(parents=True, exist_ok=True, mode=0o755)
        (home / path).write_text(text)
        (home / path).chmod(0o644)
    home.chmod(0o755)
    return toolsets.survey((name,), str(home), environment or {}, ("/srv/app",))[0]


def hosts(found: NameSet) -> list[str]:
    return [rule for rule, _, _ in found.rules]


def test_every_set_is_of_rules_with_a_reason() -> None:
    for rules in namesets.SETS.values():
        for written, what_for in rules:
            name, _, check = written.partition(" ")
            assert allowing.parse(name, Why("")).ports and what_for and check in ("", "none")
    assert set(toolsets.TOOLS) == set(namesets.DEFAULTS)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("pip", ["pypi.org:443", "files.pythonhosted.org:443"]),
        ("npm", ["registry.npmjs.org:443"]),
        ("cargo", ["index.crates.io:443", "static.crates.io:443"]),
        ("go", ["proxy.golang.org:443", "sum.golang.org:443"]),
        ("nix", ["cache.nixos.org:443"]),
        (
            "github",
            [one.partition(" ")[0] + one[len(one) - 5 :] * one.endswith(" none") for one, _ in namesets.SETS["github"]],
        ),
    ],
)
def test_where_nothing_is_configured(name: str, expected: list[str], tmp_path: Path) -> None:
    found = made(name, tmp_path, {})
    assert hosts(found) == expected
    assert found.variables == ()


def test_pip_and_uv(tmp_path: Path) -> None:
    files = {
        ".config/pip/pip.conf": "[global]\nindex-url = https://ada:secret@pypi.example.com/simple\n"
        "extra-index-url =\n    https://one.example.com/simple\n    http://two.example.com:8080/simple\n"
        "[freeze]\nindex-url = https://not.example.com\n",
        ".config/uv/uv.toml": '[[index]]\nurl = "https://uv.example.com/simple"\ndefault = true\n'
        '[pip]\nextra-index-url = ["https://three.example.com/simple"]\n',
    }
    found = made("pip", tmp_path, files)
    assert hosts(found) == [
        "pypi.example.com:443", "one.example.com:443", "two.example.com:8080", "uv.example.com:443",
        "three.example.com:443",
    ]  # fmt: skip
    assert found.rules[0] == ("pypi.example.com:443", "as you configured it", "~/.config/pip/pip.conf")
    assert {name: value for name, value, _ in found.variables} == {
        "PIP_INDEX_URL": "https://pypi.example.com/simple",
        "PIP_EXTRA_INDEX_URL": "https://one.example.com/simple http://two.example.com:8080/simple",
        "UV_DEFAULT_INDEX": "https://uv.example.com/simple",
        "UV_INDEX": "https://three.example.com/simple",
    }
    assert "secret" not in repr(found)
    assert [note.text for note in found.notes] == [
        "@pip: the login in a URL of ~/.config/pip/pip.conf does not come along; pass one with -e"
    ]


def test_npm(tmp_path: Path) -> None:
    text = (
        "; mine\nregistry=https://npm.example.com/\n//npm.example.com/:_authToken=secret\n"
        "@corp:registry = https://corp.example.com:8443/npm/\nalways-auth=true\n"
    )
    yarn = 'npmRegistryServer: "https://yarn.example.com"\nnpmAuthToken: secret\n'
    found = made("npm", tmp_path, {".npmrc": text, ".yarnrc.yml": yarn})
    assert hosts(found) == ["npm.example.com:443", "corp.example.com:8443", "yarn.example.com:443"]
    assert found.variables == (("NPM_CONFIG_REGISTRY", "https://npm.example.com/", "~/.npmrc"),)
    assert "secret" not in repr(found)


def test_cargo(tmp_path: Path) -> None:
    text = """
[source.crates-io]
replace-with = "mirror"
[source.mirror]
registry = "sparse+https://crates.example.com/index/"
[registries.my-own]
index = "https://own.example.com/git/index"
token = "secret"
"""
    found = made("cargo", tmp_path, {".cargo/config.toml": text})
    assert hosts(found) == ["crates.example.com:443", "own.example.com:443"]
    assert found.variables == (
        ("CARGO_REGISTRIES_MY_OWN_INDEX", "https://own.example.com/git/index", "~/.cargo/config.toml"),
    )
    assert "secret" not in repr(found)


def test_go(tmp_path: Path) -> None:
    files = {".config/go/env": "GOPROXY=https://go.example.com,direct\nGOFLAGS=-x\nGOPRIVATE=corp.example.com\n"}
    found = made("go", tmp_path, files)
    assert hosts(found) == ["go.example.com:443", "sum.golang.org:443"]
    assert {name: value for name, value, _ in found.variables} == {
        "GOPROXY": "https://go.example.com,direct",
        "GOPRIVATE": "corp.example.com",
    }
    environment = {"GOPROXY": "https://ada:secret@env.example.com|direct", "GOSUMDB": "off"}
    found = made("go", tmp_path, {}, environment)
    assert hosts(found) == ["env.example.com:443"]
    assert {name: value for name, value, _ in found.variables}["GOPROXY"] == "https://env.example.com|direct"


def test_nix(tmp_path: Path) -> None:
    files = {
        ".config/nix/nix.conf": "substituters = https://nix.example.com # mine\nextra-substituters = ssh://x s3://y https://two.example.com\n"
    }
    assert hosts(made("nix", tmp_path, files)) == ["nix.example.com:443", "two.example.com:443"]


def test_apt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    texts = {
        "/etc/apt/sources.list": "# deb http://no.example.com x\n"
        "deb [arch=amd64] http://deb.example.com/debian stable main\n",
        "/etc/apt/sources.list.d/a.sources": "Types: deb\nURIs: https://a.example.com/debian\n"
        " http://b.example.com:81/x\nSuites: x\n",
        "/etc/apt/sources.list.d/b.save": "deb http://saved.example.com x\n",
    }
    monkeypatch.setattr(toolsets.Reader, "text", lambda _, path: texts.get(path, ""))
    monkeypatch.setattr(toolsets.os, "listdir", lambda _: ["b.save", "a.sources"])
    assert hosts(made("apt", tmp_path, {})) == ["deb.example.com:80", "a.example.com:443", "b.example.com:81"]


@pytest.mark.parametrize(
    "text",
    ["registry=file:///x", "registry=x", "registry=https://", "registry=https://[::1", "=", "registry=https://a b/"],
)
def test_what_names_no_host_lets_nothing_through(text: str, tmp_path: Path) -> None:
    assert hosts(made("npm", tmp_path, {".npmrc": text})) in ([], ["registry.npmjs.org:443"])


def test_a_file_that_a_sandbox_can_write_is_refused(tmp_path: Path) -> None:
    project = tmp_path / "app"
    project.mkdir()
    (project / "npmrc").write_text("registry=https://evil.example.com\n")
    (tmp_path / ".npmrc").symlink_to(project / "npmrc")
    with pytest.raises(ClaudeboxError, match="a sandbox can write it"):
        toolsets.survey(("npm",), str(tmp_path), {}, (str(project),))
    with pytest.raises(ClaudeboxError, match="a sandbox can write it"):
        toolsets.survey(("npm",), str(tmp_path), {}, (str(tmp_path),))


def test_a_file_that_others_can_write_is_refused(tmp_path: Path) -> None:
    (tmp_path / ".npmrc").write_text("registry=https://evil.example.com\n")
    (tmp_path / ".npmrc").chmod(0o666)
    with pytest.raises(ClaudeboxError, match="writable by others"):
        toolsets.survey(("npm",), str(tmp_path), {}, ())


def test_toml_that_is_none_stops(tmp_path: Path) -> None:
    with pytest.raises(ClaudeboxError, match="not valid TOML"):
        made("cargo", tmp_path, {".cargo/config.toml": "x = ["})
