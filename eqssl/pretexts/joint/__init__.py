"""Joint-embedding pretexts: two or more views of an image meet in one embedding space."""
