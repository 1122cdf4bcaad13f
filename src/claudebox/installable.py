"""What nix can be asked for, as a person writes it: `python3`, `nixpkgs#openssl^bin,man`, `github:owner/flake#tool`.

Only names: what calls a function (`python3.withPackages (…)`) would be evaluated in a way that no cache and no review
can follow, and has a place of its own, a flake.
"""

from __future__ import annotations

from claudebox.model import Origin, Setting
from claudebox.record import NamedTuple
from claudebox.typed import Unusable

EXPECTED = 'a nix package such as "python3", "nixpkgs#openssl^bin,man" or "github:owner/flake#tool"'
FUNCTION = f"{EXPECTED}; what calls a function belongs in a flake of yours, whose package is named here"
RELATIVE = f"{EXPECTED}; the path of a flake is absolute or begins with ~/"
LENGTH = 400
WORD = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-+")
REFERENCE = WORD | frozenset(".:/?=&@,~%")
CALLED = frozenset(
    {"withPackages", "override", "overrideAttrs", "overrideDerivation", "overridePythonAttrs", "callPackage", "extend"}
)
SCHEMES = ("path:", "git+file:", "hg+file:", "tarball+file:", "file+file:", "file:")  # of what lies on this machine


class Parts(NamedTuple):
    """reference: of the flake; attribute: in it, "" for its default; outputs: those that are wanted, "*" for all,
    () for what the package installs by itself."""

    reference: str
    attribute: str
    outputs: tuple[str, ...]


def whole(text: str, home: str = "") -> str:
    """The full form of what was written: a bare name is one of nixpkgs. home: what `~` stands for, if it is known.

    Raises Unusable.
    """
    parts = split(text)
    reference = home + parts.reference[1:] if home and parts.reference.startswith("~/") else parts.reference
    return (
        reference
        + ("#" + parts.attribute if parts.attribute else "")
        + "^" * bool(parts.outputs)
        + ",".join(parts.outputs)
    )


def add(found: dict[str, Setting[str]], written: str, origin: Origin, home: str) -> None:
    """One entry more, in full; a package that is said again counts where it is said last, and `!` takes out what was
    said below it. Raises Unusable."""
    name = whole(written.removeprefix("!"), home)
    found.pop(name, None)
    if written.startswith("!"):
        for out in [one for one in found if takes_out(name, one)]:
            del found[out]
    else:
        found[name] = Setting(name, origin)


def split(text: str) -> Parts:
    """The parts of an installable. Raises Unusable."""
    if not text or len(text) > LENGTH or text.startswith("-"):
        raise Unusable(EXPECTED)
    if any(one.isspace() or one in "()[]{};\"'\\$<>|`*" for one in text.removesuffix("^*")):
        raise Unusable(FUNCTION)
    name, caret, listed = text.partition("^")
    outputs = tuple(listed.split(",")) if caret else ()
    if outputs != ("*",) and not all(one and set(one) <= WORD for one in outputs):
        raise Unusable(EXPECTED)
    reference, hash_, attribute = name.partition("#")
    if not hash_ and ":" not in name and not name.startswith(("/", "~", ".")):
        reference, attribute = "nixpkgs", name
    words = attribute.split(".") if attribute else []
    if not all(word and set(word) <= WORD for word in words):
        raise Unusable(EXPECTED)
    if CALLED.intersection(words):
        raise Unusable(FUNCTION)
    _check_reference(reference)
    return Parts(reference, attribute, outputs)


def _check_reference(reference: str) -> None:
    if reference.startswith((".", "#")) or not reference:
        raise Unusable(RELATIVE)
    if not set(reference) <= REFERENCE or reference.startswith("-"):
        raise Unusable(EXPECTED)
    place = _place(reference)
    if place is not None and (not place.startswith(("/", "~/")) or "%" in place or ".." in place.split("/")):
        raise Unusable(RELATIVE)
    if place is None and "~" in reference:
        raise Unusable(RELATIVE)


def _place(reference: str) -> str | None:
    """The path that a reference names on this machine; None for one that lies elsewhere."""
    if reference.startswith(("/", "~")):
        return reference.partition("?")[0]
    for scheme in SCHEMES:
        if reference.startswith(scheme):
            place = reference[len(scheme) :].partition("?")[0]
            return "/" + place.lstrip("/") if place.startswith("/") else place
    return None


def local(name: str) -> str:
    """Where the flake of a full name lies on this machine, as it is written; "" for one that does not, and for a path
    of the store."""
    place = _place(split(name).reference) or ""
    return "" if place.startswith("/nix/store/") else place.rstrip("/")


def takes_out(written: str, name: str) -> bool:
    """Whether `!WRITTEN` takes a package out: that one, or whatever outputs of it."""
    return written == name or ("^" not in written and name.startswith(written + "^"))
