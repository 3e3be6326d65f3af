"""Every base of joint embeddings: condition (C) for every kind of similarity and every group."""

import pytest
import torch
from entries import PARAMS, TWINS, build, changed, kind_of, stored, turned
from given_embeddings import embeddings, loss_of_embeddings, objective, turned_embeddings
from steps import loss_of_views, step

from eqssl.config.joint import JointSettings
from eqssl.pretexts.joint.branches import JointEmbedding
from eqssl.symmetry import group_names

KINDS = ["max", "softmax", "pool", "align"]
BASES = [
    name
    for name in TWINS
    if isinstance(PARAMS.pretexts[name], JointSettings) and PARAMS.pretexts[name].similarity
]
NETWORKS = ["C4", "D4"]
PRECISIONS = {torch.float64: 1e-10, torch.float32: 1e-5}
SMALLER = {
    "inv_swav": {"queue": 16, "prototypes": 24},
    "inv_dino": {"prototypes": 24},
    "inv_moco": {"queue": 16},
}
LATE = 0.9
"""Progress at which prototypes are trained and every queue is used."""


def views_of(pretext, seed=1):
    generator = torch.Generator().manual_seed(seed)
    return [view.double() for view in pretext.draw_views(stored(6, seed=seed), generator)]


def test_the_bases_of_the_method_are_all_here():
    expected = {"contrastive", "moco", "moco_v3", "byol", "simsiam", "barlow", "vicreg", "swav", "dino"}
    assert {TWINS[name] for name in BASES} >= expected
    assert all(issubclass(kind_of(name), JointEmbedding) for name in BASES)


@pytest.mark.parametrize("dtype", PRECISIONS, ids=str)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("group_name", group_names())
@pytest.mark.parametrize("name", BASES)
def test_condition_c_every_embedding_can_be_turned_by_itself(name, group_name, kind, dtype):
    """By elements that act exactly on embeddings: all groups, also those of angles off the pixel grid."""
    pretext = objective(name, group_name, dtype, similarity=kind, **SMALLER.get(name, {}))
    given = embeddings(pretext, dtype)
    expected = loss_of_embeddings(pretext, *given, progress=LATE)
    for seed in range(2):
        moved = [turned_embeddings(z, group_name, seed + 100 * i) for i, z in enumerate(given)]
        found = loss_of_embeddings(pretext, *moved, progress=LATE)
        assert found == pytest.approx(expected, rel=PRECISIONS[dtype], abs=PRECISIONS[dtype])


@pytest.mark.parametrize("group_name", [name for name in group_names() if name != "trivial"])
@pytest.mark.parametrize("name", BASES)
def test_the_plain_twins_loss_changes_when_embeddings_are_turned(name, group_name):
    pretext = objective(TWINS[name], group_name)
    given = embeddings(pretext)
    moved = [turned_embeddings(z, group_name, 100 * i) for i, z in enumerate(given)]
    change = loss_of_embeddings(pretext, *moved, progress=LATE) - loss_of_embeddings(
        pretext, *given, progress=LATE
    )
    assert abs(change) > 1e-4


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("group_name", NETWORKS)
@pytest.mark.parametrize("name", BASES)
def test_condition_c_every_view_can_be_turned_by_itself(name, group_name, kind):
    pretext = changed(name, group_name, similarity=kind).double().eval()
    views = views_of(pretext)
    expected = float(loss_of_views(pretext, *views, progress=LATE).detach())
    moved = [turned(view, group_name, 100 * i) for i, view in enumerate(views)]
    found = float(loss_of_views(pretext, *moved, progress=LATE).detach())
    assert found == pytest.approx(expected, rel=1e-10, abs=1e-10)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", BASES)
def test_without_symmetry_every_kind_is_the_published_loss_to_the_bit(name, kind):
    own, twin = changed(name, "trivial", similarity=kind), build(TWINS[name], "trivial")
    losses = [pretext(step(stored(), seed=2, progress=LATE)).loss for pretext in (own, twin)]
    assert torch.equal(*losses)


@pytest.mark.parametrize("name", [*BASES, *(TWINS[name] for name in BASES)])
def test_in_half_precision_the_loss_and_what_is_kept_between_steps_stay_in_full(name):
    pretext = build(name, "C4").train()
    with torch.autocast("cpu", torch.bfloat16):
        loss = pretext(step(stored(), progress=LATE)).loss
    loss.backward()
    pretext.after_step(LATE)
    full = build(name, "C4").train()(step(stored(), progress=LATE)).loss
    assert loss.dtype == torch.float32
    assert loss.item() == pytest.approx(full.item(), rel=0.1, abs=0.1)
    assert all(
        value.dtype in (torch.float32, torch.int64, torch.int32) for value in pretext.state_dict().values()
    )
