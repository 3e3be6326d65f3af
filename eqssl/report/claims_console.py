"""Claims and comparisons for a terminal."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from eqssl.evaluation.claims import Verdict
from eqssl.evaluation.comparison import Comparison, Subject
from eqssl.evaluation.grid_cells import GridCells
from eqssl.evaluation.paired import Difference
from eqssl.report.verdict_text import sentence

NONE = "-"
_READING = (
    "Differences in points of accuracy, with 95 % intervals. p is corrected for the number of claims (Holm); "
    "'all signs' is the exact test over the seeds' signs, and 'seeds' counts those in favour. "
    "docs/claims.md says what is compared."
)


def print_claims(cells: GridCells, verdicts: Sequence[Verdict], console: Console | None = None) -> None:
    """Print each claim with its difference and verdict, then the pairs that it is the mean of.

    Args:
        cells: the cells of one data set.
        verdicts: the verdicts on its claims.
        console: where to print; standard output by default, 100 columns wide where that is no terminal.
    """
    console = console or _console()
    table = _table(cells.dataset, ("claim", "verdict", "difference", "interval", "p", "all signs", "seeds"))
    for verdict in verdicts:
        d = verdict.difference
        numbers = (
            [NONE] * 5 if d is None else [*_numbers(d), _p(verdict.adjusted), _p(d.sign_flip), _seeds(d)]
        )
        table.add_row(verdict.key, verdict.verdict, *numbers)
    console.print(table)
    for verdict in verdicts:
        console.print()
        console.print(f"[bold]{verdict.key}[/bold]: {sentence(verdict)}")
        if verdict.pairs:
            console.print(_pairs(verdict))
    console.print()
    console.print(_READING, style="dim")
    if scope := _scope(verdicts):
        console.print(scope, style="dim")


def print_comparison(
    first: Subject, second: Subject, comparison: Comparison, console: Console | None = None
) -> None:
    """Print the numbers of two subjects side by side, with their differences.

    Args:
        first: what was compared.
        second: with what.
        comparison: their comparison.
        console: as for `print_claims`.
    """
    console = console or _console()
    console.print(f"A: {first.name}\nB: {second.name}", highlight=False)
    table = _table("", ("number", "A", "B", "A - B", "interval", "p"))
    for line in comparison.lines:
        values = (f"{100 * value:.2f}" for value in (line.first, line.second))
        table.add_row(line.metric, *values, *_numbers(line.difference), _p(line.difference.p))
    console.print(table)
    console.print(
        f"In per cent. {comparison.note}. p-values are not corrected for their number.", style="dim"
    )


def _console() -> Console:
    console = Console()
    return console if console.is_terminal else Console(width=100)


def _table(title: str, headings: Sequence[str]) -> Table:
    table = Table(title=title or None, title_justify="left", title_style="bold", box=None, pad_edge=False)
    for number, heading in enumerate(headings):
        table.add_column(heading, justify="left" if number < 1 else "right", no_wrap=number > 0)
    return table


def _pairs(verdict: Verdict) -> Table:
    table = _table("", (f"  {verdict.metric}", "difference", "interval"))
    for pair in verdict.pairs:
        table.add_row(f"  {pair.name}", *_numbers(pair.difference))
    if verdict.difference is not None:
        table.add_row("  [bold]mean over pairs[/bold]", *_numbers(verdict.difference))
    for metric, other in verdict.others.items():
        table.add_row(f"  [dim]mean over pairs, {metric}[/dim]", *_numbers(other))
    return table


def _numbers(difference: Difference) -> list[str]:
    """The difference and its interval, in points."""
    if difference.p is None:
        return [f"{100 * difference.mean:+.2f}", "not known"]
    ends = f"{100 * difference.low:+.2f} to {100 * difference.high:+.2f}"
    return [f"{100 * difference.mean:+.2f}", ends]


def _p(value: float | None) -> str:
    if value is None:
        return NONE
    return "<0.001" if value < 0.001 else f"{value:.3f}"


def _seeds(difference: Difference) -> str:
    """Seeds in favour of all seeds."""
    return f"{sum(value > 0 for value in difference.seeds)} of {len(difference.seeds)}"


def _scope(verdicts: Sequence[Verdict]) -> str:
    """What the intervals speak of; empty if there are none."""
    found = [verdict.difference for verdict in verdicts if verdict.difference is not None]
    if not found:
        return ""
    if not all(difference.images for difference in found):
        return "Intervals are over seeds alone: which test images were right is not known beside this table."
    if all(len(difference.seeds) == 1 for difference in found):
        return "Intervals are over test images alone: one seed says nothing of another training."
    return "Intervals are over seeds and test images."
