"""A look at images before they are sharded: what there is, which settings fit, and the entry in params.yaml."""
