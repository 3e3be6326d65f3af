"""The report as one HTML file with answers, figures, tables, pictures, style and a little script."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

from markupsafe import Markup

from eqssl.config.claims import Claim
from eqssl.machine.files import write_text
from eqssl.machine.live.progress import track
from eqssl.machine.sealed_text import sealed_text
from eqssl.report import choices, record
from eqssl.report.accuracy_charts import accuracy_against_labels
from eqssl.report.angle_charts import accuracy_against_rotation
from eqssl.report.answers import answers
from eqssl.report.cells import MISSING, Cell, read_cells
from eqssl.report.change_chart import change_by_angle
from eqssl.report.charts import Chart
from eqssl.report.cost_chart import accuracy_against_cost
from eqssl.report.differences import primary_metric
from eqssl.report.embedding_charts import embedding_curves
from eqssl.report.feature_map import turn_legend
from eqssl.report.gallery import Gallery, galleries
from eqssl.report.label_charts import label_accuracy
from eqssl.report.label_notes import has_accuracies, label_notes
from eqssl.report.pages import environment
from eqssl.report.stage_chart import equivariance_by_stage
from eqssl.report.style import LineStyle, css_variables, inline_svg, pretext_styles, swatch
from eqssl.report.tables import Column, Row, main_columns, regular_columns, rows_of
from eqssl.report.training_charts import loss_curves
from eqssl.report.training_notes import training_warnings
from eqssl.report.verdict_text import evidence
from eqssl.report.written import shown, shown_difference


class Figure(NamedTuple):
    """A chart with its drawings, and those of its other form if it has one."""

    chart: Chart
    drawings: list[Markup]
    others: list[Markup]


def write_report(
    cells: Sequence[tuple[Path, Path]],
    out: Path,
    twins: Mapping[str, str],
    shards: Sequence[Path] = (),
    pages: Sequence[str] = (),
    claims: Sequence[Claim] = (),
    finetuned: Sequence[Path] = (),
) -> None:
    """Write the report of a grid.

    The file needs no other file and no network. Equal input gives equal bytes.

    Args:
        cells: metrics.json and loss.csv of each cell. Feature files and weights that lie beside them are read
            for pictures of a few cells.
        out: the HTML file; it appears whole or not at all.
        twins: pretext -> its plain twin, which it is compared with; twins share a colour.
        shards: folders of the data sets' shards, from which nearest neighbours are shown; without them there
            are no such pictures.
        pages: data sets that have a page of their own, data/NAME.html beside the file, which is linked.
        claims: what was claimed of the grid; the report begins with the verdicts.
        finetuned: finetune.json of each cell that has one.

    Raises:
        ValueError: no cells, a cell given twice, or a damaged file; names the file, the key and the reason.
        OSError: a file cannot be read or written.
    """
    found = read_cells(cells, finetuned)
    text = render(found, twins, galleries(rows_of(found), twins, shards), pages, claims)
    write_text(out, sealed_text(text, [seal for cell in found for seal in cell.seals]))


def render(
    cells: Sequence[Cell],
    twins: Mapping[str, str],
    pictures: Sequence[Gallery] = (),
    pages: Sequence[str] = (),
    claims: Sequence[Claim] = (),
) -> str:
    """The report's HTML; `twins`, `pages` and `claims` as for `write_report`."""
    rows = rows_of(cells)
    members = {name: [cell for cell in cells if cell.dataset == name] for name in _datasets(rows)}
    of = {name: [row for row in rows if row.dataset == name] for name in members}
    told = [found for name in members if (found := answers(name, members[name], of[name], twins, claims))]
    styles = pretext_styles(_pretexts(rows), twins)
    measured, measured_texts = choices.measured(cells)
    names = choices.probe_names(cells)
    labelled = has_accuracies(cells)
    text = (
        environment()
        .get_template("report.html.j2")
        .render(
            cells=cells,
            answers=[(found, _drawings(found.forest, f"a{number}")) for number, found in enumerate(told, 1)],
            evidence=evidence,
            datasets=_by_dataset(rows),
            several_seeds=any(row.seeds > 1 for row in rows),
            columns={name: main_columns(found) for name, found in members.items()},
            regular={name: columns for name, found in members.items() if (columns := regular_columns(found))},
            labelled=labelled,
            all_labelled=all(has_accuracies(found) for found in members.values()),
            label_notes={name: label_notes(of[name]) for name in members},
            galleries=pictures,
            turn_legend=turn_legend(),
            pages=[name for name in members if name in pages],
            figures=_figures(cells, rows, styles, labelled),
            swatches={name: swatch(style) for name, style in styles.items()},
            classes=record.classes(cells),
            light=css_variables(dark=False),
            dark=css_variables(dark=True),
            record=record,
            warning_groups=choices.warning_groups(cells),
            collapsed=len(training_warnings(cells)),
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
    )
    return text.replace(" %", "\N{NO-BREAK SPACE}%")  # a number and its unit stay on one line


def _figures(
    cells: Sequence[Cell], rows: Sequence[Row], styles: Mapping[str, LineStyle], labelled: bool
) -> dict[str, list[Figure]]:
    """The figures of each section, in their order. Without labels, those that need some are left out."""
    embeddings = embedding_curves(rows, styles)
    turned = accuracy_against_rotation(rows, styles)
    sections = {
        "labels": [accuracy_against_labels(rows, styles)],
        "angle": [turned],
        "cost": [accuracy_against_cost(rows, styles, primary_metric(cells))],
        "stages": [equivariance_by_stage(rows, styles), change_by_angle(rows, styles)],
        "pretexts": [label_accuracy(rows), *([embeddings] if embeddings.panels else [])],
        "loss": [loss_curves(rows, styles)],
    }
    round_ones = {id(turned): _drawings(accuracy_against_rotation(rows, styles, polar=True), "round")}
    return {
        name: [
            Figure(chart, _drawings(chart, chart.key), round_ones.get(id(chart), []))
            for chart in charts
            if labelled or chart.panels
        ]
        for name, charts in sections.items()
    }


def _by_dataset(rows: Sequence[Row]) -> list[tuple[str, list[tuple[str, list[Row]]]]]:
    """The rows of each group of each data set."""
    return [
        (dataset, [(group, list(inner)) for group, inner in groupby(members, lambda row: row.group)])
        for dataset, members in groupby(rows, lambda row: row.dataset)
    ]


def _sections(columns: Sequence[Column]) -> list[tuple[str, int, bool]]:
    """The headings above columns, how many columns each spans, and whether they are shown on demand alone."""
    groups = groupby(columns, lambda column: (column.section, column.extra))
    return [(name, len(list(members)), extra) for (name, extra), members in groups]


def _drawings(chart: Chart, prefix: str) -> list[Markup]:
    panels = track(chart.panels, len(chart.panels), f"figures: {chart.title}")
    return [
        inline_svg(panel.figure(), f"{prefix}-p{position}", f"{chart.title}, {panel.title}. {panel.words}.")
        for position, panel in enumerate(panels, 1)
    ]


def _datasets(rows: Sequence[Row]) -> list[str]:
    return list(dict.fromkeys(row.dataset for row in rows))


def _pretexts(rows: Sequence[Row]) -> list[str]:
    return list(dict.fromkeys(row.pretext for row in rows))
