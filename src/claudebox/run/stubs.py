"""What we make on the host for a mask or a mount to lie on: recorded before it is made, gone with the last session.

A stub belongs to all sessions of the repository: were it removed while another one lives, that one's mask would be
detached. So the record adds up, and whoever leaves last removes all of it, whoever made it.
"""

from __future__ import annotations

import os

from claudebox import descriptors
from claudebox.errors import ClaudeboxError
from claudebox.jsontext import json_text
from claudebox.model import Stub, Why
from claudebox.run.instance import repair_hint
from claudebox.run.locks import Brief, Held, last

RECORD = "stubs.json"
LIMIT = 1 << 20
ESCAPE = "surrogateescape"  # bytes that are not UTF-8, as Python and JSON carry them
RECORDED = Why("recorded by a session")


def prepare(here: int, wanted: list[Stub], held: Held) -> bytes:
    """Record and make what is wanted and not there; the record. here: the instance's directory.

    Raises ClaudeboxError: a full disk, or something of another kind in the way.
    """
    with Brief(held.brief):
        before = _read(here)
        stubs = [*before, *(stub for stub in wanted if stub.path not in {one.path for one in before})]
        text = as_json(stubs)
        if stubs != before:
            try:
                descriptors.replace_file(here, RECORD, text)
            except OSError as error:
                raise ClaudeboxError(f"cannot record what is made: {error.strerror}", "free some space") from None
        for stub in wanted:
            make(stub, shared=any(one.path == stub.path for one in before))
    return text


def leave(here: int, stubs: list[Stub], record: bytes, held: Held) -> None:
    """Remove every stub, if no other session of the repository lives. stubs: this launch's, whose record it was."""
    with Brief(held.brief):
        if not last(held.repository):
            return
        now = descriptors.read_file(here, RECORD, LIMIT)
        _remove(here, stubs if now == record == as_json(stubs) else _read(here))


def sweep(here: int) -> None:
    """Remove what killed sessions left. Called while no session of the repository lives."""
    descriptors.sweep_temporary(here)
    stubs = _read(here)
    if stubs:
        _remove(here, stubs)


def _remove(here: int, stubs: list[Stub]) -> None:
    for stub in reversed(stubs):
        remove(stub)
    try:
        os.unlink(RECORD, dir_fd=here)
    except FileNotFoundError:
        pass


def _read(here: int) -> list[Stub]:
    """What is recorded. Raises ClaudeboxError for a record that no session wrote: what it named is not known."""
    text = descriptors.read_file(here, RECORD, LIMIT)
    if text is None:
        return []
    import json

    try:
        found = [_stub(one["path"], one["content"]) for one in json.loads(text)]
        if all(stub.path.startswith("/") and "\0" not in stub.path for stub in found):
            return found
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        pass
    path = os.readlink(f"/proc/self/fd/{here}") + f"/{RECORD}"
    hint = "look for .git/commondir and the like of a session that was killed, then remove that file"
    raise ClaudeboxError(f"{path} is damaged", hint)


def _stub(path: str, content: str | None) -> Stub:
    return Stub(path=path, content=None if content is None else content.encode(errors=ESCAPE), why=RECORDED)


def as_json(stubs: list[Stub]) -> bytes:
    """The record's text."""
    texts = [(s.path, None if s.content is None else s.content.decode(errors=ESCAPE)) for s in stubs]
    rows = ",\n ".join(f'{{"path": {json_text(path)}, "content": {json_text(content)}}}' for path, content in texts)
    return f"[{rows}]\n".encode()


def remove(stub: Stub) -> None:
    """Unlink what we made, if it is still that: an empty directory, or a file with our text and one name."""
    try:
        parent = descriptors.walk(None, descriptors.parts(os.path.dirname(stub.path)))
    except OSError:
        return
    name = os.path.basename(stub.path)
    try:
        if stub.content is None:
            os.rmdir(name, dir_fd=parent)
            return
        found = descriptors.read_file(parent, name, 1 << 12)
        # its start alone too: where a file cannot be made whole, a kill in between leaves it so
        ours = found is not None and stub.content.startswith(found)
        if ours and os.stat(name, dir_fd=parent, follow_symlinks=False).st_nlink == 1:
            os.unlink(name, dir_fd=parent)
    except OSError:
        pass  # no longer ours: somebody uses it
    finally:
        os.close(parent)


def make(stub: Stub, *, shared: bool) -> None:
    """Make one stub, following no link. shared: another session recorded it as well, and may have made it.

    Raises ClaudeboxError when something stands there.
    """
    parent = -1
    try:
        parent = descriptors.walk(None, descriptors.parts(os.path.dirname(stub.path)))
        name = os.path.basename(stub.path)
        if stub.content is None:
            os.mkdir(name, 0o755, dir_fd=parent)
        else:
            # whole at once: an empty `commondir` would stop every git command, on the host too
            descriptors.create_file(parent, name, stub.content)
    except OSError as error:
        if shared and isinstance(error, FileExistsError):
            return
        hint = repair_hint(error, "look at what stands there")
        raise ClaudeboxError(f"cannot make {stub.path}: {error.strerror}", hint) from None
    finally:
        if parent >= 0:
            os.close(parent)
