"""Features of any images, without shards and settings files: what `eqssl embed` does."""
