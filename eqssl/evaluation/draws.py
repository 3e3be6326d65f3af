"""Small training sets: nested, class-balanced draws."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Int


def nested_draws(
    labels: Int[np.ndarray, " rows"], shares: Sequence[int], draws: int, classes: Sequence[str], seed: int
) -> dict[int, list[Int[np.ndarray, " drawn"]]]:
    """Draw the same number of images of each class for each share of the labels.

    Draw d permutes the images of each class once; a share takes the first
    max(1, round(share / 100 * rows / classes)) of each class. So within a draw a smaller share is part of a
    larger one, and shares differ only in the number of labels.

    Args:
        labels: class of each training image.
        shares: shares of the labels in per cent, each below 100.
        draws: number of draws.
        classes: names of the classes.
        seed: seed of the permutations (Philox, one stream per draw and class).

    Returns:
        share -> for each draw the ascending positions of its images.

    Raises:
        ValueError: names the class that has too few images for a share.
    """
    result: dict[int, list[Int[np.ndarray, " drawn"]]] = {share: [] for share in shares}
    for draw in range(draws):
        orders = [_permuted(labels, label, draw, seed) for label in range(len(classes))]
        for share in shares:
            each = max(1, round(share / 100 * len(labels) / len(classes)))
            for label, order in enumerate(orders):
                if len(order) < each:
                    raise ValueError(
                        f"class {classes[label]!r} has {len(order)} training images, "
                        f"but a balanced draw of {share} % of the labels takes {each} of each class"
                    )
            result[share].append(np.sort(np.concatenate([order[:each] for order in orders])))
    return result


def _permuted(
    labels: Int[np.ndarray, " rows"], label: int, draw: int, seed: int
) -> Int[np.ndarray, " of_class"]:
    # the high word of the counter is free: it keeps the streams of draw and class apart
    random = np.random.Generator(np.random.Philox(key=[seed, draw], counter=[0, 0, 0, label]))
    return random.permutation(np.flatnonzero(labels == label))
