"""Equivariant pretext labels: relative location, jigsaw, orientation, relative turn."""
