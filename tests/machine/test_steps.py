from __future__ import annotations

from pathlib import Path

import pytest

from eqssl.config.grid import Cell
from eqssl.config.jobs import pretrain_job
from eqssl.config.params import Params
from eqssl.machine import code, steps

ROOT = Path(__file__).resolve().parents[2]


def counted(*modules: str) -> set[str]:
    """All modules that a digest of these counts."""
    seen: set[str] = set()
    waiting = list(modules)
    while waiting:
        module = waiting.pop()
        if module not in seen:
            seen.add(module)
            waiting += [name for name in code._read(module)[1] if not code._is_uncounted(name)]
    return seen


def modules_of(params: Params, pretext: str, monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """All modules that decide a cell, as `cell_code` names them."""
    named: list[str] = []
    monkeypatch.setattr(steps, "code_digest", lambda *modules: named.extend(modules) or "")
    cell = Cell(dataset=params.dataset, group="C4", pretext=pretext, seed=0)
    steps.cell_code(pretrain_job(params, cell))
    return counted(*named)


def test_a_cell_counts_its_own_pretext_and_no_other(params: Params, monkeypatch: pytest.MonkeyPatch) -> None:
    own = {name: set(entry.modules()) for name, entry in params.pretexts.items()}
    every = set().union(*own.values())
    for name, modules in own.items():
        found = modules_of(params, name, monkeypatch)
        assert modules <= found
        needed = counted(*modules)
        assert found & every == needed & every, name


def test_a_sum_of_pretexts_counts_its_parts_and_their_losses(
    params: Params, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = modules_of(params, "eq_labels_inv_contrastive", monkeypatch)
    assert {
        "eqssl.pretexts.combined",
        "eqssl.pretexts.labels.location",
        "eqssl.pretexts.joint.simclr",
        "eqssl.losses.nt_xent",
    } <= found


def test_no_cell_counts_a_room_that_computes_no_result(
    params: Params, monkeypatch: pytest.MonkeyPatch
) -> None:
    computing = {"symmetry", "nn", "losses", "data", "encoders", "pretexts", "training", "evaluation"}
    for name in params.pretexts:
        rooms = {module.split(".")[1] for module in modules_of(params, name, monkeypatch)}
        assert rooms | {"losses"} == computing
