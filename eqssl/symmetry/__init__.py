"""Groups that act on images, sets they act on, and the test that something commutes with them."""

from eqssl.symmetry.checks import assert_equivariant, equivariance_error
from eqssl.symmetry.groups import Group, act_on_regular, group, group_names
from eqssl.symmetry.gsets import GSet, grid_slots

__all__ = [
    "GSet",
    "Group",
    "act_on_regular",
    "assert_equivariant",
    "equivariance_error",
    "grid_slots",
    "group",
    "group_names",
]
