"""What sharding will do with the images, told before it runs: the splits, and what it says of labels."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from eqssl.config.shards import ShardSettings
from eqssl.config.sources import SplitName
from eqssl.data.looking.survey import Survey
from eqssl.data.shards.index import SPLITS
from eqssl.data.shards.labels import check_labels
from eqssl.data.shards.splits import deal


@dataclass(frozen=True)
class Dealing:
    """The splits that sharding will make; identical images may still move some.

    Attributes:
        counts: split -> number of images.
        tars: of each split: `shards.count`, or fewer if a split has not as many images.
        supervised: whether a classifier can be trained: every training image has a label, of two or more.
        notes: sentences on splits and labels.
    """

    counts: Counter[SplitName]
    tars: int
    supervised: bool
    notes: tuple[str, ...]


def dealt(survey: Survey, settings: ShardSettings) -> Dealing:
    """Deal the images as sharding does.

    Raises:
        ValueError: sharding would refuse them: a group is in two splits, a class has no training image ...
    """
    rows = survey.rows
    tars = settings.count
    while True:
        chosen = settings.model_copy(update={"count": tars})
        splits, notes = deal(rows, range(len(rows)), chosen)
        counts = Counter(splits)
        smallest = min(counts[split] for split in SPLITS)
        if not smallest:
            without = next(split for split in SPLITS if not counts[split])
            raise ValueError(f"data set {rows.dataset}: no image is left for the split {without}")
        if smallest >= tars:
            break
        tars = smallest
    notes += check_labels(rows, splits, survey.classes)
    train = {label for label, split in zip(rows.labels, splits, strict=True) if split == "train"}
    return Dealing(counts, tars, None not in train and len(survey.classes) > 1, tuple(notes))
