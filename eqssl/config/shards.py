"""Settings of shards."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from eqssl.config.settings import Settings
from eqssl.config.values import Count, Seed


class ShardSettings(Settings):
    """How shards are written: tars per split, share of training images kept for validation, order."""

    count: Count
    validation: Annotated[float, Field(gt=0, lt=1)]
    seed: Seed
