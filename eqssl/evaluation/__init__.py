"""How good the features of a frozen encoder are: features in Parquet, probes, intervals, equivariance.

Modules are imported by name, because their needs differ: `features` needs torch, `probing` scikit-learn,
`summary` neither.
"""

VIEWS = ("stored", "grid", "angle")
"""Views of the test images: as stored, moved by elements of D4, turned by any angle."""
