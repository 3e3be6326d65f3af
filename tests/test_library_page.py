"""docs/library.md: its examples run as they stand, one after the other."""

from __future__ import annotations

import itertools

import torch
from page_blocks import ROOT, read


def test_the_examples_of_the_page_run_and_train(monkeypatch):
    monkeypatch.chdir(ROOT)
    torch.manual_seed(0)
    blocks = read(ROOT / "docs/library.md").python
    assert len(blocks) == 4
    known: dict = {"__name__": "docs"}
    weights = []
    for block in blocks:
        exec(block, known)  # noqa: S102 - the docs' own code
        weights.append(known["network"][0].weight.detach().clone())
    for before, after in itertools.pairwise(weights):  # each of the three loops has trained it
        assert not torch.equal(before, after)
    assert known["features"].shape == (8, 32)
