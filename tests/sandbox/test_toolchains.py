"""The built-in profiles with the real toolchains of PyPI and npm: they work, and their caches stay inside."""

from __future__ import annotations

import io
import os
import shutil
import tarfile
import zipfile
from pathlib import Path

from box import Box
from capability import PATH, needs, tool_path

pytestmark = needs("userns", "bwrap", "git")
OFFLINE = ("run", "-n", "offline", "-y")
# A registry on the sandbox's own loopback, for as long as the shell runs.
SERVE = "python3 -m http.server -d index -b 127.0.0.1 8000 >/dev/null 2>&1 & trap 'kill $!' EXIT\n"
SERVE += "until : 2>/dev/null </dev/tcp/127.0.0.1/8000; do sleep 0.02; done\n"


def inside(box: Box, profile: str, script: str, path: str) -> list[str]:
    """The lines that a shell prints in a sandbox with a profile."""
    done = box.claudebox(*OFFLINE, "-P", profile, "--", "bash", "-ec", script, env={"PATH": path}, timeout=90)
    assert done.status == 0, done.stderr + done.stdout
    return done.stdout.splitlines()


def with_index(project: Path) -> None:
    """A package index with one wheel."""
    directory = project / "index/dep"
    directory.mkdir(parents=True)
    wheel = directory / "dep-1.0-py3-none-any.whl"
    about = "dep-1.0.dist-info"
    files = {
        "dep.py": "VALUE = 42\n",
        f"{about}/METADATA": "Metadata-Version: 2.1\nName: dep\nVersion: 1.0\n",
        f"{about}/WHEEL": "Wheel-Version: 1.0\nGenerator: a test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{about}/RECORD": "",
    }
    with zipfile.ZipFile(wheel, "w") as file:
        for name, text in files.items():
            file.writestr(name, text)
    (directory / "index.html").write_text(f'<a href="{wheel.name}">{wheel.name}</a>')


@needs("uv")
def test_uv_and_pip_install_and_keep_their_caches_per_project(box: Box) -> None:
    (box.home / ".local/bin").mkdir(parents=True)
    shutil.copy2(tool_path("uv"), box.home / ".local/bin/uv")
    for cache in (".cache/uv", ".cache/pip"):
        (box.home / cache).mkdir(parents=True)
    with_index(box.app)
    show = "-c 'import dep; print(dep.VALUE)'"
    index = "--index-url http://127.0.0.1:8000"
    script = (
        f"{SERVE}uv venv -q --python /usr/bin/python3 .venv; uv pip install -q {index} dep; .venv/bin/python {show}\n"
        f"python3 -m venv other; other/bin/pip install -q --disable-pip-version-check {index} dep\n"
        f"other/bin/python {show}; other/bin/pip cache dir; mkdir -p ~/.cache/pip && echo writable\n"
    )
    path = f"{box.home}/.local/bin:{PATH}"
    expected = ["42", "42", f"{box.home}/.cache/pip", "writable"]
    assert inside(box, "python", script, path) == expected
    again = f"rm -r .venv index; uv venv -q .venv; uv pip install -q --offline {index} dep; .venv/bin/python {show}"
    assert inside(box, "python", again, path) == ["42"], "its cache is kept for the next session"
    assert os.listdir(box.home / ".cache/uv") == os.listdir(box.home / ".cache/pip") == []


def with_package(project: Path) -> None:
    """A package as npm packs it."""
    with tarfile.open(project / "dep.tgz", "w:gz") as file:
        for name, text in {
            "package.json": '{"name": "dep", "version": "1.0.0"}',
            "index.js": "module.exports = 42",
        }.items():
            member = tarfile.TarInfo(f"package/{name}")
            member.size = len(text)
            file.addfile(member, io.BytesIO(text.encode()))
    (project / "package.json").write_text('{"name": "app", "private": true}')


@needs("node", "pnpm")
def test_npm_and_pnpm_of_nvm_install_and_keep_their_caches_per_project(box: Box) -> None:
    """Node's own files as nvm lays them out: the program, and npm and pnpm as its global packages."""
    version = box.home / ".nvm/versions/node/v99.0.0"
    (version / "bin").mkdir(parents=True)
    node = shutil.which("node", path=PATH)
    assert node
    shutil.copy2(os.path.realpath(node), version / "bin/node")
    for name, program in (("npm", "bin/npm-cli.js"), ("pnpm", "bin/pnpm.cjs")):
        package = tool_path(name).resolve().parents[1]
        shutil.copytree(package, version / "lib/node_modules" / name, symlinks=True)
        (version / "bin" / name).symlink_to(f"../lib/node_modules/{name}/{program}")
    for cache in (".npm", ".local/share/pnpm"):
        (box.home / cache).mkdir(parents=True)
    with_package(box.app)
    show = "node -e 'console.log(require(\"dep\"))'"
    quiet = "--offline --silent"
    script = (
        f"which node npm pnpm; npm install {quiet} --no-audit --no-fund ./dep.tgz >/dev/null; {show}\n"
        f"rm -r node_modules; pnpm install {quiet}; {show}; test -d ~/.npm/_cacache && echo cache; pnpm store path\n"
    )
    programs = [f"{version}/bin/{name}" for name in ("node", "npm", "pnpm")]
    found = inside(box, "node", script, f"{version}/bin:{PATH}")
    assert found[:-1] == [*programs, "42", "42", "cache"]
    assert found[-1].startswith(f"{box.home}/.local/share/pnpm/store/")
    assert inside(box, "node", "test -d ~/.npm/_cacache && echo kept", f"{version}/bin:{PATH}") == ["kept"]
    assert os.listdir(box.home / ".npm") == os.listdir(box.home / ".local/share/pnpm") == []
