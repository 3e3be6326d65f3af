"""The report as one HTML file with tables, figures, style and a little script."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from markupsafe import Markup

from eqssl.machine.files import write_text
from eqssl.machine.sealed_text import sealed_text
from eqssl.report import choices, record
from eqssl.report.accuracy_charts import accuracy_against_labels, accuracy_against_rotation
from eqssl.report.cells import MINUS, MISSING, Cell, read_cells
from eqssl.report.charts import Chart
from eqssl.report.embedding_charts import embedding_curves
from eqssl.report.equivariance_charts import change_by_angle, equivariance_by_group
from eqssl.report.estimates import Estimate
from eqssl.report.label_charts import label_accuracy
from eqssl.report.label_notes import has_accuracies, label_notes
from eqssl.report.neighbour_sheets import Sheets, neighbour_sheets
from eqssl.report.pages import environment
from eqssl.report.style import css_variables, inline_svg, pretext_styles, swatch
from eqssl.report.tables import (
    Column,
    Comparison,
    Difference,
    Row,
    best_of,
    comparisons,
    main_columns,
    may_be_best,
    regular_columns,
    rows_of,
)
from eqssl.report.training_charts import loss_curves


@dataclass(frozen=True)
class Shown:
    """A table cell as written: number, smaller text below, text on hover, sort key, whether it is marked."""

    text: str
    below: str = ""
    hint: str = ""
    order: float | None = None
    best: bool = False


def write_report(
    cells: Sequence[tuple[Path, Path]],
    out: Path,
    twins: Mapping[str, str],
    shards: Sequence[Path] = (),
    pages: Sequence[str] = (),
) -> None:
    """Write the report of a grid.

    The file needs no other file and no network. Equal input gives equal bytes.

    Args:
        cells: metrics.json and loss.csv of each cell.
        out: the HTML file; it appears whole or not at all.
        twins: pretext -> its plain twin, which it is compared with; twins share a colour.
        shards: folders of the data sets' shards, from which nearest neighbours are shown; without them there
            are no such pictures.
        pages: data sets that have a page of their own, data/NAME.html beside the file, which is linked.

    Raises:
        ValueError: no cells, a cell given twice, or a damaged file; names the file, the key and the reason.
        OSError: a file cannot be read or written.
    """
    found = read_cells(cells)
    text = render(found, twins, neighbour_sheets(rows_of(found), shards), pages)
    write_text(out, sealed_text(text, [cell.seal for cell in found]))


def render(
    cells: Sequence[Cell],
    twins: Mapping[str, str],
    sheets: Sequence[Sheets] = (),
    pages: Sequence[str] = (),
) -> str:
    """The report's HTML; `twins` and `pages` as for `write_report`."""
    rows = rows_of(cells)
    members = {name: [cell for cell in cells if cell.dataset == name] for name in _datasets(rows)}
    compared = [column for column in main_columns(cells) if column.key.startswith("acc_")]
    differences = comparisons(rows, [column.key for column in compared], twins)
    labelled = has_accuracies(cells)
    measured, measured_texts = choices.measured(cells)
    styles = pretext_styles(_pretexts(rows), twins)
    charts = [
        accuracy_against_labels(rows, styles),
        accuracy_against_rotation(rows, styles),
        loss_curves(rows, styles),
        *(chart for chart in [embedding_curves(rows, styles)] if chart.panels),
        label_accuracy(rows),
        equivariance_by_group(rows, styles),
        change_by_angle(rows, styles),
    ]
    if not labelled:
        charts = [chart for chart in charts if chart.panels]
    names = choices.probe_names(cells)
    template = environment().get_template("report.html.j2")
    text = template.render(
        cells=cells,
        datasets=_by_dataset(rows),
        several_seeds=any(row.seeds > 1 for row in rows),
        columns={name: main_columns(found) for name, found in members.items()},
        regular={name: columns for name, found in members.items() if (columns := regular_columns(found))},
        labelled=labelled,
        all_labelled=all(has_accuracies(found) for found in members.values()),
        label_notes={name: label_notes([r for r in rows if r.dataset == name]) for name in members},
        sheets=sheets,
        pages=[name for name in members if name in pages],
        compared=compared,
        comparisons=_by_kind([item for item in differences if any(item.differences.values())]),
        charts=[(number, chart, _drawings(chart, number)) for number, chart in enumerate(charts, 1)],
        swatches={name: swatch(style) for name, style in styles.items()},
        classes=record.classes(cells),
        light=css_variables(dark=False),
        dark=css_variables(dark=True),
        record=record,
        choices=choices,
        cell_texts=[record.cell_texts(cell) for cell in cells],
        probe_names=names,
        strength_texts=[[choices.strengths(cell).get(name, MISSING) for name in names] for cell in cells],
        measured=measured,
        measured_texts=measured_texts,
        shown=shown,
        difference=shown_difference,
        sections=_sections,
        swatch=swatch,
    )
    return text.replace(" %", "\N{NO-BREAK SPACE}%")  # a number and its unit stay on one line


def shown(column: Column, row: Row, rows: Sequence[Row]) -> Shown:
    """A number of the main table, marked if it is the best of its column in `rows`."""
    estimate = column.of(row)
    if estimate is None:
        return Shown(MISSING, hint="not measured")
    best = may_be_best(column, row) and estimate.value == best_of(column, rows)
    if column.kind != "accuracy":
        return Shown(_plain(column, estimate.value), order=estimate.value, best=best)
    half = estimate.half_width
    below = "" if half is None else f"±{100 * half:.1f}"
    return Shown(f"{100 * estimate.value:.1f}", below, _interval(estimate), estimate.value, best)


def shown_difference(difference: Difference | None) -> Shown:
    """A difference in percentage points; `best` marks intervals without a common point."""
    if difference is None:
        return Shown(MISSING, hint="not measured")
    points = round(100 * difference.value, 1) + 0.0  # no negative zero
    hint = {
        True: "the intervals do not overlap",
        False: "the intervals overlap",
        None: "interval unknown",
    }[difference.apart]
    text = f"{points:+.1f}".replace("-", MINUS)
    return Shown(text, hint=hint, order=difference.value, best=bool(difference.apart))


def _plain(column: Column, value: float) -> str:
    if column.kind == "error":
        return "0" if value == 0 else f"{value:.1e}".replace("e-0", "e-").replace("e+0", "e+")
    if column.kind == "mega":
        return f"{value / 1e6:,.1f}"
    if column.kind == "share":
        return f"{value:.3f}"
    if column.kind == "seconds":
        return f"{value:,.0f}" if value >= 100 else f"{value:.1f}"
    return f"{value:,.0f}"


def _interval(estimate: Estimate) -> str:
    if estimate.lo is None or estimate.hi is None:
        return "interval unknown"
    kind = "bootstrap over test images" if estimate.seeds == 1 else f"t-interval, {estimate.seeds} seeds"
    return f"95 % interval {100 * estimate.lo:.2f} to {100 * estimate.hi:.2f} ({kind})"


def _by_dataset(rows: Sequence[Row]) -> list[tuple[str, list[tuple[str, list[Row]]]]]:
    """The rows of each group of each data set."""
    return [
        (dataset, [(group, list(inner)) for group, inner in groupby(members, lambda row: row.group)])
        for dataset, members in groupby(rows, lambda row: row.dataset)
    ]


def _by_kind(items: Sequence[Comparison]) -> list[tuple[str, list[Comparison]]]:
    return [(kind, list(members)) for kind, members in groupby(items, lambda item: item.kind)]


def _sections(columns: Sequence[Column]) -> list[tuple[str, int]]:
    """The headings above groups of columns, with the number of columns that each spans."""
    return [(name, len(list(members))) for name, members in groupby(columns, lambda column: column.section)]


def _drawings(chart: Chart, number: int) -> list[Markup]:
    return [
        inline_svg(panel.figure(), f"f{number}p{position}", f"{chart.title}, {panel.title}. {panel.words}.")
        for position, panel in enumerate(chart.panels, 1)
    ]


def _datasets(rows: Sequence[Row]) -> list[str]:
    return list(dict.fromkeys(row.dataset for row in rows))


def _pretexts(rows: Sequence[Row]) -> list[str]:
    return list(dict.fromkeys(row.pretext for row in rows))
