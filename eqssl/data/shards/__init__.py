"""How images are stored on disk: WebDataset tars, and an index of their contents."""
