"""Folders of hostile Parquet files, images and IDX files."""

from __future__ import annotations

import gzip
import io
import json
import lzma
import os
import struct
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

Maker = Callable[[Path], object]


def png(side: int = 8, mode: str = "RGB") -> bytes:
    buffer = io.BytesIO()
    Image.effect_noise((side, side), 90).convert(mode).save(buffer, "PNG")
    return buffer.getvalue()


GOOD = png()


def _chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def stated_png(width: int, height: int, content: bytes = b"") -> bytes:
    """A PNG of a few bytes whose header states any number of pixels."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    data = zlib.compress(content)
    signature = b"\x89PNG\r\n\x1a\n"
    return signature + _chunk(b"IHDR", header) + _chunk(b"IDAT", data) + _chunk(b"IEND", b"")


def text_bomb() -> bytes:
    """A PNG with a text of 200 MB in 200 kB."""
    text = _chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(200_000_000)))
    return GOOD[:33] + text + GOOD[33:]


def gif(width: int, height: int) -> bytes:
    return (
        b"GIF89a"
        + struct.pack("<HH", width, height)
        + b"\x00\x00\x00,\0\0\0\0"
        + struct.pack("<HH", width, height)
        + b"\x00\x02\x02D\x01\x00;"
    )


def ppm(width: int, height: int) -> bytes:
    return f"P6 {width} {height} 255\n".encode()


def bmp(width: int, height: int) -> bytes:
    return b"BM" + struct.pack("<IHHIIiiHHIIiiII", 54, 0, 0, 54, 40, width, height, 1, 24, 0, 0, 1, 1, 0, 0)


def tiff(width: int, height: int) -> bytes:
    tags = [(256, 4, 1, width), (257, 4, 1, height), (258, 3, 1, 8), (259, 3, 1, 1), (262, 3, 1, 1)]
    tags += [(273, 4, 1, 8), (277, 3, 1, 1), (278, 4, 1, height), (279, 4, 1, 8)]
    entries = b"".join(struct.pack("<HHII", *tag) for tag in tags)
    return b"II*\0" + struct.pack("<I", 8) + struct.pack("<H", len(tags)) + entries + bytes(4)


def rows(images: Sequence[bytes | None], labels: Sequence[Any] | None = None, kind: Any = None) -> pa.Table:
    labels = [i % 2 for i in range(len(images))] if labels is None else labels
    return pa.table({"image": pa.array(images, pa.binary()), "label": pa.array(labels, kind)})


def files(train: pa.Table | bytes, test: pa.Table | bytes | None = None, **options: Any) -> Maker:
    """A folder of the two files."""

    def make(folder: Path) -> None:
        for name, content in (("train", train), ("test", rows([GOOD] * 4) if test is None else test)):
            path = folder / f"{name}.parquet"
            if isinstance(content, bytes):
                path.write_bytes(content)
            else:
                pq.write_table(content, path, **options)

    return make


LATIN_1 = pa.StringArray.from_buffers(2, pa.py_buffer(struct.pack("<3i", 0, 1, 2)), pa.py_buffer(b"a\xe4"))
"""Texts of which the second is not UTF-8."""


def paths(path: str) -> Maker:
    """Images of which the last is a path, beside a pipe and a link to a device."""
    cells = [{"bytes": GOOD, "path": "x.png"}] * 8 + [{"bytes": None, "path": path}]
    column = pa.array(cells, pa.struct([("bytes", pa.binary()), ("path", pa.string())]))

    def make(folder: Path) -> None:
        files(pa.table({"image": column, "label": [0, 1] * 4 + [0]}))(folder)
        os.mkfifo(folder / "pipe")
        (folder / "device").symlink_to("/dev/zero")

    return make


def image(content: bytes | None) -> Maker:
    return files(rows([GOOD] * 8 + [content] + [GOOD]))


def metadata(value: object) -> Maker:
    text = value if isinstance(value, bytes) else json.dumps(value).encode()
    return files(rows([GOOD] * 8).replace_schema_metadata({"huggingface": text}))


def names(value: object) -> Maker:
    return metadata({"info": {"features": {"label": {"names": value}}}})


def in_place(make: Callable[[Path], object], name: str = "train.parquet") -> Maker:
    """A good folder, with something else in the place of a file."""

    def made(folder: Path) -> None:
        files(rows([GOOD] * 8))(folder)
        (folder / name).unlink(missing_ok=True)
        make(folder / name)

    return made


def page_bomb(folder: Path) -> None:
    """150 MB of zeros in some kilobytes."""
    files(rows([bytes(150_000_000)]), compression="zstd", use_dictionary=False)(folder)


def _varint(value: int, width: int = 0) -> bytes:
    groups = []
    while value or len(groups) < max(1, width):
        groups.append(value & 127)
        value >>= 7
    return bytes([*(group | 128 for group in groups[:-1]), groups[-1]])


def lying_page_bomb(folder: Path) -> None:
    """The same, in a file whose footer states a size of 40 bytes."""
    page_bomb(folder)
    path = folder / "train.parquet"
    content = path.read_bytes()
    size = pq.ParquetFile(path).metadata.row_group(0).column(0).total_uncompressed_size
    told = _varint(2 * size)
    start = len(content) - 8 - struct.unpack("<I", content[-8:-4])[0]
    footer = content[start:].replace(told, _varint(80, len(told)))
    assert footer != content[start:]
    path.write_bytes(content[:start] + footer)


def header_bomb(folder: Path) -> None:
    """A page of 2 MB whose own header states 134 MB; the footer knows nothing of it."""
    files(rows([bytes(2_000_000)]), compression="zstd", use_dictionary=False, write_statistics=False)(folder)
    path = folder / "train.parquet"
    content = path.read_bytes()
    start = pq.ParquetFile(path).metadata.row_group(0).column(0).data_page_offset
    head = content[start : start + 64]
    told = next(told for told in (_varint(2 * (2_000_000 + more)) for more in range(64)) if told in head)
    path.write_bytes(content.replace(told, _varint(2 * (2**27 - 1)), 1))


def dictionary_bomb(folder: Path) -> None:
    """1,000 rows that are all the same image of 20 MB."""
    large = ppm(2500, 2500) + bytes(2500 * 2500 * 3)
    column = pa.DictionaryArray.from_arrays(pa.array([0] * 1000, pa.int32()), pa.array([large], pa.binary()))
    table = pa.table({"image": column, "label": pa.array([0] * 1000)})
    files(table, compression="zstd", dictionary_pagesize_limit=2**30, store_schema=False)(folder)


def duplicate(name: str) -> Maker:
    table = rows([GOOD] * 8)
    return files(table.append_column(name, table.column(name)))


def flipped(step: int) -> Maker:
    """A file with one byte in every so many inverted."""

    def make(folder: Path) -> None:
        files(rows([GOOD] * 8))(folder)
        content = bytearray((folder / "train.parquet").read_bytes())
        for place in range(4, len(content) - 4, step):
            content[place] ^= 255
        (folder / "train.parquet").write_bytes(content)

    return make


def cut(share: float) -> Maker:
    def make(folder: Path) -> None:
        files(rows([GOOD] * 8))(folder)
        content = (folder / "train.parquet").read_bytes()
        (folder / "train.parquet").write_bytes(content[: int(len(content) * share)])

    return make


def footer(length: int) -> bytes:
    return b"PAR1" + bytes(100) + struct.pack("<I", length) + b"PAR1"


# name: (what makes the folder, what the message says)
PARQUET: dict[str, tuple[Maker, str]] = {
    "no file": (lambda folder: None, r"has no files \*\.parquet"),
    "a pipe": (in_place(os.mkfifo), "train.parquet: is a named pipe"),
    "a pipe for the test images": (in_place(os.mkfifo, "test.parquet"), "test.parquet: is a named pipe"),
    "a folder": (in_place(Path.mkdir), "train.parquet: is a folder"),
    "a link to a device": (in_place(lambda path: path.symlink_to("/dev/zero")), "train.parquet: is a device"),
    "a link to nothing": (in_place(lambda path: path.symlink_to("nothing")), "train.parquet"),
    "a link to itself": (in_place(lambda path: path.symlink_to(path)), "train.parquet"),
    "a name of two lines": (in_place(Path.touch, "train\n.parquet"), r"train\\n.parquet"),
    "an empty file": (files(b""), "train.parquet: cannot be read as Parquet"),
    "a text": (files(b"image,label\n"), "train.parquet: cannot be read as Parquet"),
    "both ends alone": (files(b"PAR1PAR1"), "train.parquet: cannot be read as Parquet"),
    "a footer of nothing": (files(footer(0)), "train.parquet: cannot be read as Parquet"),
    "a footer of zeros": (files(footer(100)), "train.parquet: cannot be read as Parquet"),
    "a footer of 4 GB": (files(footer(2**32 - 1)), "train.parquet: cannot be read as Parquet"),
    "half a file": (cut(0.5), "train.parquet: cannot be read as Parquet"),
    "a file without its end": (cut(0.99), "train.parquet: cannot be read as Parquet"),
    "every third byte": (flipped(3), "train.parquet"),
    "every 50th byte": (flipped(50), "train.parquet"),
    "every 500th byte": (flipped(500), "train.parquet"),
    "a page of 150 MB": (
        page_bomb,
        r"train.parquet: row group 0: column 'image': a page expands to 15\d{7} bytes",
    ),
    "a page of 150 MB that the footer denies": (lying_page_bomb, "a page expands to 15"),
    "a page that is large in its header alone": (header_bomb, "a page expands to 134217727 bytes"),
    "no rows": (files(rows([])), "train.parquet"),
    "the image twice": (duplicate("image"), "train.parquet: has 2 columns 'image'"),
    "the label twice": (duplicate("label"), "train.parquet: has 2 columns 'label'"),
    "1,000 columns": (
        files(pa.table({f"c{i}": [1] for i in range(1000)})),
        r"train.parquet: has no column 'image', and none of .*letters\)",
    ),
    "texts as images": (files(pa.table({"image": ["x"], "label": [0]})), "row 0 .* there is no file 'x'"),
    "lists as images": (files(pa.table({"image": [[b"x"]], "label": [0]})), "column 'image' is list"),
    "texts as labels of one file": (files(rows([GOOD], ["0"])), "numbers and labels that are texts"),
    "a text that is not UTF-8 as label": (files(rows([GOOD] * 2, LATIN_1)), "row 1: label is not UTF-8"),
    "fractions as labels": (files(rows([GOOD], [0.5])), "column 'label': row 0: label is 0.5"),
    "infinity as label": (files(rows([GOOD], [float("inf")])), "column 'label': row 0: label is inf"),
    "lists as labels": (files(rows([GOOD], [[0]])), "column 'label' is list"),
    "a label of 2^63": (files(rows([GOOD] * 8, [2**64 - 1] * 8, pa.uint64())), "has no training image"),
    "a label below -1": (files(rows([GOOD] * 4, [0, 1, -5, 0])), "column 'label': row 2: label is -5"),
    "a label of 10^6 letters": (files(rows([GOOD], ["x" * 10**6])), "row 0: label is 'xxx"),
    "a label of its own for each image": (
        files(rows([GOOD] * 8, range(8)), rows([GOOD], [8])),
        "as many classes as images",
    ),
    "a path out of the folder": (paths("../../etc/passwd"), "row 8.* leads out of the folder"),
    "a path of the machine": (paths("/etc/passwd"), "row 8.* leads out of the folder"),
    "a path of a device": (paths("device"), "row 8.* leads out of the folder"),
    "a path of a pipe": (paths("pipe"), "pipe: is a named pipe"),
    "an address": (paths("http://localhost:1/x.png"), "row 8.* is not fetched"),
    "a path of two lines": (paths("a\nb"), r"row 8.* path 'a\\nb'"),
    "null as image": (image(None), r"train.parquet: row 8 \(train-00000008\): has no image bytes"),
    "an empty image": (image(b""), r"train.parquet: row 8 \(train-00000008\): has no image bytes"),
    "a text as image": (image(b"<svg/>"), "row 8.* cannot be decoded as an image"),
    "a program of PostScript": (image(b"%!PS-Adobe-3.0 EPSF-3.0\n"), "row 8.* cannot be decoded"),
    "90 million pixels": (
        image(stated_png(9000, 10_000)),
        "row 8.* has 9000 x 10000 pixels, allowed: at most",
    ),
    "70 million pixels": (
        image(stated_png(7000, 10_000)),
        "has 7000 x 10000 pixels, allowed: at most 67108864",
    ),
    "a billion pixels": (image(stated_png(100_000, 10_000)), "row 8.* pixels, allowed: at most 67108864"),
    "2^62 pixels": (image(stated_png(2**31 - 1, 2**31 - 1)), "row 8.* pixels, allowed: at most 67108864"),
    "no pixels": (image(stated_png(0, 0)), "row 8.* cannot be decoded"),
    "pixels that do not come": (image(stated_png(5000, 5000)), "row 8.* cannot be decoded"),
    "a text of 200 MB in a PNG": (image(text_bomb()), "row 8.* cannot be decoded"),
    "a GIF of 4 billion pixels": (image(gif(65_535, 65_535)), "row 8.* pixels, .*most"),
    "a PPM of 10^12 pixels": (image(ppm(10**6, 10**6)), "row 8.* pixels, .*most"),
    "a PPM of 10^5000 pixels": (image(ppm(10**2500, 10**2500)), "row 8.* cannot be decoded"),
    "a BMP of 10^12 pixels": (image(bmp(10**6, 10**6)), "row 8.* pixels, .*most"),
    "a TIFF of 10^12 pixels": (image(tiff(10**6, 10**6)), "row 8.* pixels, .*most"),
    "a TIFF without pixels": (image(tiff(64, 64)), "row 8.* cannot be decoded"),
    "another size": (image(png(9)), "has 9 x 9 pixels"),
    "gray among colours": (image(png(8, "L")), "has 1 channels, others have 3; `channels: 1`"),
    "16 bits": (image(png(8, "I;16")), "more than 8 bits"),
    "constant images": (files(rows([stated_png(8, 8, bytes(200))] * 8)), "in all pixels"),
    "class names of two lines": (names(["a\nb", "c"]), r"train.parquet: names a class 'a\\nb'"),
    "half a surrogate as class name": (names(["\ud800", "c"]), "train.parquet: names a class"),
    "a class name of 10^6 letters": (names(["x" * 10**6, "c"]), "train.parquet: names a class"),
    "tables as class names": (names([{}, {}]), "train.parquet: names a class"),
    "other class names": (names(["a", "b"]), "test.parquet: names other classes"),
}
# name of the file: (content, what the message says)
IDX: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "not an IDX file"),
    "head": (b"\0\0\x08", "not an IDX file"),
    "no-dimensions": (b"\0\0\x08\0", "not an IDX file"),
    "255-dimensions": (b"\0\0\x08\xff" + b"\0\0\0\x01" * 255 + b"x", "not an IDX file"),
    "9-dimensions": (b"\0\0\x08\x09" + b"\0\0\0\x01" * 9 + b"x", "not an IDX file"),
    "another-type": (b"\0\0\x0a\x01" + b"\0\0\0\x01" + b"x", "not an IDX file"),
    "4-billion": (b"\0\0\x08\x01" + b"\xff" * 4, "holds 0 bytes of data, its header states 4294967295"),
    "2^64": (b"\0\0\x08\x02" + b"\x80\0\0\0" * 2, "its header states 4611686018427387904"),
    "2^64-wraps-to-0": (b"\0\0\x08\x04" + b"\0\x01\0\0" * 4, "its header states 18446744073709551616"),
    "2^256": (b"\0\0\x0e\x08" + b"\xff\xff\xff\xff" * 8, "holds 0 bytes of data, its header states"),
    "bomb.gz": (gzip.compress(bytes(2**28 + 1), 1), "holds more than 268435456 bytes"),
    "bomb.xz": (lzma.compress(bytes(2**28 + 1), preset=0), "holds more than 268435456 bytes"),
    "text.gz": (b"x" * 100, "cannot be decompressed"),
    "cut.gz": (gzip.compress(bytes(100))[:-5], "cannot be decompressed"),
    "checksum.gz": (gzip.compress(bytes(100))[:-8] + bytes(8), "cannot be decompressed"),
    "garbage-behind.gz": (gzip.compress(bytes(100)) + b"x" * 50, "cannot be decompressed"),
    "text.xz": (b"x" * 100, "cannot be decompressed"),
    "cut.xz": (lzma.compress(bytes(100))[:-5], "cannot be decompressed"),
    "flipped.xz": (lzma.compress(bytes(100))[:30] + b"\xff" + lzma.compress(bytes(100))[31:], "cannot be"),
}
