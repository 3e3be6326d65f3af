"""Groups that act on images, finite sets that they act on, and checks of equivariance."""

from eqssl.symmetry.checks import assert_equivariant, equivariance_error
from eqssl.symmetry.groups import Group, act_on_regular, act_on_regular_each, group, group_names
from eqssl.symmetry.gsets import GSet, coset_representatives, grid_slots, subgroup_positions
from eqssl.symmetry.permutation_sets import choose_permutations, conjugation_orbits, permutation_labels

__all__ = [
    "GSet",
    "Group",
    "act_on_regular",
    "act_on_regular_each",
    "assert_equivariant",
    "choose_permutations",
    "conjugation_orbits",
    "coset_representatives",
    "equivariance_error",
    "grid_slots",
    "group",
    "group_names",
    "permutation_labels",
    "subgroup_positions",
]
