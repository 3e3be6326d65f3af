"""Losses as pure functions, with a thin module on top of each."""

from eqssl.losses.nt_xent import NTXent, nt_xent
from eqssl.losses.similarity import absorbed_similarity, correlation, plain_similarity, unit

__all__ = ["NTXent", "absorbed_similarity", "correlation", "nt_xent", "plain_similarity", "unit"]
