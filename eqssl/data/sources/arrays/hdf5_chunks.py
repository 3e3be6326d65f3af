"""Whether the compressed chunks of an HDF5 array expand to no more than they should.

The library expands a chunk whole and takes as much memory as its bytes ask for, whatever the array states.
"""

from __future__ import annotations

import math
import zlib
from typing import Any

from eqssl.data.sources.arrays.layouts import MOST_BYTES

_GZIP, _SHUFFLE, _FLETCHER32, _LZF = 1, 2, 3, 32000
_KNOWN = {_GZIP, _SHUFFLE, _FLETCHER32, _LZF}
_LARGEST_RATIO = {_GZIP: 1040, _LZF: 90}
"""How many bytes a compressed byte can become."""
_SLICE = 2**20


def check_chunks(found: Any) -> None:
    """Refuse an array with chunks that are too large or expand to more than a chunk has.

    Args:
        found: an h5py data set.

    Raises:
        ValueError: with the reason; the caller adds the name of the array.
    """
    if found.chunks is None:
        return
    size = math.prod(found.chunks) * found.dtype.itemsize
    if size > MOST_BYTES:
        raise ValueError(f"has chunks of {size} bytes, allowed: at most {MOST_BYTES}")
    packer = _packer(found)
    most = size + size // 4 + 2**16  # what cannot be compressed grows a little
    large: list[tuple[int, ...]] = []

    def note(info: Any) -> None:
        if info.size > most:
            raise ValueError(f"has a chunk of {info.size} bytes in the file, allowed: at most {most}")
        if packer is not None and info.size * _LARGEST_RATIO[packer] > MOST_BYTES:
            large.append(info.chunk_offset)

    found.id.chunk_iter(note)
    for place in large if packer == _GZIP else ():
        _check_gzip(found, place, size)
    if large and packer == _LZF:
        raise ValueError(
            f"has chunks of more than {MOST_BYTES // _LARGEST_RATIO[_LZF]} bytes that lzf compressed, "
            "allowed: smaller ones, or gzip"
        )


def _filters(found: Any) -> list[int]:
    filters = found.id.get_create_plist()
    return [filters.get_filter(i)[0] for i in range(filters.get_nfilters())]


def _packer(found: Any) -> int | None:
    """The filter that compresses an array; None if there is none."""
    used = _filters(found)
    packers = [one for one in used if one in _LARGEST_RATIO]
    if not set(used) <= _KNOWN or len(packers) > 1:
        raise ValueError(
            f"has the filters {used}, allowed: gzip or lzf, with shuffle and fletcher32; h5repack changes "
            "them"
        )
    return packers[0] if packers else None


def _check_gzip(found: Any, place: tuple[int, ...], size: int) -> None:
    """Expand a chunk slice by slice, and keep none of it."""
    mask, content = found.id.read_direct_chunk(place)
    if mask & 1 << _filters(found).index(_GZIP):  # not applied to this chunk, since it did not help
        return
    expanding, expanded = zlib.decompressobj(), 0
    try:
        while not expanding.eof:
            part = expanding.decompress(content, _SLICE)
            content = expanding.unconsumed_tail
            expanded += len(part)
            if expanded > size:
                raise ValueError(f"has a chunk that expands to more than its {size} bytes")
            if not part and not content:
                raise ValueError("has a chunk that is cut off")
    except zlib.error as error:
        raise ValueError(f"has a chunk that cannot be decompressed: {error}") from None
