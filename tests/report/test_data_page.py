"""Pages of data sets, of real shards of every kind of image."""

import base64
import html
import io
import re
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from test_report_html import Tags
from tiny_source import TinySource, images_of, job, kept, samples

from eqssl.cli import main
from eqssl.config.drawn import DrawnTask
from eqssl.config.jobs import DataPageJob, data_page_job
from eqssl.config.params import Params
from eqssl.data.shards.index import SPLITS, ShardIndex
from eqssl.data.shards.writing import write_source
from eqssl.machine.sealed_text import check_sealed_text
from eqssl.report import data_counts, write_report
from eqssl.report.data_intensities import chosen, count_intensities
from eqssl.report.data_page import write_data_page
from eqssl.report.pictures import StoredImages

ROOT = Path(__file__).parents[2]
PARAMS = Params.load(ROOT / "params.yaml")
UNITS = {"uint8": 255, "uint16": 65_535}


def tasks_of(*names, group="C4"):
    return tuple(DrawnTask(names=(name,), group=group, task=PARAMS.pretexts[name].alone()) for name in names)


def sharded(folder, items, classes=("cat", "dog"), notes=(), **data):
    """Shards of samples, and the job of their page."""
    settings = job(**data)
    write_source(TinySource(items, classes, notes), settings, folder)
    views = PARAMS.views if settings.data.mask == "disc" else PARAMS.views.model_copy(update={"turn": "grid"})
    tasks = tasks_of("eq_labels", "eq_jigsaw", "eq_orientation")
    return DataPageJob(dataset="tiny", data=settings.digest, views=views, tasks=tasks)


def page_of(folder, page_job):
    out = folder.with_name(f"{folder.name}-page") / "tiny.html"
    write_data_page(page_job, folder, out)
    text = out.read_text()
    assert Tags(text).open == []
    return text.replace("\N{NO-BREAK SPACE}", " ")


def unlabelled(items):
    return [replace(sample, label=None) for sample in items]


def with_images(items, images):
    return [replace(sample, image=image) for sample, image in zip(items, images, strict=True)]


def noise(count, shape, kind=np.uint8, top=256, seed=0):
    return np.random.default_rng(seed).integers(0, top, (count, *shape)).astype(kind)


GRAY = samples(shape=(12, 12, 1))
KINDS = {
    "gray": (GRAY, {}),
    "colours without labels": (unlabelled(samples(shape=(12, 12, 3))), {}),
    "16 bits": (with_images(GRAY, noise(52, (12, 12, 1), np.uint16, 4000)), {"range": [100, 3000]}),
    "two channels": (with_images(GRAY, noise(52, (12, 12, 2))), {}),
    "five channels": (with_images(GRAY, noise(52, (12, 12, 5))), {}),
    "colours with corners": (samples(shape=(12, 12, 3)), {"mask": "none"}),
}


@pytest.fixture(scope="module", params=KINDS)
def kind(request, tmp_path_factory):
    items, data = KINDS[request.param]
    folder = tmp_path_factory.mktemp("data") / "shards"
    page_job = sharded(folder, items, () if items[0].label is None else ("cat", "dog"), **data)
    return folder, page_of(folder, page_job), ShardIndex.load(folder)


def table(text, name):
    """The numbers of a table's rows, by the names of the rows."""
    part = text[text.index(f'<table id="{name}"') :].partition("</table>")[0]
    rows = re.findall(r'<th scope="row"[^>]*>(.*?)</th>\s*((?:<td[^>]*>[\d,]*</td>)+)', part, flags=re.DOTALL)
    return {
        html.unescape(title): tuple(int(n.replace(",", "")) for n in re.findall(r">([\d,]+)</td>", cells))
        for title, cells in rows
    }


def lines(text):
    """Key and pictures of each line of the contact sheet."""
    part = text[text.index('<table class="shots">') :].partition("</table>")[0]
    found = []
    for row in part.split("<tr>")[2:]:
        key = re.search(r"<small>([\w-]+)</small></th>", row)[1]
        addresses = re.findall(r'src="data:image/webp;base64,([^"]+)"', row)
        found.append((key, [np.asarray(Image.open(io.BytesIO(base64.b64decode(a)))) for a in addresses]))
    return found


def test_numbers_of_images_and_labels_are_those_of_the_index(kind):
    _, text, index = kind
    counts = {
        split: (len(index.splits[split]), sum(n >= 0 for n in index.splits[split].labels)) for split in SPLITS
    }
    assert table(text, "splits") == {
        title: (*counts[split], 0, 0) for title, split in zip(data_counts.TITLES, SPLITS, strict=True)
    }
    if index.classes:
        expected = {
            name: tuple(Counter(index.splits[split].labels)[label] for split in SPLITS)
            for label, name in enumerate(index.classes)
        }
        assert table(text, "class-bars") == expected
        assert "All have a label." in text
    else:
        assert "class-bars" not in text
        assert text.count("No image has a label") == 2
    assert table(text, "size-bars") == {"12 × 12": (52,)}  # noqa: RUF001
    assert "No image belongs to a group." in text


def test_stored_pictures_are_the_stored_pixels(kind):
    folder, text, index = kind
    stored, found = images_of(folder), lines(text)
    assert len(found) == 12
    assert {key for key, _ in found} <= set(index.splits["train"].keys)
    for key, (picture, *others) in found:
        image = stored[key].reshape(12, 12, -1).astype(float) * 255 / UNITS[index.pixels]
        expected = np.zeros((12, 12, 3))
        for channel in range(3):
            source = 0 if image.shape[2] == 1 else channel
            if source < image.shape[2]:
                expected[:, :, channel] = image[:, :, source].round()
        assert np.array_equal(picture, expected)
        assert len(others) == 2 + 3


def test_views_and_inputs_differ_from_image_to_image_and_are_no_flat_squares(kind):
    _, text, _ = kind
    for column in range(1, 6):
        pictures = [np.asarray(shots[column]) for _, shots in lines(text)]
        assert len({picture.tobytes() for picture in pictures}) == len(pictures)
        assert all(picture[..., :3].std() > 10 for picture in pictures)


def test_inputs_of_patch_tasks_are_shown_patch_by_patch(kind):
    _, text, _ = kind
    for _, (*_, location, jigsaw, orientation) in lines(text):
        side = 50  # patches of 10 pixels, each drawn as 5 x 5
        assert location.shape == (side, 2 * side + 3, 4)
        assert jigsaw.shape == (2 * 56 + 3, 2 * 56 + 3, 4)
        assert orientation.shape[:2] == (12, 12)


def test_channels_and_bits_that_cannot_be_shown_are_said(kind):
    _, text, index = kind
    channels = index.image_shape[0]
    several = channels > 1 and channels != 3
    assert (f"The images have {channels} channels" in text) == several
    assert ("Pictures have 8 of the 16 bits." in text) == (index.pixels == "uint16")
    assert ("100 to 3,000 at the source became 0 to 65,535" in text) == (index.range is not None)
    assert text.count('<div class="panel">') == channels
    assert ("disc: everything outside of it is 0" in text) == (index.mask == "disc")
    assert ("Pixels inside the disc of" in text) == (index.mask == "disc")


def test_intensities_are_those_of_all_training_images_inside_the_mask(kind):
    folder, _, index = kind
    found, stored = count_intensities(StoredImages(folder)), images_of(folder)
    inside = kept(12) if index.mask == "disc" else np.ones((12, 12), bool)
    keys = index.splits["train"].keys
    assert found.images == len(keys)
    pixels = np.stack([stored[key].reshape(12, 12, -1)[inside] for key in keys])
    for channel, counts in enumerate(found.counts):
        expected = np.bincount(pixels[:, :, channel].ravel(), minlength=UNITS[index.pixels] + 1)
        assert np.array_equal(counts, expected)


def test_equal_input_gives_equal_bytes_and_the_seal_of_its_index(tmp_path):
    page_job = sharded(tmp_path / "shards", GRAY)
    for name in ("a.html", "b.html"):
        write_data_page(page_job, tmp_path / "shards", tmp_path / name)
    assert (tmp_path / "a.html").read_bytes() == (tmp_path / "b.html").read_bytes()
    check_sealed_text(tmp_path / "a.html", [ShardIndex.load(tmp_path / "shards").seal])
    with pytest.raises(ValueError, match=r"a\.html: was made of other records"):
        check_sealed_text(tmp_path / "a.html", ["0" * 64])


def test_the_page_loads_nothing_and_links_to_the_report_alone(kind):
    _, text, _ = kind
    assert all(a.startswith(("#", "data:")) or a == "../index.html" for a in Tags(text).addresses)
    assert not re.search(r"https?://(?!www\.w3\.org/)|@import|url\((?!#)", text)


def test_text_of_the_data_is_escaped(tmp_path):
    evil = "<b>bold</b> $x^2$ & \u5bbf"
    items = [replace(s, name=f"<i>{s.key}</i>", group=f"<u>{s.key}</u>") for s in GRAY]
    page_job = sharded(tmp_path / "shards", items, (evil, "dog"), notes=["<script>alert(1)</script>"])
    text = page_of(tmp_path / "shards", page_job)
    for wrong in ("<b>", "<i>", "<u>", "<script"):
        assert wrong not in text
    assert evil in table(text, "class-bars")
    warnings = text[text.index('id="warnings"') : text.index("</aside>")]
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in warnings
    assert text.index('id="warnings"') < text.index('id="images"')


def test_groups_are_counted_in_each_split(tmp_path):
    items = [replace(s, group=f"slide {s.index % 7}-{s.split}") for s in GRAY]
    page_job = sharded(tmp_path / "shards", items)
    text, index = page_of(tmp_path / "shards", page_job), ShardIndex.load(tmp_path / "shards")
    counts = {split: Counter(index.splits[split].groups) for split in SPLITS}
    shown = table(text, "group-bars")
    rest = [name for name in shown if name.endswith(("other group", "other groups"))]
    assert len(shown) == data_counts.MOST_GROUPS + len(rest) == 11
    for name in set(shown) - set(rest):
        assert shown[name] == tuple(counts[split][name] for split in SPLITS)
    assert [sum(column) for column in zip(*shown.values(), strict=True)] == [
        len(index.splits[split]) for split in SPLITS
    ]
    for title, split in zip(data_counts.TITLES, SPLITS, strict=True):
        assert table(text, "splits")[title][2:] == (len(counts[split]), len(index.splits[split]))


def test_many_classes_are_summed_and_listed_below(tmp_path):
    items = [replace(s, label=min(s.index // 2, 39)) for s in samples(train=200, test=80)]
    names = tuple(f"kind {n}" for n in range(40))
    text = page_of(tmp_path / "shards", sharded(tmp_path / "shards", items, names))
    bars, whole = table(text, "class-bars"), table(text, "class-table")
    assert len(bars) == 31
    assert list(whole) == list(names)
    sums = [sum(column) for column in zip(*whole.values(), strict=True)]
    assert [sum(column) for column in zip(*bars.values(), strict=True)] == sums
    assert "10 other classes" in bars
    assert all(bars[name] == whole[name] for name in bars if name in whole)
    assert next(iter(bars)) == "kind 39"  # it has most


def test_images_without_a_label_have_a_row_of_their_own(tmp_path):
    items = [replace(s, label=None) if s.index % 4 == 0 else s for s in GRAY]
    text = page_of(tmp_path / "shards", sharded(tmp_path / "shards", items))
    assert sum(table(text, "class-bars")["without a label"]) == 13
    assert "39 have a label (75 %)." in text


def test_large_images_are_shown_small(tmp_path):
    items = samples(train=8, test=4, shape=(300, 300, 3))
    text = page_of(tmp_path / "shards", sharded(tmp_path / "shards", items, count=1))
    assert [shots[0].shape for _, shots in lines(text)] == [(256, 256, 3)] * 6


def test_the_images_do_not_depend_on_the_order_of_the_keys():
    keys = [f"k{n}" for n in range(100)]
    turned = keys[::-1]
    assert [keys[row] for row in chosen(keys, 5)] == [turned[row] for row in chosen(turned, 5)]
    assert len(chosen(keys, 1000)) == 100


@pytest.mark.parametrize("damage", ["image", "cut", "gone"])
def test_a_damaged_tar_is_named_and_no_page_is_written(tmp_path, damage):
    page_job = sharded(tmp_path / "shards", GRAY)
    index = ShardIndex.load(tmp_path / "shards")
    columns = index.splits["train"]
    tar = tmp_path / "shards" / index.tars[columns.tar[0]].name
    content = bytearray(tar.read_bytes())
    content[columns.offset[0] : columns.offset[0] + 8] = b"no image"
    tar.write_bytes(content if damage == "image" else content[: len(content) // 2])
    if damage == "gone":
        tar.unlink()
    with pytest.raises((ValueError, OSError), match=tar.name) as caught:
        write_data_page(page_job, tmp_path / "shards", tmp_path / "page.html")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "page.html").exists()


def test_shards_of_another_job_or_data_set_are_refused(tmp_path):
    page_job = sharded(tmp_path / "shards", GRAY)
    other = page_job.model_copy(update={"dataset": "other"})
    with pytest.raises(ValueError, match=r"index\.json: holds data set 'tiny', the job is for 'other'"):
        write_data_page(other, tmp_path / "shards", tmp_path / "page.html")
    other = page_job.model_copy(update={"data": "00000000"})
    with pytest.raises(ValueError, match=r"index\.json: made by job \w+, but 00000000 is wanted"):
        write_data_page(other, tmp_path / "shards", tmp_path / "page.html")


def test_without_tasks_the_page_says_so(tmp_path):
    page_job = sharded(tmp_path / "shards", GRAY).model_copy(update={"tasks": ()})
    text = page_of(tmp_path / "shards", page_job)
    assert "No label task fits these images" in text
    assert [len(shots) for _, shots in lines(text)] == [3] * 12


def test_the_report_links_to_the_pages_of_its_data_sets(grid, tmp_path):
    name = "fashion_mnist_rot_sample"
    write_report(grid, tmp_path / "index.html", {}, pages=[name, "another"])
    text = (tmp_path / "index.html").read_text()
    assert text.count(f'<a href="data/{name}.html">{name}</a>') == 1
    assert "another" not in text
    write_report(grid, tmp_path / "index.html", {})
    assert "<a " not in (tmp_path / "index.html").read_text()


def changed(dataset="fashion_mnist_sample", groups=("C4",), **grid):
    values = PARAMS.plain()
    values["grid"] |= {"dataset": [dataset], "group": list(groups), **grid}
    return Params.check(values)


def test_a_task_and_its_twin_are_drawn_once():
    params = changed(pretext=["eq_labels", "random", "labels", "eq_labels_inv_contrastive", "eq_jigsaw"])
    drawn = data_page_job(params, "fashion_mnist_sample").tasks
    assert [task.names for task in drawn] == [
        ("eq_labels", "labels", "eq_labels_inv_contrastive: location"),
        ("eq_jigsaw",),
    ]
    assert {task.group for task in drawn} == {"C4"}


def test_a_grid_without_label_tasks_shows_those_of_the_table():
    drawn = data_page_job(changed(pretext=["random"]), "fashion_mnist_sample").tasks
    names = [name for task in drawn for name in task.names]
    assert names[:2] == ["eq_labels", "labels"]
    assert {"eq_ring", "eq_jigsaw", "orientation"} <= set(names)


def test_a_task_is_drawn_for_the_first_group_that_it_takes():
    drawn = data_page_job(changed(pretext=["random"], group=["SO2", "D4"]), "fashion_mnist_sample").tasks
    groups = {name: task.group for task in drawn for name in task.names}
    assert groups["eq_ring"] == "SO2"
    assert groups["eq_labels"] == groups["eq_orientation"] == "D4"


def test_the_command_writes_the_page_or_says_what_is_wrong(tmp_path, capsys):
    page_job = sharded(tmp_path / "shards", GRAY)
    words = ["data-page", "--shards", str(tmp_path / "shards"), "--out", str(tmp_path / "page.html")]
    assert main([*words, "--settings", page_job.json_text()]) == 0
    assert (tmp_path / "page.html").read_text().count("<img ") == 12 * 6
    assert main([*words, "--settings", "{}"]) == 1
    assert "eqssl: error: --settings.dataset: is missing" in capsys.readouterr().err
