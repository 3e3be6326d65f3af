"""One fine-tuning: encoder and head trained on some labelled images, stopped by validation images."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from eqssl.config.finetuning import FinetuneSettings
from eqssl.config.views import ViewSettings
from eqssl.data.loading.batches import Split
from eqssl.data.views.normalise import normalise
from eqssl.evaluation.head import Classifier
from eqssl.evaluation.moves import view_of
from eqssl.pretexts.parameters import decayed_and_not
from eqssl.pretexts.views import ViewSpec, draw_views
from eqssl.training.schedules import learning_rate

MOST_VALIDATIONS = 20
"""How often the accuracy on validation images is measured, in equal distances, the last time at the end."""

Shown = Callable[[int, str], None]
"""Takes the number of steps done, and the newest numbers in words."""


class Labelled(NamedTuple):
    """Some images of a split, all with a label.

    Attributes:
        split: the split.
        rows: numbers of the images in it.
    """

    split: Split
    rows: Int[np.ndarray, " images"]

    @property
    def labels(self) -> Int[np.ndarray, " images"]:
        """Their classes."""
        return self.split.labels[self.rows]


class Moves(NamedTuple):
    """A view of test images, and how each image of the split is moved in it."""

    view: str
    elements: Int[np.ndarray, " images"]
    angles: Float[np.ndarray, " images"]


class Plan(NamedTuple):
    """How long a fine-tuning is.

    Attributes:
        epochs: passes over the images.
        steps: steps of each.
        batch: images of a step.
    """

    epochs: int
    steps: int
    batch: int

    @classmethod
    def of(cls, settings: FinetuneSettings, images: int) -> Plan:
        """The plan for so many images. As in pretraining, those that fill no batch wait for another epoch."""
        batch = min(settings.batch_size, images)
        steps = images // batch
        return cls(max(settings.epochs, math.ceil(settings.least_steps / steps)), steps, batch)

    @property
    def validated(self) -> set[int]:
        """The epochs, from 1, after which validation accuracy is measured."""
        times = min(self.epochs, MOST_VALIDATIONS)
        return {round(self.epochs * (i + 1) / times) for i in range(times)}


def tune(
    model: Classifier,
    train: Labelled,
    held: Labelled,
    settings: FinetuneSettings,
    views: ViewSettings,
    seed: int,
    batch: int,
    shown: Shown = lambda step, detail: None,
) -> dict[str, Any]:
    """Train a classifier, and leave it with the weights of the epoch that validation images like best.

    A step takes cross-entropy on one random view of each image (section `views`: crop, turn, colours), as the
    pretext `supervised` does. AdamW has two peaks of the learning rate, for encoder and head, on one schedule
    (`eqssl.training.schedules`). Of epochs with equal accuracy the first one counts. The result depends on
    the arguments alone.

    Args:
        model: the classifier, on its device.
        train: images to learn from.
        held: validation images.
        settings: the optimisation.
        views: the distribution of the views.
        seed: of the order of the images and of their views.
        batch: images at a time, for predictions.
        shown: is told of the progress after each epoch.

    Returns:
        `epochs`, `steps` and `images` in all; `best_epoch`; `validation`, a table of `epoch`, mean `loss`
        since the last validation, and `accuracy` on validation images.

    Raises:
        ValueError: the loss is not finite, or as for reading images.
        OSError: images cannot be read.
    """
    plan = Plan.of(settings, len(train.rows))
    total = plan.epochs * plan.steps
    device = next(model.parameters()).device
    generator = torch.Generator(device).manual_seed(seed)
    optimiser = _optimiser(model, settings)
    best: dict[str, Tensor] = {}
    table: list[dict[str, float]] = []
    losses: list[Tensor] = []
    model.train()
    for step, (images, labels) in enumerate(_batches(train, plan, seed, device)):
        part = learning_rate(step, total, round(settings.warmup * total), 1.0)
        for group in optimiser.param_groups:
            group["lr"] = part * group["peak"]
        losses.append(_update(model, optimiser, images, labels, views, generator))
        epoch, others = divmod(step + 1, plan.steps)
        if others:
            continue
        if epoch in plan.validated:
            loss = float(torch.stack(losses).mean())
            if not math.isfinite(loss):
                raise ValueError(
                    f"the loss of fine-tuning is no longer finite in epoch {epoch}; a lower "
                    "finetune.learning_rate or finetune.head_learning_rate may help"
                )
            accuracy = float((predict(model, held, batch) == held.labels).mean())
            if accuracy > max((row["accuracy"] for row in table), default=-1.0):
                best = {name: value.detach().cpu().clone() for name, value in model.state_dict().items()}
            table.append({"epoch": epoch, "loss": loss, "accuracy": accuracy})
            losses.clear()
        shown(step + 1, f"epoch {epoch}/{plan.epochs}")
    model.load_state_dict(best)
    chosen = max(table, key=lambda row: row["accuracy"])
    return {
        "images": len(train.rows),
        "epochs": plan.epochs,
        "steps": total,
        "best_epoch": chosen["epoch"],
        "validation": table,
    }


@torch.no_grad()
def predict(
    model: Classifier, images: Labelled, batch: int, moves: Moves | None = None
) -> Int[np.ndarray, " images"]:
    """The class of each image, in eval mode; the mode is set back.

    Args:
        model: the classifier.
        images: the images.
        batch: how many at a time.
        moves: the view; None for images as stored.
    """
    encoder, device = model.encoder, next(model.parameters()).device
    view = moves.view if moves else "stored"
    parts = [images.rows[start : start + batch] for start in range(0, len(images.rows), batch)]
    was_training, found = model.training, []
    model.eval()
    for rows, stored in zip(parts, images.split.in_order(parts), strict=True):
        elements = moves.elements[rows] if moves else np.zeros(len(rows), np.int64)
        angles = moves.angles[rows] if moves else np.zeros(len(rows), np.float32)
        placed, turned = (torch.from_numpy(values).to(device) for values in (elements, angles))
        moved = view_of(stored.to(device), view, placed, turned, encoder.mask)
        found.append(model(normalise(moved, encoder.mean, encoder.std)).argmax(1).cpu().numpy())
    model.train(was_training)
    return np.concatenate(found)


def _optimiser(model: Classifier, settings: FinetuneSettings) -> torch.optim.Optimizer:
    """AdamW with two groups each, with and without weight decay, for the encoder and for the head."""
    rates = {"encoder": settings.learning_rate, "head": settings.head_learning_rate}
    groups = [
        group
        for name, rate in rates.items()
        for group in decayed_and_not(model.get_submodule(name).named_parameters(), peak=rate)
    ]
    return torch.optim.AdamW(groups, lr=0.0, weight_decay=settings.weight_decay)


def _update(
    model: Classifier,
    optimiser: torch.optim.Optimizer,
    images: Tensor,
    labels: Tensor,
    views: ViewSettings,
    generator: torch.Generator,
) -> Tensor:
    """One step of the optimiser; gives the loss before it."""
    encoder = model.encoder
    (view,) = draw_views(images, (ViewSpec(1, None, views),), generator, encoder.mask)
    loss = F.cross_entropy(model(normalise(view, encoder.mean, encoder.std)), labels)
    optimiser.zero_grad()
    loss.backward()
    optimiser.step()
    return loss.detach()


def _batches(train: Labelled, plan: Plan, seed: int, device: torch.device) -> Iterator[tuple[Tensor, Tensor]]:
    """Images and labels of every step; the order of an epoch is the Philox permutation of (seed, epoch)."""

    def parts() -> Iterator[Int[np.ndarray, " batch"]]:
        for epoch in range(plan.epochs):
            random = np.random.Generator(np.random.Philox(key=[seed, epoch]))
            order = train.rows[random.permutation(len(train.rows))]
            yield from order[: plan.steps * plan.batch].reshape(plan.steps, plan.batch)

    for rows, images in zip(parts(), train.split.in_order(parts()), strict=True):
        yield images.to(device), torch.from_numpy(train.split.labels[rows]).to(device)
