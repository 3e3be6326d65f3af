import pytest
import torch
from label_tasks import build, drawn
from steps import step

from eqssl.pretexts.labels.location import band_limited
from eqssl.symmetry import group_names

EXACT = group_names(exact=True)


def test_a_quarter_turn_moves_the_labels_as_known():
    """Counter-clockwise, labels in rows; a table by columns would be the inverse one."""
    labels = build("grid", "C4").labels
    quarter = labels.group.elements[1]
    assert labels.permutation(quarter).tolist() == [5, 3, 0, 6, 1, 7, 4, 2]


@pytest.mark.parametrize(("name", "orbits"), [("trivial", 8), ("C2", 4), ("C4", 2), ("D4", 2)])
def test_the_labels_fall_into_the_known_orbits(name: str, orbits: int):
    found = build("grid", name).labels.orbits()
    assert len(found) == orbits
    assert {len(orbit) for orbit in found} == {8 // orbits}


@pytest.mark.parametrize(("name", "orbits"), [("C4", 2), ("D4", 2), ("C8", 1), ("D8", 1), ("SO2", 1)])
def test_the_ring_falls_into_the_known_orbits(name: str, orbits: int):
    assert len(build("ring", name).labels.orbits()) == orbits


@pytest.mark.parametrize("name", [name for name in EXACT if name != "trivial"])
def test_pooling_over_the_group_before_the_head_loses_the_direction(name: str):
    """The reason why heads see fields: with pooled features all slots of an orbit get one score."""
    pretext = build("grid", name).eval()
    pairs = pretext.corrupt(*drawn(pretext))
    features = [pretext.encoder(patches) for patches in pairs.unbind(1)]
    pooled = pretext.head([x.mean(-1, keepdim=True).expand_as(x) for x in features]).squeeze(1)
    for orbit in pretext.labels.orbits():
        assert float((pooled[:, orbit] - pooled[:, orbit[:1]]).abs().max().detach()) < 1e-10


@pytest.mark.parametrize("task", ["grid", "ring"])
def test_the_loss_over_all_neighbours_is_the_mean_of_the_single_ones(task: str):
    pretext = build(task, "C4").float().eval()
    images = (torch.rand(3, 1, 28, 28, generator=torch.Generator().manual_seed(2)) * 255).byte()
    found, scalars = pretext(step(images, seed=5))
    draw = pretext.draw(3, torch.Generator().manual_seed(5))
    singles, hits = [], []
    for y in range(8):
        labels = torch.full((3,), y)
        logits = pretext.logits(pretext.corrupt(images / 255, labels, draw))
        singles.append(torch.nn.functional.cross_entropy(logits, labels))
        hits.append((logits.argmax(1) == labels).float().mean())
    torch.testing.assert_close(found, torch.stack(singles).mean())
    torch.testing.assert_close(scalars["accuracy"], torch.stack(hits).mean())


@pytest.mark.parametrize("task", ["grid", "ring"])
def test_an_input_is_the_centre_and_the_patch_of_the_label(task: str):
    pretext = build(task, "C4")
    images, labels, draw = drawn(pretext)
    patches, pairs = pretext.patches(images, draw), pretext.corrupt(images, labels, draw)
    others = [slot for slot in range(9) if slot != pretext.centre]
    assert pretext.centre == (4 if task == "grid" else 8)
    for image, label in enumerate(labels.tolist()):
        assert torch.equal(pairs[image, 0], patches[image, pretext.centre])
        assert torch.equal(pairs[image, 1], patches[image, others[label]])


@pytest.mark.parametrize("name", ["C8", "SO2", "O2"])
def test_scores_of_a_continuous_angle_hold_no_fourth_frequency(name: str):
    pretext = build("ring", name).eval()
    with torch.no_grad():
        spectrum = torch.fft.rfft(pretext.logits(pretext.corrupt(*drawn(pretext)))).abs()
    assert (float(spectrum[:, 4].max()) < 1e-9) == (name != "C8")
    assert float(spectrum[:, 1:4].min()) > 0


def test_scores_of_an_angle_keep_frequencies_up_to_three():
    angles = torch.arange(8, dtype=torch.float64) * torch.pi / 4
    kept = torch.stack([torch.ones(8, dtype=torch.float64), angles.cos(), (3 * angles).sin()])
    torch.testing.assert_close(band_limited(kept), kept)
    assert band_limited((4 * angles).cos()[None]).abs().max() < 1e-12
