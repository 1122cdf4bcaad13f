"""PURE: shows. The plan as bwrap's arguments, as tables, as JSON, as a script."""
