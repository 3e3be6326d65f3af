"""How fields over the plane move."""

import numpy as np
import torch

from eqssl.symmetry import Group
from eqssl.symmetry.fourier import field_representation


def act_on_map(G: Group, maps: torch.Tensor, g: object) -> torch.Tensor:
    """Pixels move, and each field's channels by escnn's representation."""
    representation = field_representation(G)
    matrix = torch.from_numpy(np.asarray(representation(G.continuous(g) if G.is_continuous else g)))
    moved = G.act(maps, g).unflatten(1, (len(matrix), -1))
    return torch.einsum("pc,bcfhw->bpfhw", matrix.to(maps.dtype), moved).flatten(1, 2)


def relative_error(found: torch.Tensor, expected: torch.Tensor) -> float:
    return float(((found - expected).norm() / expected.norm()).detach())
