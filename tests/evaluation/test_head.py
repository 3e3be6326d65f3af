"""A classifier on an encoder stays exactly invariant while it is trained."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch
import torch.nn.functional as F
from small_encoders import new, relative, trained_statistics
from torch import nn

from eqssl.encoders import load_encoder, save_encoder
from eqssl.encoders.release.exporting import export
from eqssl.evaluation.head import with_head
from eqssl.symmetry import group, group_names

EXACT = group_names(exact=True)
STEPS = 4


class OnRegular(nn.Module):
    """The control: a head on the flattened regular feature, which a turn permutes."""

    def __init__(self, encoder, classes):
        super().__init__()
        self.encoder = with_head(encoder, classes).encoder
        self.head = nn.Linear(encoder.fields * encoder.group.order, classes).double()

    def forward(self, images):
        return self.head(self.encoder(images).flatten(1))


def frozen(name):
    """In double precision, so that what is exact differs by rounding alone, and by little."""
    return trained_statistics(new(name, size=12)).requires_grad_(False).double()


def pictures(count, generator):
    return torch.randn(count, 1, 12, 12, generator=generator, dtype=torch.float64)


def trained(model, generator):
    """Take a few steps; yields after each."""
    images, labels = pictures(16, generator), torch.arange(16) % 3
    optimiser = torch.optim.AdamW(model.train().parameters(), lr=0.05)
    for _ in range(STEPS):
        loss = F.cross_entropy(model(images), labels)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        yield model.eval()
        model.train()


def largest_error(model, G, images):
    """Largest relative change of the logits, without their mean over images, over all elements."""
    with torch.no_grad():
        logits = model(images)
        moved = [model(G.act(images, g)) for g in G.elements]
    assert logits.std(0).min() > 1e-4
    return max(relative(other - logits.mean(0), logits - logits.mean(0)) for other in moved)


@pytest.mark.parametrize("name", EXACT)
def test_the_classifier_is_invariant_after_every_step(name, generator):
    G, images = group(name), pictures(6, generator)
    for model in trained(with_head(frozen(name), 3), generator):
        assert largest_error(model, G, images) < 1e-8


@pytest.mark.parametrize("name", [name for name in EXACT if name != "trivial"])
def test_a_head_on_the_regular_feature_is_not_invariant(name, generator):
    G, images = group(name), pictures(6, generator)
    *_, model = trained(OnRegular(frozen(name), 3), generator)
    assert largest_error(model, G, images) > 1e-2


def test_no_filter_of_an_earlier_step_is_used(generator):
    """In eval mode filters are kept; with gradients they are made anew."""
    images, seen = pictures(6, generator), []
    for model in trained(with_head(frozen("D4"), 3), generator):
        with torch.no_grad():
            seen.append(model(images))
        torch.testing.assert_close(seen[-1], model(images).detach(), rtol=0, atol=0)
    for earlier, later in pairwise(seen):
        assert relative(later, earlier) > 1e-3


def test_the_encoder_that_was_given_stays_frozen_and_unchanged(generator):
    encoder = frozen("C4")
    before = {name: value.clone() for name, value in encoder.state_dict().items()}
    model = with_head(encoder, 3)
    list(trained(model, generator))
    assert not any(parameter.requires_grad for parameter in encoder.parameters())
    assert not encoder.training
    assert all(torch.equal(before[name], value) for name, value in encoder.state_dict().items())
    assert all(parameter.requires_grad and parameter.grad is not None for parameter in model.parameters())
    weights = zip(encoder.parameters(), model.encoder.parameters(), strict=True)
    assert all(not torch.equal(own, other) for own, other in weights)


def test_it_begins_with_equal_scores_for_all_classes_in_the_type_of_the_encoder():
    model = with_head(frozen("C4"), 5)
    images = torch.randn(2, 1, 12, 12, dtype=torch.float64)
    assert torch.equal(model(images), torch.zeros(2, 5, dtype=torch.float64))


def test_a_released_encoder_and_no_classes_are_refused(tmp_path):
    save_encoder(frozen("C4").float(), tmp_path / "own", {})
    export(tmp_path / "own", tmp_path / "released")
    with pytest.raises(ValueError, match=r"encoder: given a released one: .*allowed: a trained one"):
        with_head(load_encoder(tmp_path / "released"), 3)
    with pytest.raises(ValueError, match="classes: given 0, allowed: at least 1"):
        with_head(load_encoder(tmp_path / "own"), 0)
