"""The report's figure of embeddings in training, their measurements, and warnings of a collapse."""

import numpy as np
import pytest
from sealed import resealed
from written_grid import TWINS, write_grid

from eqssl.machine.records import write_record
from eqssl.report import write_report
from eqssl.report.cells import read_cells
from eqssl.report.embedding_charts import embedding_curves
from eqssl.report.style import pretext_styles
from eqssl.report.tables import rows_of
from eqssl.report.training_notes import training_warnings

PRETEXTS = ("inv_contrastive", "contrastive", "labels", "random")


@pytest.fixture
def grid(tmp_path):
    return write_grid(tmp_path / "results", pretexts=PRETEXTS)


def chart_of(grid):
    rows = rows_of(read_cells(grid))
    return embedding_curves(rows, pretext_styles(list(dict.fromkeys(row.pretext for row in rows)), TWINS))


def lines_of(panel):
    lines = [np.asarray(line.get_ydata(), dtype=float) for line in panel.figure().axes[0].get_lines()]
    return [line for line in lines if line.size > 1]


def test_each_quantity_has_a_panel_for_each_group_with_means_over_seeds(grid):
    chart = chart_of(grid)
    assert [panel.title for panel in chart.panels] == [
        f"{words}, {group}"
        for words in ("effective rank", "alignment", "uniformity", "turns found")
        for group in ("trivial", "C4")
    ]
    assert list(chart.legend) == ["inv_contrastive", "contrastive"]
    epochs = np.arange(1, 6)
    np.testing.assert_allclose(lines_of(chart.panels[0]), [2 * epochs + 0.5] * 2)
    np.testing.assert_allclose(lines_of(chart.panels[2]), [0.5 / epochs] * 2)
    assert "inv_contrastive: from 2.5 to 10.5" in chart.panels[0].words
    assert "means over seeds" in chart.caption


def replaced_losses(pair, text):
    """Write another loss.csv into a cell and seal what was made of it again."""
    pair[1].write_text(text)
    trained = pair[1].with_name("pretrain.json")
    write_record(trained, {"epochs": 2}, ["loss.csv"])
    resealed(pair[0], pretrain=trained)


def test_parts_of_a_sum_have_lines_of_their_own(tmp_path):
    grid = write_grid(tmp_path, groups=("C4",), pretexts=("contrastive",), seeds=(0,))
    replaced_losses(grid[0], "epoch,loss,one/rank,two/rank\n1,2,3,5\n2,2,4,6\n")
    (panel,) = chart_of(grid).panels
    assert [list(line) for line in lines_of(panel)] == [[3, 4], [5, 6]]
    assert panel.words == "contrastive: one: from 3 to 4; contrastive: two: from 5 to 6"


def test_losses_of_older_trainings_still_make_a_report_without_this_figure(tmp_path):
    grid = write_grid(tmp_path, groups=("C4",), pretexts=("contrastive",), seeds=(0,))
    write_report(grid, tmp_path / "new.html", TWINS)
    assert 'id="figure-embeddings"' in (tmp_path / "new.html").read_text()
    replaced_losses(grid[0], "epoch,loss\n1,2\n2,1.5\n")
    assert not chart_of(grid).panels
    write_report(grid, tmp_path / "old.html", TWINS)
    text = (tmp_path / "old.html").read_text()
    assert 'id="figure-embeddings"' not in text
    assert 'id="figure-loss"' in text


COLLAPSED = {"text": "embeddings have collapsed: <all>", "first_epoch": 2, "last_epoch": 5}


@pytest.mark.parametrize(
    ("first", "last", "words"),
    [
        (2, 5, "from epoch 2 to the end"),
        (1, 3, "epochs 1 to 3"),
        (3, 3, "epoch 3"),
    ],
)
def test_a_collapse_is_the_first_of_the_warnings_and_names_its_cell(grid, tmp_path, first, last, words):
    entry = {**COLLAPSED, "first_epoch": first, "last_epoch": last}
    resealed(grid[1][0], lambda values: values["details"]["pretrain"].update(warnings=[entry]))
    named = read_cells(grid[1:2])[0].name
    assert training_warnings(read_cells(grid)) == [f"{named}: in training, {words}: {entry['text']}"]
    write_report(grid, tmp_path / "index.html", TWINS)
    text = (tmp_path / "index.html").read_text()
    warnings = text[text.index('id="warnings"') : text.index("</main>")]
    assert f"<li>{named}: in training, {words}: embeddings have collapsed: &lt;all&gt;</li>" in warnings


@pytest.mark.parametrize("given", [None, "text", [3], [{"text": 1}], [{**COLLAPSED, "last_epoch": "5"}], {}])
def test_warnings_of_another_form_are_left_out(grid, given):
    resealed(grid[1][0], lambda values: values["details"]["pretrain"].update(warnings=given))
    assert training_warnings(read_cells(grid)) == []


def test_measurements_of_embeddings_stand_beside_the_main_table(grid, tmp_path):
    numbers = {"pretext_effective_rank": 12.34, "pretext_alignment": 0.125, "pretext_turn_found": 0.875}
    resealed(grid[0][0], lambda values: values["details"]["pretrain"].update(measured=numbers))
    write_report(grid, tmp_path / "index.html", TWINS)
    text = (tmp_path / "index.html").read_text()
    assert all(f"<td>{shown}</td>" in text for shown in ("12.3", "0.125", "87.5"))
    assert '<th scope="col">alignment</th>' in text
    assert '<th scope="col">uniformity</th>' not in text
