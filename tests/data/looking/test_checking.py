"""What `eqssl check` says of transfers: the target's shards, and channels that do not agree."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from written_shards import write_files

from eqssl.config.jobs import shard_folder
from eqssl.config.params import Params, merged
from eqssl.data.looking.checking import told_of_data


def write_shards(folder: Path, channels: int) -> None:
    shape = (8, 8) if channels == 1 else (8, 8, channels)
    content = io.BytesIO()
    Image.fromarray(np.zeros(shape, np.uint8)).save(content, "PNG")
    write_files(folder, [("png", content.getvalue(), 0)], (channels, 8, 8), tars=1)


@pytest.fixture
def transferring(params: Params, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Params:
    monkeypatch.chdir(tmp_path)
    return Params.check(merged(params.plain(), {"transfer": {"datasets": ["textures", "sky"]}}))


def test_a_target_is_told_of_and_may_not_be_sharded_yet(transferring: Params) -> None:
    assert list(told_of_data(transferring)) == []
    write_shards(Path(shard_folder(transferring, "sky")), 1)
    assert "data set sky:" in list(told_of_data(transferring))


@pytest.mark.parametrize("channels", [1, 3])
def test_shards_of_other_channels_are_refused(transferring: Params, channels: int) -> None:
    write_shards(Path(shard_folder(transferring, transferring.dataset)), 1)
    write_shards(Path(shard_folder(transferring, "sky")), channels)
    if channels == 1:
        assert "data set sky:" in list(told_of_data(transferring))
        return
    reason = (
        r"^transfer\.datasets\.1: given 'sky', whose images have 3 channels, but those of "
        r"fashion_mnist_rot_sample have 1; allowed: datasets\.sky\.channels: 1$"
    )
    with pytest.raises(ValueError, match=reason):
        list(told_of_data(transferring))
