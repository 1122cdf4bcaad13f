"""claudebox: a sandbox per project for AI coding agents, on Linux and NixOS."""

__version__ = "0.1.0"
