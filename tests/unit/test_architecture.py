"""The shape of docs/architecture.md, held by reading the source: imports, who starts programs, sizes, words."""

from __future__ import annotations

import ast
import functools
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src" / "claudebox"
LINES = 350

# Layers, lowest first. A module imports from lower layers and its own; plan and render not each other.
# A module that is not named here (one that such a module was split into) stands as high as what it imports.
LAYERS = (
    {"__init__"},
    {"errors"},
    {"process", "console"},
    {"model"},
    {"profile", "agents"},
    {"plan", "render"},
    {"run", "host"},
    {"commands"},
    {"cli"},
    {"__main__"},
)
NAMED = frozenset().union(*LAYERS)

ONLY = {"__init__": set(), "errors": {"__init__"}, "model": {"__init__", "errors", "record"}}

APART = {"plan": "render", "render": "plan"}
PURE = {"plan", "render"}
IMPURE_MODULES = {
    "subprocess", "socket", "shutil", "os", "pathlib", "tempfile", "glob", "fcntl", "signal", "pwd", "grp",
    "multiprocessing", "asyncio", "ctypes", "io", "mmap", "select", "selectors", "time", "platform",
}  # fmt: skip
STARTS = {"system", "popen", "fork", "forkpty"}
STARTING_MODULES = {"subprocess", "pty", "multiprocessing", "_posixsubprocess"}
FORKING = ("run/namespaces.py", "run/gateway/")


class Import(NamedTuple):
    """One imported module: `os`, `claudebox.model`; names: what `from` took of it."""

    module: str
    names: tuple[str, ...]
    line: int


def sources() -> list[Path]:
    return sorted(path for path in SOURCE.rglob("*.py") if "__pycache__" not in path.parts)


def imports(tree: ast.AST, package: tuple[str, ...]) -> Iterator[Import]:
    """Every import of a module, wherever in it; relative ones made absolute."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (Import(alias.name, (), node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else ()
            module = ".".join([*base, *filter(None, [node.module])])
            yield Import(module, tuple(alias.name for alias in node.names), node.lineno)


def unit(parts: tuple[str, ...]) -> str:
    """The part of the program that a module belongs to: the first name below `claudebox`."""
    return parts[1] if len(parts) > 1 else "__init__"


@functools.cache
def unnamed() -> dict[str, tuple[Import, ...]]:
    """The parts of the program that LAYERS does not name, with what they import."""
    found: dict[str, tuple[Import, ...]] = {}
    for path in sources():
        package = ("claudebox", *path.relative_to(SOURCE).parent.parts)
        name = unit((*package, path.stem) if path.stem != "__init__" else package)
        if name not in NAMED:
            found[name] = (*found.get(name, ()), *imports(ast.parse(path.read_text(encoding="utf-8")), package))
    return found


@functools.cache
def layer(name: str) -> int:
    """The number of a part's layer."""
    for number, names in enumerate(LAYERS):
        if name in names:
            return number
    reached = {target for found in unnamed().get(name, ()) for target in targets(found)} - {name}
    return max((layer(target) for target in reached), default=0)


def impure(name: str) -> bool:
    """Whether an unnamed part touches the machine, itself or through another one."""
    mine = unnamed().get(name, ())
    reached = {target for found in mine for target in targets(found)} - {name}
    return any(found.module.split(".")[0] in IMPURE_MODULES for found in mine) or any(map(impure, reached))


def targets(found: Import) -> Iterator[str]:
    """The parts of the program that an import reaches (`from claudebox import errors` reaches errors)."""
    parts = tuple(found.module.split("."))
    if parts[0] != "claudebox":
        return
    if len(parts) > 1:
        yield unit(parts)
        return
    known = NAMED | {path.stem for path in sources()}
    yield from (name if name in known else "__init__" for name in found.names or ("__init__",))


def import_errors(path: str, text: str) -> list[str]:
    """What one module imports against the rules; path is relative to src/claudebox."""
    where = Path(path)
    package = ("claudebox", *where.parent.parts)
    me = unit((*package, where.stem) if where.stem != "__init__" else package)
    errors = []
    for found in imports(ast.parse(text), package):
        for target in targets(found):
            if layer(target) > layer(me):
                errors.append(f"{path}:{found.line}: {me} imports {target}, which stands above it")
            if APART.get(me) == target or target not in ONLY.get(me, {target}):
                errors.append(f"{path}:{found.line}: {me} imports {target}")
            if me in PURE and (target in {"process", "console"} or impure(target)):
                errors.append(f"{path}:{found.line}: {me} is pure and imports {target}, which is not")
        top = found.module.split(".")[0]
        if me in PURE and top in IMPURE_MODULES:
            errors.append(f"{path}:{found.line}: {me} is pure and imports {top} (posixpath has the string functions)")
    if me in PURE:
        for node in ast.walk(ast.parse(text)):
            if (
                isinstance(node, ast.Call)
                and isinstance(node.func, ast.Name)
                and node.func.id in {"open", "print", "input"}
            ):
                errors.append(f"{path}:{node.lineno}: {me} is pure and calls {node.func.id}()")
    return errors


def start_errors(path: str, text: str) -> list[str]:
    """Where a module starts a program and may not."""
    if path == "process.py":
        return []
    forks = path.startswith(FORKING)
    errors = []
    tree = ast.parse(text)
    for found in imports(tree, ("claudebox",)):
        if found.module.split(".")[0] in STARTING_MODULES:
            errors.append(f"{path}:{found.line}: imports {found.module}; process.py starts programs")
        if found.module in {"os", "posix"}:
            errors.extend(f"{path}:{found.line}: imports {name}" for name in found.names if starts(name, forks))
    for node in ast.walk(tree):
        match node:
            case ast.Attribute(value=ast.Name(id="os" | "posix"), attr=name) if starts(name, forks):
                errors.append(f"{path}:{node.lineno}: os.{name}; process.py starts programs")
    return errors


def starts(name: str, forks: bool) -> bool:
    if name == "fork" and forks:
        return False
    return name in STARTS or re.match(r"(exec[lv]|spawn[lv]|posix_spawn)", name) is not None


@pytest.mark.parametrize("path", sources(), ids=lambda path: str(path.relative_to(SOURCE)))
def test_module(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    name = str(path.relative_to(SOURCE))
    errors = import_errors(name, text) + start_errors(name, text)
    # data is no code: the nouns stand in one file, whatever their number, and the suffixes of names
    if name not in ("model.py", "suffixes.py") and len(text.splitlines()) > LINES:
        errors.append(f"{name} has {len(text.splitlines())} lines, more than {LINES}")
    assert errors == []


def graph() -> dict[str, set[str]]:
    """Every module with the modules of ours that it imports."""
    modules = {}
    for path in sources():
        parts = ("claudebox", *path.relative_to(SOURCE).with_suffix("").parts)
        modules[parts[:-1] if parts[-1] == "__init__" else parts] = path
    found: dict[str, set[str]] = {}
    for parts, path in modules.items():
        package = parts if path.stem == "__init__" else parts[:-1]
        reached = set()
        for one in imports(ast.parse(path.read_text(encoding="utf-8")), package):
            base = tuple(one.module.split("."))
            reached.update(target for target in (base, *((*base, name) for name in one.names)) if target in modules)
        # a package that takes names from its own modules, and they from it, is one thing
        found[".".join(parts)] = {".".join(target) for target in reached if target != parts[: len(target)]}
    return found


def test_no_module_imports_itself_in_a_circle() -> None:
    edges, done = graph(), set()

    def visit(name: str, line: tuple[str, ...]) -> None:
        assert name not in line, " → ".join((*line[line.index(name) :], name))
        if name not in done:
            for target in sorted(edges[name]):
                visit(target, (*line, name))
            done.add(name)

    for name in edges:
        visit(name, ())


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("model.py", "from claudebox import process"),
        ("model.py", "import claudebox.cli"),
        ("errors.py", "def f():\n    from claudebox.model import Bind"),
        ("plan/git.py", "from claudebox.render import bwrap"),
        ("plan/git.py", "from ..render import bwrap"),
        ("render/bwrap.py", "from claudebox.plan.git import x"),
        ("plan/git.py", "import os"),
        ("plan/git.py", "from claudebox import process"),
        ("plan/git.py", "from claudebox.descriptors import open_parent"),
        ("plan/network/tiers.py", "from os import path"),
        ("plan/git.py", "open('/etc/passwd')"),
        ("render/audit.py", "import subprocess"),
        ("profile.py", "from claudebox import host"),
        ("host.py", "from claudebox import commands"),
    ],
)
def test_a_forbidden_import_is_found(path: str, text: str) -> None:
    assert import_errors(path, text)


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("model.py", "from claudebox.errors import ClaudeboxError"),
        ("plan/git.py", "import posixpath\nfrom claudebox.model import Bind\nfrom . import filesystem"),
        ("run/launch.py", "import os\nfrom claudebox import process\nfrom claudebox.render import bwrap"),
        ("cli.py", "from claudebox.commands import launch"),
    ],
)
def test_an_allowed_import_passes(path: str, text: str) -> None:
    assert import_errors(path, text) == []


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("host.py", "import os\nos.posix_spawn('/bin/sh', [], {})"),
        ("host.py", "from os import execv"),
        ("host.py", "import subprocess"),
        ("run/guard.py", "import os\nos.fork()"),
        ("run/namespaces.py", "import os\nos.system('true')"),
    ],
)
def test_a_module_that_starts_a_program_is_found(path: str, text: str) -> None:
    assert start_errors(path, text)


@pytest.mark.parametrize("path", ["run/namespaces.py", "run/gateway/relay.py", "process.py"])
def test_forking_into_namespaces_passes(path: str) -> None:
    assert start_errors(path, "import os\nos.fork()") == []


# Split, so that this file does not contain them.
FORBIDDEN_WORDS = re.compile(
    "|".join([r"(?<![\w./-])/wor" + r"k/(main|shared|\.library)", "TO" + "DO", "FIX" + "ME", r"\.\./sha" + "red"])
)
SKIPPED = {"node_modules", "__pycache__", "dist"}


def texts() -> Iterator[tuple[str, str]]:
    """Every text file of the checkout, tracked or about to be."""
    for path in sorted(ROOT.rglob("*")):
        relative = path.relative_to(ROOT)
        hidden = relative.parts[0].startswith(".") and len(relative.parts) > 1 and relative.parts[0] != ".ci"
        if path.is_symlink() or not path.is_file() or hidden or SKIPPED.intersection(relative.parts):
            continue
        content = path.read_bytes()
        if b"\0" not in content[:8192]:
            yield str(relative), content.decode("utf-8", errors="replace")


def test_no_file_names_this_workplace_or_leaves_work_for_later() -> None:
    found = [
        f"{name}:{number}: {match[0]}"
        for name, text in texts()
        for number, line in enumerate(text.splitlines(), 1)
        if (match := FORBIDDEN_WORDS.search(line))
    ]
    assert found == []


def test_the_forbidden_words_are_found() -> None:
    assert FORBIDDEN_WORDS.search("# TO" + "DO: later")
    assert FORBIDDEN_WORDS.search("see /wor" + "k/main/src")
    assert not FORBIDDEN_WORDS.search("a path like /home/ada/work/main of the user")
