"""Every setting, typed and frozen, and what each command is told. Nothing here imports torch or escnn."""
