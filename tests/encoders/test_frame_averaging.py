"""Any network, averaged over all turns of its input, is exactly equivariant, and every pretext trains it."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from eqssl import pretexts
from eqssl.config.groups import exact_groups
from eqssl.config.params import Params
from eqssl.encoders import frame_averaged
from eqssl.losses import nt_xent
from eqssl.pretexts.base import Step
from eqssl.symmetry import act_on_regular, assert_equivariant, equivariance_error, group

ROOT = Path(__file__).parents[2]
PARAMS = Params.load(ROOT / "params.yaml")


def network(channels=1, fields=6, seed=0):
    torch.manual_seed(seed)
    return nn.Sequential(
        nn.Conv2d(channels, 8, 3, padding=1),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.Conv2d(8, fields, 3, stride=2),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
    )


def images(batch=3, channels=1, side=9, seed=1):
    return torch.randn(batch, channels, side, side, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("name", exact_groups())
@pytest.mark.parametrize("training", [False, True])
def test_it_is_equivariant_for_every_exact_group_and_its_network_is_not(name, training):
    plain, G, x = network(), group(name), images()
    encoder = frame_averaged(plain, G, (1, 9, 9)).train(training)
    assert_equivariant(encoder, G, x)
    assert_equivariant(encoder.invariant, G, x, output="invariant")
    if name != "trivial":
        assert equivariance_error(plain, G, x, "invariant") > 1e-3


def test_it_is_the_network_of_each_turned_image_one_after_the_other():
    plain, G, x = network().eval(), group("D4"), images()
    encoder = frame_averaged(plain, G, (1, 9, 9))
    with torch.no_grad():
        found = encoder.eval()(x)
        for i, element in enumerate(G.elements):
            for image, features in zip(x, found, strict=True):
                torch.testing.assert_close(features[:, i], plain(G.act(image, ~element)[None])[0])
        largest = frame_averaged(plain, G, (1, 9, 9), group_pooling="max").eval().invariant(x)
    torch.testing.assert_close(largest, found.max(2).values)


def test_with_the_turns_the_other_way_round_it_would_not_be_equivariant():
    plain, G = network().eval(), group("D4")

    def wrong(x):
        return torch.stack([plain(G.act(x, h)) for h in G.elements], 2)

    assert equivariance_error(wrong, G, images()) > 1e-3


def test_making_it_leaves_the_network_as_it_was():
    plain = network()
    plain[1].eval()
    before = {key: value.clone() for key, value in plain.state_dict().items()}
    encoder = frame_averaged(plain, group("C4"), (1, 9, 9))
    assert encoder.fields == 6
    assert plain[0].training
    assert not plain[1].training
    for key, value in plain.state_dict().items():
        assert torch.equal(value, before[key])


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"G": group("C8")}, "G: given C8, allowed: trivial, "),
        ({"mean": [0.5, 0.5]}, "mean: given 2 numbers, allowed: 1, one for each channel"),
        ({"network": nn.Conv2d(1, 2, 3)}, r"network: gives shape \(4, 2, 7, 7\)"),
    ],
)
def test_what_cannot_be_exact_is_refused(change, said):
    given = {"network": network(), "G": group("C4"), "image_shape": (1, 9, 9), **change}
    with pytest.raises(ValueError, match=said):
        frame_averaged(**given)


@pytest.mark.parametrize("name", [key for key in PARAMS.pretexts if key != "random"])
def test_every_pretext_trains_it(name):
    G = "D4" if PARAMS.pretexts[name].refusal("C4") else "C4"
    if PARAMS.pretexts[name].refusal(G):
        pytest.skip(f"{name} refuses {G}")
    encoder = frame_averaged(network(), group(G), (1, 28, 28))
    task = pretexts.build(name, PARAMS, encoder)
    generator = torch.Generator().manual_seed(0)
    stored = torch.randint(256, (8, 1, 28, 28), dtype=torch.uint8, generator=generator)
    optimiser = torch.optim.SGD(task.parameters(), 0.1)
    for _ in range(2):  # a classifier that starts with zeros passes no gradient on at first
        optimiser.zero_grad()
        task(Step(stored, torch.arange(8), generator, 0.5)).loss.backward()
        optimiser.step()
    assert encoder.network[0].weight.grad.abs().sum() > 0


def test_its_turned_images_move_the_logits_of_a_label_task_and_leave_an_absorbed_loss_alone():
    encoder = frame_averaged(network(), group("C4"), (1, 28, 28))
    G, x = encoder.group, images(4, side=28)
    quarter = G.elements[1]
    task = pretexts.build("eq_labels", PARAMS, encoder).eval()
    draw = task.draw(4, torch.Generator().manual_seed(0))
    u = task.corrupt(torch.rand(4, 1, 28, 28), torch.arange(4), draw)
    with torch.no_grad():
        moved = task.logits(task.act_on_input(u, quarter))
        torch.testing.assert_close(moved, task.labels.act_on_logits(task.logits(u), quarter))
        z1, z2 = encoder(x), encoder(x.flip(0) + x)
        turned = encoder(G.act(x, quarter))
        torch.testing.assert_close(turned, act_on_regular(G, z1, quarter))
        torch.testing.assert_close(nt_xent(turned, z2, G), nt_xent(z1, z2, G))
        assert (nt_xent(turned, z2, G, None) - nt_xent(z1, z2, G, None)).abs() > 1e-4
