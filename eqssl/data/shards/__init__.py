"""How images lie on disk: WebDataset tars, and the index that names what is in them."""
