"""Which images an encoder is to read, and with which settings they are like those of its training."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from eqssl.config.plain import shown
from eqssl.config.sources import Percentiles, SourceSettings
from eqssl.data.looking.kind_of import kind_of, own_sources
from eqssl.encoders.windows import check_windows

if TYPE_CHECKING:
    from eqssl.encoders import Encoder


def packaged_sources() -> tuple[str, ...]:
    """Names of the data sets that come with a package, which need no path."""
    return tuple(name for name in SourceSettings.kinds() if name not in own_sources())


def settings_for(
    images: str, network: Encoder, scale: object, source: str | None, given: Mapping[str, Any]
) -> SourceSettings:
    """The settings with which a source gives images as the encoder saw them in its training.

    Size, channels, mask and range of intensities are those of the training, unless they are given.

    Args:
        images: path of the images, or the name of a data set that comes with a package.
        network: the encoder.
        scale: `range` of its encoder.json: intensities that became 0 and the largest value; None for none.
        source: kind of source; None to find it.
        given: settings of an entry of the table `datasets`.

    Raises:
        ValueError: nothing fits the path, a setting is wrong, or the encoder cannot read such images.
        OSError: a folder cannot be read.
    """
    channels, side, _ = network.image_shape
    known: dict[str, Any] = {"size": side, "channels": channels, "mask": network.mask}
    if scale is not None:
        known["range"] = scale
    if source is None and images in packaged_sources() and not Path(images).exists():
        found: dict[str, Any] = {"source": images}
    else:
        fit = kind_of(Path(images), source)
        found = {"source": fit.source, **fit.settings}
    settings = SourceSettings.read({**found, **known, **given}, "images")
    _check(settings, network)
    return settings


def _check(settings: SourceSettings, network: Encoder) -> None:
    """Refuse images that the encoder cannot read."""
    channels = network.image_shape[0]
    needed = {"channels": (settings.channels, channels), "mask": (settings.mask, network.mask)}
    for key, (value, wanted) in needed.items():
        if value != wanted:
            raise ValueError(f"images.{key}: given {shown(value)}, allowed: {wanted}, as in the training")
    if isinstance(settings.range, Percentiles):
        raise ValueError(
            "images.range: given percentiles, allowed: two numbers, since the features of an image must not "
            "depend on which others are read"
        )
    if settings.size is None:
        raise ValueError("images.size: given None, allowed: a number, so that all images have one size")
    shape = replace(network.shape, image=(channels, settings.size, settings.size))
    try:
        check_windows(type(network), shape)
    except ValueError as error:
        raise ValueError(f"images.size: given {settings.size}: {error}") from None
