"""Files in a folder: which there are, which are images by their endings, and what they are called."""

from __future__ import annotations

import hashlib
import os
import re
import unicodedata
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from shlex import quote

from eqssl.config.plain import counted
from eqssl.config.regular_files import check_regular, open_regular, read_bytes
from eqssl.data.images import jpeg, npy, png, tiff
from eqssl.data.sources.arrays.names import shown_names

ENDINGS = (
    *("png", "jpg", "jpeg", "jpe", "jfif", "tif", "tiff", "webp", "bmp", "gif"),
    *("pbm", "pgm", "ppm", "pnm", "npy"),
)
"""Of images, in small letters. What an image is, its content says."""
MOST_BYTES = 2**30
"""Of one image file."""
# what operating systems and file servers leave beside files, in small letters
_SYSTEM = {"__macosx", "thumbs.db", "ehthumbs.db", "desktop.ini", "@eadir"}
_STARTS = (jpeg.START, png.START, npy.START, *tiff.STARTS, b"GIF8", b"BM", b"RIFF")
_TABLES = (".csv", ".tsv", ".parquet")  # which may say the labels
_LONGEST_SLUG = 85
_LISTED_ENDINGS = 8


@dataclass(frozen=True)
class FileList:
    """What a folder holds, at any depth.

    Attributes:
        names: paths below the folder of all files, with `/` between folders, sorted.
        hidden: those of hidden files and folders, and of what operating systems leave; not looked into.
        empty: those of folders with nothing in them, not even a hidden file.
    """

    names: list[str]
    hidden: list[str]
    empty: list[str]


def list_files(root: Path) -> FileList:
    """List a folder. Links to files are files.

    Raises:
        ValueError: the folder is missing, or is a file, or a link to a folder is in it.
        OSError: a folder cannot be read.
    """
    _check_folder(root)
    names, hidden, empty, waiting = [], [], [], [""]
    while waiting:
        above = waiting.pop()
        bare = bool(above)
        with os.scandir(root / above) as entries:
            for entry in entries:
                bare, name, folder = False, above + entry.name, _is_folder(entry)
                if entry.name.startswith(".") or entry.name.lower() in _SYSTEM:
                    hidden.append(f"{name}/" if folder else name)
                elif not folder:
                    names.append(name)
                elif entry.is_symlink():
                    raise ValueError(
                        f"{place(root, name)}: is a link to a folder, which is not followed: put the folder "
                        "itself there, or make the folder that it points to the `path`"
                    )
                else:
                    waiting.append(f"{name}/")
        if bare:
            empty.append(above)
    return FileList(sorted(names), sorted(hidden), sorted(empty))


def is_image_name(name: str) -> bool:
    """Whether a file has the ending of an image, in small or large letters."""
    return name.rpartition(".")[2].lower() in ENDINGS if "." in PurePosixPath(name).name else False


def check_images(root: Path, names: Sequence[str]) -> None:
    """Refuse files that cannot be images, before any is read.

    Raises:
        ValueError: names cannot be shown in one line, or files are empty or very large; names them.
        OSError: a file is a pipe or the like, or a link to nothing.
    """
    empty = []
    for name in names:
        if not _is_one_line(name):
            raise ValueError(f"{root}: {name!r}: a file name must be UTF-8 without control characters")
        size = _size(root, name)
        if size > MOST_BYTES:
            raise ValueError(f"{place(root, name)}: has {size} bytes, allowed: at most {MOST_BYTES}")
        if not size:
            empty.append(name)
    if empty:
        raise ValueError(f"{root}: {len(empty)} image files are empty (0 bytes): {shown_names(empty)}")


def read_image(root: Path, name: str) -> bytes:
    """The bytes of an image file.

    Raises:
        ValueError: it is empty or very large; names it.
        OSError: it is a pipe or the like, or cannot be read; names it.
    """
    content = read_bytes(root / name, MOST_BYTES)
    if not content:
        raise ValueError(f"{place(root, name)}: is empty (0 bytes)")
    return content


def image_keys(names: Sequence[str]) -> Iterator[str]:
    """A key for each path, which stays the same when files are added.

    It is the file's name in small letters without its ending, and the first digits of the SHA-256 of the
    path. Where two are equal, the later one gets more digits.
    """
    known = set()
    for name in names:
        digest = hashlib.sha256(name.encode()).hexdigest()
        slug = re.sub(r"[^0-9a-z_-]+", "-", PurePosixPath(name).stem.lower())[-_LONGEST_SLUG:].strip("-")
        key = f"{slug or 'image'}-{digest[:10]}"
        if key in known:
            key = f"{key[-20:]}{digest[10:30]}"
        known.add(key)
        yield key


def noted_hidden(files: FileList) -> Iterator[str]:
    """A sentence on hidden files, and one on empty folders, if there are any."""
    if files.hidden:
        yield f"Left out, hidden or of the system: {shown_names(files.hidden)}."
    if files.empty:
        yield f"Folders without a file: {shown_names(files.empty)}."


def noted_others(root: Path, names: Collection[str]) -> Iterator[str]:
    """Sentences on files that are left out since they have no ending of an image."""
    alike = [name for name in names if not PurePosixPath(name).suffix and _begins_like_image(root / name)]
    if alike:
        yield (
            f"Left out, without an ending though they begin like images: {counted(len(alike), 'file')}: "
            f"{shown_names(alike)}; `files` takes them."
        )
    others = set(names).difference(alike)
    if others:
        yield (
            f"Left out, with other endings than those of images: {counted(len(others), 'file')} "
            f"({endings_of(others)}): {shown_names(others)}."
        )
    if tables := [name for name in others if PurePosixPath(name).suffix.lower() in _TABLES]:
        yield f"Tables that `manifest` does not name are not read: {shown_names(tables)}."


def endings_of(names: Collection[str]) -> str:
    """The most frequent endings of some files, and how often they occur."""
    counts = Counter(PurePosixPath(name).suffix.lower() or "no ending" for name in names)
    ranked = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    more = ", ..." if len(ranked) > _LISTED_ENDINGS else ""
    return ", ".join(f"{_shown(ending)}: {count}" for ending, count in ranked[:_LISTED_ENDINGS]) + more


def place(root: Path, name: str) -> str:
    """The path of a file, in one line."""
    return _shown(f"{root}/{name}")


def _check_folder(root: Path) -> None:
    if root.is_dir():
        return
    if root.exists():
        raise ValueError(f"{root}: is a file, allowed: a folder of image files")
    pointer = root.with_name(f"{root.name}.dvc")
    fetch = f": `dvc pull {quote(str(pointer))}` fetches it" if pointer.is_file() else ""
    raise ValueError(f"{root}: is not there{fetch}")


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link in a circle; an error only if it is taken
        return False


def _size(root: Path, name: str) -> int:
    path = root / name
    try:
        state = path.stat()
    except FileNotFoundError:
        kind = "is a link to nothing" if path.is_symlink() else "is not there any more"
        raise ValueError(f"{place(root, name)}: {kind}") from None
    check_regular(place(root, name), state.st_mode)
    return state.st_size


def _begins_like_image(path: Path) -> bool:
    with suppress(OSError), open_regular(path) as file:
        return file.read(16).startswith(_STARTS)
    return False


def _is_one_line(name: str) -> bool:
    """Whether a name is UTF-8 and has no control characters. Spaces of any width occur: macOS uses them."""
    return name.isprintable() or not any(unicodedata.category(c) in ("Cc", "Cs", "Zl", "Zp") for c in name)


def _shown(text: str) -> str:
    return text if _is_one_line(text) else repr(text)[1:-1]
