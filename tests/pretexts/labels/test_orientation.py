import pytest
import torch
from label_tasks import build, drawn

from eqssl.symmetry import group


@pytest.mark.parametrize(
    ("name", "labels", "orbits"),
    [
        ("C4", "group", [[0, 1, 2, 3]]),
        ("D4", "group", [list(range(8))]),
        ("D4", "rotations", [[0, 1, 2, 3]]),
        ("C4", "rotations", [[0, 1, 2, 3]]),
        ("C2", "rotations", [[0, 2], [1, 3]]),
        ("D1", "rotations", [[0], [1, 3], [2]]),
        ("trivial", "rotations", [[0], [1], [2], [3]]),
    ],
)
def test_the_labels_have_the_known_orbits(name: str, labels: str, orbits: list):
    task = "orientation of the group" if labels == "group" else "orientation in quarters"
    assert build(task, name).labels.orbits() == orbits


@pytest.mark.parametrize("name", ["trivial", "C4", "D4"])
def test_label_r_is_r_quarter_turns_after_the_mirroring(name: str):
    pretext = build("orientation in quarters", name)
    images, _, _ = drawn(pretext)
    labels = torch.arange(8) % 4
    draw = pretext.draw(8, torch.Generator().manual_seed(4))
    mirrored = [pretext.turning.elements[i] != pretext.turning.identity for i in draw["before"].tolist()]
    assert len(set(mirrored)) == 2
    found = pretext.corrupt(images, labels, draw)
    for i, (label, flip) in enumerate(zip(labels.tolist(), mirrored, strict=True)):
        upright = images[i : i + 1].flip(-1) if flip else images[i : i + 1]
        expected = pretext.normalised(torch.rot90(upright, label, (-2, -1)))
        assert torch.equal(found[i : i + 1], expected)


def test_the_published_order_rotate_then_flip_breaks_condition_a():
    """A flip after the turn makes label r look like -r (VISSL's stock order)."""
    pretext, G = build("orientation in quarters", "C4"), group("C4")
    images, _, _ = drawn(pretext)
    labels = torch.arange(8) % 4

    def published(x, y):
        turned = torch.cat([torch.rot90(x[i : i + 1], int(label), (-2, -1)) for i, label in enumerate(y)])
        return turned.flip(-1)

    def ours(x, y):
        return published(x.flip(-1), y).flip(-1)

    quarter = G.elements[1]
    moved = pretext.labels.permutation(quarter)[labels]
    assert torch.equal(ours(images, moved), G.act(ours(images, labels), quarter))
    assert (published(images, moved) - G.act(published(images, labels), quarter)).abs().max() > 0.1


@pytest.mark.parametrize(
    ("task", "name"), [("of the group", "D4"), ("in quarters", "D4"), ("of the group", "C4")]
)
def test_the_loss_of_an_exact_network_does_not_depend_on_the_turn(task: str, name: str):
    """The task reduces to agreeing on one orientation of all images; a plain head can do without."""
    for head, constant in (("equivariant", True), ("plain", False)):
        pretext = build(f"orientation {task}", name, head=head).eval()
        images, _, draw = drawn(pretext)
        identity = torch.zeros_like(draw["before"])
        losses = []
        with torch.no_grad():
            for label in range(len(pretext.labels)):
                labels = torch.full((8,), label)
                logits = pretext.logits(pretext.corrupt(images, labels, {"before": identity}))
                losses.append(torch.nn.functional.cross_entropy(logits, labels, reduction="none"))
        spread = float((torch.stack(losses) - losses[0]).abs().max())
        assert (spread < 1e-9) == constant


def test_the_trivial_group_has_no_labels_of_its_own():
    with pytest.raises(ValueError, match="only one label"):
        build("orientation of the group", "trivial")
