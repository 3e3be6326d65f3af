"""What a data set without the mask of the disc can be used for: turns that take the pixel grid to itself."""

from __future__ import annotations

from collections.abc import Collection
from typing import Literal, TypeAlias

from eqssl.config.groups import GROUPS, exact_groups

Mask: TypeAlias = Literal["disc", "none"]


def group_refusal(mask: Mask, group: str) -> str | None:
    """Why images of this mask are no images for a group; None if they are."""
    if mask == "disc" or GROUPS[group].is_exact:
        return None
    return f"a turn off the pixel grid takes corners out of the image; allowed: {', '.join(exact_groups())}"


def turn_refusal(mask: Mask, turn: str) -> str | None:
    """Why images of this mask have no random views of this turn; None if they do."""
    if mask == "disc" or turn != "angle":
        return None
    return "a turn by any angle takes corners out of the image; allowed: none, grid"


def views_refusal(mask: Mask, views: Collection[str]) -> str | None:
    """Why images of this mask have not all of these views of test images; None if they do."""
    if mask == "disc" or "angle" not in views:
        return None
    return "a turn by any angle takes corners out of the image; allowed: stored, grid"
