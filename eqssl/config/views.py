"""Settings of random views."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal, Self, TypeAlias

from pydantic import Field, model_validator

from eqssl.config.changes import Changes, changes_of
from eqssl.config.settings import Settings
from eqssl.config.values import Probability

_Area = Annotated[float, Field(ge=1e-6, le=1)]
_Ratio = Annotated[float, Field(ge=0.01, le=100)]


class ViewSettings(Settings):
    """Random views of an image: one geometric resampling, then changes of brightness and colour.

    Attributes:
        crop_scale: least and largest share of the area that a crop keeps.
        crop_ratio: least and largest ratio of the crop's width to its height.
        turn: `none`, `grid` (a random element of D4) or `angle` (any angle, and a flip with probability 1/2).
        brightness, contrast, saturation: a factor is drawn from 1 - value to 1 + value.
        hue: the hue is turned by up to this share of a full circle, either way.
        jitter: probability that brightness, contrast, saturation and hue change at all.
        grayscale: probability that the colours are dropped.
        blur: probability of a Gaussian blur.
        solarise: probability that values above one half are inverted (Grill et al. 2020, appendix B).
    """

    crop_scale: tuple[_Area, _Area]
    crop_ratio: tuple[_Ratio, _Ratio]
    turn: Literal["none", "grid", "angle"]
    brightness: Probability
    contrast: Probability
    saturation: Probability
    hue: Annotated[float, Field(ge=0, le=0.5)]
    jitter: Probability
    grayscale: Probability
    blur: Probability
    solarise: Probability

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        for name in ("crop_scale", "crop_ratio"):
            low, high = getattr(self, name)
            if low > high:
                raise ValueError(f"{name}: given {[low, high]}, allowed: the smaller number first")
        return self

    def changed(self, changes: Changes | None, where: str = "views") -> ViewSettings:
        """The settings with some of them replaced.

        Args:
            changes: the new settings.
            where: prefix of the keys in an error.

        Raises:
            ValueError: if they do not fit each other then; names the key.
        """
        return self if changes is None else ViewSettings.read({**self.plain(), **changes.plain()}, where)


if TYPE_CHECKING:
    ViewChanges: TypeAlias = Changes
else:
    ViewChanges = changes_of(
        ViewSettings,
        "ViewChanges",
        "Settings of the section `views` that a view of a pretext changes.",
    )
