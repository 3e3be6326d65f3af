"""The momentum branch: it follows by its formula, gets no gradient, and never uses filters of old weights."""

import math

import pytest
import torch
from entries import PARAMS, build, kind_of, stored
from steps import step

from eqssl.pretexts.joint.momentum import MomentumBranch, MomentumEmbedding

MOMENTUM = [name for name in PARAMS.pretexts if issubclass(kind_of(name), MomentumEmbedding)]


def moved(pretext, seed=0):
    """Change all trained weights, as an optimiser would."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in pretext.parameters():
            if parameter.requires_grad:
                parameter.add_(0.1 * torch.randn(parameter.shape, generator=generator))


def test_the_momentum_is_half_a_cosine_from_the_first_to_the_last():
    branch = MomentumBranch([torch.nn.Linear(2, 2)], 0.9, 0.98)
    assert branch.momentum(0) == pytest.approx(0.9)
    assert branch.momentum(0.25) == pytest.approx(0.98 - 0.08 * (1 + math.sqrt(0.5)) / 2)
    assert branch.momentum(0.5) == pytest.approx(0.94)
    assert branch.momentum(1) == pytest.approx(0.98)


@pytest.mark.parametrize("name", MOMENTUM)
def test_every_parameter_follows_the_formula(name):
    pretext, settings = build(name, "C4"), PARAMS.pretexts[name]
    originals = [pretext.encoder, pretext.projector]
    if hasattr(pretext, "prototypes"):
        originals.append(pretext.prototypes)
    expected = [[float(x) for x in p.detach().flatten()[:50]] for m in originals for p in m.parameters()]
    for number in (1, 2, 3):
        moved(pretext, number)
        pretext.after_step(number / 4)
        share = 0.5 * (1 + math.cos(math.pi * number / 4))
        keep = settings.final_momentum - (settings.final_momentum - settings.momentum) * share
        new = [[float(x) for x in p.detach().flatten()[:50]] for m in originals for p in m.parameters()]
        for mine, theirs in zip(expected, new, strict=True):
            for i, value in enumerate(theirs):
                mine[i] = keep * mine[i] + (1 - keep) * value
    found = [p.flatten()[:50].tolist() for p in pretext.momentum.parameters()]
    assert len(found) == len(expected)
    for mine, right in zip(found, expected, strict=True):
        assert mine == pytest.approx(right, rel=1e-5, abs=1e-6)


@pytest.mark.parametrize("name", MOMENTUM)
def test_no_gradient_reaches_the_branch_and_the_optimiser_does_not_hold_it(name):
    pretext = build(name, "C4")
    pretext(step(stored())).loss.backward()
    branch = {id(p) for p in pretext.momentum.parameters()}
    assert all(p.grad is None and not p.requires_grad for p in pretext.momentum.parameters())
    assert not any(id(p) in branch for group in pretext.parameter_groups() for p in group["params"])
    own = {id(p) for part in (pretext.encoder, pretext.projector) for p in part.parameters()}
    assert not own & branch


def test_batch_norms_of_the_branch_have_statistics_of_their_own():
    pretext = build("inv_byol", "C4").train()

    def statistics(module):
        named = module.named_buffers()
        return torch.cat([value.flatten() for name, value in named if ".running_" in name])

    before = statistics(pretext.momentum)
    moved(pretext)
    pretext(step(stored()))
    online = torch.cat([statistics(pretext.encoder), statistics(pretext.projector)])
    assert not torch.allclose(statistics(pretext.momentum), before)
    assert not torch.allclose(statistics(pretext.momentum), online)
    after = statistics(pretext.momentum)
    pretext.after_step(0.5)
    assert torch.equal(statistics(pretext.momentum), after)


@pytest.mark.parametrize("group_name", ["trivial", "C4", "D4"])
def test_in_eval_mode_the_branch_embeds_with_its_new_filters_after_it_followed(group_name):
    """Layers keep expanded filters in eval mode."""
    pretext = build("inv_byol", group_name).eval()
    pretext.momentum.first = pretext.momentum.last = 0.0
    views = stored(4).float() / 255
    with torch.no_grad():
        torch.testing.assert_close(pretext.embed_slowly(views), pretext.embed(views))
        moved(pretext)
        old = pretext.embed_slowly(views)
        assert not torch.allclose(old, pretext.embed(views), atol=1e-3)
        pretext.after_step(0.5)
        torch.testing.assert_close(pretext.embed_slowly(views), pretext.embed(views))
        assert not torch.allclose(old, pretext.embed_slowly(views), atol=1e-3)
