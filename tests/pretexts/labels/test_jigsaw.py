import numpy as np
import pytest
import torch
from label_tasks import build, drawn
from steps import step

from eqssl.pretexts.labels.jigsaw import permuted
from eqssl.symmetry import permutation_labels


@pytest.mark.parametrize(("name", "orbits"), [("trivial", 24), ("C4", 10), ("D4", 8)])
def test_puzzles_of_four_have_the_known_orbits(name: str, orbits: int):
    assert len(build("jigsaw of 4", name).labels.orbits()) == orbits


def test_slot_i_shows_tile_s_of_i():
    pretext = build("jigsaw of 4", "C4")
    images, labels, draw = drawn(pretext)
    tiles, mosaic = pretext.patches(images, draw), pretext.corrupt(images, labels, draw)
    for image, label in enumerate(labels.tolist()):
        for slot, tile in enumerate(pretext.permutations[label].tolist()):
            assert torch.equal(mosaic[image, slot], tiles[image, tile])


def test_the_loss_is_the_mean_over_the_drawn_mosaics():
    """The tiles are encoded once, and each permutation is as if its mosaic had been encoded by itself."""
    pretext = build("jigsaw of 4", "C4").float().eval()
    images = (torch.rand(5, 1, 28, 28, generator=torch.Generator().manual_seed(2)) * 255).byte()
    found, scalars = pretext(step(images, seed=5))
    generator = torch.Generator().manual_seed(5)
    draw = pretext.draw(5, generator)
    labels = pretext.draw_labels(15, generator).view(5, 3)
    losses, hits = [], []
    for k in range(3):
        logits = pretext.logits(pretext.corrupt(images / 255, labels[:, k], draw))
        losses.append(torch.nn.functional.cross_entropy(logits, labels[:, k]))
        hits.append((logits.argmax(1) == labels[:, k]).float().mean())
    torch.testing.assert_close(found, torch.stack(losses).mean())
    torch.testing.assert_close(scalars["accuracy"], torch.stack(hits).mean())


def test_a_set_that_is_not_closed_is_refused():
    """Negative control: the published sets were chosen permutation by permutation."""
    pretext = build("jigsaw of 9", "C4")
    published = np.array([np.arange(9), np.roll(np.arange(9), 1), np.arange(9)[::-1]])
    with pytest.raises(ValueError, match="closed"):
        permutation_labels(pretext.slots, published)


def test_the_set_is_saved_with_the_weights_and_described():
    pretext = build("jigsaw of 9", "D4")
    state = pretext.state_dict()
    assert state["permutations"].shape == (20, 9)
    described = pretext.described()
    assert described["permutations"] == state["permutations"].tolist()
    assert sorted(point for orbit in described["orbits"] for point in orbit) == list(range(20))
    other = build("jigsaw of 9", "D4", set_seed=2)
    assert not torch.equal(other.permutations, pretext.permutations)


def test_more_permutations_than_there_are_are_refused():
    with pytest.raises(ValueError, match="permutations: given 25, allowed: 2 to 24"):
        build("jigsaw of 4", "D4", permutations=25)


def test_permuted_tiles_stand_where_the_permutation_says():
    tiles = torch.arange(6).view(2, 3, 1)
    order = torch.tensor([[2, 0, 1], [0, 1, 2]])
    assert permuted(tiles, order).flatten(1).tolist() == [[2, 0, 1], [3, 4, 5]]
