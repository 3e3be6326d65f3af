"""The main table as plain data: rows over seeds, columns, the best of each column."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Literal

from eqssl.machine.accuracy_names import AccuracyName
from eqssl.report.cells import Cell
from eqssl.report.estimates import Estimate, over_seeds

VIEWS = ("stored", "grid", "angle")
CLASSIFIERS = {"ridge": "ridge", "svm": "linear SVM"}
SHARES_FIRST = 2
"""How many shares of the labels the table shows at first."""


@dataclass(frozen=True)
class Row:
    """The cells of one data set, group and pretext, one for each seed."""

    dataset: str
    group: str
    pretext: str
    cells: tuple[Cell, ...]

    @property
    def is_reference(self) -> bool:
        """Whether the row is untrained or supervised."""
        return self.cells[0].is_reference

    @property
    def seeds(self) -> int:
        """How many seeds there are."""
        return len(self.cells)

    def estimate(self, column: str) -> Estimate | None:
        """A column over the seeds that have it; None where none has it."""
        values = [value for cell in self.cells if (value := cell.estimate(column)) is not None]
        return over_seeds(values) if values else None

    def largest(self, column: str) -> Estimate | None:
        """The largest value of a column over the seeds: what an error must not exceed."""
        values = [value for cell in self.cells if (value := cell.numbers.get(column)) is not None]
        return Estimate(max(values), seeds=len(values)) if values else None


@dataclass(frozen=True)
class Column:
    """One column of the main table.

    Attributes:
        key: name in metrics/grid.csv.
        label: heading, below that of the section.
        section: heading over neighbouring columns.
        kind: how the number is written.
        best: which end of the column is the better one, if either is.
        extra: whether it is shown on demand alone.
    """

    key: str
    label: str
    section: str
    kind: Literal["accuracy", "share", "count", "mega", "seconds", "error"]
    best: Literal["high", "low"] | None = None
    extra: bool = False

    def of(self, row: Row) -> Estimate | None:
        """This column's number in a row."""
        return row.largest(self.key) if self.kind == "error" else row.estimate(self.key)


RETRIEVAL = (
    Column("retrieval_hit_1", "hit 1", "Retrieval", "accuracy", "high"),
    Column("retrieval_hit_5", "hit 5", "Retrieval", "accuracy", "high"),
    Column("retrieval_mrr", "MRR", "Retrieval", "share", "high"),
)
TURNED = (
    Column("agreement_grid", "grid", "Agreement", "accuracy", "high"),
    Column("agreement_angle", "angles", "Agreement", "accuracy", "high"),
    Column("turn_r2", "regular", "R2 of the turn", "share", "high"),
    Column("turn_r2_invariant", "invariant", "R2 of the turn", "share"),
)
"""What else is measured on images that were turned."""


def rows_of(cells: Sequence[Cell]) -> list[Row]:
    """Join the seeds of each data set, group and pretext; the order of `cells` stays."""

    def identity(cell: Cell) -> tuple[str, str, str]:
        return cell.dataset, cell.group, cell.pretext

    return [Row(*key, tuple(seeds)) for key, seeds in groupby(cells, identity)]


def shares_of(cells: Sequence[Cell], kind: str = "acc") -> list[int]:
    """The shares of the labels in per cent, largest first, of probes or, with `fine_acc`, of fine-tuning."""
    found = {re.fullmatch(rf"{kind}_[a-z]+_(\d+)", key) for cell in cells for key in cell.numbers}
    return sorted({int(match[1]) for match in found if match}, reverse=True)


def views_of(cells: Sequence[Cell]) -> list[str]:
    """The views of the test images: those of stored, grid and angle that were measured."""
    found = {re.fullmatch(r"(?:acc|knn)_([a-z]+)(?:_\d+)?", key) for cell in cells for key in cell.numbers}
    present = {match[1] for match in found if match}
    return [view for view in VIEWS if view in present] + sorted(present - set(VIEWS))


def main_columns(cells: Sequence[Cell]) -> list[Column]:
    """The columns of the main table: accuracies of all kinds, turned images, cost, equivariance error.

    The first few come first: two shares of the labels, or what stands for accuracies, and operations.

    Where there are no accuracies, as for images without labels: retrieval and the accuracy of the pretext.
    """
    shares, views = shares_of(cells), views_of(cells)
    columns = _accuracies(shares[:SHARES_FIRST], views)
    if not views:
        columns += [*RETRIEVAL, Column("pretext_accuracy", "accuracy", "Pretext", "accuracy")]
    columns.append(Column("flops", "MFLOP", "Cost", "mega"))
    extra = [
        *_accuracies(shares[SHARES_FIRST:], views),
        *(Column(f"knn_{view}", view, "k-NN", "accuracy", "high") for view in views),
        *(
            Column(f"reg_acc_{view}_{share}", view, f"Regular, {share} %", "accuracy", "high")
            for share in shares[:1]
            for view in views
        ),
        *_other_probes(cells, shares[:1], views),
        *(
            Column(f"fine_acc_{view}_{share}", view, f"Fine-tuned, {share} %", "accuracy", "high")
            for share in shares_of(cells, "fine_acc")
            for view in views
        ),
        *(RETRIEVAL if views else ()),
        *TURNED,
        Column("parameters", "parameters", "Training", "count"),
        Column("epochs", "epochs", "Training", "count"),
        Column("seconds_pretrain", "seconds", "Training", "seconds", "low"),
        Column("equivariance_error", "error", "Equivariance", "error", "low"),
    ]
    columns += [replace(column, extra=True) for column in extra]
    return [column for column in columns if any(column.key in cell.numbers for cell in cells)]


def _accuracies(shares: Sequence[int], views: Sequence[str]) -> list[Column]:
    return [
        Column(f"acc_{view}_{share}", view, f"{share} % of labels", "accuracy", "high")
        for share in shares
        for view in views
    ]


def _other_probes(cells: Sequence[Cell], shares: Sequence[int], views: Sequence[str]) -> list[Column]:
    """Accuracies of the invariant feature with other kinds of probes, and those of earlier stages."""
    names = {name for cell in cells for name in map(AccuracyName.read, cell.numbers) if name}
    kinds = sorted({(name.stage, name.classifier) for name in names if not name.regular} - {(1, "logistic")})
    return [
        Column(str(AccuracyName(stage, False, kind, view, share)), view, heading, "accuracy", "high")
        for stage, kind in kinds
        for share in shares
        for heading in [_heading(stage, kind, share)]
        for view in views
    ]


def _heading(stage: int, classifier: str, share: int) -> str:
    words = ["" if classifier == "logistic" else CLASSIFIERS[classifier]]
    words += [f"stage {stage} from the end" if stage > 1 else "", f"{share} %"]
    text = ", ".join(word for word in words if word)
    return text[0].upper() + text[1:]


def regular_columns(cells: Sequence[Cell]) -> list[Column]:
    """The columns of the table of the regular feature's accuracies, every share of the labels."""
    columns = [
        Column(f"reg_acc_{view}_{share}", view, f"{share} % of labels", "accuracy", "high")
        for share in shares_of(cells)
        for view in views_of(cells)
    ]
    return [column for column in columns if any(column.key in cell.numbers for cell in cells)]


def best_of(column: Column, rows: Sequence[Row]) -> float | None:
    """The best value of a column among the self-supervised rows of one data set.

    Untrained and supervised rows are there to compare with and do not take part; neither does the trivial
    group in the equivariance error, where there is nothing to be equivariant to.
    """
    if column.best is None:
        return None
    values = [
        estimate.value
        for row in rows
        if may_be_best(column, row) and (estimate := column.of(row)) is not None
    ]
    if len(values) < 2:
        return None
    return max(values) if column.best == "high" else min(values)


def may_be_best(column: Column, row: Row) -> bool:
    """Whether a row takes part in the search for a column's best."""
    return not row.is_reference and not (column.kind == "error" and row.group == "trivial")
