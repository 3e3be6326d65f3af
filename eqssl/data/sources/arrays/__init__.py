"""Arrays of images: layouts, names, and readers of HDF5 and IDX files."""
