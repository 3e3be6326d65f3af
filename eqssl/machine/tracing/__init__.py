"""`eqssl trace`: from one number down to the images that it comes from."""
