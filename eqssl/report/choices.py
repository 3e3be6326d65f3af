"""What probes chose on validation data, warnings about them, and further measurements."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from eqssl.machine.tracing.tables import section
from eqssl.report.cells import MISSING, Cell
from eqssl.report.label_notes import left_out
from eqssl.report.training_notes import training_warnings

MEASUREMENTS = (
    ("ridge, stored (%)", ("ridge", "invariant", "test", "stored"), 100.0, ".1f"),
    ("ridge, angle (%)", ("ridge", "invariant", "test", "angle"), 100.0, ".1f"),
    ("predictions changed by D4 (%)", ("prediction_change", "invariant"), 100.0, ".2f"),
    ("retrieval MRR", ("equivariance", "retrieval", "mrr"), 1.0, ".3f"),
    ("retrieval hit rate 1 (%)", ("equivariance", "retrieval", "hit_rate_1"), 100.0, ".1f"),
    ("embedding: effective rank", ("pretrain", "measured", "pretext_effective_rank"), 1.0, ".1f"),
    ("alignment", ("pretrain", "measured", "pretext_alignment"), 1.0, ".3f"),
    ("uniformity", ("pretrain", "measured", "pretext_uniformity"), 1.0, ".2f"),
    ("turns found (%)", ("pretrain", "measured", "pretext_turn_found"), 100.0, ".1f"),
)
"""Heading, path in `details`, factor and format of each measurement outside the main table."""


def measurements(cell: Cell) -> list[str]:
    """The texts under the headings of `MEASUREMENTS`."""
    texts = []
    for _, path, factor, form in MEASUREMENTS:
        value: Any = cell.details
        for key in path:
            value = value.get(key) if isinstance(value, Mapping) else None
        texts.append(format(factor * value, form) if isinstance(value, int | float) else MISSING)
    return texts


def measured(cells: Sequence[Cell]) -> tuple[list[str], list[list[str]]]:
    """The headings of the measurements that any cell has, and the texts of each cell under them."""
    texts = [measurements(cell) for cell in cells]
    kept = [i for i in range(len(MEASUREMENTS)) if any(row[i] != MISSING for row in texts)]
    return [MEASUREMENTS[i][0] for i in kept], [[row[i] for i in kept] for row in texts]


def probe_names(cells: Sequence[Cell]) -> list[str]:
    """Names of all probes, as in `strengths`."""
    return list(dict.fromkeys(name for cell in cells for name, _ in _probes(cell)))


def strengths(cell: Cell) -> dict[str, str]:
    """The chosen strength lambda of each probe; for several draws, the smallest and the largest."""
    chosen: dict[str, list[float]] = {}
    for name, entry in _probes(cell):
        if isinstance(entry.get("strength"), int | float):
            chosen.setdefault(name, []).append(float(entry["strength"]))
    return {
        name: f"{min(values):.1e}" + (f" to {max(values):.1e}" if max(values) > min(values) else "")
        for name, values in chosen.items()
    }


def warning_groups(cells: Sequence[Cell]) -> list[tuple[str, list[str]]]:
    """What went wrong, by kind, with a sentence for each cell. Kinds without one are left out."""
    edge, unfinished = (
        "the chosen strength is the first or last of those tried",
        "a fit stopped before it converged",
    )
    groups = [
        ("training warned", training_warnings(cells)),
        (edge, [f"{cell.name}: {edge}: {text}" for cell in cells if (text := _counts(cell, _at_edge))]),
        (
            unfinished,
            [f"{cell.name}: {unfinished}: {text}" for cell in cells if (text := _counts(cell, _unfinished))],
        ),
        ("left out", [f"{cell.name}: left out: {text}" for cell in cells for text in left_out(cell.details)]),
    ]
    return [(kind, sentences) for kind, sentences in groups if sentences]


def _probes(cell: Cell) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Name and record of each probe, once per draw."""
    for column, shares in section(cell.details, "probes").items():
        if isinstance(shares, Mapping):
            for share in sorted(shares, key=_as_number, reverse=True):
                draws = shares[share] if isinstance(shares[share], list) else [shares[share]]
                for entry in draws:
                    if isinstance(entry, Mapping):
                        yield f"{column}, {share} %", entry
    for column, entry in section(cell.details, "ridge").items():
        if isinstance(entry, Mapping):
            yield f"ridge, {column}", entry


def _counts(cell: Cell, is_so: Callable[[Mapping[str, Any]], bool]) -> str:
    """The probes for which `is_so` holds, with the number of draws for which it does."""
    counts: dict[str, list[bool]] = {}
    for name, entry in _probes(cell):
        counts.setdefault(name, []).append(is_so(entry))
    return "; ".join(
        name + (f" ({sum(draws)} of {len(draws)} draws)" if len(draws) > 1 else "")
        for name, draws in counts.items()
        if any(draws)
    )


def _at_edge(entry: Mapping[str, Any]) -> bool:
    return entry.get("edge") is True


def _unfinished(entry: Mapping[str, Any]) -> bool:
    """Whether the fit in use did not converge: the refit if there is one, else the chosen point."""
    if "refit" in entry:
        return section(entry, "refit").get("converged") is False
    path = section(entry, "path")
    tried, converged = path.get("strength"), path.get("converged")
    if isinstance(tried, list) and isinstance(converged, list) and entry.get("strength") in tried:
        position = tried.index(entry["strength"])
        return position < len(converged) and converged[position] is False
    return entry.get("converged") is False


def _as_number(share: str) -> float:
    return float(share) if share.isdigit() else -1.0
