"""Images: their sources, how they are stored in shards, how they are loaded, and views of them."""
