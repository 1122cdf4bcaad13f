"""EFFECTS: does. Performs the plan and has no other source of arguments."""
