"""The page of a data set: what was decided at sharding, pictures, counts and histograms."""

from __future__ import annotations

from pathlib import Path

from markupsafe import Markup

from eqssl.config.jobs import DataPageJob
from eqssl.config.settings import digest
from eqssl.data.shards.index import INDEX_FILE, ShardIndex
from eqssl.data.shards.sizes import OTHER
from eqssl.machine.files import write_text
from eqssl.machine.sealed_text import sealed_text
from eqssl.report import data_counts
from eqssl.report.charts import Chart
from eqssl.report.data_intensities import count_intensities, intensity_chart
from eqssl.report.data_pictures import contact_sheet
from eqssl.report.pages import environment
from eqssl.report.pictures import StoredImages
from eqssl.report.style import css_variables, inline_svg


def write_data_page(job: DataPageJob, shards: str | Path, out: Path) -> None:
    """Write the page of a data set.

    The file needs no other file and no network; it links to the report one folder up. Equal input gives equal
    bytes. However many images there are, no more than a thousand are read.

    Args:
        job: the settings.
        shards: folder of the tars and their index.json.
        out: the HTML file; it appears whole or not at all.

    Raises:
        ValueError: the shards are of another data set or job, a file is damaged, or the images fit no task;
            names the file, the key and the reason.
        OSError: a file cannot be read or written.
    """
    stored = StoredImages(shards)
    _check(job, stored.index)
    write_text(out, sealed_text(_render(job, stored), [stored.index.seal]))


def _check(job: DataPageJob, index: ShardIndex) -> None:
    path = index.folder / INDEX_FILE
    if index.dataset != job.dataset:
        raise ValueError(f"{path}: holds data set {index.dataset!r}, the job is for {job.dataset!r}")
    if digest(index.job) != job.data:
        raise ValueError(f"{path}: made by job {digest(index.job)}, but {job.data} is wanted: mixed up")


def _render(job: DataPageJob, stored: StoredImages) -> str:
    index = stored.index
    splits = data_counts.split_counts(index)
    chart = intensity_chart(count_intensities(stored), index.mask == "disc")
    classes = data_counts.class_counts(index)
    text = (
        environment()
        .get_template("data.html.j2")
        .render(
            index=index,
            splits=splits,
            images=sum(split.images for split in splits),
            labelled=sum(split.labelled for split in splits),
            facts=_facts(index),
            sheet=contact_sheet(stored, job),
            class_bars=data_counts.class_bars(index),
            classes=classes[: data_counts.MOST_LISTED] if len(classes) > data_counts.MOST_CLASSES else [],
            group_bars=data_counts.group_bars(index),
            size_bars=data_counts.size_bars(index.sizes, OTHER),
            chart=chart,
            drawings=_drawings(chart),
            split_titles=data_counts.TITLES,
            light=css_variables(dark=False),
            dark=css_variables(dark=True),
        )
    )
    return text.replace(" %", "\N{NO-BREAK SPACE}%")  # a number and its unit stay on one line


def _facts(index: ShardIndex) -> list[tuple[str, str]]:
    """What holds for every image: name and value."""
    channels, height, width = index.image_shape
    top = {"uint8": "255", "uint16": "65,535"}[index.pixels]
    scale = "as at the source"
    if index.range is not None:
        scale = f"{index.range[0]:,g} to {index.range[1]:,g} at the source became 0 to {top}"
    mask = {"disc": "disc: everything outside of it is 0", "none": "none"}[index.mask]
    return [
        ("size", f"{width} \N{MULTIPLICATION SIGN} {height} pixels"),
        ("channels", str(channels)),
        ("pixels", f"{index.pixels}, 0 to {top}"),
        ("range", scale),
        ("mask", mask),
        ("mean", _numbers(index.mean)),
        ("standard deviation", _numbers(index.std)),
    ]


def _numbers(values: tuple[float, ...]) -> str:
    """Numbers of all channels, of which the largest possible value is 1."""
    return ", ".join(f"{value:.3f}" for value in values)


def _drawings(chart: Chart) -> list[Markup]:
    return [
        inline_svg(panel.figure(), f"i{number}", f"{chart.title}, {panel.title}: {panel.words}")
        for number, panel in enumerate(chart.panels, 1)
    ]
