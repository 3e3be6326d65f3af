"""Sources of images. A new one is a file in this folder and a class in `eqssl/config/sources.py`."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from eqssl.config.sources import SourceSettings
    from eqssl.data.sources.base import Source


def open_source(settings: SourceSettings) -> Source:
    """Open the source that an entry of the table `datasets` describes.

    Raises:
        ValueError: a file is missing, damaged or of the wrong form; names it.
        OSError: a file cannot be read.
    """
    source: Source = settings.imported()(settings)
    return source
