"""The labels of pairs: what they are, that they can be learnt on turned images, and what would break them."""

import pytest
import torch
import torch.nn.functional as F
from label_tasks import build, drawn
from steps import step

from eqssl.data.views.random_view import draw_numbers
from eqssl.symmetry import group

QUARTERS, OF_GROUP = "relative turn in quarters", "relative turn of the group"


def whole(pretext):
    """The task with views that change nothing but turn."""
    plain = {"crop_scale": (1.0, 1.0), "brightness": 0.0, "contrast": 0.0, "jitter": 0.0, "blur": 0.0}
    pretext.view_settings = pretext.view_settings.model_copy(update=plain)
    return pretext


@pytest.mark.parametrize(
    ("task", "name", "orbits"),
    [
        (QUARTERS, "trivial", [[0], [1], [2], [3]]),
        (QUARTERS, "C4", [[0], [1], [2], [3]]),
        (QUARTERS, "D1", [[0], [1, 3], [2]]),
        (QUARTERS, "D4", [[0], [1, 3], [2]]),
        (OF_GROUP, "C4", [[0], [1], [2], [3]]),
        (OF_GROUP, "D4", [[0], [1, 3], [2], [4, 6], [5, 7]]),
    ],
)
def test_the_orbits_of_the_labels_are_the_classes_of_conjugate_turns(task: str, name: str, orbits: list):
    assert build(task, name).labels.orbits() == orbits


@pytest.mark.parametrize("name", ["trivial", "C4", "D4"])
def test_label_r_turns_the_second_view_by_r_quarter_turns_and_leaves_the_first(name: str):
    pretext = build(QUARTERS, name)
    images, _, draw = drawn(pretext)
    unturned = pretext.corrupt(images, torch.zeros(8, dtype=torch.int64), draw)
    for label in range(4):
        found = pretext.corrupt(images, torch.full((8,), label), draw)
        assert torch.equal(found[:, 0], unturned[:, 0])
        assert torch.equal(found[:, 1], torch.rot90(unturned[:, 1], label, (-2, -1)))


def test_both_views_turn_alike_and_are_otherwise_drawn_by_themselves():
    pretext = whole(build(QUARTERS, "D4"))
    images, _, draw = drawn(pretext)
    same = pretext.corrupt(images, torch.zeros(8, dtype=torch.int64), draw)
    assert torch.equal(same[:, 0], same[:, 1])
    another = {**draw, "second": draw_numbers(8, torch.Generator().manual_seed(9))}
    apart = pretext.corrupt(images, torch.zeros(8, dtype=torch.int64), another)
    assert (apart[:, 0] - apart[:, 1]).abs().max() > 0.1
    different = (draw["first"] != draw["second"]).float().mean(0)
    assert sorted(different.tolist())[:2] == [0, 0]
    assert sorted(different.tolist())[2:] == [1] * (len(different) - 2)


def test_labels_that_are_multiplied_from_one_side_break_condition_a():
    """g . y = g y is right where the stored image does not turn, and wrong here."""
    pretext, G = build(OF_GROUP, "D4"), group("D4")
    images, labels, draw = drawn(pretext)
    quarter = G.elements[1]
    turned, moved = G.act(images, quarter), pretext.act_on_draw(draw, labels, quarter)
    expected = pretext.act_on_input(pretext.corrupt(images, labels, draw), quarter)
    conjugated = pretext.labels.permutation(quarter)[labels]
    multiplied = G.product[1, labels]
    torch.testing.assert_close(pretext.corrupt(turned, conjugated, moved), expected, atol=1e-9, rtol=0)
    assert (pretext.corrupt(turned, multiplied, moved) - expected).abs().max() > 0.1


def test_the_trivial_group_has_no_labels_of_its_own():
    with pytest.raises(ValueError, match="only one label"):
        build(OF_GROUP, "trivial")


def shapes(count: int, seed: int) -> torch.Tensor:
    """A bright arm from the centre to one side, turned at random: nobody can tell which way was up."""
    generator = torch.Generator().manual_seed(seed)
    images = torch.zeros(count, 1, 28, 28)
    images[..., 12:16, 14:24] = 1.0
    images[..., 10:18, 20:24] = 1.0
    angles = torch.rand(count, generator=generator) * 2 * torch.pi
    rows = torch.stack([angles.cos(), -angles.sin(), torch.zeros(count)], 1)
    others = torch.stack([angles.sin(), angles.cos(), torch.zeros(count)], 1)
    grid = F.affine_grid(torch.stack([rows, others], 1), list(images.shape), align_corners=False)
    return (255 * F.grid_sample(images, grid, align_corners=False)).byte()


@pytest.mark.parametrize(("task", "learns"), [(QUARTERS, True), ("orientation in quarters", False)])
def test_relative_turns_are_learnt_on_turned_images_and_orientation_is_not(task: str, learns: bool):
    torch.manual_seed(0)
    pretext = whole(build(task, "C4")).float().train()
    optimiser = torch.optim.Adam(pretext.parameters(), lr=0.02)
    for number in range(100):
        loss, _ = pretext(step(shapes(64, number), seed=number))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    pretext.eval()
    with torch.no_grad():
        _, scalars = pretext(step(shapes(400, 1000), seed=1000))
    accuracy = float(scalars["accuracy"])
    assert accuracy > 0.9 if learns else 0.15 < accuracy < 0.35


@pytest.mark.parametrize("same", [True, False])
def test_only_the_content_that_both_views_share_tells_the_turn(same: bool):
    """Views of different images have nothing but shortcuts to go by, as borders and interpolation."""
    torch.manual_seed(0)
    pretext = build(QUARTERS, "C4").float()
    narrow = {"crop_scale": (0.5, 1.0), "blur": 0.0, "jitter": 0.0}
    pretext.view_settings = pretext.view_settings.model_copy(update=narrow)
    optimiser = torch.optim.Adam(pretext.parameters(), lr=0.02)
    right = []
    for number in range(150):
        generator = torch.Generator().manual_seed(number)
        images = shapes(64, number).float() / 255
        draw, labels = pretext.draw(64, generator), pretext.draw_labels(64, generator)
        pairs = pretext.corrupt(images, labels, draw)
        if not same:
            pairs = torch.stack([pairs[:, 0], pretext.corrupt(images.roll(1, 0), labels, draw)[:, 1]], 1)
        logits = pretext.logits(pairs)
        right.append((logits.argmax(1) == labels).float().mean())
        optimiser.zero_grad()
        F.cross_entropy(logits, labels).backward()
        optimiser.step()
    accuracy = float(torch.stack(right[-30:]).mean())  # each batch is new
    assert accuracy > 0.7 if same else 0.2 < accuracy < 0.3
