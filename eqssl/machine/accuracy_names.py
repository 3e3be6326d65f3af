"""Names of accuracies in metrics.json and metrics/grid.csv: [stage_N_][reg_][CLASSIFIER_]acc_VIEW_SHARE."""

from __future__ import annotations

import re
from typing import NamedTuple, Self

PATTERN = r"(?:stage_\d+_)?(?:reg_)?(?:(?:ridge|svm)_)?acc_[a-z]+_\d+"
"""Matches a name; without groups."""
_NAME = re.compile(
    r"(?:stage_(?P<stage>[2-9]|[1-9]\d+)_)?(?P<regular>reg_)?(?:(?P<classifier>ridge|svm)_)?"
    r"acc_(?P<view>[a-z]+)_(?P<share>\d+)"
)


class AccuracyName(NamedTuple):
    """What an accuracy is of.

    Attributes:
        stage: of the features, counted from the last one back: 1 for the last.
        regular: whether it is measured on the regular feature, not on the invariant one.
        classifier: kind of the probe.
        view: of the test images.
        share: of the labels, in per cent.

    >>> str(AccuracyName(1, False, "logistic", "stored", 100))
    'acc_stored_100'
    >>> AccuracyName.read("stage_2_reg_svm_acc_grid_10")
    AccuracyName(stage=2, regular=True, classifier='svm', view='grid', share=10)
    """

    stage: int
    regular: bool
    classifier: str
    view: str
    share: int

    def __str__(self) -> str:
        return f"{self.prefix}acc_{self.view}_{self.share}"

    @property
    def prefix(self) -> str:
        """All that stands before `acc_`."""
        stage = "" if self.stage == 1 else f"stage_{self.stage}_"
        classifier = "" if self.classifier == "logistic" else f"{self.classifier}_"
        return f"{stage}{'reg_' * self.regular}{classifier}"

    @classmethod
    def read(cls, name: str) -> Self | None:
        """What a name says; None if it is not the name of an accuracy."""
        match = _NAME.fullmatch(name)
        if match is None:
            return None
        return cls(
            stage=int(match["stage"] or 1),
            regular=match["regular"] is not None,
            classifier=match["classifier"] or "logistic",
            view=match["view"],
            share=int(match["share"]),
        )
