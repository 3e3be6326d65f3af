"""Every setting, typed and frozen, and the jobs of the commands. Nothing here imports torch or escnn."""
