"""Random views of images for training, and the normalisation that every encoder expects."""

from eqssl.data.views.normalise import cut_disc, normalise
from eqssl.data.views.random_view import random_view

__all__ = ["cut_disc", "normalise", "random_view"]
