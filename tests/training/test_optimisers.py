import math

import pytest
import torch
from torch import nn

from eqssl.training.optimisers import LARS, build_optimiser, parameter_groups


class FieldBias(nn.Module):
    """A layer whose bias has two axes, as layers on orbits have."""

    def __init__(self):
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.ones(3, 2, 4)), nn.Parameter(torch.ones(3, 2))


def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3), nn.Flatten(), nn.Linear(27, 4), FieldBias())


def test_biases_and_normalisations_are_neither_decayed_nor_adapted():
    module = network()
    weights, others = parameter_groups(module, 0.1)
    names = {id(parameter): name for name, parameter in module.named_parameters()}
    assert [names[id(p)] for p in weights["params"]] == ["0.weight", "3.weight", "4.weight"]
    assert [names[id(p)] for p in others["params"]] == ["0.bias", "1.weight", "1.bias", "3.bias", "4.bias"]
    assert (weights["weight_decay"], weights["adapted"]) == (0.1, True)
    assert (others["weight_decay"], others["adapted"]) == (0.0, False)


def test_frozen_parameters_and_empty_groups_are_left_out():
    module = nn.Linear(3, 2)
    module.bias.requires_grad_(False)
    (group,) = parameter_groups(module, 0.1)
    assert group["params"] == [module.weight]
    with pytest.raises(ValueError, match="no trainable parameters"):
        build_optimiser("adamw", module.requires_grad_(False), 0.1, 0.0)


def slow_lars(parameters, gradients, velocities, rate, decays, momentum=0.9, trust=0.001):
    """The update of You, Gitman & Ginsburg in plain Python floats, number by number."""
    for w, g, v, decay in zip(parameters, gradients, velocities, decays, strict=True):
        adapted = decay is not None
        update = [a + (decay or 0.0) * b for a, b in zip(g, w, strict=True)]
        size, step = math.sqrt(sum(a * a for a in w)), math.sqrt(sum(a * a for a in update))
        ratio = trust * size / step if adapted and size > 0 and step > 0 else 1.0
        for i in range(len(w)):
            v[i] = momentum * v[i] + ratio * update[i]
            w[i] -= rate * v[i]


def test_lars_equals_a_slow_loop():
    module = network().double()
    with torch.no_grad():
        module[3].weight.zero_()  # a weight of size zero takes plain steps
    optimiser = build_optimiser("lars", module, 0.1, 0.05)
    names = [name for name, _ in module.named_parameters()]
    weights = [p.detach().flatten().tolist() for p in module.parameters()]
    velocities = [[0.0] * len(w) for w in weights]
    decays = [0.05 if name.endswith("weight") and name != "1.weight" else None for name in names]
    random = torch.Generator().manual_seed(3)
    for step in range(5):
        for parameter in module.parameters():
            parameter.grad = torch.randn(parameter.shape, generator=random, dtype=torch.float64)
        if step == 2:
            module[0].weight.grad.zero_()
        gradients = [p.grad.flatten().tolist() for p in module.parameters()]
        for group in optimiser.param_groups:
            group["lr"] = 0.1 / (step + 1)
        optimiser.step()
        slow_lars(weights, gradients, velocities, 0.1 / (step + 1), decays)
        for parameter, expected in zip(module.parameters(), weights, strict=True):
            torch.testing.assert_close(
                parameter.detach().flatten(),
                torch.tensor(expected, dtype=torch.float64),
                rtol=1e-12,
                atol=1e-14,
            )


def test_lars_leaves_parameters_without_gradient_alone_and_gradients_as_they_are():
    first, second = nn.Parameter(torch.ones(2, 2)), nn.Parameter(torch.ones(2, 2))
    optimiser = LARS([first, second], lr=1.0, weight_decay=0.5)
    first.grad = torch.full((2, 2), 3.0)
    assert optimiser.step(lambda: 7.0) == 7.0
    assert torch.equal(second.detach(), torch.ones(2, 2))
    assert not torch.equal(first.detach(), torch.ones(2, 2))
    assert torch.equal(first.grad, torch.full((2, 2), 3.0))


def test_adamw_is_torchs():
    module = network()
    optimiser = build_optimiser("adamw", module, 0.01, 0.2)
    assert type(optimiser) is torch.optim.AdamW
    twin = network()
    reference = torch.optim.AdamW(
        [
            {"params": [twin[0].weight, twin[3].weight, twin[4].weight], "weight_decay": 0.2},
            {
                "params": [twin[0].bias, twin[1].weight, twin[1].bias, twin[3].bias, twin[4].bias],
                "weight_decay": 0.0,
            },
        ],
        lr=0.01,
    )
    for network_, steps in ((module, optimiser), (twin, reference)):
        random = torch.Generator().manual_seed(3)
        for _ in range(3):
            for parameter in network_.parameters():
                parameter.grad = torch.randn(parameter.shape, generator=random)
            steps.step()
    assert all(torch.equal(a, b) for a, b in zip(module.parameters(), twin.parameters(), strict=True))


def test_unknown_optimiser_is_refused():
    with pytest.raises(ValueError, match="allowed: adamw, lars"):
        build_optimiser("sgd", nn.Linear(2, 2), 0.1, 0.0)
