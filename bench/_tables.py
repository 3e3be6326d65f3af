"""What the benchmark prints at its end."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

_MEGABYTE = 1e6


def show(result: Mapping[str, Any]) -> None:
    """Print every part of the result that is not empty."""
    console = Console(width=170)
    console.print(_rows(result["rows"]))
    for part, title in (("memory", "Memory of a training step, MB"), ("construction", "Construction")):
        if result[part]:
            console.print(_listed(title, result[part]))
    for note in result["notes"]:
        console.print(f"note: {note}", markup=False, highlight=False)


def line(row: Mapping[str, Any]) -> str:
    """One row in a few words, to show progress."""
    ours = f"ours/plain {row['ours_vs_plain']:.3f}"
    if row["target"] is not None:
        ours += f" (wanted {row['target']:.2f})"
    for peer in ("plain_folded", "onnx_runtime"):
        if f"ours_vs_{peer}" in row:
            ours += f", ours/{peer} {row[f'ours_vs_{peer}']:.3f}"
    return f"{ours}, escnn/plain {row['escnn_vs_plain']:.3f}"


def _rows(rows: Sequence[Mapping[str, Any]]) -> Table:
    table = Table(title="Time of a step, relative to plain torch in channels_last: median (quartiles)")
    for heading in ("encoder", "group", "kernel", "mode", "dtype", "compiled", "graph", "batch"):
        table.add_column(heading)
    headings = ("ours / plain", "wanted", "escnn / plain", "ours / escnn", "ours / folded plain")
    headings += ("ours / ONNX Runtime", "plain, ms", "expansion")
    for heading in headings:
        table.add_column(heading, justify="right")
    for row in rows:
        share = row.get("expansion_share")
        table.add_row(
            *[str(row[key]) for key in ("encoder", "group", "kernel", "mode", "dtype")],
            "yes" if row["compiled"] else "no",
            "yes" if row["cuda_graph"] else "no",
            str(row["batch"]),
            _ratio(row, "ours_vs_plain", row["target"]),
            "" if row["target"] is None else f"{row['target']:.2f}",
            _ratio(row, "escnn_vs_plain", None),
            _ratio(row, "ours_vs_escnn", 1.0),
            _ratio(row, "ours_vs_plain_folded", 1.03) if "ours_vs_plain_folded" in row else "",
            _ratio(row, "ours_vs_onnx_runtime", None) if "ours_vs_onnx_runtime" in row else "",
            f"{row['plain_ms']:.1f}",
            "" if share is None else f"{share:.1%}",
        )
    return table


def _ratio(row: Mapping[str, Any], name: str, largest: float | None) -> str:
    low, high = row[f"{name}_quartiles"]
    text = f"{row[name]:.3f} ({low:.2f}-{high:.2f})"
    return text if largest is None or row[name] <= largest else f"[bold red]{text}[/]"


def _listed(title: str, entries: Sequence[Mapping[str, Any]]) -> Table:
    table = Table(title=title)
    for key in entries[0]:
        table.add_column(key.replace("_bytes", ", MB"), justify="right")
    for entry in entries:
        cells = [
            f"{value / _MEGABYTE:.1f}" if key.endswith("_bytes") else str(value)
            for key, value in entry.items()
        ]
        table.add_row(*cells)
    return table
