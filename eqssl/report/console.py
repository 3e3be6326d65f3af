"""The table at the end of a run, for a terminal of 100 columns."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence, Set
from pathlib import Path
from types import MappingProxyType

from rich.console import Console
from rich.table import Table
from rich.text import Text

from eqssl.machine.grid_rows import Identity, grid_rows
from eqssl.report.cells import GROUPS, MISSING
from eqssl.report.estimates import Estimate, over_seeds

Numbers = Mapping[str, Estimate]
_LABELLED = (
    "Linear probe on the invariant feature, accuracy in %, ± half the 95 % interval. Test images: as "
    "stored, turned by an element of D4 (grid), by any angle (angle)."
)
_UNLABELLED = (
    "Without labels: share in % of test images, moved by an element of D4, whose own stored image is the "
    "nearest (hit 1) or one of the five nearest (hit 5); mean of 1 / rank (MRR); accuracy of the pretext."
)
NO_TWINS: Mapping[str, str] = MappingProxyType({})


def print_table(table: Path, console: Console | None = None, twins: Mapping[str, str] = NO_TWINS) -> None:
    """Print grid.csv: one table for each data set, one line for each group and pretext.

    Accuracies are in per cent, with half the width of their 95 % interval. For several seeds they are means
    with t-intervals over the seeds. A data set without accuracies shows how well turned images are found
    again.

    Args:
        table: a metrics/grid.csv.
        console: where to print; standard output by default, 100 columns wide where that is no terminal.
        twins: pretext -> its plain twin, which stands below it.

    Raises:
        ValueError: a column is missing or a number cannot be read; names the file and the line.
        OSError: the file cannot be read.

    Example:
        >>> import io
        >>> from pathlib import Path
        >>> from rich.console import Console
        >>> console = Console(file=io.StringIO(), width=100)  # leave it out to print on the terminal
        >>> print_table(Path("bench/results/upright.csv"), console)
        >>> "inv_contrastive" in console.file.getvalue()
        True
    """
    rows = _read(Path(table))
    if console is None:
        console = Console()
        if not console.is_terminal:
            console = Console(width=100)
    notes = {}
    for dataset in dict.fromkeys(identity[0] for identity, _ in rows):
        members = [(identity, numbers) for identity, numbers in rows if identity[0] == dataset]
        shares = sorted(_shares(members), reverse=True)
        console.print(_table(dataset, members, shares, twins))
        notes[_LABELLED if shares else _UNLABELLED] = True
    for note in notes:
        console.print(note, style="dim")


def _shares(rows: Sequence[tuple[Identity, Numbers]]) -> set[int]:
    """The shares of the labels, in per cent, that have accuracies."""
    found = {re.fullmatch(r"acc_\w+?_(\d+)", key) for _, numbers in rows for key in numbers}
    return {int(match[1]) for match in found if match}


def _read(path: Path) -> list[tuple[Identity, dict[str, Estimate]]]:
    """Identity and numbers of each line."""
    return [
        (
            identity,
            {
                key: Estimate(value, numbers.get(f"{key}_lo"), numbers.get(f"{key}_hi"))
                for key, value in numbers.items()
            },
        )
        for identity, numbers in grid_rows(path).items()
    ]


def _table(
    dataset: str,
    rows: Sequence[tuple[Identity, Numbers]],
    shares: Sequence[int],
    twins: Mapping[str, str],
) -> Table:
    """The table of one data set."""
    lines: dict[tuple[str, str], list[Numbers]] = {}
    for (_, group, pretext, _), numbers in rows:
        lines.setdefault((group, pretext), []).append(numbers)
    counts = {len(seeds) for seeds in lines.values()}
    title = dataset if counts == {1} or len(counts) > 1 else f"{dataset}, means over {min(counts)} seeds"
    table = Table(
        title=title, title_justify="left", title_style="bold", box=None, pad_edge=False, padding=(0, 1)
    )
    columns = _columns(shares, len(counts) > 1, {key for _, numbers in rows for key in numbers})
    table.add_column("group", style="bold", no_wrap=True)
    table.add_column("pretext", overflow="fold", min_width=8)
    for heading, _ in columns:
        table.add_column(heading, justify="right", no_wrap=True)
    groups = sorted(dict.fromkeys(group for group, _ in lines), key=_group_order)
    for group in groups:
        if group != groups[0]:
            table.add_row()
        found = (pretext for name, pretext in lines if name == group)
        members = sorted(found, key=lambda pretext: _pretext_order(pretext, twins))
        for pretext in members:
            cells = [_cell(key, lines[group, pretext]) for _, key in columns]
            table.add_row(group if pretext == members[0] else "", pretext, *cells)
    return table


def _columns(shares: Sequence[int], with_seeds: bool, present: Set[str]) -> list[tuple[str, str]]:
    """Heading and key of each column of numbers."""
    columns = [("n", "")] if with_seeds else []
    error = ("equiv.\nerror", "equivariance_error")
    if not shares:
        found = [("hit 1", "retrieval_hit_1"), ("hit 5", "retrieval_hit_5"), ("MRR", "retrieval_mrr")]
        found.append(("pretext\naccuracy", "pretext_accuracy"))
        return [*columns, *(column for column in found if column[1] in present), error]
    columns += [(f"{view}\n{shares[0]} %", f"acc_{view}_{shares[0]}") for view in ("stored", "grid", "angle")]
    columns += [(f"stored\n{share} %", f"acc_stored_{share}") for share in shares[1:]]
    return [*columns, ("k-NN\nstored", "knn_stored"), error]


def _cell(key: str, seeds: Sequence[Numbers]) -> Text:
    """One number of the table. An empty key stands for `n`, the number of seeds."""
    if not key:
        return Text(str(len(seeds)))
    values = [numbers[key] for numbers in seeds if key in numbers]
    if not values:
        return Text(MISSING, style="dim")
    if key == "equivariance_error":
        largest = max(value.value for value in values)
        return Text(f"{largest:.0e}" if largest else "0")
    estimate = over_seeds(values)
    if key == "retrieval_mrr":
        return Text(f"{estimate.value:.3f}")
    text = Text(f"{100 * estimate.value:.1f}")
    if estimate.half_width is not None:
        half = 100 * estimate.half_width
        text.append(f" ±{half:.1f}" if half < 9.95 else f" ±{half:.0f}", style="dim")
    return text


def _pretext_order(pretext: str, twins: Mapping[str, str]) -> tuple[bool, str, bool, str]:
    """Each pretext before its plain twin, untrained and supervised last."""
    return pretext in ("random", "supervised"), twins.get(pretext, pretext), pretext not in twins, pretext


def _group_order(group: str) -> int:
    return GROUPS.index(group) if group in GROUPS else len(GROUPS)
