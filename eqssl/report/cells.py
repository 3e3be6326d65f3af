"""Reading the results of cells: metrics.json and loss.csv, checked, as typed objects."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from eqssl.config.grid import IDENTITY
from eqssl.config.groups import GROUPS as PLANE_GROUPS
from eqssl.config.plain import shown
from eqssl.evaluation.correct import CorrectTable
from eqssl.machine.cell_numbers import numbers, read_metrics, refuse, top_numbers
from eqssl.machine.csv_rows import csv_rows
from eqssl.machine.finetuned import cell_of, finetuned_by_cell, refuse_left, with_finetuned
from eqssl.machine.records import Record, read_record
from eqssl.machine.tracing.tables import section
from eqssl.report.estimates import Estimate
from eqssl.report.right_images import read_right

MISSING = "\N{EN DASH}"
MINUS = "\N{MINUS SIGN}"
GROUPS = tuple(PLANE_GROUPS)
DIAGNOSTICS = ("rank", "alignment", "uniformity", "similarity_of_others", "turn_found")
"""Columns of loss.csv that joint-embedding pretexts have (`eqssl.pretexts.joint.diagnosing`)."""
Curve = tuple[tuple[int, float], ...]
"""A number in each epoch: pairs (epoch, mean over its steps)."""


@dataclass(frozen=True)
class Cell:
    """The result of one cell of the grid.

    Attributes:
        dataset, group, pretext, seed: which cell.
        numbers: the top-level numbers of metrics.json, by their names in metrics/grid.csv, and those of
            finetune.json if there is one.
        details: the `details` of metrics.json.
        losses: (epoch, mean loss) of each finished epoch; empty for an untrained encoder.
        path: path of metrics.json.
        classes, test_images: how many, from predictions.csv beside metrics.json; None if it has no rows.
        seals: of metrics.json, and of finetune.json if there is one.
        diagnostics: the same as `losses` for what joint-embedding pretexts tell of their embeddings.
        right: which test images its probes were right about; None if that was not recorded.
        home: the folder of the encoder.
    """

    dataset: str
    group: str
    pretext: str
    seed: int
    numbers: Mapping[str, float]
    details: Mapping[str, Any]
    losses: tuple[tuple[int, float], ...]
    path: Path
    classes: int | None = None
    test_images: int | None = None
    seals: tuple[str, ...] = ()
    diagnostics: Mapping[str, Curve] = field(default_factory=dict)
    right: CorrectTable | None = None
    home: Path = Path()

    @property
    def name(self) -> str:
        """The cell in words, for messages and captions."""
        return f"{self.dataset} {self.group} {self.pretext} seed {self.seed}"

    @property
    def job(self) -> Mapping[str, Any]:
        """The settings that the encoder was trained with; empty if they were not recorded."""
        return section(self.details, "encoder", "job")

    @property
    def is_reference(self) -> bool:
        """Whether this is a reference to compare with: an untrained or supervised encoder."""
        return section(self.job, "task").get("task", self.pretext) in ("random", "supervised")

    @cached_property
    def angles(self) -> tuple[tuple[float, Estimate], ...]:
        """Accuracy against the angle of the test images: pairs (degrees, estimate), sorted.

        Raises:
            ValueError: an entry of `details.angles` is not a table of numbers.
        """
        tables = self._tables("details.angles", self.details.get("angles"), "acc")
        points = [(x["degrees"], Estimate(x["acc"], x.get("lo"), x.get("hi"))) for x in tables]
        return tuple(sorted(points, key=lambda point: point[0]))

    @cached_property
    def changes(self) -> tuple[tuple[float, float], ...]:
        """Relative change of the invariant feature against the angle: pairs (degrees, change), sorted.

        Raises:
            ValueError: an entry of `details.equivariance.angles` is not a table of numbers.
        """
        listed = section(self.details, "equivariance").get("angles")
        tables = self._tables("details.equivariance.angles", listed, "error")
        return tuple(sorted((x["degrees"], x["error"]) for x in tables))

    def _tables(self, where: str, items: Any, key: str) -> list[dict[str, float]]:
        """The tables in a list, each checked to have the numbers `degrees` and `key`; none if it is null."""
        if not isinstance(items, list | None):
            refuse(self.path, where, f"given {shown(items)}, expected a list")
        found = []
        for position, item in enumerate(items or ()):
            place = f"{where}[{position}]"
            if not isinstance(item, Mapping):
                refuse(self.path, place, f"given {shown(item)}, expected a table of numbers")
            entry = numbers(self.path, item, place + ".")
            if not {"degrees", key} <= entry.keys():
                refuse(self.path, place, f"given {item!r}, expected numbers degrees and {key}")
            found.append(entry)
        return found

    def estimate(self, column: str) -> Estimate | None:
        """A number with its interval; None if this cell lacks it."""
        if column not in self.numbers:
            return None
        return Estimate(
            self.numbers[column], self.numbers.get(f"{column}_lo"), self.numbers.get(f"{column}_hi")
        )


def read_cells(files: Sequence[tuple[Path, Path]], finetuned: Sequence[Path] = ()) -> list[Cell]:
    """Read the (metrics.json, loss.csv) of each cell, sorted as the report shows them.

    Of a cell that was fine-tuned `finetuned` has the finetune.json.

    Data sets and pretexts keep the order in which they first appear, with references last. Groups are in the
    order of `GROUPS`, seeds in increasing order.

    Raises:
        ValueError: there are no cells, a file is damaged, a cell is given twice, or a fine-tuning without its
            cell; names file and reason.
        OSError: a file cannot be read.
    """
    if not files:
        raise ValueError("report: no cells were given")
    further = finetuned_by_cell(finetuned)
    cells = [read_cell(Path(metrics), Path(losses), further) for metrics, losses in files]
    refuse_left(further)
    seen: dict[str, Path] = {}
    for cell in cells:
        if cell.name in seen:
            refuse(cell.path, cell.name, f"the same cell was already read from {seen[cell.name]}")
        seen[cell.name] = cell.path
    datasets = list(dict.fromkeys(cell.dataset for cell in cells))
    groups = list(dict.fromkeys([*GROUPS, *sorted(cell.group for cell in cells)]))
    ordered = sorted(cells, key=lambda cell: cell.is_reference)
    pretexts = list(dict.fromkeys(cell.pretext for cell in ordered))
    return sorted(
        cells,
        key=lambda cell: (
            datasets.index(cell.dataset),
            groups.index(cell.group),
            pretexts.index(cell.pretext),
            cell.seed,
        ),
    )


def read_cell(metrics: Path, losses: Path, finetuned: dict[tuple[Any, ...], Record] | None = None) -> Cell:
    """Read one cell. Raises ValueError with the file, the key and the reason if a file is damaged.

    predictions.csv lies beside metrics.json, pretrain.json beside loss.csv; all four belong together. The
    cell's record is taken out of `finetuned`.
    """
    record = read_metrics(metrics)
    tuned = finetuned.pop(cell_of(record), None) if finetuned else None
    trained = read_record(losses.with_name("pretrain.json"))
    record.check_made_of(pretrain=trained)
    classes, test_images = _counts(record.file("predictions.csv"))
    curves = read_curves(trained.file(losses.name))
    found = with_finetuned(top_numbers(record), record, tuned)
    cell = Cell(
        **{key: record.values[key] for key in IDENTITY},
        numbers=found,
        details=record.values.get("details", {}),
        losses=curves.pop("loss", ()),
        diagnostics=curves,
        path=metrics,
        classes=classes,
        test_images=test_images,
        seals=(record.seal, *([tuned.seal] if tuned else [])),
        right=read_right(record, found),
        home=losses.parent,
    )
    # report a damaged entry now, with the name of its file, and not while a figure is drawn
    _ = cell.angles, cell.changes
    return cell


def read_losses(path: Path) -> Curve:
    """The columns epoch and loss of a loss.csv, which has no rows for an untrained encoder."""
    return read_curves(path).get("loss", ())


def read_curves(path: Path) -> dict[str, Curve]:
    """The losses of a loss.csv, and its columns of `DIAGNOSTICS`, also those of parts (`NAME/rank`).

    Other columns are left alone, and an older file has the losses alone.
    """
    with csv_rows(path) as reader:
        names = reader.fieldnames or ()
        if names and not {"epoch", "loss"} <= set(names):
            raise ValueError(f"{path}: header {','.join(names)!r} lacks the columns epoch and loss")
        kept = ["loss", *(name for name in names if name.rpartition("/")[2] in DIAGNOSTICS)]
        found: dict[str, list[tuple[int, float]]] = {name: [] for name in kept if name in names}
        for row in reader:
            try:
                for name, curve in found.items():
                    curve.append((int(row["epoch"]), float(row[name])))
            except (TypeError, ValueError):
                given = ", ".join(f"{name} {row[name]!r}" for name in ("epoch", *found))
                raise ValueError(f"{path}: line {reader.line_num}: not numbers: {given}") from None
    return {name: tuple(curve) for name, curve in found.items()}


def _counts(predictions: Path) -> tuple[int | None, int | None]:
    """How many classes and test images predictions.csv has; None and None if it has no rows."""
    with csv_rows(predictions) as reader:
        if "actual" not in (reader.fieldnames or ()):
            raise ValueError(f"{predictions}: the header lacks the column actual")
        actual = [row["actual"] for row in reader]
    return (len(set(actual)), len(actual)) if actual else (None, None)
