"""How well a label task was learnt, on validation images, and from what: content or shortcuts."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from eqssl.data.loading.batches import Batches, Split
from eqssl.pretexts.base import Pretext
from eqssl.pretexts.labels.base import LabelTask
from eqssl.training.measured import Measured
from eqssl.training.precision import autocast


def measure_pretext(
    pretext: Pretext, split: Split, batch_size: int, seed: int, device: torch.device, precision: torch.dtype
) -> Measured:
    """Measure every label task of a pretext in eval mode.

    Args:
        pretext: a label task, or a pretext with label tasks among its `parts()`. For others nothing is
            measured.
        split: validation images.
        batch_size: images at a time.
        seed: seed of the labels and of what corruptions draw.
        device: the device of the pretext.
        precision: type of numbers in the forward pass.

    Returns:
        Numbers `pretext_<key>`, or `pretext_<part>_<key>` for a part of a sum, with the keys below except
        `images` and `orbits`; null ones are left out. Details for each task, by the name of its part or
        "labels":

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
        details = {
            name or "labels": _measured(task, split, batch_size, seed, device, precision)
            for name, task in _label_tasks(pretext).items()
        }
    finally:
        pretext.train(was_training)
    return Measured(_numbers(details), details)


def _label_tasks(pretext: Pretext, name: str = "") -> dict[str, LabelTask]:
    """The label tasks by their names. A part inside a part is named `outer_inner`."""
    if isinstance(pretext, LabelTask):
        return {name: pretext}
    found: dict[str, LabelTask] = {}
    for part, inner in pretext.parts().items():
        found |= _label_tasks(inner, f"{name}_{part}" if name else part)
    return found


def _numbers(details: dict[str, dict[str, Any]]) -> dict[str, float]:
    """The numbers of all tasks in one table."""
    found: dict[str, float] = {}
    for task, values in details.items():
        prefix = "pretext" if task == "labels" else f"pretext_{task}"
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
