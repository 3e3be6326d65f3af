"""docs/library.md: its examples run as they stand, one after the other."""

from __future__ import annotations

import itertools
import shutil

import torch
from page_blocks import ROOT, read
from tracker_readers import written


def test_the_examples_of_the_page_run_and_train(monkeypatch, tmp_path):
    shutil.copy(ROOT / "params.yaml", tmp_path)
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)
    blocks = read(ROOT / "docs/library.md").python
    assert len(blocks) == 5
    known: dict = {"__name__": "docs"}
    weights = []
    for block in blocks:
        exec(block, known)  # noqa: S102 - the docs' own code
        weights.append(known["network"][0].weight.detach().clone())
    for before, after in itertools.pairwise(weights):  # each of the four loops has trained it
        assert not torch.equal(before, after)
    assert known["features"].shape == (8, 32)
    (run,) = written("tensorboard", tmp_path / "trackers")
    assert run.steps() == [1, 2, 3]
