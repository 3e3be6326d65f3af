"""What `eqssl check` says of the data sets of the grid, of the active cell and of transfers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from eqssl.config.jobs import shard_folder
from eqssl.config.params import Params
from eqssl.config.sources import HubSettings
from eqssl.data.looking.summary import told, told_of_shards
from eqssl.data.looking.survey import look
from eqssl.data.shards.index import INDEX_FILE, ShardIndex


def told_of_data(params: Params) -> Iterator[str]:
    """Lines on each data set: what its shards hold, or else what its files do, if they are there.

    Paths are those of the folder in which this runs. Nothing is said of a data set that comes with a package
    and is not sharded.

    Raises:
        ValueError: files or shards are there and cannot be used, or not for a transfer.
        OSError: a file cannot be read.
    """
    own = tuple(dict.fromkeys((*params.grid.dataset, params.dataset)))
    _check_channels(params, own)
    for name in dict.fromkeys((*own, *params.transfer.datasets)):
        lines = list(_lines(params, name))
        if lines:
            yield f"data set {name}:"
        yield from (f"  {line}" for line in lines)


def _check_channels(params: Params, own: Iterable[str]) -> None:
    """Refuse a transfer between images of different channels, as far as both data sets are sharded.

    Raises:
        ValueError: names the key, both data sets and the channels of both.
    """
    if not params.transfer.datasets:
        return
    channels: dict[str, int] = {}
    for name in dict.fromkeys((*own, *params.transfer.datasets)):
        folder = Path(shard_folder(params, name))
        if (folder / INDEX_FILE).is_file():
            channels[name] = ShardIndex.load(folder).image_shape[0]
    for position, target in enumerate(params.transfer.datasets):
        for name in own:
            given, wanted = channels.get(target), channels.get(name)
            if None not in (given, wanted) and given != wanted:
                raise ValueError(
                    f"transfer.datasets.{position}: given {target!r}, whose images have {given} channels, "
                    f"but those of {name} have {wanted}; allowed: datasets.{target}.channels: {wanted}"
                )


def _lines(params: Params, name: str) -> Iterator[str]:
    settings, shards = params.datasets[name], Path(shard_folder(params, name))
    if (shards / INDEX_FILE).is_file():
        yield from told_of_shards(ShardIndex.load(shards))
        return
    missing = [path for path in settings.inputs if not Path(path).exists()]
    if missing and isinstance(settings, HubSettings):
        yield f"{missing[0]} is read from the hub when it is sharded"
    elif missing:
        yield f"{missing[0]} is not there"
    elif settings.inputs:
        yield from told(look(name, settings))
