import math

import pytest
import torch
from torch import nn

from eqssl.pretexts.base import Pretext
from eqssl.pretexts.parameters import decayed_and_not
from eqssl.training.optimisers import LARS, build_optimiser, set_learning_rate


class FieldBias(nn.Module):
    """A layer whose bias has two axes, as layers on orbits have."""

    def __init__(self):
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.ones(3, 2, 4)), nn.Parameter(torch.ones(3, 2))


class Network(nn.Sequential):
    """Has what an optimiser asks of a pretext."""

    parameter_groups = Pretext.parameter_groups


def network():
    torch.manual_seed(0)
    return Network(nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3), nn.Flatten(), nn.Linear(27, 4), FieldBias())


def test_biases_and_normalisations_are_neither_decayed_nor_adapted():
    module = network()
    weights, others = build_optimiser("lars", module, 0.3, 0.1).param_groups
    names = {id(parameter): name for name, parameter in module.named_parameters()}
    assert [names[id(p)] for p in weights["params"]] == ["0.weight", "3.weight", "4.weight"]
    assert [names[id(p)] for p in others["params"]] == ["0.bias", "1.weight", "1.bias", "3.bias", "4.bias"]
    assert (weights["weight_decay"], weights["adapted"]) == (0.1, True)
    assert (others["weight_decay"], others["adapted"]) == (0.0, False)


def test_frozen_parameters_and_empty_groups_are_left_out():
    module = Network(nn.Linear(3, 2))
    module[0].bias.requires_grad_(False)
    (group,) = decayed_and_not(module.named_parameters())
    assert group["params"] == [module[0].weight]
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


def two_groups(module, decay):
    """Two groups written out: biases and normalisations have no weight decay."""
    return [
        {"params": [module[0].weight, module[3].weight, module[4].weight], "weight_decay": decay},
        {
            "params": [module[0].bias, module[1].weight, module[1].bias, module[3].bias, module[4].bias],
            "weight_decay": 0.0,
        },
    ]


def take_steps(module, optimiser, steps=3):
    random = torch.Generator().manual_seed(3)
    for _ in range(steps):
        for parameter in module.parameters():
            parameter.grad = torch.randn(parameter.shape, generator=random)
        optimiser.step()


def test_adamw_is_torchs():
    module, twin = network(), network()
    optimiser = build_optimiser("adamw", module, 0.01, 0.2)
    assert type(optimiser) is torch.optim.AdamW
    take_steps(module, optimiser)
    take_steps(twin, torch.optim.AdamW(two_groups(twin, 0.2), lr=0.01))
    assert all(torch.equal(a, b) for a, b in zip(module.parameters(), twin.parameters(), strict=True))


def test_sgd_is_torchs_with_momentum():
    module, twin = network(), network()
    take_steps(module, build_optimiser("sgd", module, 0.01, 0.2))
    take_steps(twin, torch.optim.SGD(two_groups(twin, 0.2), lr=0.01, momentum=0.9))
    assert all(torch.equal(a, b) for a, b in zip(module.parameters(), twin.parameters(), strict=True))


def test_sgd_equals_a_slow_loop():
    """v = 0.9 v + g + b w, w = w - rate v, number by number."""
    module = Network(nn.Linear(3, 2)).double()
    optimiser = build_optimiser("sgd", module, 0.1, 0.05)
    weight, velocity = module[0].weight.detach().flatten().tolist(), [0.0] * 6
    random = torch.Generator().manual_seed(0)
    for step in range(4):
        gradient = torch.randn(2, 3, generator=random, dtype=torch.float64)
        module[0].weight.grad, module[0].bias.grad = gradient, torch.zeros(2, dtype=torch.float64)
        set_learning_rate(optimiser, 0.1 / (step + 1))
        optimiser.step()
        for i, g in enumerate(gradient.flatten().tolist()):
            velocity[i] = 0.9 * velocity[i] + g + 0.05 * weight[i]
            weight[i] -= 0.1 / (step + 1) * velocity[i]
    found = module[0].weight.detach().flatten()
    torch.testing.assert_close(found, torch.tensor(weight, dtype=torch.float64), rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("name", ["adamw", "sgd", "lars"])
def test_a_group_keeps_its_own_options_and_its_fixed_rate(name):
    module = network()
    free, fixed = [*module[:3].named_parameters()], [*module[3:].named_parameters()]
    module.parameter_groups = lambda: [*decayed_and_not(free), *decayed_and_not(fixed, fixed_rate=True)]
    optimiser = build_optimiser(name, module, 0.5, 0.1)
    set_learning_rate(optimiser, 0.25)
    assert [group["lr"] for group in optimiser.param_groups] == [0.25, 0.25, 0.5, 0.5]
    assert [group["weight_decay"] for group in optimiser.param_groups] == [0.1, 0.0, 0.1, 0.0]
    module.parameter_groups = lambda: [{"params": list(module.parameters()), "weight_decay": 0.7}]
    (group,) = build_optimiser(name, module, 0.5, 0.1).param_groups
    assert (group["weight_decay"], group["fixed_rate"]) == (0.7, False)


def test_unknown_optimiser_is_refused():
    with pytest.raises(ValueError, match="given 'adam', allowed: adamw, lars, sgd"):
        build_optimiser("adam", network(), 0.1, 0.0)
