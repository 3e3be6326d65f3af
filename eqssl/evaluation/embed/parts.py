"""A Parquet file that is written in parts, so that a killed run goes on and ends with the same bytes."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from eqssl.config.regular_files import read_text
from eqssl.evaluation.feature_columns import parquet_writer, rows_of_group
from eqssl.machine.files import LONGEST_JSON, atomic, write_json

MADE_BY = "made_by.json"
READ = b"eqssl.read"
"""Key of a part's metadata: what was read for it."""


class Parts:
    """The finished parts of a file, in a folder beside it.

    Args:
        path: the file that they will make.
        made_by: what decides their content, as JSON has it. Parts that were made by something else are
            removed, and it is said.

    Attributes:
        folder: where they lie.

    Raises:
        ValueError: the folder is there and holds something other than parts.
    """

    def __init__(self, path: Path, made_by: Mapping[str, Any]) -> None:
        self.path, self.folder = path, path.with_name(f"{path.name}.parts")
        self._count = 0
        decided = json.loads(json.dumps(made_by))
        found = self._made_by()
        if found != decided:
            if found is not None:
                told = "was made with another encoder, other settings or other code; starting anew"
                print(f"eqssl: note: {self.folder}: {told}", file=sys.stderr, flush=True)
                shutil.rmtree(self.folder)
            write_json(self.folder / MADE_BY, decided)

    def _made_by(self) -> Any:
        """What made the parts that are there; None if there are none."""
        if not any(
            self.folder.glob("[!.]*")
        ):  # a kill may have left an unfinished file, whose name has a dot
            return None
        try:
            return json.loads(read_text(self.folder / MADE_BY, LONGEST_JSON))
        except (OSError, ValueError):
            raise ValueError(f"{self.folder}: is in the way, and holds no rows of an earlier run") from None

    def _place(self, number: int) -> Path:
        return self.folder / f"{number:06d}.parquet"

    def finished(self) -> Iterator[tuple[int, str]]:
        """The finished parts in their order: number of rows, and what was read for them.

        A part that is damaged ends them. It and those after it are removed by `keep`.
        """
        for number in range(len(list(self.folder.glob("*.parquet")))):
            try:
                with pq.ParquetFile(self._place(number), page_checksum_verification=True) as file:
                    file.read()
                    read = (file.schema_arrow.metadata or {})[READ].decode()
                    rows = file.metadata.num_rows
            except (pa.ArrowException, OSError, KeyError):
                return
            yield rows, read

    def keep(self, count: int) -> None:
        """Keep the first parts alone."""
        self._count = count
        for place in self.folder.glob("*.parquet"):
            if place.name not in {self._place(number).name for number in range(count)}:
                place.unlink()

    def add(self, rows: pa.Table, read: str) -> None:
        """Write the next part.

        Args:
            rows: its rows.
            read: what was read for them.
        """
        metadata = {**(rows.schema.metadata or {}), READ: read.encode()}
        with atomic(self._place(self._count)) as temporary:
            pq.write_table(rows.replace_schema_metadata(metadata), temporary, write_page_checksum=True)
        self._count += 1

    def tidy(self) -> None:
        """Remove the folder if it holds no part, as after an error at the first image."""
        if self.folder.exists() and [place.name for place in self.folder.iterdir()] == [MADE_BY]:
            shutil.rmtree(self.folder)

    def finish(self, schema: pa.Schema) -> int:
        """Write the file from its parts, and remove them.

        Args:
            schema: of the file. The size of a row group depends on it alone.

        Returns:
            The number of rows.
        """
        lists = [field for field in schema if pa.types.is_fixed_size_list(field.type)]
        group = rows_of_group([field.type.list_size for field in lists])
        with (
            atomic(self.path) as temporary,
            parquet_writer(temporary, schema, ["label", "group", "split"]) as file,
        ):
            rows, waiting = 0, schema.empty_table()
            for number in range(self._count):
                read = pq.read_table(self._place(number)).replace_schema_metadata(schema.metadata)
                rows += len(read)
                waiting = pa.concat_tables([waiting, read]).combine_chunks()
                whole = len(waiting) // group * group
                if whole:
                    file.write_table(waiting.slice(0, whole), row_group_size=group)
                    waiting = waiting.slice(whole)
            if len(waiting):
                file.write_table(waiting, row_group_size=group)
        shutil.rmtree(self.folder)
        return rows
