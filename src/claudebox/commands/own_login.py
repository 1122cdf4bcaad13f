"""`claudebox auth` for an agent whose login is made inside, and stays in the home of a project's sandbox."""

from __future__ import annotations

import os
from collections.abc import Callable

from claudebox import console, descriptors
from claudebox.commands import launch
from claudebox.commands.calling import Call, print_json
from claudebox.errors import ClaudeboxError
from claudebox.locating import has_own_login
from claudebox.model import Request
from claudebox.run import instances
from claudebox.run.instances import Found
from claudebox.text import printable


def with_login(call: Call) -> list[Found]:
    """The instances that have one."""
    return [one for one in instances.everyone(call.ours) if has_own_login(call.spec, one.directory)]


def status(call: Call) -> int:
    """`status`: which projects' sandboxes have a login; 0 where one has."""
    found = with_login(call)
    if call.json:
        print_json({"agent": call.spec.name, "own": [one.shown for one in found]})
    elif not found:
        console.write(f"no sandbox has a login of {call.spec.title}: claudebox auth login {call.spec.name}\n", 1)
    else:
        console.write("".join(f"its own  {printable(one.shown)}\n" for one in found), 1)
    return 0 if found else 1


def login(call: Call) -> int:
    """`login`: the client's own, in this project's sandbox."""
    how = "" if call.spec.login_command else "; choose how when it asks, and leave it then"
    console.say(f"claudebox: {call.spec.title} logs in here, for this project's sandbox alone{how}")
    request = Request(
        action="run",
        arguments=(call.spec.executables[0], *call.spec.login_command),
        project=call.project,
        agent=call.spec.name,
    )
    return launch.perform(request, call.environment)


def forget(call: Call) -> int:
    """`forget`: away with it, in one project or in all."""
    chosen = with_login(call) if call.all else [instances.chosen(call.ours, call.project, call.user)]
    losing = [one.shown for one in chosen if has_own_login(call.spec, one.directory)]
    question = f"forget the login in the sandbox of {', '.join(losing)}? It is nowhere else."
    if losing and not call.yes and not console.ask(question):
        raise ClaudeboxError("nothing was forgotten", "-y does not ask")
    for one in chosen:
        with instances.held(call.ours, one) as (_, here):
            for file in call.spec.credentials:
                remove(here, file)
    if call.json:
        print_json({"forgotten": losing})
    else:
        console.say(f"forgotten: {', '.join(losing)}" if losing else "there was no login to forget")
    return 0


def remove(here: int, file: str) -> None:
    """Remove a file below an instance's home, by no link. here: the instance's directory. Raises OSError."""
    *above, name = descriptors.parts(file)
    try:
        parent = descriptors.walk(here, ["home", *above])
    except OSError:
        return
    try:
        os.unlink(name, dir_fd=parent)
    except FileNotFoundError:
        pass
    finally:
        os.close(parent)


def import_(call: Call) -> int:
    """`import`: there is no place on the host that sandboxes are served from."""
    hint = f"claudebox auth login {call.spec.name}, in each project"
    raise ClaudeboxError(f"sandboxes are not served with a login of {call.spec.title} from the host", hint)


COMMANDS: dict[str, Callable[[Call], int]] = {
    "status": status, "login": login, "import": import_, "forget": forget,
}  # fmt: skip
