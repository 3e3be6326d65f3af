"""The queue of MoCo and SwAV."""

from collections import deque

import pytest
import torch
from entries import changed, stored
from steps import step

from eqssl.pretexts.joint.queue import EmbeddingQueue


@pytest.mark.parametrize("batch", [1, 3, 7, 8, 20])
def test_the_first_in_is_the_first_out(batch):
    queue, expected = EmbeddingQueue(7, (2, 4), torch.Generator().manual_seed(0)), deque(maxlen=7)
    expected.extend(queue.kept.clone())
    for number in range(6):
        z = torch.randn(batch, 2, 4, generator=torch.Generator().manual_seed(number))
        queue.add(z)
        expected.extend(z)
        found = torch.roll(queue.kept, -int(queue.place), 0) if batch <= 7 else queue.kept
        rows = sorted(map(tuple, queue.kept.flatten(1).tolist()))
        assert rows == sorted(map(tuple, torch.stack(list(expected)).flatten(1).tolist()))
        if batch <= 7:
            assert torch.equal(found, torch.stack(list(expected)))


def test_embeddings_of_half_precision_are_kept_in_full():
    queue = EmbeddingQueue(4, (2, 4))
    queue.add(torch.ones(3, 2, 4, dtype=torch.bfloat16))
    assert queue.kept.dtype == torch.float32
    assert torch.equal(queue.kept[:3], torch.ones(3, 2, 4))


def test_keys_enter_after_the_step_and_the_last_batch_is_among_the_negatives_then():
    pretext = changed("inv_moco", "C4", queue=20).train()
    before = pretext.queue.kept.clone()
    one = step(stored(), seed=1)
    loss = pretext(one).loss
    assert torch.equal(pretext.queue.kept, before)
    loss.backward()
    pretext.after_step(0.5)
    assert torch.equal(pretext.queue.kept[8:], before[8:])
    views = pretext.draw_turned_views(stored(), torch.Generator().manual_seed(1))
    fresh = changed("inv_moco", "C4", queue=20).train().embed_slowly(views[1].images)
    assert torch.equal(pretext.queue.kept[:8], fresh)
    pretext.after_step(0.6)
    assert int(pretext.queue.place) == 8


def test_a_loss_without_training_leaves_the_queue_as_it_is():
    for name in ("inv_moco", "inv_swav"):
        pretext = changed(name, "C4", queue=30).eval()
        before = pretext.queue.kept.clone()
        pretext(step(stored(), progress=0.9))
        pretext.after_step(0.95)
        assert torch.equal(pretext.queue.kept, before)


@pytest.mark.parametrize("name", ["inv_moco", "inv_swav"])
def test_a_batch_larger_than_the_queue_trains(name):
    pretext = changed(name, "C4", queue=3).train()
    for number in range(3):
        pretext(step(stored(), seed=number, progress=0.9)).loss.backward()
        pretext.after_step(0.95)
    assert bool(pretext.queue.kept.isfinite().all())


def test_swav_uses_its_queue_from_the_given_share_on():
    def loss(progress, **changes):
        return pretext_loss(changed("inv_swav", "C4", **changes), progress)

    def pretext_loss(pretext, progress):
        return pretext.eval()(step(stored(), progress=progress)).loss

    late, without = {"queue": 30, "queue_from": 0.5}, {"queue": 0}
    assert torch.equal(loss(0.4, **late), loss(0.4, **without))
    assert not torch.equal(loss(0.5, **late), loss(0.5, **without))


@pytest.mark.parametrize("name", ["inv_moco", "inv_swav"])
def test_a_training_that_goes_on_from_its_state_finds_the_queue(name):
    def train(pretext, numbers):
        optimiser = torch.optim.SGD(pretext.parameter_groups(), lr=0.1)
        for number in numbers:
            optimiser.zero_grad()
            pretext(step(stored(seed=number), seed=number, progress=number / 5)).loss.backward()
            optimiser.step()
            with torch.no_grad():
                pretext.after_step((number + 1) / 5)
        return pretext

    def new():
        return changed(name, "C4", queue=30).train()

    expected, first, second = train(new(), range(5)), train(new(), range(3)), new()
    second.load_state_dict(first.state_dict())
    found = train(second, (3, 4)).state_dict()
    assert all(torch.equal(found[key], value) for key, value in expected.state_dict().items())
    third = new()
    third.load_state_dict(
        {key: value for key, value in first.state_dict().items() if "queue" not in key}, False
    )
    found = train(third, (3, 4)).state_dict()
    assert not all(torch.equal(found[key], value) for key, value in expected.state_dict().items())
