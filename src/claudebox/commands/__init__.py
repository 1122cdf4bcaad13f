"""One module per noun: what a command does."""
