"""Images: where they come from, how they lie in shards, how they are loaded, how views are made of them."""
