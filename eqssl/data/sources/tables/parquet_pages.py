"""How large the pages of a Parquet file are, before any of them is expanded.

A reader allocates what the header of a page states, whatever the footer of the file says. So a file of two
kilobytes can ask for two gigabytes, and only the headers show it. They are read here. A header is a structure
of Thrift's compact protocol, of which all but two numbers are skipped (Parquet format, PageHeader).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, BinaryIO

_STOP, _TRUE, _FALSE, _BYTE, _DOUBLE, _BINARY, _LIST, _SET, _STRUCT = 0, 1, 2, 3, 7, 8, 9, 10, 12
_WHOLE = (4, 5, 6)
_EXPANDED, _STORED = 2, 3  # fields of a PageHeader
_DEEPEST = 8


@dataclass(frozen=True)
class Page:
    """Bytes of a page, as its header states them: after it is expanded, and in the file."""

    expanded: int
    stored: int


def largest_page(file: BinaryIO, chunk: Any) -> int:
    """Bytes of the largest page of a column, in one group of rows, after it is expanded.

    Args:
        file: the Parquet file, open for reading.
        chunk: pyarrow's metadata of the column in that group.

    Raises:
        ValueError: a header of a page is damaged.
    """
    place = chunk.data_page_offset
    if chunk.has_dictionary_page and 0 < chunk.dictionary_page_offset < place:
        place = chunk.dictionary_page_offset
    end, length = place + chunk.total_compressed_size, file.seek(0, 2)
    largest = 0
    while place < end:
        if not 0 <= place < length:
            raise ValueError("the header of a page is not in the file")
        file.seek(place)
        page = read_header(file)
        largest = max(largest, page.expanded)
        place = file.tell() + page.stored
    return largest


def read_header(file: BinaryIO) -> Page:
    """Read the header of a page and stop after it.

    Raises:
        ValueError: it is cut short, lacks a size, or is not such a structure.
    """
    sizes: dict[int, int] = {}
    number = 0
    while True:
        kind, number = _field(file, number)
        if kind == _STOP:
            break
        if number in (_EXPANDED, _STORED) and kind in _WHOLE:
            sizes[number] = _signed(file)
        else:
            _skip(file, kind, 0)
    if len(sizes) < 2 or min(sizes.values()) < 0:
        raise ValueError("the header of a page is damaged")
    return Page(sizes[_EXPANDED], sizes[_STORED])


def _field(file: BinaryIO, last: int) -> tuple[int, int]:
    """Type and number of the next field of a structure."""
    head = _byte(file)
    step, kind = head >> 4, head & 15
    if kind == _STOP:
        return kind, last
    return kind, last + step if step else _signed(file)


def _skip(file: BinaryIO, kind: int, depth: int) -> None:
    """Skip a value. A boolean is stored in the type of its field."""
    if depth > _DEEPEST:
        raise ValueError("the header of a page is damaged")
    if kind in _WHOLE:
        _unsigned(file)
    elif kind == _BYTE:
        _byte(file)
    elif kind == _DOUBLE:
        file.seek(8, 1)
    elif kind == _BINARY:
        file.seek(_unsigned(file), 1)
    elif kind in (_LIST, _SET):
        _skip_list(file, depth)
    elif kind == _STRUCT:
        number = 0
        while (field := _field(file, number))[0] != _STOP:
            number = field[1]
            _skip(file, field[0], depth + 1)
    elif kind not in (_TRUE, _FALSE):
        raise ValueError("the header of a page is damaged")


def _skip_list(file: BinaryIO, depth: int) -> None:
    head = _byte(file)
    count, kind = head >> 4, head & 15
    if count == 15:
        count = _unsigned(file)
    for _ in range(count):
        _skip(file, _BYTE if kind in (_TRUE, _FALSE) else kind, depth + 1)


def _byte(file: BinaryIO) -> int:
    found = file.read(1)
    if not found:
        raise ValueError("the header of a page is cut short")
    return found[0]


def _unsigned(file: BinaryIO) -> int:
    """A number in groups of seven bits, the lowest first."""
    value = 0
    for shift in range(0, 64, 7):
        byte = _byte(file)
        value |= (byte & 127) << shift
        if byte < 128:
            if value >= 2**63:
                break
            return value
    raise ValueError("the header of a page is damaged")


def _signed(file: BinaryIO) -> int:
    value = _unsigned(file)
    return (value >> 1) ^ -(value & 1)
