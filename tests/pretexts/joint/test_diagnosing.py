"""The numbers that joint-embedding pretexts log, and the warning that their embeddings have collapsed."""

from dataclasses import replace

import pytest
import torch
from small_encoders import trained_statistics
from steps import step

from eqssl import pretexts
from eqssl.config.params import Params
from eqssl.config.pretexts import PretextSettings
from eqssl.losses.diagnostics import alignment, spread, turn_found
from eqssl.pretexts.joint.branches import JointEmbedding
from eqssl.pretexts.joint.diagnosing import MOST_IMAGES, collapse, diagnose
from eqssl.symmetry import group
from eqssl.symmetry.turns import Turns

KEYS = ["alignment", "uniformity", "rank", "similarity_of_others"]


def task(params: Params, name: str, group_name: str = "C4", **changes) -> JointEmbedding:
    values = {**params.pretexts[name].plain(), **changes}
    views = params.views.changed(None).model_copy(update={"turn": "grid"})
    entry = PretextSettings.read(values, f"pretexts.{name}")
    update = {"group": group_name, "views": views, "pretexts": {**params.pretexts, name: entry}}
    return pretexts.build(name, params.model_copy(update=update), image_shape=(1, 12, 12))


def stored(count: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randint(256, (count, 1, 12, 12), dtype=torch.uint8, generator=generator)


def turns(count: int, seed: int) -> Turns:
    generator = torch.Generator().manual_seed(seed)
    degrees = 90.0 * torch.randint(4, (count,), generator=generator)
    return Turns(degrees, torch.rand(count, generator=generator) < 0.5)


def test_a_step_gives_its_numbers_in_every_step_and_found_turns_where_there_are_turns(params):
    for name, group_name, more in (
        ("inv_contrastive", "C4", ["turn_found"]),
        ("inv_contrastive", "trivial", []),
        ("contrastive", "C4", []),
    ):
        pretext = task(params, name, group_name)
        for seed in (0, 1):
            scalars = pretext(step(stored(9), seed=seed)).scalars
            assert list(scalars) == KEYS + more
            assert all(value.ndim == 0 and torch.isfinite(value) for value in scalars.values())
            assert not any(value.requires_grad for value in scalars.values())


@pytest.mark.parametrize("name", ["C4", "D4"])
def test_an_equivariant_encoder_finds_the_turns_of_whole_views_without_training(params, name):
    """Crops and colours are off, so that the views differ by a turn alone."""
    pretext = task(params, "inv_contrastive", name)
    off = {"crop_scale": (1.0, 1.0), "crop_ratio": (1.0, 1.0), "jitter": 0.0, "grayscale": 0.0}
    (spec,) = pretext.views
    pretext.views = (replace(spec, settings=spec.settings.model_copy(update=off)),)
    trained_statistics(pretext.encoder)
    scalars = pretext.eval()(step(stored(20))).scalars
    assert float(scalars["turn_found"]) == 1
    # C4 cannot absorb the reflections of D4
    assert (float(scalars["alignment"]) < 1e-4) is (name == "D4")


def test_the_numbers_are_those_of_the_first_images_of_the_batch():
    G, count = group("C4"), MOST_IMAGES + 20
    generator = torch.Generator().manual_seed(0)
    z1, z2 = torch.randn(2, count, 3, 4, generator=generator)
    first, second = turns(count, 0), turns(count, 1)
    found = diagnose(z1, z2, (first, second), G, "softmax")
    few = slice(0, MOST_IMAGES)
    uniformity, alike, rank = spread(z1[few], G, "max")
    expected = {
        "alignment": alignment(z1[few], z2[few], G, "max"),
        "uniformity": uniformity,
        "rank": rank,
        "similarity_of_others": alike,
        "turn_found": turn_found(
            z1[few], z2[few], G, *(Turns(t.degrees[few], t.mirrored[few]) for t in (first, second))
        ),
    }
    assert list(found) == list(expected)
    assert all(torch.equal(found[name], value) for name, value in expected.items())


def test_one_image_and_unknown_turns_leave_numbers_out():
    G, z = group("C4"), torch.randn(1, 3, 4)
    assert list(diagnose(z, z, (turns(1, 0), None), G, "max")) == ["alignment"]


def test_collapse_is_told_from_the_similarity_or_the_rank_with_its_numbers():
    fine = {"loss": 1.0, "similarity_of_others": 0.6, "rank": 9.0}
    assert collapse(fine) == {}
    assert collapse({"loss": 1.0}) == {}
    alike = collapse({**fine, "similarity_of_others": 0.987})
    assert "mean similarity of 0.987 and lie in 9.0 directions" in alike["collapsed"]
    assert "lie in 1.1 directions" in collapse({**fine, "rank": 1.1})["collapsed"]


def test_a_collapsed_pretext_is_warned_of_and_a_part_of_a_sum_by_its_name(params):
    contrast = params.pretexts["inv_contrastive"].alone().plain()
    parts = {name: {"weight": 1.0, "pretext": contrast} for name in ("one", "other")}
    entry = PretextSettings.read({"task": "combined", "parts": parts})
    changed = params.model_copy(update={"group": "C4", "pretexts": {"sum": entry}})
    summed = pretexts.build("sum", changed, image_shape=(1, 12, 12))
    with torch.no_grad():  # one of the two has the same embedding for every image
        last = list(summed.members["one"].projector.parameters())
        for parameter in last:
            parameter.zero_()
        last[-1].fill_(1.0)
    scalars = {name: float(value) for name, value in summed(step(stored(16))).scalars.items()}
    assert {f"{part}/{key}" for part in ("one", "other") for key in KEYS} <= set(scalars)
    found = summed.warnings(scalars)
    assert list(found) == ["one/collapsed"]
    assert found["one/collapsed"].startswith("part one: embeddings have collapsed")
