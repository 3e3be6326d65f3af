"""The features that a frozen encoder gives images, in one Parquet file."""

from __future__ import annotations

import hashlib
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pyarrow as pa
import torch

from eqssl.config.plain import counted
from eqssl.config.sources import SourceSettings
from eqssl.data.looking.hints import hinting
from eqssl.data.sources import open_source
from eqssl.data.sources.base import Source
from eqssl.encoders import load_encoder
from eqssl.encoders.release.saving import folder_of, read_description
from eqssl.evaluation.amounts import batch_size
from eqssl.evaluation.embed.columns import Wanted, normalised, rows_of, schema_of, widths_of
from eqssl.evaluation.embed.images import settings_for
from eqssl.evaluation.embed.parts import Parts
from eqssl.evaluation.embed.reading import Read, Reading
from eqssl.evaluation.feature_columns import Features, feature_columns
from eqssl.evaluation.parquet import check_finite
from eqssl.machine.code import bytes_digest
from eqssl.machine.live.progress import Show, progress
from eqssl.machine.records import Record
from eqssl.training.device import choose_device, reproducible

if TYPE_CHECKING:
    from eqssl.encoders import Encoder

PART_SECONDS = 10.0
"""Time after which a part is written; a killed run loses no more."""
ENDINGS = (".parquet", ".pq")
MOST_ROWS = 4096
"""Rows after which a part is written."""


class _Images(NamedTuple):
    """What is read, and its form."""

    name: str
    settings: SourceSettings
    source: Source


def embed(
    images: str,
    encoder: str | Path,
    out: str | Path,
    wanted: Wanted | None = None,
    source: str | None = None,
    given: Mapping[str, Any] | None = None,
    device: str = "auto",
    cores: int = 1,
) -> int:
    """Write the features of images to a Parquet file: a row for each, in the order of the source.

    Columns are `key`, `name` (its path, or what else a person calls the image), `label`, `group`, `split` (if
    the source has splits), and lists of float32: `invariant`, (fields,), and on request `regular`,
    (fields * order,), `invariant_2` and so on, as in the feature files of a cell. Memory does not grow with
    the number of images, but for their keys.

    Finished rows lie in `OUT.parts`, from which a killed run goes on. It ends with the same bytes. Rows whose
    image, name or label has changed since are made anew, and so are those after them.

    Args:
        images: path of the images, or the name of a data set that comes with a package.
        encoder: what `load_encoder` takes.
        out: the file.
        wanted: which features; None for the invariant ones of the last stage.
        source: kind of source; None to find it.
        given: settings of the source, as in an entry of the table `datasets`.
        device: `auto`, `cpu`, `cuda` ...
        cores: processor cores that this may use.

    Returns:
        The number of images.

    Raises:
        ValueError: the file's name does not end in .parquet or .pq, the encoder cannot read the images, an
            image is damaged, or a feature is not finite; names the image and the reason.
        OSError: a file is missing or cannot be read or written.
    """
    _check_name(Path(out))
    place, wanted = choose_device(device), wanted or Wanted()
    folder = folder_of(encoder)
    record = read_description(folder)
    network = load_encoder(folder).to(place)
    # what is wrong from here on may be mended by a setting of the source
    with hinting(), torch.inference_mode(), reproducible(place, threads=cores):
        settings = settings_for(images, network, record.values.get("range"), source, given or {})
        _check_apart(Path(out), settings)
        read = _Images(images, settings, open_source(settings))
        return _embed(read, network, record, Path(out), wanted, cores)


def _embed(images: _Images, network: Encoder, record: Record, out: Path, wanted: Wanted, cores: int) -> int:
    settings, source = images.settings, images.source
    side = settings.size or network.image_shape[1]  # `settings_for` gives a number
    place, shape = next(network.parameters()).device, (network.image_shape[0], side, side)
    blank = torch.zeros(1, *shape, device=place)
    widths = widths_of(network, blank, wanted)
    made_by = {
        "encoder": record.values["weights_sha256"],
        "settings": settings.plain(),
        "widths": widths,
        "device": place.type,
        "torch": torch.__version__,
        "code": bytes_digest(),
    }
    parts, reading = Parts(out, made_by), Reading(source, settings, images.name)
    schema = schema_of(widths, _has_splits(source), made_by | _origin(record, source))

    def features(batch: list[Read]) -> dict[str, Features]:
        pixels = normalised(network, [image for _, image in batch], place)
        columns = feature_columns(network, pixels, *wanted)
        for name, values in columns.items():
            check_finite(out, name, values, [sample.key for sample, _ in batch])
        return columns

    try:
        with progress(f"embedding {images.name}", source.count(), "images") as show:
            done = reading.resume(parts, show)
            batches = reading.batches(cores, batch_size(network, shape))
            _write(parts, schema, reading, batches, features, show, done)
        rows = parts.finish(schema)
    finally:
        parts.tidy()
    for note in _notes(reading, done):
        print(f"eqssl: note: {images.name}: {note}", file=sys.stderr, flush=True)
    return rows


def _check_name(out: Path) -> None:
    """Refuse a name that promises another format, and a folder."""
    if out.suffix.lower() not in ENDINGS:
        raise ValueError(f"--out: given {out}, allowed: a name that ends in {' or '.join(ENDINGS)}")
    if out.is_dir():
        raise ValueError(f"--out: given {out}, which is a folder, allowed: a file")


def _check_apart(out: Path, settings: SourceSettings) -> None:
    """Refuse a file that would replace the images, or be taken for one of them the next time."""
    place = out.absolute().resolve()
    for path in settings.inputs:
        if place.is_relative_to(Path(path).resolve()):
            raise ValueError(
                f"--out: given {out}, which lies in {path}; allowed: a file outside of the images"
            )


def _notes(reading: Reading, done: int) -> Iterator[str]:
    """What the source guessed or left out, and what was done to the images."""
    yield from reading.source.notes
    if done:
        yield f"{counted(done, 'image')} had rows of an earlier run, and are not counted below"
    yield from reading.changes.notes()


def _has_splits(source: Source) -> bool:
    """Whether the source says of its images which split they belong to."""
    first = next(iter(source.samples()), None)
    return first is not None and first.split is not None


def _origin(record: Record, source: Source) -> dict[str, Any]:
    """What the file says of encoder and images, beside what decides its content."""
    trained = {key: record.values.get(key) for key in ("dataset", "group", "pretext", "seed", "seal")}
    return {"trained": trained, "origin": source.origin, "licence": source.licence}


def _write(
    parts: Parts,
    schema: pa.Schema,
    reading: Reading,
    batches: Iterable[list[Read]],
    features: Callable[[list[Read]], dict[str, Features]],
    show: Show,
    done: int,
) -> None:
    """Write the features of batches, a part after the other."""
    started = written = time.monotonic()
    first, count = done, reading.source.count()
    waiting, digest = list[pa.RecordBatch](), hashlib.sha256()
    for batch in batches:
        for sample, image in batch:
            digest.update(reading.identity(sample, image.digest))
        texts = [reading.texts(sample) for sample, _ in batch]
        waiting.append(rows_of(schema, texts, features(batch)))
        done, now = done + len(batch), time.monotonic()
        rate = (done - first) / max(now - started, 1e-9)
        show(done, f"{rate:,.0f} images/s", max(0, count - done) / rate)
        if sum(map(len, waiting)) >= MOST_ROWS or now - written >= PART_SECONDS:
            parts.add(pa.Table.from_batches(waiting, schema), digest.hexdigest())
            waiting, digest, written = [], hashlib.sha256(), now
    if waiting:
        parts.add(pa.Table.from_batches(waiting, schema), digest.hexdigest())
