"""Settings of shards."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from eqssl.config.settings import Settings
from eqssl.config.values import Seed

Share = Annotated[float, Field(gt=0, lt=1)]


class ShardSettings(Settings):
    """How images are split and written as shards.

    Attributes:
        count: tars of each split.
        validation: share of the training images that become the validation split, if the source has none.
        test: share of the images that are not for validation that become the test split, likewise.
        most_shared: largest share of the images of a split that may be identical to images of another split.
            More is an error; 1 allows all.
        seed: of the order.
    """

    count: Annotated[int, Field(ge=1, le=10_000)]
    validation: Share
    test: Share = 0.2
    most_shared: Annotated[float, Field(ge=0, le=1)] = 1.0
    seed: Seed
