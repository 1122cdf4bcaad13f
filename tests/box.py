"""A user's home with one project, and the installed claudebox run in it with a clean environment.

    def test_status(box):
        done = box.claudebox("run", "-n", "offline", "--", "sh", "-c", "exit 3")
        assert (done.status, done.stdout, done.stderr) == (3, "", "")

Black box: nothing here imports claudebox.
"""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from capability import PATH, Missing, claudebox_path

Argument = str | bytes | Path


@dataclass(frozen=True)
class Result:
    """How a program ended. status: as subprocess counts, -n for signal n."""

    status: int
    stdout_bytes: bytes
    stderr_bytes: bytes

    @property
    def stdout(self) -> str:
        return os.fsdecode(self.stdout_bytes)

    @property
    def stderr(self) -> str:
        return os.fsdecode(self.stderr_bytes)


def environment(home: Path | str, extra: Mapping[str, str | None] | None = None) -> dict[str, str]:
    """The environment of every run: four variables, and what the test adds or (with None) takes away."""
    base: dict[str, str | None] = {"PATH": PATH, "HOME": str(home), "LANG": "C.UTF-8", "TERM": "dumb", **(extra or {})}
    return {name: value for name, value in base.items() if value is not None}


@dataclass(frozen=True)
class Box:
    """home: $HOME of the launches, outside /tmp; app: a git project of one commit in it, `home/code/app`;
    enter: the words in front of every command that bring it where it runs (a test world)."""

    home: Path
    program: Path
    enter: tuple[str, ...] = ()

    @property
    def app(self) -> Path:
        return self.home / "code" / "app"

    @property
    def state(self) -> Path:
        """claudebox's own directory."""
        return self.home / ".claudebox"

    def start(
        self,
        args: Sequence[Argument],
        *,
        cwd: Argument | None = None,
        env: Mapping[str, str | None] | None = None,
        **options: Any,
    ) -> subprocess.Popen[bytes]:
        """Start a program in the project; the test ends it. options are subprocess.Popen's."""
        options = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options}
        where = ("env", "-C", cwd or self.app) if self.enter else ()  # in a mount namespace of its own
        argv = [*self.enter, *where, *args]
        return subprocess.Popen(argv, cwd=cwd or self.app, env=environment(self.home, env), **options)

    def run(
        self,
        args: Sequence[Argument],
        *,
        cwd: Argument | None = None,
        env: Mapping[str, str | None] | None = None,
        input: str | bytes = b"",
        timeout: float = 60,
        **options: Any,
    ) -> Result:
        """Run a program in the project to its end, with four variables in its environment and those of env."""
        sent = os.fsencode(input)
        with self.start(args, cwd=cwd, env=env, stdin=subprocess.PIPE, **options) as process:
            try:
                out, err = process.communicate(sent, timeout=timeout)
            except subprocess.TimeoutExpired:
                process.kill()
                out, err = process.communicate(timeout=5)
                pytest.fail(f"{args!r} did not end within {timeout:g} s\nstdout: {out!r}\nstderr: {err!r}")
        return Result(process.returncode, out or b"", err or b"")

    def claudebox(self, *args: Argument, **options: Any) -> Result:
        """Run the installed claudebox with these arguments."""
        return self.run([self.program, *args], **options)

    def git(self, *args: Argument, cwd: Argument | None = None) -> str:
        """Run the host's git in the project and return what it printed; it must succeed."""
        done = self.run(["git", *args], cwd=cwd)
        assert done.status == 0, done.stderr
        return done.stdout


def make_project(box: Box) -> None:
    """A repository with a README and one commit, by a person with a name."""
    box.app.mkdir(parents=True)
    (box.home / ".gitconfig").write_text(
        "[user]\n\tname = Ada Example\n\temail = ada@example.org\n[init]\n\tdefaultBranch = main\n"
    )
    (box.app / "README").write_text("An example.\n")
    box.git("init", "-q")
    box.git("add", "README")
    box.git("commit", "-q", "-m", "Start")


@pytest.fixture(scope="session")
def claudebox() -> Path:
    """The installed console script."""
    try:
        return claudebox_path()
    except Missing as error:
        pytest.fail(str(error), pytrace=False)


@contextmanager
def made_box(claudebox: Path) -> Iterator[Box]:
    """A fresh home with a sample project. It lies in the user's home: /tmp is private in the sandbox."""
    boxes = Path(pwd.getpwuid(os.geteuid()).pw_dir if os.geteuid() else os.environ["HOME"], ".claudebox-boxes")
    boxes.mkdir(mode=0o700, exist_ok=True)
    home = Path(tempfile.mkdtemp(prefix="home-", dir=boxes.resolve()))
    try:
        made = Box(home, claudebox)
        make_project(made)
        yield made
    finally:
        _remove(home)


@pytest.fixture
def box(claudebox: Path) -> Iterator[Box]:
    """A fresh home with a sample project."""
    with made_box(claudebox) as made:
        yield made


@pytest.fixture
def run(box: Box) -> Any:
    """`run(args, cwd=, env=, input=)` in the box's project."""
    return box.run


def _remove(directory: Path) -> None:
    """Remove a tree, directories without permissions in it too."""

    def again(function: Any, path: str, _: object) -> None:
        for made in (os.path.dirname(path), path):
            if os.path.isdir(made) and not os.path.islink(made):
                os.chmod(made, 0o700)
        if os.path.isdir(path) and not os.path.islink(path):
            shutil.rmtree(path)
        elif os.path.lexists(path):
            os.unlink(path)

    shutil.rmtree(directory, onerror=again)
