"""The sample sets of params.yaml go from the files of their packages to the report."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from quick_cell import cell

from eqssl.config.jobs import shard_job
from eqssl.config.params import Params
from eqssl.data.shards.index import ShardIndex
from eqssl.data.shards.writing import write_shards
from eqssl.report import write_report

CONTRAST = {
    "task": "simclr",
    "similarity": "max",
    "angles": 64,
    "temperature": 0.2,
    "hidden": 8,
    "embedding": 8,
}
# name -> channels, type of the stored values, whether there are labels
SETS = {
    "textures": (1, "uint8", True),
    "nuclei": (1, "uint16", False),
    "tissue": (3, "uint8", True),
    "sky": (3, "uint8", True),
}


@pytest.mark.parametrize("name", SETS)
def test_a_sample_set_goes_from_its_package_to_the_report(name: str, tmp_path: Path, params: Params) -> None:
    channels, pixels, labelled = SETS[name]
    job = shard_job(params, name)
    try:
        write_shards(job, tmp_path / "shards", processes=1)
    except ValueError as error:
        if "install" not in str(error):
            raise
        pytest.skip(str(error))
    index = ShardIndex.load(tmp_path / "shards")
    assert (index.image_shape[0], index.pixels, bool(index.classes)) == (channels, pixels, labelled)
    assert all(len(columns) > 10 for columns in index.splits.values())
    pair = cell(tmp_path / "cell", params, tmp_path / "shards", job, CONTRAST, ("stored", "grid"), "contrast")
    metrics = json.loads(pair[0].read_text())
    assert metrics["equivariance_error"] < 1e-5
    assert 0 < metrics["retrieval_mrr"] <= 1
    assert ("acc_stored_100" in metrics) == labelled
    write_report([pair], tmp_path / "index.html", {}, [tmp_path / "shards"])
    assert (tmp_path / "index.html").read_text().count("<img src=") >= 1
