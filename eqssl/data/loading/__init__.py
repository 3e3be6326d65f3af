"""From shards to batches on the device: decoded once, then read in an order that can be resumed."""
