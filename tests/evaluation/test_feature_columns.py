"""The feature columns are what the encoder's own methods give, stage by stage."""

from __future__ import annotations

import pyarrow as pa
import pytest
import torch

from eqssl.config.params import Params
from eqssl.encoders import build_encoder
from eqssl.evaluation.feature_columns import (
    feature_array,
    feature_columns,
    feature_field,
    rows_of_group,
)


@pytest.fixture(params=["trivial", "C4"])
def network(request: pytest.FixtureRequest, params: Params):
    random = torch.Generator().manual_seed(0)
    return build_encoder(params.encoder, request.param, (1, 28, 28), [0.5], [0.25], random).eval()


@pytest.mark.parametrize("regular", [False, True])
def test_columns_are_the_features_of_the_last_stages(network, regular: bool) -> None:
    images = torch.rand(3, 1, 28, 28, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        stages = network.stages(images)
        columns = feature_columns(network, images, 2, regular)
        invariant = network.invariant(images)
    expected = {"invariant": network.pool(stages[-1]), "invariant_2": network.pool(stages[-2])}
    if regular:
        expected |= {"regular": stages[-1].reshape(3, -1), "regular_2": stages[-2].reshape(3, -1)}
    assert columns.keys() == expected.keys()
    for name, values in expected.items():
        assert (columns[name] == values.detach().numpy()).all()
    assert (columns["invariant"] == invariant.numpy()).all()


def test_rows_of_a_column_are_read_back_as_they_were(network) -> None:
    images = torch.rand(5, 1, 28, 28, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        values = feature_columns(network, images, 1)["invariant"]
    field = feature_field("invariant", values.shape[1])
    table = pa.table([feature_array(values, field)], schema=pa.schema([field]))
    assert table["invariant"].to_pylist() == values.tolist()


def test_row_groups_have_4096_rows_or_at_most_32_mib() -> None:
    assert rows_of_group([1, 2]) == 4096
    assert rows_of_group([2048, 2048]) == 2048
    assert rows_of_group([10**9]) == 1
