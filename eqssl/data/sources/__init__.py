"""Sources of labelled images. A new source is one file in this folder and one line in the table below."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from eqssl.config.params import DatasetSettings
    from eqssl.data.sources.base import Source

# name in params.yaml -> module in this folder : class made from DatasetSettings. Modules are imported when a
# source is opened, so that listing the names needs neither Parquet nor an image library.
_SOURCES = {
    "fashion_mnist": "fashion_mnist:FashionMnist",
    "fashion_mnist_sample": "fashion_mnist:FashionMnistSample",
    "parquet": "parquet:ParquetFolder",
}


def names() -> list[str]:
    """The names that `source` may have in the `datasets` table."""
    return sorted(_SOURCES)


def module_of(name: str) -> str:
    """Dotted name of the module that holds a source.

    Raises:
        ValueError: if there is no source of that name.
    """
    if name not in _SOURCES:
        raise ValueError(f"source: given {name!r}, allowed: {', '.join(names())}")
    return f"{__name__}.{_SOURCES[name].partition(':')[0]}"


def open_source(settings: DatasetSettings) -> Source:
    """Open the source that `settings.source` names.

    Raises:
        ValueError: there is no such source, or its files or settings are not right.
        OSError: a file cannot be found or read.
    """
    module = import_module(module_of(settings.source))
    source: Source = getattr(module, _SOURCES[settings.source].partition(":")[2])(settings)
    return source
