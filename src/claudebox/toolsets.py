"""The sets of names that package managers need, as the user configured these on the host.

Files of the user and of the system are read, checked as our own are, and no program runs. What a sandbox can write, a
project's own pip.conf too, is never one of them; a link into it stops the launch. A login in a URL stays outside: the
names and the settings that pass are without it.
"""

from __future__ import annotations

import os
import re
from typing import NamedTuple
from urllib.parse import urlsplit

from claudebox.checked import read_checked
from claudebox.errors import ClaudeboxError
from claudebox.locating import writable
from claudebox.model import NameSet, Note
from claudebox.namesets import DEFAULTS, SETS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

MOST = 100  # URLs of one set
PORTS = {"http": 80, "https": 443}
SCHEMES = re.compile(r"^(sparse\+|registry\+|mirror\+|git\+)?(?=https?://)")


class Found(NamedTuple):
    """A URL of a package manager's configuration, and where it stands."""

    url: str
    where: str
    what_for: str = "as you configured it"


class Reader:
    """Reads the configuration of the host's user. untrusted: what sandboxes can write."""

    def __init__(self, home: str, environment: Mapping[str, str], untrusted: tuple[str, ...]) -> None:
        self.home = home
        self.environment = environment
        self.untrusted = untrusted
        self.config = self.environment.get("XDG_CONFIG_HOME", "") or f"{home}/.config"

    def text(self, path: str) -> str:
        """A file's text, "" where there is none. Raises ClaudeboxError for one that others, or a sandbox, can write."""
        if not path.startswith("/") or not os.path.exists(path):
            return ""
        if writable(path, self.untrusted) or writable(os.path.realpath(path), self.untrusted):
            hint = "keep it outside of projects, or leave its set out of allow"
            raise ClaudeboxError(f"{self.shown(path)} says which hosts are allowed, and a sandbox can write it", hint)
        found = read_checked(path)
        return found[0].decode(errors="replace") if found else ""

    def shown(self, path: str) -> str:
        """A path as messages have it."""
        return "~" + path[len(self.home) :] if path.startswith(self.home + "/") else path

    def table(self, path: str) -> dict[str, object]:
        """A TOML file. Raises ClaudeboxError where it is none."""
        import tomllib

        try:
            return tomllib.loads(self.text(path))
        except (ValueError, RecursionError):
            raise ClaudeboxError(f"{self.shown(path)} is not valid TOML", "correct it") from None


def survey(
    names: tuple[str, ...], home: str, environment: Mapping[str, str], untrusted: tuple[str, ...]
) -> tuple[NameSet, ...]:
    """The sets of these names as this launch has them. home: the user's. Raises ClaudeboxError."""
    reader = Reader(home, environment, untrusted)
    found = []
    for name in names:
        if name in SETS:
            found.append(NameSet(name=name, rules=tuple((rule, what, "") for rule, what in SETS[name])))
        else:
            found.append(_made(name, *TOOLS[name](reader)))
    return tuple(found)


def _made(name: str, urls: Iterable[Found], variables: Iterable[tuple[str, str, str]]) -> NameSet:
    rules: dict[str, tuple[str, str, str]] = {}
    notes: list[Note] = []
    for one in list(urls)[:MOST]:
        rule = _rule(one.url)
        if rule:
            rules.setdefault(rule, (rule, one.what_for, one.where))
        if one.url != _bare(one.url):
            text = f"@{name}: the login in a URL of {one.where} does not come along; pass one with -e"
            notes.append(Note("info", text))
    kept = tuple((variable, _bare(value), where) for variable, value, where in variables if value)
    return NameSet(name=name, rules=tuple(rules.values()), variables=kept, notes=tuple(dict.fromkeys(notes)))


def _rule(url: str) -> str:
    """`HOST:PORT` of a URL; "" for what is no http."""
    from claudebox.allowing import parse, shown
    from claudebox.model import Why
    from claudebox.typed import Unusable

    try:
        parts = urlsplit(SCHEMES.sub("", url))
        port = parts.port or PORTS.get(parts.scheme, 0)
        host = parts.hostname or ""
        return shown(parse(f"[{host}]:{port}" if ":" in host else f"{host}:{port}", Why(""))) if port and host else ""
    except (ValueError, Unusable):
        return ""


def _bare(value: str) -> str:
    """A setting without what is a login in its URLs, and without what no setting holds."""
    words = re.split(r"([\s,|]+)", value)
    bare = [re.sub(r"(?<=://)[^/\s]*@", "", word).partition("?")[0] for word in words]
    return "".join(one for one in "".join(bare) if one.isprintable())


def _defaults(name: str) -> list[Found]:
    return [Found(url, "", what_for) for url, what_for in DEFAULTS[name]]


# --- one function per package manager: (URLs, settings) ------------------------------------------

Settings = list[tuple[str, str, str]]


def _pip(reader: Reader) -> tuple[list[Found], Settings]:
    """pip and uv. What uv says counts for uv alone, and both are let through."""
    main: list[Found] = []
    extra: list[Found] = []
    for path in ("/etc/pip.conf", f"{reader.home}/.pip/pip.conf", f"{reader.config}/pip/pip.conf"):
        where = reader.shown(path)
        for key, value in _ini(reader.text(path), ("global", "install", "download")):
            if key == "index-url":
                main = [Found(value, where)]
            elif key == "extra-index-url":
                extra += [Found(one, where) for one in value.split()]
    uv_main, uv_extra = _uv(reader)
    settings = [
        ("PIP_INDEX_URL", main), ("PIP_EXTRA_INDEX_URL", extra),
        ("UV_DEFAULT_INDEX", uv_main or main), ("UV_INDEX", uv_extra or extra),
    ]  # fmt: skip
    urls = [*(main or _pip_default()), *extra, *uv_main, *uv_extra]
    return urls, [(name, " ".join(one.url for one in found), found[0].where) for name, found in settings if found]


def _pip_default() -> list[Found]:
    """The index that is built into the installed pip: a distribution may have another one. Read, not asked."""
    import glob

    for path in sorted(glob.glob("/usr/lib*/python3*/*-packages/pip/_internal/models/index.py")):
        found = read_checked(path)
        text = found[0].decode(errors="replace") if found else ""
        match = re.search(r'^PyPI = PackageIndex\(\s*"([^"]+)",\s*file_storage_domain="([^"]+)"', text, re.MULTILINE)
        if match:
            return [Found(match[1], "", "the index"), Found(f"https://{match[2]}", "", "the packages")]
    return _defaults("pip")


def _uv(reader: Reader) -> tuple[list[Found], list[Found]]:
    main: list[Found] = []
    extra: list[Found] = []
    for path in ("/etc/uv/uv.toml", f"{reader.config}/uv/uv.toml"):
        where = reader.shown(path)
        table = reader.table(path)
        pip = table.get("pip")
        for one in (table, pip if isinstance(pip, dict) else {}):
            main = [Found(url, where) for url in _strings(one.get("index-url"))] or main
            extra += [Found(url, where) for url in _strings(one.get("extra-index-url"))]
        indexes = table.get("index")
        for index in indexes if isinstance(indexes, list) else []:
            if isinstance(index, dict) and (urls := _strings(index.get("url"))):
                if index.get("default") is True:
                    main = [Found(urls[0], where)]
                else:
                    extra.append(Found(urls[0], where))
    return main, extra


def _npm(reader: Reader) -> tuple[list[Found], Settings]:
    """npm, pnpm and yarn: the registry, and those of scopes."""
    main: list[Found] = []
    scopes: list[Found] = []
    for path in ("/etc/npmrc", "/usr/etc/npmrc", f"{reader.home}/.npmrc"):
        where = reader.shown(path)
        for key, value in _ini(f"[npm]\n{reader.text(path)}", ("npm",)):
            if key == "registry":
                main = [Found(value, where)]
            elif key.startswith("@") and key.endswith(":registry"):
                scopes.append(Found(value, where))
    path = f"{reader.home}/.yarnrc.yml"
    yarn = re.findall(r"""^\s*npmRegistryServer:\s*["']?([^"'\s#]+)""", reader.text(path), re.MULTILINE)
    scopes += [Found(url, reader.shown(path)) for url in yarn]
    settings = [("NPM_CONFIG_REGISTRY", main[0].url, main[0].where)] if main else []
    return [*(main or _defaults("npm")), *scopes], settings


def _cargo(reader: Reader) -> tuple[list[Found], Settings]:
    """The registries of cargo; where crates.io is replaced, what replaces it."""
    base = reader.environment.get("CARGO_HOME", "") or f"{reader.home}/.cargo"
    path = next((one for one in (f"{base}/config.toml", f"{base}/config") if os.path.exists(one)), "")
    where, table = reader.shown(path), reader.table(path)
    urls: list[Found] = []
    settings: Settings = []
    sources, registries = table.get("source"), table.get("registries")
    sources = sources if isinstance(sources, dict) else {}
    for one in sources.values():
        urls += [Found(url, where) for url in _strings(one.get("registry") if isinstance(one, dict) else None)]
    for name, one in registries.items() if isinstance(registries, dict) else ():
        for url in _strings(one.get("index") if isinstance(one, dict) else None):
            urls.append(Found(url, where))
            if re.fullmatch(r"[A-Za-z0-9_-]{1,64}", name):
                settings.append((f"CARGO_REGISTRIES_{name.upper().replace('-', '_')}_INDEX", url, where))
    official = sources.get("crates-io")
    replaced = isinstance(official, dict) and "replace-with" in official
    return [*([] if replaced else _defaults("cargo")), *urls], settings


def _go(reader: Reader) -> tuple[list[Found], Settings]:
    """Go: its environment file and the variables, which count more."""
    path = reader.environment.get("GOENV", "") or f"{reader.config}/go/env"
    names = ("GOPROXY", "GOSUMDB", "GOPRIVATE", "GONOPROXY", "GONOSUMDB")
    said = {key.upper(): (value, reader.shown(path)) for key, value in _ini(f"[go]\n{reader.text(path)}", ("go",))}
    said |= {name: (reader.environment[name], name) for name in names if reader.environment.get(name)}
    urls: list[Found] = []
    if "GOPROXY" in said:
        value, where = said["GOPROXY"]
        urls += [Found(one, where) for one in re.split(r"[,|]", value) if "://" in one]
    else:
        urls += _defaults("go")[:1]
    checksums = said.get("GOSUMDB", ("", ""))
    if not checksums[0]:
        urls += _defaults("go")[1:]
    elif checksums[0] != "off":
        words = checksums[0].split()
        name = words[0].partition("+")[0]
        urls.append(Found(words[1] if len(words) > 1 else f"https://{name}", checksums[1]))
    return urls, [(name, *said[name]) for name in names if name in said]


def _apt(reader: Reader) -> tuple[list[Found], Settings]:
    """The sources of apt, both forms."""
    urls: list[Found] = []
    try:
        names = sorted(os.listdir("/etc/apt/sources.list.d"))
    except OSError:
        names = []
    for path in ("/etc/apt/sources.list", *(f"/etc/apt/sources.list.d/{name}" for name in names)):
        if not path.endswith((".list", ".sources")):
            continue
        for line in reader.text(path).splitlines():
            if path.endswith(".list") and not line.startswith(("deb ", "deb-src ")):
                continue
            if path.endswith(".sources") and not line.lower().startswith(("uris:", " ")):
                continue
            urls += [Found(one, path) for one in re.findall(r"https?://[^\s\]]+", line)]
    return urls, []


def _nix(reader: Reader) -> tuple[list[Found], Settings]:
    """The binary caches of nix."""
    main = _defaults("nix")
    extra: list[Found] = []
    for path in ("/etc/nix/nix.conf", f"{reader.config}/nix/nix.conf"):
        for line in reader.text(path).splitlines():
            key, _, value = line.partition("#")[0].partition("=")
            found = [Found(one, reader.shown(path)) for one in value.split() if "://" in one]
            if key.strip() == "substituters":
                main = found
            elif key.strip() in ("extra-substituters", "trusted-substituters"):
                extra += found
    return [*main, *extra], []


TOOLS: dict[str, Callable[[Reader], tuple[list[Found], Settings]]] = {
    "pip": _pip, "npm": _npm, "cargo": _cargo, "go": _go, "apt": _apt, "nix": _nix,
}  # fmt: skip


def _strings(value: object) -> list[str]:
    """The strings of a value that may be one, or a list of them."""
    return [one for one in (value if isinstance(value, list) else [value]) if isinstance(one, str)]


def _ini(text: str, sections: tuple[str, ...]) -> list[tuple[str, str]]:
    """(key, value) of some sections; a line that is indented goes on with the one before. Never raises: what is read
    here only names hosts, and the program itself says what is wrong with its file."""
    found: list[tuple[str, str]] = []
    inside = False
    for line in text.splitlines():
        bare = line.strip()
        if not bare or bare[0] in "#;":
            continue
        if bare[0] == "[" and bare[-1] == "]":
            inside = bare[1:-1].strip() in sections
        elif inside and line[0] in " \t" and found:
            found[-1] = (found[-1][0], f"{found[-1][1]} {bare}")
        elif inside and "=" in bare:
            key, _, value = bare.partition("=")
            found.append((key.strip(), value.strip().strip("\"'")))
    return found
