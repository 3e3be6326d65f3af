"""`eqssl release`: a folder with an encoder in every form, and its card."""

from __future__ import annotations

import re
import tempfile
from pathlib import Path

from eqssl.encoders.release.releasing import check_place, put_in_place, release_forms
from eqssl.encoders.release.saving import folder_of, read_description
from eqssl.machine.files import write_text
from eqssl.report.model_card import find_metrics, model_card

CARD = "README.md"


def write_release(
    source: str | Path,
    target: Path,
    onnx: bool = True,
    metrics: Path | None = None,
    licence: str | None = None,
) -> dict[str, float]:
    """Write a folder that other people can use: the encoder in several forms, and README.md, its card.

    The folder appears whole or not at all. An earlier release in its place is replaced.

    Args:
        source: the trained encoder.
        target: the folder.
        onnx: whether to write model.onnx.
        metrics: its metrics.json; None to find it.
        licence: of the weights, by its name on the hub; None to leave it open.

    Returns:
        File -> the largest relative difference of its outputs from the trained encoder's.

    Raises:
        ValueError, OSError: as for `release_forms`; or the metrics are damaged or of another encoder, or the
            target holds something else.
    """
    if licence is not None and not re.fullmatch(r"[A-Za-z0-9.+-]{1,50}", licence):
        raise ValueError(
            f"--licence: given {licence!r}, allowed: a name of the hub, such as mit or cc-by-4.0"
        )
    folder, target = folder_of(source), target.absolute()
    check_place(target)
    described = read_description(folder)
    metrics = metrics or find_metrics(folder, described)
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=f".{target.name}.") as place:
        made = Path(place) / target.name
        made.mkdir()
        found = release_forms(folder, made, onnx)
        write_text(made / CARD, model_card(described, metrics, found, target.name, licence))
        put_in_place(made, target)
    return found
