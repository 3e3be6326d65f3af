"""The loop of fine-tuning, against a plain one that is written out here."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from fine_tuning import settings
from small_encoders import new

from eqssl.data.loading.batches import load_split
from eqssl.data.views.normalise import cut_disc, normalise
from eqssl.data.views.random_view import random_view
from eqssl.evaluation.head import with_head
from eqssl.evaluation.moves import draw_moves
from eqssl.evaluation.tuning import Labelled, Moves, Plan, predict, tune
from eqssl.symmetry import group

SEED = 5


@pytest.fixture
def encoder(shards):
    """An encoder whose batch norms know the images."""
    encoder = new("C4", size=12)
    given = torch.from_numpy(np.array(load_split(shards, "train").images))
    with torch.no_grad():
        for _ in range(20):
            encoder.train()(normalise(cut_disc(given), encoder.mean, encoder.std))
    return encoder.eval().requires_grad_(False)


@pytest.fixture
def views(params):
    """Mild ones, so that something is learnt in a few steps."""
    return params.views.model_copy(update={"crop_scale": (0.8, 1.0), "turn": "grid"})


def images(shards, split, rows=None):
    loaded = load_split(shards, split)
    return Labelled(loaded, np.arange(len(loaded)) if rows is None else rows)


def plain_loop(encoder, train, held, chosen, views, seed):
    """Weights of the best epoch, accuracies and losses: one parameter at a time, and no code of the loop."""
    model = with_head(encoder, 2)
    batch = min(chosen.batch_size, len(train.rows))
    steps = len(train.rows) // batch
    epochs = max(chosen.epochs, -(-chosen.least_steps // steps))
    total = epochs * steps
    warm = round(chosen.warmup * total)
    pictures = torch.from_numpy(np.array(train.split.images))
    mean, std = torch.tensor(encoder.mean).view(-1, 1, 1), torch.tensor(encoder.std).view(-1, 1, 1)
    moments = {name: (torch.zeros_like(p), torch.zeros_like(p)) for name, p in model.named_parameters()}
    generator = torch.Generator().manual_seed(seed)
    done, best, accuracies, losses = 0, (-1.0, None), [], []
    for epoch in range(epochs):
        order = np.random.Generator(np.random.Philox(key=[seed, epoch])).permutation(len(train.rows))
        losses.append(0.0)
        for i in range(steps):
            rows = train.rows[order[i * batch : (i + 1) * batch]]
            view = random_view(pictures[rows], views, generator)
            model.train().zero_grad()
            scores = torch.log_softmax(model((view - mean) / std), 1)
            labels = torch.from_numpy(train.split.labels[rows])
            loss = -scores.gather(1, labels[:, None]).mean()
            loss.backward()
            losses[-1] += loss.item() / steps
            if done < warm:
                part = (done + 1) / warm
            else:
                part = 0.5 * (1 + math.cos(math.pi * (done - warm) / (total - warm)))
            done += 1
            for name, p in model.named_parameters():
                rate = part * (chosen.head_learning_rate if "head" in name else chosen.learning_rate)
                decay = 0.0 if p.ndim < 2 else chosen.weight_decay
                first, second = moments[name]
                with torch.no_grad():
                    first += 0.1 * (p.grad - first)
                    second += 0.001 * (p.grad**2 - second)
                    size = first / (1 - 0.9**done) / ((second / (1 - 0.999**done)).sqrt() + 1e-8)
                    p -= rate * (decay * p + size)
        with torch.no_grad():
            given = cut_disc(torch.from_numpy(np.array(held.split.images)).float() / 255)
            right = model.eval()((given - mean) / std).argmax(1).numpy() == held.split.labels
        accuracies.append(right.mean())
        if right.mean() > best[0]:
            best = (right.mean(), {k: v.clone() for k, v in model.state_dict().items()})
    return best[1], accuracies, losses


@pytest.mark.parametrize(("count", "batch", "seed"), [(40, 12, 8), (60, 64, 8)])
def test_the_weights_are_those_of_a_plain_loop(shards, encoder, views, count, batch, seed):
    chosen = settings(batch_size=batch, epochs=20)
    train, held = images(shards, "train", np.arange(count)[::-1]), images(shards, "val")
    model = with_head(encoder, 2)
    record = tune(model, train, held, chosen, views, seed, 5)
    weights, accuracies, losses = plain_loop(encoder, train, held, chosen, views, seed)
    assert [row["accuracy"] for row in record["validation"]] == accuracies
    assert [row["loss"] for row in record["validation"]] == pytest.approx(losses, rel=1e-3)
    assert record["best_epoch"] == 1 + int(np.argmax(accuracies))
    for name, value in model.state_dict().items():
        # Adam divides by the root of small sums, so the last digits of a gradient count
        torch.testing.assert_close(value, weights[name], rtol=1e-3, atol=1e-4, msg=name)
    if batch < count:
        assert record["best_epoch"] > 1
        untrained = with_head(encoder, 2).state_dict()
        for name, parameter in model.named_parameters():
            assert not torch.allclose(parameter, untrained[name], rtol=1e-3, atol=2e-4), name


def test_other_seeds_views_and_rates_give_other_weights(shards, encoder, views):
    """The control of the comparison above."""

    def tuned(seed=SEED, views=views, **changes):
        chosen = settings(**changes)
        model = with_head(encoder, 2)
        record = tune(model, images(shards, "train"), images(shards, "val"), chosen, views, seed, 5)
        losses = torch.tensor([row["loss"] for row in record["validation"]])
        return torch.cat([losses, *(parameter.detach().flatten() for parameter in model.parameters())])

    same = tuned()
    assert torch.equal(tuned(), same)
    others = [
        tuned(seed=6),
        tuned(views=views.model_copy(update={"turn": "none"})),
        tuned(learning_rate=0.004),
        tuned(head_learning_rate=0.03),
        tuned(weight_decay=1.0),
        tuned(warmup=0.0),
    ]
    assert all((other - same).abs().max() > 1e-6 for other in others)


def test_the_first_of_the_best_epochs_counts_and_its_weights_are_kept(shards, encoder, views):
    train, held = images(shards, "train"), images(shards, "val")
    model = with_head(encoder, 2)
    record = tune(model, train, held, settings(epochs=8), views, SEED, 5)
    table = record["validation"]
    assert record["best_epoch"] == max(table, key=lambda row: (row["accuracy"], -row["epoch"]))["epoch"]
    kept = (predict(model, held, 4) == held.labels).mean()
    assert kept == max(row["accuracy"] for row in table)


@pytest.mark.parametrize(
    ("images", "epochs", "least", "expected"),
    [
        (100, 3, 1, Plan(3, 3, 32)),
        (100, 3, 10, Plan(4, 3, 32)),
        (31, 3, 200, Plan(200, 1, 31)),
        (32, 3, 1, Plan(3, 1, 32)),
        (1, 1, 1, Plan(1, 1, 1)),
    ],
)
def test_few_images_get_more_epochs(images, epochs, least, expected):
    assert Plan.of(settings(epochs=epochs, least_steps=least), images) == expected


@pytest.mark.parametrize("epochs", [1, 3, 20, 21, 200, 1234])
def test_validation_is_at_most_twenty_times_in_equal_distances_and_at_the_end(epochs):
    found = sorted(Plan(epochs, 1, 1).validated)
    assert len(found) == min(20, epochs)
    assert found[-1] == epochs
    distances = np.diff([0, *found])
    assert distances.max() - distances.min() <= 1


def test_predictions_are_those_of_each_image_alone_in_each_view(shards, encoder):
    test = images(shards, "test")
    chosen = Labelled(test.split, np.array([3, 11, 0, 7]))
    model = with_head(encoder, 2)
    torch.nn.init.normal_(model.head.weight, generator=torch.Generator().manual_seed(0))
    elements, angles = draw_moves(len(test.split), 0)
    mean, std = torch.tensor(encoder.mean).view(-1, 1, 1), torch.tensor(encoder.std).view(-1, 1, 1)
    D4 = group("D4")
    for view in ("stored", "grid"):
        found = predict(model, chosen, 3, Moves(view, elements, angles))
        assert model.training
        for row, label in zip(chosen.rows, found, strict=True):
            image = torch.from_numpy(np.array(test.split.images[row])).float()[None] / 255
            if view == "grid":
                image = D4.act(image, D4.elements[elements[row]])
            with torch.no_grad():
                assert model.eval()((cut_disc(image) - mean) / std).argmax() == label
            model.train()


def test_a_loss_that_is_not_finite_names_the_settings(shards, encoder, views):
    chosen = settings(learning_rate=1e9, head_learning_rate=1e9, epochs=30)
    with pytest.raises(ValueError, match=r"no longer finite in epoch \d+; a lower finetune\.learning_rate"):
        tune(with_head(encoder, 2), images(shards, "train"), images(shards, "val"), chosen, views, 0, 9)
