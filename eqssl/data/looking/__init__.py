"""A look at images before they are sharded: what is there, which settings fit, and their entry."""
