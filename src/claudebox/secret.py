"""What looks like a secret, by a short list of patterns. Deny by default does the rest: no variable of
the host passes unless it is named. A leaf.
"""

from __future__ import annotations

import re

PATTERNS = (
    (re.compile(r"(?<![A-Za-z0-9])sk-[A-Za-z0-9_-]{16,}"), "an API key"),
    (re.compile(r"gh[pousr]_[A-Za-z0-9]{16,}|github_pat_[A-Za-z0-9_]{16,}"), "a GitHub token"),
    (re.compile(r"glpat-[A-Za-z0-9_-]{16,}"), "a GitLab token"),
    (re.compile(r"(?<![A-Za-z0-9])(?:AKIA|ASIA)[A-Z0-9]{16}"), "an AWS access key"),
    (re.compile(r"xox[abprs]-[A-Za-z0-9-]{10,}"), "a Slack token"),
    (re.compile(r"-----BEGIN (?:[A-Z0-9]+ )*PRIVATE KEY"), "a private key"),
    (re.compile(r"eyJ[A-Za-z0-9_-]{8,}\.eyJ[A-Za-z0-9_-]{8,}\."), "a JSON web token"),
)
NAMES = re.compile(r"(?:TOKEN|SECRET|PASSWORD|KEY)$", re.IGNORECASE)
LONG = 20


def looks_like(name: str, value: str) -> str:
    """What secret a variable seems to hold, "" if none."""
    for pattern, what in PATTERNS:
        if pattern.search(value):
            return what
    return "a secret" if NAMES.search(name) and _random(value) else ""


def _random(value: str) -> bool:
    """Long, in one word, of letters and digits that hardly repeat; a path is none."""
    if len(value) < LONG or any(c.isspace() for c in value) or value.startswith(("/", "~/", "./")):
        return False
    mixed = any(c.isdigit() for c in value) and any(c.isalpha() for c in value)
    return mixed and len(set(value)) >= 10
