"""Embeddings of validation images: against loops, and the exact rank against all turned embeddings."""

import json

import numpy as np
import pytest
import torch
from entries import PARAMS, TRAINED, build, kind_of

from eqssl import pretexts
from eqssl.config.params import Params
from eqssl.config.pretexts import PretextSettings
from eqssl.data.loading.batches import load_split
from eqssl.evaluation import embeddings
from eqssl.evaluation.embeddings import effective_rank, measure_embeddings
from eqssl.evaluation.pretext_accuracy import measure_pretext
from eqssl.losses.diagnostics import alignment, spread, turn_found
from eqssl.pretexts.joint.branches import JointEmbedding
from eqssl.symmetry import act_on_regular, group, group_names
from eqssl.training import pretrain

CPU = torch.device("cpu")
SIMCLR = {
    "task": "simclr",
    "similarity": "max",
    "angles": 64,
    "temperature": 0.2,
    "hidden": 8,
    "embedding": 8,
}


def task(params: Params, group_name: str = "C4", **changes) -> JointEmbedding:
    entry = PretextSettings.read({**SIMCLR, **changes})
    changed = params.model_copy(update={"group": group_name, "pretexts": {"mine": entry}})
    return pretexts.build("mine", changed, image_shape=(1, 12, 12)).eval()


def measured(pretext: JointEmbedding, shards, batch_size: int = 16) -> dict:
    return measure_embeddings(pretext, load_split(shards, "val"), batch_size, 3, CPU, torch.float32)


@pytest.mark.parametrize("kind", [None, "max", "softmax", "pool"])
def test_the_numbers_are_those_of_pairs_of_views_of_every_image(params, shards, kind):
    pretext = task(params, similarity=kind)
    found = measured(pretext, shards, 40)
    images = torch.from_numpy(load_split(shards, "val").images.copy())
    with torch.no_grad():
        views = pretext.draw_turned_views(images[in_order(len(images))], torch.Generator().manual_seed(3))
        z1, z2 = (pretext.embed(view.images) for view in views)
    G, used = group("C4"), "max" if kind == "softmax" else kind
    assert found["images"] == 40
    assert found["alignment"] == pytest.approx(float(alignment(z1, z2, G, used)), abs=1e-5)
    assert found["uniformity"] == pytest.approx(float(spread(z1, G, used).uniformity), abs=1e-5)
    assert found["effective_rank"] == pytest.approx(effective_rank(z1, G, used), rel=1e-4)
    if kind is None:
        assert "turn_found" not in found
    else:
        expected = float(turn_found(z1, z2, G, views[0].turns, views[1].turns))
        assert found["turn_found"] == pytest.approx(expected)


def in_order(count: int) -> np.ndarray:
    return np.random.Generator(np.random.Philox(key=[3, 0])).permutation(count)


@pytest.mark.parametrize("name", [name for name in TRAINED if issubclass(kind_of(name), JointEmbedding)])
def test_every_entry_is_measured_in_the_end(name, shards):
    found = measured(build(name, "C4", (1, 12, 12)).eval(), shards, 40)
    dimensions = PARAMS.pretexts[name].embedding
    assert found["images"] == 40
    assert 1 <= found["effective_rank"] <= dimensions
    assert 0 <= found["alignment"] <= 4
    assert -8 <= found["uniformity"] <= 0
    # only what absorbs turns has a best element for each pair
    absorbs = getattr(PARAMS.pretexts[name], "similarity", None) is not None
    assert ("turn_found" in found) == absorbs


def test_at_most_so_many_images_are_taken_and_one_image_gives_nothing(params, shards, monkeypatch):
    monkeypatch.setattr(embeddings, "MOST_IMAGES", 20)
    assert measured(task(params), shards)["images"] == 20
    monkeypatch.setattr(embeddings, "MOST_IMAGES", 1)
    assert measured(task(params), shards) == {}


@pytest.mark.parametrize("name", group_names())
@pytest.mark.parametrize("count", [3, 60])
def test_the_rank_is_that_of_all_turned_embeddings(name, count):
    """From the eigenvalues of the whole second moment over images and turns."""
    G = group(name)
    generator = torch.Generator().manual_seed(0)
    z = torch.randn(count, 3, G.order, dtype=torch.float64, generator=generator)
    z[:, 0] *= 4
    unit = z / z.flatten(1).norm(dim=1)[:, None, None]
    turned = torch.cat([act_on_regular(G, unit, g) for g in G.elements])
    assert effective_rank(z, G, "max") == pytest.approx(slow_rank(turned.flatten(1)))
    assert effective_rank(z, G, None) == pytest.approx(slow_rank(unit.flatten(1)))
    pooled = z.mean(2)
    assert effective_rank(z, G, "pool") == pytest.approx(slow_rank(pooled / pooled.norm(dim=1)[:, None]))


def slow_rank(rows: torch.Tensor) -> float:
    shares = torch.linalg.eigvalsh(sum(torch.outer(row, row) for row in rows) / len(rows))
    return float(torch.exp(-sum(p * p.log() for p in shares / shares.sum() if p > 1e-14)))


def test_equal_embeddings_have_rank_1_if_no_turn_is_absorbed_and_zero_ones_have_0():
    z = torch.randn(1, 3, 4).expand(20, 3, 4)
    assert effective_rank(z, group("C4"), None) == pytest.approx(1, abs=1e-6)
    assert 1 < effective_rank(z, group("C4"), "max") <= 4 + 1e-6
    assert effective_rank(torch.zeros(5, 3, 4), group("C4"), "max") == 0
    spread_out = torch.randn(4000, 3, 4, generator=torch.Generator().manual_seed(0))
    assert effective_rank(spread_out, group("C4"), "max") == pytest.approx(12, rel=0.01)


def test_pretraining_records_the_numbers_under_their_names(job, shards, tmp_path):
    pretrain(job(task=SIMCLR), shards, tmp_path / "out", "cpu", measure=measure_pretext)
    written = json.loads((tmp_path / "out" / "pretrain.json").read_text())
    keys = ["alignment", "uniformity", "effective_rank", "turn_found"]
    assert set(written["measured"]) == {f"pretext_{key}" for key in keys}
    assert written["diagnostics"]["embeddings"]["images"] == 40
    assert all(
        written["diagnostics"]["embeddings"][key] == written["measured"][f"pretext_{key}"] for key in keys
    )
    assert 0 <= written["measured"]["pretext_turn_found"] <= 1


def test_measuring_puts_training_mode_back_and_changes_no_state(params, shards):
    pretext = task(params).train()
    before = {name: value.clone() for name, value in pretext.state_dict().items()}
    split = load_split(shards, "val")
    first, second = (measure_pretext(pretext, split, 16, 3, CPU, torch.float32) for _ in range(2))
    assert first == second
    assert pretext.training
    assert all(torch.equal(value, before[name]) for name, value in pretext.state_dict().items())
