"""From shards to batches on the device: decoded once, read in an order that can be resumed."""
