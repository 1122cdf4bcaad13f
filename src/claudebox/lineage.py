"""Which profiles apply, and in which order: names → files, what they extend first; all their errors at once.

A name is a file of the user's, `profiles/NAME.toml` in claudebox's directory, or a built-in one. Imported only where
a profile was named or where there is a config.toml; what parses a file, only where it was not found right before.
"""

from __future__ import annotations

import os

from claudebox import typed
from claudebox.checked import read_checked
from claudebox.errors import ClaudeboxError
from claudebox.model import Layer
from claudebox.parsed import Known, Loaded
from claudebox.record import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from claudebox.document import Positioned

BUILTIN = os.path.join(os.path.dirname(__file__), "profiles")
MOST = 100  # files of one launch; whoever has more has made a mistake


class Named(NamedTuple):
    """Profiles as somebody named them, left to right. by: the option or the variable, as messages name it."""

    names: tuple[str, ...]
    layer: int
    by: str


class Places(NamedTuple):
    """Where profiles lie. ours: claudebox's directory; home: the user's, which messages write `~`."""

    ours: str
    home: str

    @property
    def directory(self) -> str:
        """Where the user's own lie."""
        return f"{self.ours}/profiles"

    def own(self, name: str) -> str:
        """The path of a profile of the user's."""
        return f"{self.directory}/{name}.toml"

    def shown(self, path: str) -> str:
        """A path as messages and origins name it: from `~` where it lies there, a built-in profile by its name."""
        if path.startswith(BUILTIN + "/"):
            return "builtin" + path[len(BUILTIN) :]
        return "~" + path[len(self.home) :] if self.home and path.startswith(self.home + "/") else path


class _Walk:
    """What was found so far. order: files in the order in which they apply, each with its path."""

    def __init__(self, places: Places) -> None:
        self.places = places
        self.order: list[Loaded] = []
        self.wrong: list[Positioned] = []
        self.read: dict[str, Loaded | None] = {}
        self.known = Known(places.ours)

    def take(self, path: str, layer: int, above: tuple[str, ...] = (), *, again: bool = False) -> None:
        """A file and, before it, what it extends. above: the files that led here; again: though it was taken before,
        because it is named itself and a later name wins."""
        if path in self.read:
            known = self.read[path]
            self.order += [known._replace(layer=layer)] if again and known else []
            return
        found = self.read[path] = self.examined(path, layer)
        if found is None:
            return
        written = found.document.get("extends", ())
        for index, name in enumerate(written if isinstance(written, list) else ()):
            if isinstance(name, str) and typed.is_profile(name):
                self.extend(found, index, name, (*above, path))
        self.order.append(found)

    def examined(self, path: str, layer: int) -> Loaded | None:
        """A file's content; what is wrong with it is noted."""
        shown = self.places.shown(path)
        try:
            read = read_checked(path) if not path.startswith(BUILTIN + "/") else (_bytes(path), None)
        except ClaudeboxError as error:
            self.wrong.append(_whole(shown, error.message, error.hint))
            return None
        if read is None:
            return None
        found = self.known.get(shown, layer, read[0]) or self.parsed(shown, layer, read[0])
        in_profiles = os.path.basename(os.path.dirname(path)) == "profiles"
        return found._replace(profile=name_of(path)) if found and in_profiles else found

    def parsed(self, shown: str, layer: int, raw: bytes) -> Loaded | None:
        """A file's content, remembered if nothing is wrong with it."""
        from claudebox import document

        found, problems = document.examine(shown, layer, raw)
        self.wrong += problems
        if found and not problems:
            self.known.put(raw, found)
        return found

    def extend(self, found: Loaded, index: int, name: str, above: tuple[str, ...]) -> None:
        """One name of `extends`. A profile that extends its own name means the built-in one that it replaces."""
        path = find(name, self.places, besides=above[-1])
        reason = ""
        if not path:
            reason, _ = unknown(name, self.places)
        elif path in above:
            circle = [*above[above.index(path) :], path]
            reason = "a circle: " + " → ".join(map(name_of, circle))
        elif len(self.read) >= MOST:
            reason = f"these are more than {MOST} profiles"
        if reason:
            from claudebox.document import positioned
            from claudebox.validate import Problem

            self.wrong.append(positioned(found, Problem(("extends", index), f"extends: {reason}")))
        else:
            self.take(path, found.layer, above)


def load(config: str, named: Named, places: Places, *, keep: bool = False) -> tuple[Loaded, ...]:
    """All files of a launch, lowest first: what config.toml extends, itself, then the named profiles.

    config: its path, "" to leave it out; keep: whether what was found right may be written down. Raises one
    ClaudeboxError about all that is wrong in all of them.
    """
    walk = walked(config, named, places)
    if walk.wrong:
        from claudebox.document import complaint

        raise complaint(walk.wrong)
    if keep:
        walk.known.keep()
    return tuple(walk.order)


def problems(config: str, named: Named, places: Places) -> list[Positioned]:
    """All that is wrong in all files of such a launch."""
    return walked(config, named, places).wrong


def walked(config: str, named: Named, places: Places) -> _Walk:
    """The files of a launch, in order, and what is wrong with them."""
    walk = _Walk(places)
    if config:
        walk.take(config, Layer.CONFIG)
    for name in named.names:
        path = find(name, places)
        if path:
            walk.take(path, named.layer, again=True)
        else:
            reason, hint = unknown(name, places)
            if named.layer == Layer.REMEMBERED:  # the file may have gone since
                hint += "; claudebox use --clear forgets what it remembers"
            walk.wrong.append(_whole(named.by, f"{named.by}: {reason}", hint))
    return walk


def find(name: str, places: Places, besides: str = "") -> str:
    """A profile's file: the user's goes before the built-in one. besides: a file that is not meant; "" for none."""
    if not typed.is_profile(name):
        return ""
    own, built_in = places.own(name), f"{BUILTIN}/{name}.toml"
    if own != besides and _exists(own):
        return own
    if os.path.exists(built_in) and built_in != besides:
        return built_in
    return besides if besides in (own, built_in) else ""


def _exists(path: str) -> bool:
    """Whether there is such a file, a link that leads nowhere too. Where nobody can tell, it is taken for there: a
    built-in profile in its place would be another one."""
    try:
        os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:
        pass
    return True


def unknown(name: str, places: Places) -> tuple[str, str]:
    """What to say of a name that no profile has: a sentence and a hint."""
    known = names(places.directory, BUILTIN)
    from claudebox.nearest import nearest

    near = nearest(name, known)
    return (
        f'there is no profile "{name}"' + (f', nearest is "{near}"' if near else ""),
        f"the profiles are {', '.join(known)}" if known else "claudebox profile new NAME",
    )


def names(*directories: str) -> tuple[str, ...]:
    """The profiles that lie in directories, sorted. Raises ClaudeboxError."""
    found: set[str] = set()
    for directory in directories:
        try:
            found.update(entry[:-5] for entry in os.listdir(directory) if entry.endswith(".toml"))
        except (FileNotFoundError, NotADirectoryError):
            pass
        except OSError as error:
            hint = "make it readable, or remove it"
            raise ClaudeboxError(f"cannot list {directory}: {error.strerror}", hint) from None
    return tuple(sorted(name for name in found if typed.is_profile(name)))


def _whole(shown: str, text: str, hint: str) -> Positioned:
    """What is wrong with a file as a whole, or with what was typed."""
    from claudebox.document import Positioned

    return Positioned(shown, 0, 0, text, hint)


def name_of(path: str) -> str:
    """The name of a profile by its file."""
    return os.path.basename(path).removesuffix(".toml")


def _bytes(path: str) -> bytes:
    with open(path, "rb") as file:
        return file.read()
