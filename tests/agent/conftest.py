"""The real clients, and the canned model that tells them what to do: tests/clients.py."""

from __future__ import annotations

from clients import claude, model, tcp_model  # noqa: F401
from endpoint import endpoint  # noqa: F401
