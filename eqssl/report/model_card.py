"""The card of a released encoder: what it is, what it was trained on, how good it is, what it cannot do."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from shlex import quote
from typing import Any, NamedTuple

from eqssl.config.groups import GROUPS
from eqssl.config.plain import counted, shown
from eqssl.machine.cell_numbers import read_metrics, top_numbers
from eqssl.machine.records import Record
from eqssl.report.pages import environment

_ACCURACY = re.compile(r"acc_(?P<view>[a-z]+)_(?P<share>\d+)|knn_(?P<neighbours>[a-z]+)")
_VIEWS = {
    "stored": "as stored",
    "grid": "turned by a random element of D4",
    "angle": "turned by a random angle",
}


class _Row(NamedTuple):
    """A number of the card's table: what it is, its value in per cent, and its interval if it has one."""

    name: str
    view: str
    value: float
    low: float | None
    high: float | None


def find_metrics(folder: Path, described: Record) -> Path | None:
    """The metrics.json of an encoder: below its folder, or in `results` beside a published one.

    Args:
        folder: of the encoder.
        described: its record.

    Returns:
        The file; None if the encoder was never evaluated, or its results are not here.

    Raises:
        ValueError: there are several.
    """
    values = described.values
    inside = "eval-*/probe-*/metrics.json"
    found = sorted(folder.glob(inside))
    names = [values.get(key) for key in ("dataset", "group", "pretext", "seed")]
    if not found and all(re.fullmatch(r"[A-Za-z0-9_]{1,100}", str(name)) for name in names):
        dataset, group, pretext, seed = names
        place = f"results/{dataset}/{group}/{pretext}/s{seed}-*/{inside}"
        found = sorted(folder.absolute().parent.glob(place))
    fitting = [path for path in found if _is_of(path, values["weights_sha256"])]
    if len(fitting) > 1:
        raise ValueError(f"--metrics: missing, allowed: {', '.join(map(str, fitting))}")
    return fitting[0] if fitting else None


def _is_of(path: Path, weights: str) -> bool:
    try:
        record = read_metrics(path)
    except (ValueError, OSError):
        return False
    encoder = record.values.get("details", {}).get("encoder")
    return isinstance(encoder, dict) and encoder.get("weights_sha256") == weights


def model_card(
    described: Record, metrics: Path | None, files: Mapping[str, float], name: str, licence: str | None
) -> str:
    """The card in Markdown, with the metadata that the hub reads.

    Args:
        described: the trained encoder's record.
        metrics: its metrics.json; None if it was not evaluated.
        files: the released files, each with its difference from the trained encoder.
        name: of the model.
        licence: of the weights, by its name on the hub, such as `mit`; None to leave it open.

    Raises:
        ValueError: the metrics are of another encoder, or damaged.
        OSError: they cannot be read.
    """
    values = described.values
    record = None if metrics is None else read_metrics(metrics)
    if record is not None and metrics is not None and not _is_of(metrics, values["weights_sha256"]):
        raise ValueError(f"{metrics}: is of other weights than {described.path}")
    details: Mapping[str, Any] = {} if record is None else record.values["details"]
    group = values["group"]
    return (
        environment(html=False)
        .get_template("model_card.md.j2")
        .render(
            name=name,
            in_python=json.dumps(name, ensure_ascii=False),
            in_shell=quote(name),
            licence=licence,
            encoder=values,
            pretext=values.get("pretext", "not recorded"),
            mask=values.get("mask", "disc"),
            range=values.get("range"),
            group=group,
            order=values["order"],
            is_exact=GROUPS[group].is_exact,
            stages=len(values["fields"]),
            fields=values["fields"][-1],
            rows=[] if record is None else list(_rows(top_numbers(record))),
            details=details,
            probe=details.get("probe", {}),
            training=details.get("pretrain", {}),
            elements=details.get("equivariance", {}).get("elements", []),
            images=details.get("equivariance", {}).get("images"),
            files=files,
            settings=_settings(values.get("job", {})),
            versions=values.get("versions", {}),
            counted=counted,
            seal=described.seal,
            metrics_seal=None if record is None else record.seal,
        )
    )


def _rows(numbers: Mapping[str, float]) -> Iterator[_Row]:
    """Accuracies of the last stage's invariant feature, more labels first."""
    found = [(match, name) for name in numbers if (match := _ACCURACY.fullmatch(name))]
    views = list(_VIEWS)

    def place(item: tuple[re.Match[str], str]) -> tuple[int, float]:
        match = item[0]
        view = match["view"] or match["neighbours"]
        return views.index(view), -float(match["share"] or 0)

    for match, name in sorted(found, key=place):
        what = f"linear probe, {match['share']} % of the labels" if match["share"] else "nearest neighbours"
        low, high = (numbers.get(f"{name}_{end}") for end in ("lo", "hi"))
        yield _Row(what, _VIEWS[match["view"] or match["neighbours"]], numbers[name], low, high)


def _settings(job: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The settings of the training, one line each."""
    lines = []
    for section in ("task", "views", "pretrain", "encoder"):
        table = job.get(section)
        if isinstance(table, Mapping):
            lines += [(f"{section}.{key}", shown(value)) for key, value in sorted(table.items())]
    return lines
