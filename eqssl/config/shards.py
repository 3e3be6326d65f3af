"""Settings of shards."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from eqssl.config.settings import Settings
from eqssl.config.values import Seed


class ShardSettings(Settings):
    """How shards are written: tars per split, share of training images kept for validation, order."""

    count: Annotated[int, Field(ge=1, le=10_000)]
    validation: Annotated[float, Field(gt=0, lt=1)]
    seed: Seed
