"""`claudebox auth login`: the client's own login, in a sandbox without a project, the host's directory as its store."""

from __future__ import annotations

import os
import shutil
import tempfile

from claudebox import console
from claudebox.agents import AgentSpec
from claudebox.commands import launch
from claudebox.errors import ClaudeboxError
from claudebox.model import Request, User
from claudebox.run import instance

INSIDE = "/run/login"  # where the store is in that sandbox


def log_in(spec: AgentSpec, store: str, user: User, ours: str, environment: dict[str, str]) -> int:
    """Log in; the client's exit status. Nothing is left of the sandbox: no home, no project. Raises ClaudeboxError."""
    try:
        os.makedirs(store, 0o700, exist_ok=True)
        project = tempfile.mkdtemp(prefix=".claudebox-login-", dir=user.home)
    except OSError as error:
        raise ClaudeboxError(f"cannot make {error.filename}: {error.strerror}", "free space, or check it") from None
    made = instance.identify(ours, user.uid, project)
    escaped = store.replace("\\", "\\\\").replace(":", "\\:")
    passed = [environment[name] for name in spec.login_pass if name in environment]
    certificates = [path.replace("\\", "\\\\").replace(":", "\\:") for path in passed if os.path.isfile(path)]
    request = Request(
        action="run",
        arguments=(spec.executables[0], *spec.login_command),
        project=project,
        agent=spec.name,
        no_auth=True,
        yes=True,  # it was typed, and grants what it says: the store
        mounts=(f"{escaped}:{INSIDE}:rw", *certificates),
        env=(f"{spec.login_store_variable}={INSIDE}", *(name for name in spec.login_pass if name in environment)),
    )
    console.say(f"claudebox: {spec.title} logs in here; if no browser opens, open the address and paste the code")

    def clean() -> None:
        for directory in (project, made.directory):
            shutil.rmtree(directory, ignore_errors=True)

    try:
        return launch.perform(request, environment, after=clean)
    finally:
        clean()
