import pytest
import torch

from eqssl import pretexts
from eqssl.params import Params
from eqssl.pretexts.relative_location import CENTRE, SLOTS, standardised, without_colours
from eqssl.symmetry import equivariance_error, group, group_names

GROUPS = group_names(exact=True)
# how far a head without symmetry must at least miss (B)
BROKEN = 1e-2


def task(params: Params, name: str, group_name: str, channels: int = 1, size: int = 28, **changes):
    entry = {**params.pretexts[name], **changes}
    changed = params.model_copy(update={"group": group_name, "pretexts": {**params.pretexts, name: entry}})
    return pretexts.build(name, changed, image_shape=(channels, size, size))


def examples(channels: int, size: int):
    generator = torch.Generator().manual_seed(0)
    return torch.rand(8, channels, size, size, generator=generator, dtype=torch.float64), torch.arange(8)


@pytest.mark.parametrize("size", [28, 32, 45])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("name", GROUPS)
def test_condition_a_the_task_commutes_with_the_group(params: Params, name: str, channels: int, size: int):
    """t(g x, g . y) = g t(x, y), with the shifts of the patches turned along."""
    G, pretext = group(name), task(params, "eq_labels", name, channels, size)
    images, labels = examples(channels, size)
    shifts = pretext.draw_shifts(8, torch.Generator().manual_seed(1))
    assert shifts.unique().numel() == 5
    pairs = pretext.corrupt(images, labels, shifts)
    for g in G.elements:
        moved_labels = pretext.labels.permutation(g)[labels]
        moved = pretext.corrupt(G.act(images, g), moved_labels, pretext.act_on_shifts(shifts, g))
        torch.testing.assert_close(moved, G.act(pairs, g), atol=1e-10, rtol=0)


@pytest.mark.parametrize("name", ["C4", "D4"])
@pytest.mark.parametrize("forgotten", ["label", "shift"])
def test_a_label_or_a_shift_that_stays_behind_breaks_condition_a(params: Params, name: str, forgotten: str):
    G, pretext = group(name), task(params, "eq_labels", name)
    images, labels = examples(1, 28)
    shifts = pretext.draw_shifts(8, torch.Generator().manual_seed(1))
    g = G.elements[1]
    moved_labels = labels if forgotten == "label" else pretext.labels.permutation(g)[labels]
    moved_shifts = shifts if forgotten == "shift" else pretext.act_on_shifts(shifts, g)
    moved = pretext.corrupt(G.act(images, g), moved_labels, moved_shifts)
    assert (moved - G.act(pretext.corrupt(images, labels, shifts), g)).abs().max() > 0.1


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("name", GROUPS)
def test_condition_b_encoder_and_head_commute_with_the_group(params: Params, name: str, training: bool):
    """logits(g u) = P(g) logits(u)."""
    G, pretext = group(name), task(params, "eq_labels", name).double().train(training)
    images, labels = examples(1, 28)
    pairs = pretext.corrupt(images, labels, pretext.draw_shifts(8, torch.Generator().manual_seed(1)))
    assert equivariance_error(pretext.logits, G, pairs, output=pretext.labels) < 1e-10


@pytest.mark.parametrize("name", [name for name in GROUPS if name != "trivial"])
def test_the_plain_twin_fails_condition_b(params: Params, name: str):
    pretext = task(params, "labels", name).double().eval()
    images, labels = examples(1, 28)
    pairs = pretext.corrupt(images, labels, pretext.draw_shifts(8, torch.Generator().manual_seed(1)))
    assert equivariance_error(pretext.logits, group(name), pairs, output=pretext.labels) > BROKEN


@pytest.mark.parametrize("name", [name for name in GROUPS if name != "trivial"])
def test_pooling_over_the_group_before_the_head_loses_the_direction(params: Params, name: str):
    """The reason why heads see fields: with pooled features all slots of an orbit get one score."""
    pretext = task(params, "eq_labels", name).double().eval()
    images, labels = examples(1, 28)
    pairs = pretext.corrupt(images, labels, pretext.draw_shifts(8, torch.Generator().manual_seed(1)))
    features = pretext.encoder(pairs.flatten(0, 1)).unflatten(0, (-1, 2)).flatten(1, 2)
    pooled = pretext.head(features.mean(-1, keepdim=True).expand_as(features)).squeeze(1)
    for orbit in pretext.labels.orbits():
        assert float((pooled[:, orbit] - pooled[:, orbit[:1]]).abs().max().detach()) < 1e-10


@pytest.mark.parametrize("name", ["C4", "D4"])
def test_the_loss_of_a_turned_image_with_its_turned_label_is_the_same(params: Params, name: str):
    G, pretext = group(name), task(params, "eq_labels", name).double().eval()
    images, labels = examples(1, 28)
    shifts = pretext.draw_shifts(8, torch.Generator().manual_seed(1))

    def loss(x, y, s):
        return float(torch.nn.functional.cross_entropy(pretext.logits(pretext.corrupt(x, y, s)), y).detach())

    expected = loss(images, labels, shifts)
    for g in G.elements:
        turned = loss(
            G.act(images, g), pretext.labels.permutation(g)[labels], pretext.act_on_shifts(shifts, g)
        )
        assert turned == pytest.approx(expected, rel=1e-10)


def test_the_loss_over_all_neighbours_is_the_mean_of_the_single_ones(params: Params):
    pretext = task(params, "eq_labels", "C4").eval()
    images = (torch.rand(3, 1, 28, 28, generator=torch.Generator().manual_seed(2)) * 255).byte()
    found, scalars = pretext.loss(images, torch.zeros(3, dtype=torch.int64), torch.Generator().manual_seed(5))
    shifts = pretext.draw_shifts(3, torch.Generator().manual_seed(5))
    singles, hits = [], []
    for y in range(8):
        labels = torch.full((3,), y)
        logits = pretext.logits(pretext.corrupt(images / 255, labels, shifts))
        singles.append(torch.nn.functional.cross_entropy(logits, labels))
        hits.append((logits.argmax(1) == labels).float().mean())
    torch.testing.assert_close(found, torch.stack(singles).mean())
    torch.testing.assert_close(scalars["accuracy"], torch.stack(hits).mean())


def test_patches_lie_where_the_shifts_put_them(params: Params):
    pretext = task(params, "eq_labels", "C4", margin=0.0)
    side = 3 * 14
    image = torch.arange(side * side, dtype=torch.float64).view(1, 1, side, side)
    shifts = torch.zeros(1, 9, 2, dtype=torch.int64)
    shifts[0, 0] = torch.tensor([1, -2])
    patches = pretext.patches(image, shifts)
    for slot, (row, column) in enumerate(SLOTS):
        down, right = shifts[0, slot].tolist()
        top, left = row * 14 + 2 + down, column * 14 + 2 + right
        expected = standardised(image[..., top : top + 10, left : left + 10])
        torch.testing.assert_close(patches[:, slot], expected)


def test_patches_never_overlap_nor_leave_their_cells(params: Params):
    pretext = task(params, "eq_labels", "C4")
    shifts = pretext.draw_shifts(500, torch.Generator().manual_seed(0))
    assert int(shifts.abs().max()) == 2
    # a gap of at least cell - patch - 2 jitter pixels stays between neighbours
    assert 14 - 10 - 2 * 2 >= 0


def test_each_patch_is_standardised_by_itself():
    patches = torch.rand(4, 9, 3, 10, 10) * 7 + 2
    out = standardised(patches)
    torch.testing.assert_close(out.mean((-3, -2, -1)), torch.zeros(4, 9), atol=1e-5, rtol=0)
    torch.testing.assert_close(out.var((-3, -2, -1), correction=0), torch.ones(4, 9))
    assert standardised(torch.full((1, 1, 4, 4), 0.3)).abs().max() < 1e-4


def test_a_share_of_coloured_images_loses_its_colours():
    images = torch.rand(1000, 3, 2, 2)
    gray = without_colours(images, 0.66, torch.Generator().manual_seed(0))
    flat = (gray == gray[:, :1]).flatten(1).all(1)
    assert 0.6 < float(flat.float().mean()) < 0.72
    assert torch.equal(gray[~flat], images[~flat])


def test_the_two_heads_have_the_same_width(params: Params):
    equal, plain = (task(params, name, "D4") for name in ("eq_labels", "labels"))
    assert equal.head[0].out_fields * 8 == plain.head[1].out_features


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"patch": 9}, "patch: given 9 in a cell of 14"),
        ({"patch": 16}, "patch: given 16"),
        ({"jitter": 3}, "jitter: given 3, allowed: at most 2"),
        ({"head": "linear"}, "pretexts.eq_labels.head: given 'linear'"),
        ({"pach": 3}, "pretexts.eq_labels.pach: no such setting; did you mean 'patch'"),
    ],
)
def test_bad_settings_are_named(params: Params, change: dict, reason: str):
    with pytest.raises(ValueError, match=reason):
        task(params, "eq_labels", "C4", **change)


def test_the_centre_is_the_middle_slot():
    assert SLOTS[CENTRE] == (1, 1)


@pytest.mark.parametrize("name", ["C8", "D8", "SO2", "O2"])
def test_groups_off_the_grid_are_refused_with_a_reason(params: Params, name: str):
    with pytest.raises(ValueError, match=rf"given '{name}' .* square cells .* allowed: trivial, C2, C4"):
        task(params, "eq_labels", name)
