"""Labels of rotation beside a contrastive loss, with the weight of the paper, and its form with symmetry."""

import pytest
import torch
from entries import EXACT, PARAMS, build, stored, turned
from steps import step

from eqssl.config.pretexts import CombinedSettings

SYMMETRIC = [name for name in EXACT if name != "trivial"]


def entry(name: str) -> CombinedSettings:
    found = PARAMS.pretexts[name]
    assert isinstance(found, CombinedSettings)
    return found


def loss(pretext, inputs, labels, views, moved) -> float:
    """The weighted sum for given inputs, labels and views, each of which `moved` may turn."""
    parts = pretext.parts()
    inputs, labels, views = moved(parts["orientation"], inputs, labels, views)
    logits = parts["orientation"].logits(inputs)
    one = torch.nn.functional.cross_entropy(logits, labels)
    contrast = parts["contrast"]
    given = [view._replace(images=images) for view, images in views]
    contrast.draw_turned_views = lambda images, generator: given
    two = contrast(step(stored(len(inputs)))).loss
    return float((pretext.weights["orientation"] * one + pretext.weights["contrast"] * two).detach())


def drawn(pretext):
    """Inputs with their labels, and two views, as the parts draw them."""
    generator = torch.Generator().manual_seed(0)
    task, contrast = pretext.parts()["orientation"], pretext.parts()["contrast"]
    labels = task.draw_labels(6, generator)
    images = stored(6).double() / 255
    inputs = task.corrupt(images, labels, task.draw(6, generator))
    views = contrast.draw_turned_views(stored(6), generator)
    return inputs, labels, [(view, view.images.double()) for view in views]


def as_they_are(task, inputs, labels, views):
    return inputs, labels, views


def each_turned(task, inputs, labels, views):
    """Every input turned with its label, and every view, by elements of their own."""
    G = task.group
    positions = torch.randint(G.order, (len(inputs),), generator=torch.Generator().manual_seed(3))
    moved = [
        task.labels.permutation(G.elements[int(i)])[label] for i, label in zip(positions, labels, strict=True)
    ]
    views = [(view, turned(images, G.name, 50 + i)) for i, (view, images) in enumerate(views)]
    return G.act_each(inputs, positions), torch.stack(moved), views


def test_the_weights_are_those_of_the_paper_and_the_twins_differ_in_symmetry_alone():
    ours, twin = entry("inv_e_ssl"), entry("e_ssl")
    assert ours.twin == "e_ssl"
    for one in (ours, twin):
        assert {name: part.weight for name, part in one.parts.items()} == {
            "orientation": 0.4,
            "contrast": 1.0,
        }
        assert one.parts["orientation"].pretext.labels == "rotations"
        assert len(one.parts["orientation"].pretext.hidden) == 2
    values = ours.plain()
    values.pop("twin")
    values["parts"]["orientation"]["pretext"]["head"] = "plain"
    values["parts"]["contrast"]["pretext"]["similarity"] = None
    assert values == twin.plain()


@pytest.mark.parametrize("name", SYMMETRIC)
def test_inputs_turn_with_their_labels_and_views_by_themselves_and_the_plain_twin_does_not(name: str):
    for pretext_name in ("inv_e_ssl", "e_ssl"):
        pretext = build(pretext_name, name).double().eval()
        given = drawn(pretext)
        expected = loss(pretext, *given, as_they_are)
        found = loss(pretext, *given, each_turned)
        if pretext_name == "inv_e_ssl":
            assert found == pytest.approx(expected, rel=1e-6)
        else:
            assert abs(found - expected) > 1e-5


@pytest.mark.parametrize("name", ["C8", "D8", "SO2", "O2"])
def test_groups_off_the_pixel_grid_are_refused_by_the_part_with_labels(name: str):
    with pytest.raises(ValueError, match=r"part orientation: interpolation would tell"):
        build("inv_e_ssl", name)
