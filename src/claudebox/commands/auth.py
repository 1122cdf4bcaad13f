"""`claudebox auth`: the login that sandboxes are served from. No token, nor a part of one, is ever shown."""

from __future__ import annotations

import os
import time
from typing import Any

from claudebox import arguments, console
from claudebox.agents import load_agent
from claudebox.commands.calling import Call, print_json
from claudebox.errors import ClaudeboxError
from claudebox.host import survey_user
from claudebox.locating import login_store
from claudebox.model import Login, Why
from claudebox.plan import broker
from claudebox.plan.broker import HostSeen, Tokens
from claudebox.plan.login import shape
from claudebox.run import instance as state
from claudebox.run import instances, notify, session
from claudebox.run.credentials import Files, Seen, host_bytes, put_host
from claudebox.run.instances import Found
from claudebox.text import printable, span

USAGE = """claudebox auth status [AGENT] [--online] [--json]
       claudebox auth login [AGENT]
       claudebox auth import [AGENT] [-C DIR] [-y] [--json]
       claudebox auth forget [AGENT] [-C DIR | --all] [-y] [--json]"""
EXAMPLES = """  status   the host's login, how long it lasts, who refreshes it, which sessions are served from it
  login    log in on the host; running sandboxes get it at once
  import   a login that was made inside a sandbox becomes the host's, after showing whose it is
  forget   take the login out of the home of this project's sandboxes, or of all; the host's is left alone

AGENT is claude, unless you name another.

examples:
  claudebox auth status --online
  claudebox auth import -C ~/code/app
  claudebox auth forget --all"""
STATES = {
    "absent": "not logged in",
    "good": "logged in",
    "due": "logged in, about to be refreshed",
    "expired": "logged in, expired: the next launch has it refreshed",
    "broken": "no longer valid",
    "odd": "the file cannot be used",
}


def auth(argv: list[str], environment: dict[str, str]) -> int:
    """Do what was typed behind `claudebox auth`; the exit status. Raises ClaudeboxError."""
    made = arguments.make("claudebox auth", USAGE, EXAMPLES)
    add = made.add_argument
    add("what", metavar="COMMAND", choices=tuple(COMMANDS), help=", ".join(COMMANDS))
    add("agent", metavar="AGENT", nargs="?", default="claude", help="whose login")
    add("-C", "--project", metavar="DIR", default="", help="import, forget: whose sandbox, instead of this project's")
    add("--online", action="store_true", help="status: ask the provider whose account it is")
    add("--all", action="store_true", help="forget: of every project")
    add("-y", "--yes", action="store_true", help="do not ask")
    add("--json", action="store_true", help="for scripts")
    typed = arguments.parse(made, argv)
    import_where = "import forget" if typed.agent == "claude" else "login import forget"
    for option, given, where in (
        ("--online", typed.online, "status"), ("--all", typed.all, "forget"), ("-C", typed.project, import_where),
    ):  # fmt: skip
        if given and typed.what not in where.split():
            raise ClaudeboxError(f"{option} goes with {where.replace(' ', ' and ')}", "claudebox auth --help")
    user = survey_user(environment)
    ours = state.find_home(environment, user.home)
    spec = load_agent(typed.agent, f"{ours}/agents")
    store = login_store(spec, user, environment, ours)
    if not store and spec.login_way != "own":
        keys = ", ".join(spec.credential_variables) or "a variable of its own"
        raise ClaudeboxError(f"the login of {spec.title} is not brokered", f"its keys pass by the environment: {keys}")
    found = Call(
        ours, user, environment, spec, store, typed.project, typed.online, typed.all, typed.yes, typed.json
    )  # fmt: skip
    if not store:
        from claudebox.commands import own_login

        return own_login.COMMANDS[typed.what](found)
    return COMMANDS[typed.what](found)


# --- looking -------------------------------------------------------------------------------------


def look(call: Call) -> tuple[HostSeen, bool]:
    """The host's login, and whether others can read its file."""
    raw, odd, open_to_others = host_bytes(call.store, file_name(call))
    return (HostSeen("odd", why=odd) if odd else broker.see_host(raw, notify.now(), shape(call.spec))), open_to_others


def file_name(call: Call) -> str:
    """The name of the credentials file."""
    return os.path.basename(call.spec.credentials[0])


def files_of(call: Call, here: int) -> Files:
    """The host's file and the copy of an instance. here: its directory."""
    login = Login(
        store=call.store, file=call.spec.credentials[0], lock=call.spec.login_lock, refresher=(), environment=(),
        needed=False, why=Why("claudebox auth"), shape=shape(call.spec), agent=call.spec.name,
    )  # fmt: skip
    files = Files(login, here, os.open("home", os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=here))
    files.stamp = None  # all of the copy is wanted, not whether it is as before
    return files


def seen_in(call: Call, here: int) -> tuple[Files, Seen]:
    """Both files of an instance; the caller's process is a short one, and the descriptors end with it."""
    files = files_of(call, here)
    try:
        directory = files.directory(make=False)
    except OSError:
        directory = -1
    return files, files.see(directory, notify.now())


def own_logins(call: Call) -> list[Found]:
    """The instances that have a login of their own."""
    found = []
    for one in instances.everyone(call.ours):
        here = instances.opened(one)
        try:
            if here >= 0 and seen_in(call, here)[1].copy.state == "own":
                found.append(one)
        except OSError:
            continue  # no home in it
    return found


def status(call: Call) -> int:
    """`status`: 0 where sandboxes get a login."""
    seen, open_to_others = look(call)
    served = [one for one in session.running(call.ours) if one.agent == call.spec.name]
    own = own_logins(call)
    account = whose(call, seen.tokens.access) if call.online and seen.tokens and seen.tokens.access else {}
    good = seen.state in ("good", "due", "expired")
    if call.json:
        tokens = seen.tokens
        print_json(
            {
                "agent": call.spec.name,
                "store": call.store,
                "state": seen.state,
                "problem": seen.why or None,
                "plan": plan_of(tokens),
                "expires": tokens.expires // 1000 if tokens and tokens.expires else None,
                "readable_by_others": open_to_others,
                "account": account or None,
                "sessions": [one.pid for one in served],
                "own": [one.shown for one in own],
            }
        )
        return 0 if good else 1
    rows = [
        ("login", f"{STATES[seen.state]} ({call.store}/{file_name(call)})" + (f": it {seen.why}" if seen.why else ""))
    ]
    rows += described(seen.tokens, account) if seen.tokens and good else []
    if open_to_others:
        rows.append(("warning", f"others can read it: chmod 600 {call.store}/{file_name(call)}"))
    if good:
        when = "started by a session or by the next launch" if call.spec.login_refresh else "whenever you use it there"
        rows.append(("refreshed", f"by {call.spec.title} on the host, {when}"))
    else:
        rows.append(("next", typed_as(call, "login")))
    rows += [("served", f"pid {one.pid}, {one.project}") for one in served]
    rows += [("its own", f"{one.shown} ({typed_as(call, 'import')} -C {one.shown})") for one in own]
    width = max(len(name) for name, _ in rows)
    console.write("".join(f"{name.ljust(width)}  {printable(text)}\n" for name, text in rows), 1)
    return 0 if good else 1


def typed_as(call: Call, word: str) -> str:
    """What to type: a command of ours for that agent."""
    return f"claudebox auth {word}" + ("" if call.spec.name == "claude" else f" {call.spec.name}")


def plan_of(tokens: Tokens | None) -> str | None:
    """The subscription that the file names."""
    found = dict(tokens.kept).get("subscriptionType") if tokens else None
    return found if isinstance(found, str) else None


def described(tokens: Tokens, account: dict[str, str]) -> list[tuple[str, str]]:
    """A login in rows: account, plan, expiry."""
    left = tokens.expires / 1000 - time.time()
    when = time.strftime("%Y-%m-%d %H:%M", time.localtime(tokens.expires / 1000))
    plan = plan_of(tokens)
    rows = list(account.items())
    rows += [("plan", plan)] if plan else []
    return [*rows, ("expires", f"{when} ({f'in {span(left)}' if left > 0 else f'{span(-left)} ago'})")]


def whose(call: Call, access: str) -> dict[str, str]:
    """Whose account an access token is of, asked of its provider, where that can be asked. Raises ClaudeboxError."""
    if not (address := call.spec.login_profile):
        return {}
    import json
    import ssl
    import urllib.request

    class Stay(urllib.request.HTTPRedirectHandler):
        """The token goes to the one address and no other."""

        def redirect_request(self, *_: Any) -> None:
            return None

    try:
        context = ssl.create_default_context()
        if extra := call.environment.get("NODE_EXTRA_CA_CERTS"):
            context.load_verify_locations(extra)
        opener = urllib.request.build_opener(Stay, urllib.request.HTTPSHandler(context=context))
        asked = urllib.request.Request(address, headers={"Authorization": f"Bearer {access}"})
        with opener.open(asked, timeout=20) as answer:
            found = json.loads(answer.read(1 << 16))
        account, organization = found.get("account", {}), found.get("organization", {})
        rows = {"account": account.get("email"), "organization": organization.get("name")}
    except (OSError, ValueError, AttributeError, RecursionError) as error:
        reason = getattr(error, "reason", "") or type(error).__name__
        raise ClaudeboxError(f"{address} does not say whose login it is: {reason}", "are you online?") from None
    return {name: text[:200] for name, text in rows.items() if isinstance(text, str)}


# --- changing ------------------------------------------------------------------------------------


def import_(call: Call) -> int:
    """`import`: a sandbox's own login becomes the host's."""
    one = instances.chosen(call.ours, call.project, call.user)
    with instances.held(call.ours, one) as (_, here):
        files, seen = seen_in(call, here)
        tokens = files.own_tokens(seen)
        if tokens is None:
            raise ClaudeboxError(f"the sandbox of {one.shown} has no login of its own", "claudebox auth status")
        account = whose(call, tokens.access)
        for name, text in described(tokens, account):
            console.say(f"{name}: {text}")
        if seen.host.state not in ("absent", "broken"):
            console.warn(f"{call.store} has a login already, which this one replaces")
        if not call.yes and not console.ask(f"move this login from the sandbox of {one.shown} to {call.store}?"):
            raise ClaudeboxError("nothing was moved", "-y does not ask")
        put_host(call.store, file_name(call), tokens, shape(call.spec))
        files.withdraw(seen)
    if call.json:
        print_json({"imported": one.shown, "account": account or None})
    else:
        console.say(f"{call.store} has it now, and sandboxes get its access token alone")
    return 0


def forget(call: Call) -> int:
    """`forget`: no login in the homes of sandboxes."""
    chosen = instances.everyone(call.ours) if call.all else [instances.chosen(call.ours, call.project, call.user)]
    own = {one.id for one in own_logins(call)}
    losing = [one.shown for one in chosen if one.id in own]
    if losing and not call.yes:
        question = f"forget the login that was made in the sandbox of {', '.join(losing)}? It is nowhere else."
        if not console.ask(question):
            raise ClaudeboxError("nothing was forgotten", "-y does not ask")
    forgotten = []
    for one in chosen:
        with instances.held(call.ours, one) as (_, here):
            files, seen = seen_in(call, here)
            if seen.copy.state in ("current", "stale", "blank", "own"):
                files.withdraw(seen)
                forgotten.append(one.shown)
    if call.json:
        print_json({"forgotten": forgotten})
    else:
        console.say(f"forgotten: {', '.join(forgotten)}" if forgotten else "there was no login to forget")
    return 0


def login(call: Call) -> int:
    """`login`: the client's own, in a sandbox without a project."""
    from claudebox.commands import logging_in

    return logging_in.log_in(call.spec, call.store, call.user, call.ours, call.environment)


COMMANDS = {"status": status, "login": login, "import": import_, "forget": forget}
