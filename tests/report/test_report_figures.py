import re
import subprocess
import sys
from xml.etree import ElementTree

import matplotlib
import numpy as np
import pytest
from PIL import Image
from sealed import resealed
from written_grid import TWINS, write_grid

from eqssl.report.accuracy_charts import MOST_LINES, accuracy_against_labels
from eqssl.report.angle_charts import accuracy_against_rotation
from eqssl.report.cells import read_cells
from eqssl.report.change_chart import change_by_angle
from eqssl.report.cost_chart import accuracy_against_cost
from eqssl.report.label_charts import label_accuracy
from eqssl.report.stage_chart import TOLERANCE, equivariance_by_stage
from eqssl.report.style import FAMILIES, INK, ON_DARK, REFERENCE, inline_svg, pretext_styles, save_figure
from eqssl.report.tables import rows_of
from eqssl.report.training_charts import loss_curves


@pytest.fixture
def rows(grid):
    return rows_of(read_cells(grid))


def styles_of(rows):
    return pretext_styles(list(dict.fromkeys(row.pretext for row in rows)), TWINS)


def points_of(figure, index=0):
    """The y values of each line of a panel that shows data."""
    lines = [np.asarray(line.get_ydata(), dtype=float) for line in figure.axes[index].get_lines()]
    return [line for line in lines if line.size > 1]


def test_labels_figure_shows_the_table(rows):
    chart = accuracy_against_labels(rows, styles_of(rows))
    assert [panel.title for panel in chart.panels] == ["trivial", "C4"]
    drawn = points_of(chart.panels[1].figure())
    members = [row for row in rows if row.group == "C4"]
    expected = [
        [100 * row.estimate(f"acc_stored_{share}").value for share in (1, 10, 100)] for row in members
    ]
    np.testing.assert_allclose(drawn, expected)
    assert "n = 200 test images" in chart.caption
    assert "2 seeds" in chart.caption
    assert "eq_labels" in chart.panels[0].words


def test_many_pretexts_have_a_small_panel_each_with_a_line_for_each_group(tmp_path):
    cells = []
    for number in range(MOST_LINES + 1):
        for path, losses in write_grid(tmp_path / str(number), pretexts=("labels",), seeds=(0,)):

            def rename(values, number=number):
                values["pretext"] = values["details"]["encoder"]["job"]["pretext"] = f"p{number}"

            cells.append((resealed(path, rename), losses))
    rows = rows_of(read_cells(cells))
    chart = accuracy_against_labels(rows, styles_of(rows))
    assert [panel.title for panel in chart.panels] == [f"p{number}" for number in range(MOST_LINES + 1)]
    assert list(chart.legend) == ["trivial", "C4"]
    drawn = points_of(chart.panels[3].figure())
    members = [row for row in rows if row.pretext == "p3"]
    expected = [
        [100 * row.estimate(f"acc_stored_{share}").value for share in (1, 10, 100)] for row in members
    ]
    np.testing.assert_allclose(drawn, expected)


def test_rotation_figure_has_a_panel_for_each_pretext_with_a_line_for_each_group(rows):
    chart = accuracy_against_rotation(rows, styles_of(rows))
    assert [panel.title for panel in chart.panels] == ["eq_labels", "labels", "random", "supervised"]
    assert list(chart.legend) == ["trivial", "C4"]
    drawn = points_of(chart.panels[0].figure())
    assert len(drawn) == 2
    row = next(row for row in rows if (row.group, row.pretext) == ("trivial", "eq_labels"))
    by_hand = 100 * np.mean([[value.value for _, value in cell.angles] for cell in row.cells], axis=0)
    np.testing.assert_allclose(drawn[0], [by_hand[-1], *by_hand, by_hand[0]])  # 360 degrees are 0 again
    x = chart.panels[0].figure().axes[0].lines[0].get_xdata()
    np.testing.assert_allclose(x, [-7.5 + 15 * i for i in range(26)])


def test_rotation_figure_round_a_circle_shows_the_same_numbers(rows):
    flat, polar = (accuracy_against_rotation(rows, styles_of(rows), polar=p) for p in (False, True))
    assert [panel.words for panel in flat.panels] == [panel.words for panel in polar.panels]
    figure = polar.panels[0].figure()
    assert figure.axes[0].name == "polar"
    for line, other in zip(points_of(flat.panels[0].figure()), points_of(figure), strict=True):
        np.testing.assert_allclose(other, line[1:])  # which ends where it began


def test_rotation_figure_names_what_was_not_measured(tmp_path):
    grid = write_grid(tmp_path, seeds=(0,))
    for path, _ in grid[:1]:
        resealed(path, lambda values: values["details"].pop("angles"))
    rows = rows_of(read_cells(grid))
    chart = accuracy_against_rotation(rows, styles_of(rows))
    assert "Not measured: trivial eq_labels." in chart.caption
    assert len(points_of(chart.panels[0].figure())) == 1
    nothing = accuracy_against_rotation(rows[:1], styles_of(rows[:1]))
    assert not nothing.panels
    with pytest.raises(ValueError, match="not recorded"):
        nothing.figure()


def test_cost_figure_shows_accuracy_over_operations(rows):
    chart = accuracy_against_cost(rows, styles_of(rows), "acc_stored_100")
    (panel,) = chart.panels
    axes = panel.figure().axes[0]
    assert axes.get_xscale() == "log"
    drawn = points_of(panel.figure())
    pretexts = list(dict.fromkeys(row.pretext for row in rows))
    expected = [
        [100 * row.estimate("acc_stored_100").value for row in rows if row.pretext == name]
        for name in pretexts
    ]
    np.testing.assert_allclose(drawn, expected)
    assert "trivial: 12.3 million; C4: 24.7 million" in panel.words
    assert not accuracy_against_cost(rows, styles_of(rows), None).panels


def test_loss_figure_has_a_panel_for_each_trained_pretext(rows):
    chart = loss_curves(rows, styles_of(rows))
    assert [panel.title for panel in chart.panels] == ["eq_labels", "labels", "supervised"]
    assert "without a curve: random" in chart.caption
    assert len(points_of(chart.panels[0].figure())) == 2


def test_equivariance_figure_shows_each_stage_and_zero_on_the_lowest_line(rows):
    chart = equivariance_by_stage(rows, styles_of(rows))
    assert "n = 512 test images" in chart.caption
    assert [panel.title for panel in chart.panels] == ["trivial", "C4"]
    zero, group = (panel.figure().axes[0] for panel in chart.panels)
    assert group.get_yscale() == "log"
    assert [label.get_text() for label in group.get_xticklabels()] == ["1", "2", "invariant"]
    lines = [list(line.get_ydata()) for line in group.get_lines() if len(set(line.get_ydata())) > 1]
    members = [row for row in rows if row.group == "C4"]
    largest = [max(cell.numbers["equivariance_error"] for cell in row.cells) for row in members]
    np.testing.assert_allclose(lines, [[error / 2, error, error / 3] for error in largest])
    floor = zero.get_ylim()[0]
    assert {y for line in zero.get_lines() for y in line.get_ydata()} == {floor, TOLERANCE}


def add_by_seed(values):
    for entry in values["details"]["equivariance"]["angles"]:
        entry["error"] += 0.02 * values["seed"]


def test_change_figure_shows_the_mean_over_seeds_of_each_angle(tmp_path):
    grid = write_grid(tmp_path, seeds=(0, 1))
    for path, _ in grid:
        resealed(path, add_by_seed)
    rows = rows_of(read_cells(grid))
    chart = change_by_angle(rows, styles_of(rows))
    assert [panel.title for panel in chart.panels] == ["trivial", "C4"]
    drawn = points_of(chart.panels[1].figure())
    degrees = np.arange(15, 360, 15)
    expected = 100 * (0.01 * np.abs(np.sin(np.radians(2 * degrees))) + 0.01)
    np.testing.assert_allclose(drawn, [expected] * 4, atol=1e-9)
    assert "eq_labels: at most 2.0 %, at" in chart.panels[1].words
    assert "means over seeds" in chart.caption
    assert not change_by_angle([], styles_of([])).panels


def test_label_figure_shows_accuracy_and_what_bounds_it(rows):
    chart = label_accuracy(rows)
    assert [panel.title for panel in chart.panels] == ["trivial", "C4"]
    axes = chart.panels[1].figure().axes[0]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["eq_labels", "labels"]
    members = [row for row in rows if row.group == "C4" and row.estimate("pretext_chance")]
    levels = sorted(100 * y for row in members for y in (0.25, 0.125))
    assert sorted(line[0] for line in points_of(chart.panels[1].figure())) == pytest.approx(levels)
    single = [line.get_ydata()[0] for line in axes.get_lines() if len(line.get_ydata()) == 1]
    accuracies = [100 * row.estimate("pretext_accuracy").value for row in members]
    assert sorted(single) == pytest.approx(sorted([20.0, 20.0, *accuracies]))
    assert "ceiling of the orbits 25.0 %, chance 12.5 %" in chart.panels[1].words


def test_label_figure_has_a_place_for_each_task_of_a_sum_and_none_for_other_pretexts(tmp_path):
    grid = write_grid(tmp_path, groups=("C4",), pretexts=("inv_contrastive", "random"), seeds=(0,))
    values = {}
    for part, chance in (("location", 0.125), ("orientation", 0.25)):
        values |= {f"pretext_{part}_accuracy": 0.5, f"pretext_{part}_chance": chance}
        values |= {f"pretext_{part}_orbit_ceiling": 0.25, f"pretext_{part}_orbit_accuracy": 0.9}
    resealed(grid[0][0], lambda content: content.update(values))
    rows = rows_of(read_cells(grid))
    (panel,) = label_accuracy(rows).panels
    names = [label.get_text() for label in panel.figure().axes[0].get_xticklabels()]
    assert names == ["inv_contrastive: location", "inv_contrastive: orientation"]
    assert "apart" not in panel.words
    assert not label_accuracy(rows[1:]).panels


PAIRS = {**TWINS, "eq_jigsaw": "jigsaw"}
NAMES = [*PAIRS, *PAIRS.values(), "random", "supervised"]


def test_a_pretext_has_one_style_everywhere_and_no_other_shares_it():
    styles = pretext_styles(NAMES, PAIRS)
    assert len(set(styles.values())) == len(NAMES)
    assert list(styles) == NAMES
    assert styles["eq_labels"].colour == FAMILIES[0][0]
    assert all(pretext_styles([name], PAIRS)[name] == styles[name] for name in NAMES)
    other = pretext_styles(["inv_moco", "contrastive", "moco"], {**PAIRS, "inv_moco": "moco"})
    assert other["contrastive"] == styles["contrastive"]
    assert len(set(other.values())) == 3
    tasks = {f"eq_task{i}": f"task{i}" for i in range(8)}
    assert len(set(pretext_styles([*tasks, *tasks.values()], tasks).values())) == 16


def hue_of(style):
    return next(number for number, family in enumerate(FAMILIES) if style.colour in family)


def test_twins_share_one_hue_in_two_shades_whatever_their_names_are():
    styles = pretext_styles(["foo", "bar", "eq_bar"], {"foo": "bar"})
    assert (styles["foo"].colour, styles["bar"].colour) in FAMILIES
    assert styles["foo"].marker == styles["bar"].marker
    assert (styles["foo"].filled, styles["bar"].filled) == (True, False)
    assert hue_of(styles["eq_bar"]) != hue_of(styles["bar"])


def test_names_alone_make_no_twins():
    styles = pretext_styles(["eq_labels", "labels"], {})
    assert hue_of(styles["eq_labels"]) != hue_of(styles["labels"])
    assert all(style.filled for style in styles.values())


def test_pretexts_with_one_plain_twin_share_its_hue_and_no_style():
    twins = {"inv_max": "plain", "inv_softmax": "plain", "inv_pool": "plain"}
    styles = pretext_styles(["plain", *twins], twins)
    assert len(set(styles.values())) == 4
    assert len({styles[name].colour for name in twins}) == 1
    assert (styles["inv_max"].colour, styles["plain"].colour) in FAMILIES


def seen_with_deuteranopia(colour):
    """Viénot, Brettel & Mollon (1999) in linear RGB, then CIE L*a*b*."""
    rgb = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    linear = np.array([[0.29275, 0.70725, 0], [0.29275, 0.70725, 0], [-0.02234, 0.02234, 1]]) @ linear
    xyz = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]) @ linear
    t = np.clip(xyz / [0.9505, 1.0, 1.089], 0, None)
    f = np.where(t > 0.008856, np.cbrt(t), 7.787 * t + 16 / 116)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


def contrast(colour, paper):
    def luminance(text):
        rgb = np.array([int(text[i : i + 2], 16) for i in (1, 3, 5)]) / 255
        linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
        return float(linear @ [0.2126, 0.7152, 0.0722])

    low, high = sorted([luminance(colour), luminance(paper)])
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("dark", [False, True])
def test_colours_differ_for_colour_blind_readers_and_from_the_paper(dark):
    default = [*FAMILIES[0], *FAMILIES[1], *REFERENCE.values()]
    colours = [ON_DARK[colour] if dark else colour for colour in default]
    for i, left in enumerate(colours):
        for right in colours[:i]:
            distance = np.linalg.norm(seen_with_deuteranopia(left) - seen_with_deuteranopia(right))
            assert distance > 12, (left, right)
    paper = ON_DARK["#ffffff"] if dark else "#ffffff"
    every = [colour for pair in FAMILIES for colour in pair] + list(REFERENCE.values())
    assert min(contrast(ON_DARK[c] if dark else c, paper) for c in every) > 2.5
    assert contrast(ON_DARK[INK] if dark else INK, paper) > 7


def test_inline_svg_is_valid_and_its_ids_are_unique(rows):
    panels = accuracy_against_rotation(rows, styles_of(rows)).panels
    texts = [inline_svg(panel.figure(), f"p{i}", 'a "quoted" <text>') for i, panel in enumerate(panels)]
    ids = []
    for text in texts:
        root = ElementTree.fromstring(text)  # noqa: S314 - written above
        assert root.get("aria-label") == 'a "quoted" <text>'
        mine = [element.get("id") for element in root.iter() if element.get("id")]
        assert set(re.findall(r"(?:url\(|href=\")#([^\")]+)", text)) <= set(mine)
        ids += mine
        assert "metadata" not in text
        assert "DejaVu" not in text
        assert f"var(--c-1b1b1f, {INK})" in text
    assert len(ids) == len(set(ids))


@pytest.mark.parametrize("kind", ["png", "svg", "pdf"])
def test_saved_figures_have_the_same_bytes_whatever_the_readers_settings(rows, tmp_path, kind):
    first, second = tmp_path / f"a.{kind}", tmp_path / f"b.{kind}"
    save_figure(accuracy_against_rotation(rows, styles_of(rows)).figure(), first)
    with matplotlib.rc_context({"font.size": 30, "axes.facecolor": "red", "svg.hashsalt": None}):
        save_figure(accuracy_against_rotation(rows, styles_of(rows)).figure(), second)
        assert matplotlib.rcParams["font.size"] == 30
    assert first.read_bytes() == second.read_bytes()
    if kind == "png":
        with Image.open(first) as image:
            assert image.width > 1000
            assert len(image.convert("RGB").resize((200, 100)).getcolors(1 << 24)) > 20


def test_a_figure_of_an_unknown_kind_is_refused_and_leaves_nothing(rows, tmp_path):
    with pytest.raises(ValueError, match=r"given ending '\.bmp', allowed: \.png, \.svg, \.pdf"):
        save_figure(loss_curves(rows, styles_of(rows)).figure(), tmp_path / "out" / "a.bmp")
    assert not (tmp_path / "out").exists()


def test_figures_do_not_touch_pyplot_and_the_package_is_light():
    code = (
        "import sys, eqssl.report\n"
        "assert 'matplotlib' not in sys.modules\n"
        "import eqssl.report.html\n"
        "assert 'matplotlib.pyplot' not in sys.modules\n"
        "assert 'torch' not in sys.modules, 'torch'\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
