"""Shards of 340 small colour images, and a scratch folder for each test."""

import pytest
import torch
from tiny_source import TinySource, job, samples

from eqssl.data.shards.writing import write_source


@pytest.fixture(autouse=True)
def _scratch(tmp_path, monkeypatch):
    torch.set_num_threads(1)
    monkeypatch.setenv("EQSSL_SCRATCH", str(tmp_path / "scratch"))


@pytest.fixture
def folder(tmp_path):
    write_source(TinySource(samples(train=300, test=40, shape=(9, 9, 3))), job(count=2), tmp_path / "shards")
    return tmp_path / "shards"
