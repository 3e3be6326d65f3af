"""Tables with a row for each image: Parquet files, splits of the hub, manifests."""
