"""What every loss must satisfy, for every group and kind. A new loss is one entry of `LOSSES`."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest
import torch
from slow_pairs import embeddings, turn_each
from torch import Tensor

from eqssl import losses
from eqssl.symmetry import group, group_names

ROOT = Path(__file__).parents[2]


class Loss(NamedTuple):
    """A loss, the shapes (leading axes) of the embeddings that it takes, and how it takes them."""

    run: Callable[..., Tensor]
    inputs: tuple[int, ...] = (6, 6)


LOSSES = {
    "nt_xent": Loss(losses.nt_xent),
    "moco": Loss(lambda a, b, q, *told: losses.moco(a, b, *told, queue=q), (6, 6, 9)),
    "moco_of_the_batch": Loss(losses.moco),
    "moco_v3": Loss(losses.moco_v3),
    "byol": Loss(losses.byol),
    "simsiam": Loss(losses.simsiam),
    "barlow_twins": Loss(losses.barlow_twins),
    "vicreg": Loss(losses.vicreg),
    "swav": Loss(losses.swav, (6, 6, 5)),
    "swav_crops": Loss(
        lambda a, b, d, q, r, c, *told: losses.swav_crops([a, b, d], c, *told, queue=torch.stack([q, r])),
        (6, 6, 6, 9, 9, 5),
    ),
    "dino": Loss(
        lambda a, b, c, f, *told: losses.dino(
            a, b, c, *told, centre=torch.linspace(-0.1, 0.1, 5, device=a.device), teacher_prototypes=f
        ),
        (6, 6, 5, 5),
    ),
    "dino_crops": Loss(
        lambda a, b, d, t, c, *told: losses.dino_crops([a, b, d], [t], c, *told), (6, 6, 6, 6, 5)
    ),
}
KINDS = ["max", "align", "softmax", "pool"]
TOLERANCE = {torch.float32: 1e-5, torch.float64: 1e-10}
TEMPERATURE = 0.2


def inputs(loss: str, name: str, dtype: torch.dtype) -> list[Tensor]:
    counts = LOSSES[loss].inputs
    return [embeddings(n, name, seed, fields=4, dtype=dtype) for seed, n in enumerate(counts)]


def turned(tensors: list[Tensor], name: str, seed: int) -> list[Tensor]:
    """Every embedding, key of a queue and prototype turned by an element of its own."""
    return [turn_each(z, name, 100 * seed + i) for i, z in enumerate(tensors)]


def difference_after_turns(loss: str, name: str, kind: str | None, dtype: torch.dtype) -> float:
    """Largest difference of several draws, relative to the loss or absolute where that is below 1."""
    given, told = inputs(loss, name, dtype), (group(name), kind, TEMPERATURE)
    expected = LOSSES[loss].run(*given, *told)
    assert expected.dtype == dtype
    differences = [
        float((LOSSES[loss].run(*turned(given, name, seed), *told) - expected).abs()) for seed in range(3)
    ]
    return max(differences) / max(1.0, abs(float(expected)))


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("loss", LOSSES)
def test_condition_c_independent_turns_of_the_inputs_change_nothing(loss: str, kind: str, dtype: torch.dtype):
    for name in group_names():
        assert difference_after_turns(loss, name, kind, dtype) < TOLERANCE[dtype], name


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("loss", LOSSES)
def test_the_plain_loss_fails_condition_c(loss: str, dtype: torch.dtype):
    for name in group_names():
        if name != "trivial":
            assert difference_after_turns(loss, name, None, dtype) > 1e-3, name


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("loss", LOSSES)
def test_for_the_trivial_group_the_absorbing_loss_is_the_plain_one_to_the_bit(
    loss: str, kind: str, dtype: torch.dtype
):
    found, gradients = [], []
    for similarity in (kind, None):
        given = [z.requires_grad_() for z in inputs(loss, "trivial", dtype)]
        value = LOSSES[loss].run(*given, group("trivial"), similarity, TEMPERATURE)
        value.backward()
        found.append(value)
        gradients.append([z.grad for z in given])
    assert torch.equal(*found)
    for one, other in zip(*gradients, strict=True):
        assert (one is None and other is None) or torch.equal(one, other)


@pytest.mark.parametrize("kind", [*KINDS, None])
@pytest.mark.parametrize("loss", LOSSES)
def test_the_default_device_of_torch_changes_nothing(loss: str, kind: str | None):
    for name in group_names():
        found = []
        for default in ("meta", "cpu"):  # what is made on the device meta holds no numbers
            given = [z.requires_grad_() for z in inputs(loss, name, torch.float32)]
            with torch.device(default):
                value = LOSSES[loss].run(*given, group(name), kind, TEMPERATURE)
                value.backward()
            found.append([value, given[0].grad])
        for one, other in zip(*found, strict=True):
            assert torch.equal(one, other), name


@pytest.mark.parametrize("kind", [*KINDS, None])
@pytest.mark.parametrize("loss", LOSSES)
def test_autocast_changes_nothing(loss: str, kind: str | None):
    for name in ("trivial", "D4", "SO2"):
        found, gradients = [], []
        for enabled in (False, True):
            given = [z.requires_grad_() for z in inputs(loss, name, torch.float32)]
            with torch.autocast("cpu", torch.bfloat16, enabled=enabled):
                value = LOSSES[loss].run(*given, group(name), kind, TEMPERATURE)
            value.backward()
            found.append(value)
            gradients.append(given[0].grad)
        assert torch.equal(*found), name
        assert torch.equal(*gradients), name


@pytest.mark.parametrize("kind", [*KINDS, None])
@pytest.mark.parametrize("loss", LOSSES)
def test_bfloat16_embeddings_have_a_loss_in_float32_near_that_of_the_same_in_float32(
    loss: str, kind: str | None
):
    for name in ("trivial", "D4", "SO2"):
        told = (group(name), kind, TEMPERATURE)
        low = [z.to(torch.bfloat16).requires_grad_() for z in inputs(loss, name, torch.float32)]
        with torch.autocast("cpu", torch.bfloat16):
            found = LOSSES[loss].run(*low, *told)
        assert found.dtype == torch.float32
        found.backward()
        assert low[0].grad is not None
        assert torch.isfinite(low[0].grad).all()
        # rounding the inputs is the only loss of precision
        rounded = LOSSES[loss].run(*(z.detach().float() for z in low), *told)
        torch.testing.assert_close(found.detach(), rounded, rtol=1e-6, atol=1e-6)
        exact = LOSSES[loss].run(*inputs(loss, name, torch.float32), *told)
        torch.testing.assert_close(found.detach(), exact, rtol=2e-2, atol=2e-2)


FIRST_IN_INFERENCE_MODE = """
import sys

import torch

sys.path[:0] = ["tests/losses", "tests/support"]
from test_conditions_of_losses import KINDS, LOSSES, TEMPERATURE, inputs
from eqssl.losses.diagnostics import turn_found
from eqssl.symmetry import act_on_regular, act_on_regular_each, group
from eqssl.symmetry.turns import Turns


def run(name, train):
    G, upright = group(name), Turns(torch.zeros(6), torch.zeros(6, dtype=torch.bool))
    for loss in LOSSES:
        for kind in [*KINDS, None]:
            given = [z.requires_grad_(train) for z in inputs(loss, name, torch.float32)]
            value = LOSSES[loss].run(*given, G, kind, TEMPERATURE)
            if train:
                value.backward()
    z = given[0]
    turn_found(z, z, G, upright, upright)
    moved = act_on_regular_each(G, act_on_regular(G, z, G.elements[1]), torch.arange(len(z)) % G.order)
    if train:
        moved.sum().backward()


for name in ("C4", "D4", "O2"):
    with torch.inference_mode():
        run(name, train=False)
    run(name, train=True)
"""


def test_losses_that_first_ran_in_inference_mode_can_be_trained():
    """In a process of its own, because tables of groups are made once."""
    subprocess.run([sys.executable, "-c", FIRST_IN_INFERENCE_MODE], check=True, cwd=ROOT)
