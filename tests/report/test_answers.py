"""The first screen: which pretext won, the claims, and the forest plot, against loops written here."""

import re
import shutil

import numpy as np
import pytest
from sealed import resealed
from written_grid import TWINS, write_grid

from eqssl.config.claims import Claim
from eqssl.evaluation.correct import NAME, write_correct
from eqssl.machine.records import read_record, write_record
from eqssl.report import write_report
from eqssl.report.answers import answers
from eqssl.report.cells import read_cells
from eqssl.report.forest_chart import BETTER, OPEN, WORSE
from eqssl.report.tables import rows_of
from eqssl.report.verdict_text import decided

METRIC = "acc_stored_100"
ACCURACY = {"eq_labels": 0.70, "labels": 0.62, "random": 0.50, "supervised": 0.9}
PAIRS = (("eq_labels", "labels"),)
CLAIM = Claim("labels_twin", "equivariant labels beat their plain twins", PAIRS, "same", METRIC)
ABSENT = Claim("beside", "a sum beats its part", (("sum", "part"),), "same", METRIC)
IMAGES = 400


def with_images(cells, accuracies=ACCURACY, seed_noise=0.002):
    """Give each cell a correct.parquet, with accuracies that follow it; no interval of its own."""
    for number, (path, _) in enumerate(cells):
        record = read_record(path)
        random = np.random.default_rng(number)
        level = accuracies[record.values["pretext"]] + seed_noise * random.standard_normal()
        right = random.random(IMAGES) < level
        write_correct(path.parent / NAME, [f"test-{i}" for i in range(IMAGES)], {METRIC: right[None]})
        values = {key: value for key, value in record.values.items() if not key.startswith(METRIC)}
        files = [*record.files, NAME]
        write_record(path, {**values, METRIC: float(right.mean())}, files, record.made_of)
    return cells


def found(cells, claims=(CLAIM, ABSENT), twins=TWINS):
    read = read_cells(cells)
    return answers(read[0].dataset, read, rows_of(read), twins, claims)


@pytest.fixture
def five(tmp_path):
    return with_images(write_grid(tmp_path / "r", seeds=range(5)))


@pytest.fixture
def single(tmp_path):
    return with_images(write_grid(tmp_path / "r", seeds=(0,)))


def shares(cells):
    """(group, pretext) -> right or wrong of each seed and image."""
    table = {}
    for cell in read_cells(cells):
        table.setdefault((cell.group, cell.pretext), []).append(cell.right.shares(METRIC))
    return {key: np.array(rows) for key, rows in table.items()}


def test_the_winner_is_the_best_self_supervised_row_and_is_compared_with_what_matters(five):
    told = found(five).winner
    means = {key: rows.mean() for key, rows in shares(five).items()}
    group = max(("trivial", "C4"), key=lambda name: means[name, "eq_labels"])
    other = max(("trivial", "C4"), key=lambda name: means[name, "labels"])
    assert told[0].startswith(f"eq_labels on {group} has the highest accuracy of 4 encoders")
    assert f"{100 * means[group, 'eq_labels']:.1f} % (stored test images, all labels; 5 seeds)" in told[0]
    difference = 100 * (means[group, "eq_labels"] - means[other, "labels"])
    assert told[1].startswith(f"Against the best other pretext, labels on {other}")
    assert f"{difference:+.1f} points. That is more than chance" in told[1]
    assert any(f"the untrained network on {group}: +" in text for text in told)
    assert not any("not repeated" in text for text in told)


def test_one_seed_decides_nothing_and_says_so(single):
    result = found(single)
    assert any("Seeds were not repeated" in text for text in result.winner)
    assert any("over test images alone" in text for text in result.winner)
    assert not any("more than chance" in text for text in result.winner)
    assert [verdict.verdict for verdict in result.verdicts] == ["not tested", "not tested"]
    pairs = [pair for kind in result.pairs.values() for pair in kind]
    assert pairs
    assert not any(decided(pair.difference) for pair in pairs)
    assert list(result.forest.legend) == ["undecided"]
    assert "over test images alone" in result.forest.caption


def test_equal_pretexts_are_not_told_apart(tmp_path):
    """The control: where there is no difference, nothing is called more than chance."""
    equal = dict.fromkeys(ACCURACY, 0.6)
    result = found(with_images(write_grid(tmp_path / "r", seeds=range(5)), equal))
    assert "That can be chance" in result.winner[1]
    assert result.verdicts[0].verdict != "yes"


def test_pairs_are_those_of_twins_random_and_the_plain_network(five):
    pairs = found(five).pairs
    names = {kind: [(p.left, p.right) for p in items] for kind, items in pairs.items()}
    groups = ("trivial", "C4")
    assert names["twin"] == [((g, "eq_labels"), (g, "labels")) for g in groups]
    assert names["random"] == [((g, p), (g, "random")) for g in groups for p in ("eq_labels", "labels")]
    assert names["trivial"] == [
        (("C4", p), ("trivial", p)) for p in ("eq_labels", "labels", "random", "supervised")
    ]
    right = shares(five)
    for items in pairs.values():
        for pair in items:
            table = right[tuple(pair.left)] - right[tuple(pair.right)]
            assert pair.difference.mean == pytest.approx(table.mean())
            assert pair.difference.seeds == pytest.approx(tuple(table.mean(axis=1)))
            assert pair.difference.images == IMAGES


def test_a_pretext_that_is_its_own_twin_is_not_compared_with_it(tmp_path):
    """In the trivial group most pretexts are the same network as their twins, image by image."""
    cells = with_images(write_grid(tmp_path / "r", seeds=range(2)))
    named = {(v["group"], v["pretext"], v["seed"]): (path, v) for path, v in map(content, cells)}
    for seed in range(2):
        (mine, _), (twins, values) = (named["trivial", name, seed] for name in ("eq_labels", "labels"))
        shutil.copy(twins.with_name(NAME), mine.with_name(NAME))
        record = read_record(mine)
        write_record(mine, {**record.values, METRIC: values[METRIC]}, list(record.files), record.made_of)
    assert [pair.left.group for pair in found(cells).pairs["twin"]] == ["C4"]


def content(cell):
    return cell[0], read_record(cell[0]).values


def test_twins_are_those_that_are_declared(five):
    assert found(five, twins={}).pairs["twin"] == []
    assert [p.left.pretext for p in found(five, twins={"supervised": "labels"}).pairs["twin"]] == [
        "supervised"
    ] * 2


def test_the_forest_plot_draws_each_interval_and_its_colour_says_whether_it_is_decided(five):
    result = found(five)
    assert [panel.title for panel in result.forest.panels] == [
        "Minus its plain twin",
        "Minus the untrained network",
        "Minus the plain network",
    ]
    limits = set()
    for panel, pairs in zip(result.forest.panels, result.pairs.values(), strict=True):
        axes = panel.figure().axes[0]
        limits.add(axes.get_xlim())
        ordered = sorted(pairs, key=lambda pair: -pair.difference.mean)
        assert [label.get_text() for label in axes.get_yticklabels()] == [
            f"{pair.left.pretext}, {pair.left.group}" for pair in ordered
        ]
        zero, *lines = axes.get_lines()
        assert list(zero.get_xdata()) == [0, 0]
        for pair, bar, point in zip(ordered, lines[::2], lines[1::2], strict=True):
            d = pair.difference
            np.testing.assert_allclose(bar.get_xdata(), [100 * d.low, 100 * d.high])
            np.testing.assert_allclose(point.get_xdata(), [100 * d.mean])
            outside = d.low > 0 or d.high < 0
            style = (BETTER if d.mean > 0 else WORSE) if outside else OPEN
            assert bar.get_color() == point.get_color() == style.colour
    assert len(limits) == 1  # one scale for all


def test_without_images_differences_are_over_seeds_and_one_seed_has_no_interval(tmp_path):
    several, one = (found(write_grid(tmp_path / name, seeds=s)) for name, s in (("a", (0, 1)), ("b", (0,))))
    assert "intervals over seeds" in several.forest.caption
    assert any("interval over seeds is" in text for text in several.winner)
    assert "No intervals are known" in one.forest.caption
    assert any("No interval is known" in text for text in one.winner)


def test_accuracies_that_are_not_those_of_the_images_are_refused(five):
    resealed(five[3][0], lambda values: values.update({METRIC: values[METRIC] + 0.01}))
    with pytest.raises(ValueError, match=rf"{METRIC}: given .* but correct\.parquet gives") as caught:
        read_cells(five)
    assert str(caught.value).startswith(str(five[3][0]))


def test_a_page_begins_with_the_answers_and_ends_with_the_warnings(five, tmp_path):
    resealed(five[2][0], lambda values: values["details"].update(left_out=["something"]))
    write_report(five, tmp_path / "index.html", TWINS, claims=[CLAIM, ABSENT])
    text = (tmp_path / "index.html").read_text().replace("\N{NO-BREAK SPACE}", " ")
    sections = re.findall(r'<section (?:class="\w+" )?id="([\w-]+)"', text)
    assert sections == [
        *("answers", "by-labels", "by-angle", "by-cost", "table", "stages", "pretexts", "loss"),
        *("record", "warnings"),
    ]
    first = text[text.index('id="answers"') : text.index('id="by-labels"')]
    assert (
        '<span class="verdict yes">yes</span><span><b>Equivariant labels beat their plain twins.</b>' in first
    )
    assert "5 seeds, 5 of them with this sign, 1 pair of cells" in first
    assert "For want of cells: <b>a sum beats its part</b>" in first
    assert "left out: 1</summary>" in text[text.index('id="warnings"') :]


def test_numbers_say_where_they_come_from(five, tmp_path):
    write_report(five, tmp_path / "index.html", TWINS)
    text = (tmp_path / "index.html").read_text().replace("\N{NO-BREAK SPACE}", " ")
    table = text[text.index('id="main-1"') :].partition("</table>")[0]
    hints = re.findall(r'<td data-order="[^"]+" tabindex="0" title="([^"]+)"', table)
    assert hints
    for hint in hints:
        assert len(re.findall(r"^seed \d: [^\n]+ \(cell [0-9a-f]{8}\)$", hint, re.MULTILINE)) in (4, 5)
        assert "data dddddddddddd, code 89abcdef0123, commit 0123456789ab" in hint
    assert table.count('tabindex="0"') == len(hints)


def test_names_that_no_grid_allows_are_shown_but_not_compared(tmp_path):
    cells = write_grid(tmp_path / "r", groups=("C4",), pretexts=("labels", "random"), seeds=(0,))

    def rename(values):
        values["pretext"] = values["details"]["encoder"]["job"]["pretext"] = "<labels>"

    resealed(cells[0][0], rename)
    result = found(cells)
    assert result.winner == ()
    assert not any(result.pairs.values())
