"""Views of images: random ones for training, and the form in which every encoder takes them."""

from eqssl.data.views.normalise import cut_disc, normalise
from eqssl.data.views.random_view import random_view

__all__ = ["cut_disc", "normalise", "random_view"]
