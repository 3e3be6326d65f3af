"""The bounds that SECURITY.md states are those of the code."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from eqssl.config import plain, yaml_files
from eqssl.config.machine import MOST_CELLS, MachineSettings
from eqssl.config.params import Params
from eqssl.data import images
from eqssl.data.sources import labels
from eqssl.data.sources.arrays import idx
from eqssl.data.sources.tables import parquet_file

TEXT = (Path(__file__).parents[2] / "SECURITY.md").read_text()
SCHEMA = Params.model_json_schema()["$defs"]


def largest(settings: str, key: str) -> int:
    """The largest number that the schema allows."""
    return int(SCHEMA[settings]["properties"][key]["maximum"])


@pytest.mark.parametrize(
    ("row", "numbers"),
    [
        ("a settings file", [yaml_files.MOST_BYTES, plain.MOST_ENTRIES, plain.DEEPEST, plain.LONGEST]),
        ("a grid", [MachineSettings.model_fields["most_cells"].default, MOST_CELLS]),
        ("`pretrain`", [largest("PretrainSettings", key) for key in ("epochs", "batch_size", "threads")]),
        (
            "`probe`",
            [largest("ProbeSettings", key) for key in ("draws", "iterations", "neighbours", "bootstrap")],
        ),
        ("`shards`", [largest("ShardSettings", "count")]),
        ("pretexts", [largest("JigsawSettings", key) for key in ("permutations", "draws", "cell")]),
        (
            "pretexts",
            [largest("SwAVSettings", key) for key in ("embedding", "prototypes", "queue", "angles")],
        ),
        ("pretexts", [largest("Crops", "count")]),
        ("an image", [images.MOST_PIXELS, images.MOST_CHANNELS, images.MOST_BYTES]),
        ("a Parquet file", [parquet_file.MOST_ROWS, parquet_file.MOST_PAGE]),
        ("labels", [labels.MOST_CLASSES, labels.LONGEST_NAME]),
        ("an IDX file", [idx.MOST_BYTES, idx.MOST_DIMENSIONS]),
        ("a field of a CSV file", [csv.field_size_limit()]),
    ],
)
def test_bounds_are_stated_as_they_are(row: str, numbers: list[int]) -> None:
    (line,) = [line for line in TEXT.splitlines() if line.startswith(f"| {row} |")]
    words = line.replace(";", " ").split()
    for number in numbers:
        assert f"{number:,}" in [word.rstrip(",") for word in words]
