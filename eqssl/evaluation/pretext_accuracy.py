"""How well a pretext was learnt, on validation images: its labels, and from what, or its embeddings."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from eqssl.data.loading.batches import Batches, Split
from eqssl.evaluation.embeddings import measure_embeddings
from eqssl.pretexts.base import Pretext
from eqssl.pretexts.joint.branches import JointEmbedding
from eqssl.pretexts.labels.base import LabelTask
from eqssl.training.measured import Measured
from eqssl.training.precision import autocast


def measure_pretext(
    pretext: Pretext, split: Split, batch_size: int, seed: int, device: torch.device, precision: torch.dtype
) -> Measured:
    """Measure every label task and every joint embedding of a pretext in eval mode.

    Args:
        pretext: a label task or a joint embedding, or a pretext with such among its `parts()`. For others
            nothing is measured.
        split: validation images.
        batch_size: images at a time.
        seed: seed of the labels, of what corruptions draw and of the views.
        device: the device of the pretext.
        precision: type of numbers in the forward pass.

    Returns:
        Numbers `pretext_<key>`, or `pretext_<part>_<key>` for a part of a sum, with the keys below except
        `images` and `orbits`; null ones are left out. Details for each task, by the name of its part, or
        "labels" or "embeddings". For joint embeddings they are those of `measure_embeddings`, and for label
        tasks:

        - `images`: how many inputs there were;

        - `accuracy`, `accuracy_lo`, `accuracy_hi`: share of inputs whose label has the highest score, with
          its 95 % interval (Wilson 1927);
        - `chance`: 1 / |Y|;
        - `orbit_ceiling`: orbits / |Y|, the best accuracy that is possible without telling labels of one
          orbit apart, as with a head on group-pooled features;
        - `orbit_accuracy`: share of inputs whose label's orbit is right;
        - `orbits`: each orbit's `labels` and `accuracy`;
        - `accuracy_apart`, `surviving`: for tasks on patches, the accuracy when every patch is turned
          independently by random quarter turns, and the share (accuracy_apart - chance) / (accuracy - chance)
          of what was learnt that survives this. Content and its direction decide the label, and turning
          patches independently destroys the direction. What survives comes from cues without a direction,
          such as colours, brightness or the roundness of the image's border. `surviving` is null if nothing
          was learnt.
    """
    was_training = pretext.training
    pretext.eval()
    try:
        found, embedded = {}, {}
        for name, task in _tasks(pretext).items():
            if isinstance(task, LabelTask):
                found[name] = _measured(task, split, batch_size, seed, device, precision)
            elif isinstance(task, JointEmbedding):
                embedded[name] = measure_embeddings(task, split, batch_size, seed, device, precision)
    finally:
        pretext.train(was_training)
    embedded = {name: values for name, values in embedded.items() if values}
    numbers = _numbers(found) | _numbers(embedded)
    return Measured(numbers, _named(found, "labels") | _named(embedded, "embeddings"))


def _tasks(pretext: Pretext, name: str = "") -> dict[str, Pretext]:
    """The pretexts that are no sums, by their names. A part inside a part is named `outer_inner`."""
    parts = pretext.parts()
    if not parts:
        return {name: pretext}
    found: dict[str, Pretext] = {}
    for part, inner in parts.items():
        found |= _tasks(inner, f"{name}_{part}" if name else part)
    return found


def _named(details: dict[str, dict[str, Any]], alone: str) -> dict[str, dict[str, Any]]:
    """The details with a name for a task that is no part of a sum."""
    return {name or alone: values for name, values in details.items()}


def _numbers(details: dict[str, dict[str, Any]]) -> dict[str, float]:
    """The numbers of all tasks in one table."""
    found: dict[str, float] = {}
    for task, values in details.items():
        prefix = f"pretext_{task}" if task else "pretext"
        metrics = {key: value for key, value in values.items() if key not in ("images", "orbits")}
        found |= {f"{prefix}_{key}": value for key, value in metrics.items() if value is not None}
    return found


def _measured(
    task: LabelTask, split: Split, batch_size: int, seed: int, device: torch.device, precision: torch.dtype
) -> dict[str, Any]:
    generator = torch.Generator(device).manual_seed(seed)
    truths, guesses, apart = [], [], []
    with torch.no_grad():
        batches = Batches(split, min(batch_size, len(split)), seed, device, drop_last=False)
        for images, _ in batches.epoch(0):
            labels, draw = task.draw_labels(len(images), generator), task.draw(len(images), generator)
            inputs = task.corrupt(images.float() / 255, labels, draw)
            truths.append(labels)
            with autocast(device, precision):
                guesses.append(task.logits(inputs).argmax(1))
                if task.in_patches:
                    apart.append(task.logits(turned_apart(inputs, generator)).argmax(1))
    truth, guess = torch.cat(truths).cpu(), torch.cat(guesses).cpu()
    found = _accuracies(task, truth, guess)
    if apart:
        found |= _survival(found, truth == torch.cat(apart).cpu())
    return found


def turned_apart(inputs: Tensor, generator: torch.Generator) -> Tensor:
    """The inputs, with each patch turned independently by a random number of quarter turns.

    The turns are quarter turns for every group. They keep square and round patches whole, and a plain network
    uses direction as much as an equivariant one.

    Args:
        inputs: inputs of a task on patches, shape (batch, patches, channel, side, side).
        generator: draws the turns.
    """
    patches = inputs.flatten(0, 1)
    drawn = torch.randint(4, (len(patches),), generator=generator, device=generator.device)
    result = patches.clone()
    for turns in range(1, 4):
        chosen = drawn.to(patches.device) == turns
        result[chosen] = patches[chosen].rot90(turns, (-2, -1))
    return result.view_as(inputs)


def _accuracies(task: LabelTask, truth: Int[Tensor, " n"], guess: Int[Tensor, " n"]) -> dict[str, Any]:
    # loading it takes a second, and not every pretraining measures labels
    from scipy.stats import binomtest

    orbit_of, right = task.labels.orbit_of, truth == guess
    interval = binomtest(int(right.sum()), len(right)).proportion_ci(0.95, "wilson")
    orbits = [
        {"labels": points, "accuracy": _mean(right[orbit_of[truth] == number])}
        for number, points in enumerate(task.labels.orbits())
    ]
    return {
        "images": len(truth),
        "accuracy": _mean(right),
        "accuracy_lo": float(interval.low),
        "accuracy_hi": float(interval.high),
        "chance": 1 / len(task.labels),
        "orbit_ceiling": len(orbits) / len(task.labels),
        "orbit_accuracy": _mean(orbit_of[truth] == orbit_of[guess]),
        "orbits": orbits,
    }


def _survival(found: dict[str, Any], right: Bool[Tensor, " n"]) -> dict[str, Any]:
    learnt = found["accuracy_lo"] - found["chance"]
    gained, kept = found["accuracy"] - found["chance"], _mean(right)
    surviving = None if learnt <= 0 or kept is None else (kept - found["chance"]) / gained
    return {"accuracy_apart": kept, "surviving": surviving}


def _mean(values: Bool[Tensor, " n"]) -> float | None:
    """Share of true values; None if there are none, as for an orbit that no validation image drew."""
    return float(values.double().mean()) if len(values) else None
