"""Files of a local folder that Hugging Face's library reads, and for which split: checked, and noted."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from eqssl.config.plain import counted
from eqssl.data.sources.arrays.names import shown_names
from eqssl.data.sources.files.numbered import missing_parts
from eqssl.data.sources.files.split_names import PathReading, read_path

_IMAGES = "imagefolder"
_ROWS = ("metadata.csv", "metadata.jsonl", "metadata.parquet")


class LocalFiles:
    """The files that the library chose below a folder.

    Its rules take `train_test_swap.parquet` for both splits, and leave out what they do not know, without a
    word.

    Args:
        top: the folder.
        builder: what the library loads the folder with.

    Raises:
        ValueError: a file is taken for two splits; names it.
    """

    def __init__(self, top: Path, builder: Any) -> None:
        self._top = top
        self._images = type(builder).__module__.endswith(_IMAGES)
        self._files: Mapping[str, Sequence[str]] = {
            str(split): sorted(_relative(top, str(file)) for file in files)
            for split, files in (builder.config.data_files or {}).items()
        }
        splits: dict[str, str] = {}
        for split, files in self._files.items():
            for file in files:
                if splits.setdefault(file, split) != split:
                    raise ValueError(
                        f"{top}: `datasets` takes the file {file!r} for {splits[file]} and for {split}; "
                        "move it away, or read the folder with the source parquet or folder"
                    )

    def notes(self, counts: Mapping[str, int], names_files: bool) -> Iterator[str]:
        """Sentences on what is read and what is not.

        Args:
            counts: split, as the library calls it -> number of rows.
            names_files: whether rows may name files.
        """
        for split, files in self._files.items():
            if not self._images:
                yield f"The split {split} is read from {shown_names(files)}."
                yield from missing_parts([_reading(file) for file in files])
                continue
            missing = len([file for file in files if Path(file).name not in _ROWS]) - counts[split]
            if missing > 0:
                files_of_it = f"{counted(missing, 'file')} of the split {split}"
                yield f"Left out, without a row in the metadata: {files_of_it}."
        chosen = {file for files in self._files.values() for file in files}
        if rest := [file for file in _walk(self._top) if file not in chosen]:
            by_rows = names_files and not self._images
            what = "Read only where a row names it" if by_rows else "Left out below the folder"
            yield f"{what}: {shown_names(rest)}."


def _relative(top: Path, file: str) -> str:
    return Path(os.path.relpath(file, top.absolute())).as_posix()


def _reading(file: str) -> PathReading:
    *folders, name = file.split("/")
    return read_path(folders, Path(name).stem)


def _walk(top: Path) -> Iterator[str]:
    """All files below a folder. Linked folders are not entered."""
    for folder, _, names in os.walk(top):
        yield from ((Path(folder) / name).relative_to(top).as_posix() for name in names)
