"""One fixed angle for each image of a turned data set, and the turn itself."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from jaxtyping import UInt8, UInt16

from eqssl.config.sources import SplitName

# Each split has its own random numbers, so that training image 7 and test image 7 have different angles.
_SALT: dict[SplitName | None, int] = {"train": 20260101, "test": 20260102, "val": 20260103, None: 20260104}


def stored_angle(split: SplitName | None, index: int) -> float:
    """The angle of an image in degrees, uniform in [0, 360), from its split and its number there.

    It does not depend on the other images, their number or their order.
    """
    return 360.0 * float(np.random.Generator(np.random.Philox(key=[_SALT[split], index])).random())


Stored: TypeAlias = UInt8[np.ndarray, "s s c"] | UInt16[np.ndarray, "s s c"]


def turned(image: Stored, degrees: float) -> Stored:
    """Turn a square image counter-clockwise about its centre: bilinear, zeros outside, rounded."""
    # torch takes a second to load, and reading shards does not need it
    import torch

    from eqssl.symmetry.turning import turn

    values = torch.from_numpy(np.array(image)).permute(2, 0, 1)[None].double()  # a copy: torch wants to write
    moved = turn(values, torch.tensor([degrees], dtype=torch.float64))[0].permute(1, 2, 0)
    return moved.round().numpy().astype(image.dtype)
