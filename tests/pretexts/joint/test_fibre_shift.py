import math

import pytest
import torch
from entries import EXACT, build, stored
from steps import step

from eqssl.pretexts.joint.fibre_shift import FibreShift
from eqssl.symmetry import group_names
from eqssl.symmetry.groups import act_on_regular

GROUPS = [name for name in group_names() if name != "trivial"]


def fibre_shift(name: str) -> FibreShift:
    pretext = build("fibre_shift", name)
    assert isinstance(pretext, FibreShift)
    return pretext.double().eval()


def slow_loss(pretext, view, drawn, turn_images: bool) -> float:
    """Of given elements: the features are turned, or the images before the encoder sees them."""
    G, n, t = pretext.group, len(view), pretext.temperature
    z = []
    for i, position in enumerate(drawn.tolist()):
        image, element = view[i % n][None], G.elements[position]
        if turn_images:
            feature = pretext.encoder(pretext.normalised(G.act(image, element)))
        else:
            feature = act_on_regular(G, pretext.encoder(pretext.normalised(image)), element)
        embedding = pretext.projector(feature).flatten().detach()
        z.append(embedding / embedding.norm())
    total = 0.0
    for i in range(2 * n):
        sums = sum(math.exp(float(z[i] @ z[k]) / t) for k in range(2 * n) if k != i)
        total += math.log(sums) - float(z[i] @ z[(i + n) % (2 * n)]) / t
    return total / (2 * n)


def drawn_by(pretext, images, seed):
    """The view and the elements that a step with this seed draws."""
    generator = torch.Generator().manual_seed(seed)
    (view,) = pretext.draw_views(images, generator)
    return view.double(), torch.randint(pretext.group.order, (2 * len(view),), generator=generator)


def loss_in_double(pretext, images, seed):
    drawing = pretext.draw_turned_views
    pretext.draw_turned_views = lambda images, generator: [
        view._replace(images=view.images.double()) for view in drawing(images, generator)
    ]
    return float(pretext(step(images, seed=seed)).loss.detach())


@pytest.mark.parametrize("name", GROUPS)
def test_the_loss_is_that_of_two_turned_features_of_one_view(name: str):
    pretext, images = fibre_shift(name), stored(4)
    view, drawn = drawn_by(pretext, images, 3)
    expected = slow_loss(pretext, view, drawn, turn_images=False)
    assert loss_in_double(pretext, images, 3) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("name", [name for name in EXACT if name != "trivial"])
def test_turning_the_feature_is_turning_the_view(name: str):
    """With an encoder that is exactly equivariant the method augments images, at the price of one pass."""
    pretext, images = fibre_shift(name), stored(4)
    view, drawn = drawn_by(pretext, images, 3)
    expected = slow_loss(pretext, view, drawn, turn_images=True)
    assert loss_in_double(pretext, images, 3) == pytest.approx(expected, rel=1e-5)
    other = (drawn + 1) % pretext.group.order
    assert abs(slow_loss(pretext, view, other, turn_images=True) - expected) > 1e-6


def test_the_trivial_group_is_refused_with_the_reason():
    with pytest.raises(
        ValueError, match=r"group: given 'trivial' with pretext 'fibre_shift': .* one element"
    ):
        build("fibre_shift", "trivial")


@pytest.mark.parametrize("name", GROUPS)
def test_every_group_trains_every_weight(name: str):
    pretext = build("fibre_shift", name).train()
    pretext(step(stored())).loss.backward()
    assert all(p.grad is not None and bool(p.grad.isfinite().all()) for p in pretext.parameters())
