"""Which accuracies a data set can have: none without labels, fewer where few images have one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from jaxtyping import Int

from eqssl.config.evaluation import ProbeSettings
from eqssl.config.sources import SplitName
from eqssl.data.shards.index import SPLIT_WORDS, UNLABELLED
from eqssl.evaluation.cell_features import CellFeatures
from eqssl.evaluation.draws import nested_draws
from eqssl.evaluation.fitting import Probeable
from eqssl.evaluation.parquet import iterate_features

Labels = Int[np.ndarray, " images"]


def labels_of(files: Mapping[SplitName, Path]) -> dict[SplitName, Labels]:
    """The labels of the stored images of each split."""
    found = {}
    for split, path in files.items():
        parts = [
            batch["label"][batch["view"] == "stored"] for batch in iterate_features(path, ["label", "view"])
        ]
        found[split] = np.concatenate(parts) if parts else np.empty(0, np.int64)
    return found


def label_counts(labels: Mapping[SplitName, Labels]) -> dict[str, dict[str, int]]:
    """How many images of each split there are, and how many of them have a label."""
    return {
        split: {"images": len(values), "labelled": int((values != UNLABELLED).sum())}
        for split, values in labels.items()
    }


def why_no_accuracies(labels: Mapping[SplitName, Labels], classes: Sequence[str]) -> str | None:
    """One sentence about why no probe can be fitted, chosen and tested; None if all of this can be done."""
    counts = label_counts(labels)
    if not classes or not any(count["labelled"] for count in counts.values()):
        return "no image has a label"
    if len(classes) == 1:
        return f"all labelled images are of one class, {classes[0]!r}"
    for split, name in SPLIT_WORDS.items():
        if not counts[split]["labelled"]:
            return f"no {name} image has a label"
    train = labels["train"]
    for label, name in enumerate(classes):
        if not (train == label).any():
            return f"class {name!r} has no training image with a label"
    return None


def possible(data: Probeable, settings: ProbeSettings) -> tuple[ProbeSettings, list[str]]:
    """The settings without shares of the labels that are too few for a balanced draw.

    Args:
        data: features of labelled images.
        settings: what was asked for.

    Returns:
        The settings, in which the share of all labels stays, and a sentence for each share that is left out.
    """
    shares, left_out = [], []
    for share in settings.shares:
        try:
            if share < 100:
                nested_draws(data.train.labels, [share], 1, data.classes, settings.seed)
            shares.append(share)
        except ValueError as error:
            left_out.append(f"{share} % of the labels: {error}")
    return settings.model_copy(update={"shares": tuple(shares)}), left_out


def labelled(data: CellFeatures) -> CellFeatures:
    """The features of labelled images alone."""
    return replace(data, train=data.train.labelled(), val=data.val.labelled())
