"""What the features of a frozen encoder are worth: features in Parquet, probes, intervals, equivariance.

Nothing here knows a pretext. Modules are imported by name, since their needs differ: `features` needs
torch, `probing` scikit-learn, `summary` neither.
"""

VIEWS = ("stored", "grid", "angle")
"""Views of the test images: as stored, moved by elements of D4, turned by any angle."""
