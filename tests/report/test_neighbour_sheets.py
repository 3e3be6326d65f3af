"""Nearest neighbours as pictures, drawn from the tars of real shards."""

import base64
import io
import re

import numpy as np
import pytest
from PIL import Image
from tiny_source import TinySource, images_of, job, samples
from written_grid import TWINS, metrics, unlabelled, write_cell

from eqssl.data.shards.index import ShardIndex
from eqssl.data.shards.writing import write_source
from eqssl.report import write_report
from eqssl.report.chosen import MOST
from eqssl.report.pictures import GAP, StoredImages, in_colours, sheet, small


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tiny") / "shards"
    write_source(TinySource(samples(shape=(10, 10, 3))), job(), folder)
    return folder


def cells_of(folder, shards, pretexts=("labels", "random"), groups=("C4",), seeds=(0,), near=None):
    index = ShardIndex.load(shards)
    train, test = index.splits["train"].keys, index.splits["test"].keys
    near = near or [{"key": test[i], "neighbours": [[train[i], 0.99], [train[i + 1], 0.5]]} for i in range(3)]
    found = []
    for group in groups:
        for pretext in pretexts:
            for seed in seeds:
                values = unlabelled(metrics("tiny", group, pretext, seed))
                values["details"]["neighbours"] = near
                values["details"]["encoder"]["data"] = index.digest
                found.append(write_cell(folder, values))
    return found


def page_of(folder, cells, shards):
    write_report(cells, folder / "index.html", TWINS, shards)
    return (folder / "index.html").read_text()


def pictures(text):
    found = re.findall(r'<img src="data:image/webp;base64,([^"]+)" width="(\d+)" height="(\d+)"', text)
    return [(np.asarray(Image.open(io.BytesIO(base64.b64decode(a)))), int(w), int(h)) for a, w, h in found]


def test_a_sheet_shows_the_stored_images_of_its_keys_in_order(tmp_path, shards):
    cells = cells_of(tmp_path / "r", shards)
    text = page_of(tmp_path, cells, [shards])
    found, stored = pictures(text), images_of(shards)
    assert len(found) == 2
    index = ShardIndex.load(shards)
    picture, width, height = found[0]
    assert picture.shape == (height, width, 4)
    side = 50  # 10 pixels, each drawn as 5 x 5
    for i in range(3):
        keys = [index.splits["test"].keys[i], *index.splits["train"].keys[i : i + 2]]
        for j, key in enumerate(keys):
            left = j * (side + GAP) + (14 - GAP if j else 0)
            part = picture[i * (side + GAP) :][:side, left : left + side]
            assert (part[:, :, 3] == 255).all()
            expected = stored[key].repeat(5, 0).repeat(5, 1).astype(int)
            assert np.abs(part[:, :, :3].astype(int) - expected).mean() < 25  # WebP loses some detail
            others = [image for other, image in stored.items() if other != key]
            worse = [np.abs(part[::5, ::5, :3].astype(int) - image).mean() for image in others]
            assert np.abs(part[::5, ::5, :3].astype(int) - stored[key]).mean() < min(worse) / 2
    first = f"{index.splits['test'].keys[0]}: {index.splits['train'].keys[0]} (0.990)"
    assert first in text


def test_equal_input_gives_equal_bytes_whatever_the_order_of_the_shards(tmp_path, shards):
    other = tmp_path / "other"
    write_source(TinySource(samples(seed=3)), job(), other)
    cells = cells_of(tmp_path / "r", shards)
    assert page_of(tmp_path, cells, [shards, other]) == page_of(tmp_path, cells, [other, shards])


def test_without_the_shards_of_its_data_a_cell_has_no_sheet(tmp_path, shards):
    other = tmp_path / "other"
    write_source(TinySource(samples(seed=3)), job(), other)
    cells = cells_of(tmp_path / "r", shards)
    assert 'id="neighbours"' not in page_of(tmp_path, cells, [])
    assert 'id="neighbours"' not in page_of(tmp_path, cells, [other])


def test_there_is_one_sheet_for_each_group_and_pretext_and_no_more_than_the_most(tmp_path, shards):
    pretexts = tuple(f"p{i:02d}" for i in range(MOST - 1))
    index = ShardIndex.load(shards)
    cells = []
    for pretext in pretexts:
        for group in ("C4", "D4"):
            for seed in (0, 1):
                values = unlabelled(metrics("tiny", group, "random", seed))
                values["pretext"] = values["details"]["encoder"]["job"]["pretext"] = pretext
                keys = [index.splits[split].keys[seed] for split in ("test", "train")]
                values["details"]["neighbours"] = [{"key": keys[0], "neighbours": [[keys[1], 0.5]]}]
                values["details"]["encoder"]["data"] = index.digest
                cells.append(write_cell(tmp_path / "r", values))
    text = page_of(tmp_path, cells, [shards])
    assert len(pictures(text)) == MOST
    assert f"{MOST} of {2 * len(pretexts)} encoders." in text
    assert index.splits["test"].keys[1] not in text  # of the second seed


@pytest.mark.parametrize(
    ("near", "reason"),
    [
        ([{"key": "nobody", "neighbours": []}], r"shards: split test has no image 'nobody'"),
        (
            [{"key": "test-000", "neighbours": [["nobody", 0.5]]}],
            r"shards: split train has no image 'nobody'",
        ),
        (
            [{"key": "test-000", "neighbours": [["a", "b"]]}],
            r"metrics\.json: details\.neighbours\[0\]: given",
        ),
        ([{"key": 3, "neighbours": []}], r"metrics\.json: details\.neighbours\[0\]: given"),
        ("many", r"metrics\.json: details\.neighbours\[0\]: given 'many'"),
    ],
)
def test_entries_that_are_no_neighbours_are_refused(tmp_path, shards, near, reason):
    cells = cells_of(tmp_path / "r", shards, near=near)
    with pytest.raises(ValueError, match=reason) as caught:
        page_of(tmp_path, cells, [shards])
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "index.html").exists()


def test_a_damaged_image_is_named(tmp_path):
    write_source(TinySource(samples()), job(), tmp_path / "shards")
    index = ShardIndex.load(tmp_path / "shards")
    columns = index.splits["test"]
    tar = tmp_path / "shards" / index.tars[columns.tar[0]].name
    content = bytearray(tar.read_bytes())
    content[columns.offset[0] : columns.offset[0] + 8] = b"no image"
    tar.write_bytes(content)
    with pytest.raises(ValueError, match=rf"{tar.name}: {columns.keys[0]}: cannot be decoded"):
        StoredImages(tmp_path / "shards").picture("test", columns.keys[0])
    tar.unlink()
    with pytest.raises(OSError, match=tar.name):
        StoredImages(tmp_path / "shards").picture("test", columns.keys[0])


def test_a_place_outside_of_its_tar_is_refused_before_it_is_read(tmp_path):
    write_source(TinySource(samples()), job(), tmp_path / "shards")
    index = ShardIndex.load(tmp_path / "shards")
    columns = index.splits["test"]
    large = columns.model_copy(update={"size": (2**40, *columns.size[1:])})
    index.model_copy(update={"splits": {**index.splits, "test": large}}).write(tmp_path / "shards")
    with pytest.raises(ValueError, match=r"its place is outside of the tar"):
        StoredImages(tmp_path / "shards").picture("test", columns.keys[0])


def test_names_of_the_source_stand_in_the_place_of_keys(tmp_path, shards):
    index = ShardIndex.load(shards)
    columns = index.splits["test"]
    named = columns.model_copy(update={"names": tuple(f"field {i}.tif" for i in range(len(columns)))})
    (tmp_path / "named").mkdir()
    index.model_copy(update={"splits": {**index.splits, "test": named}}).write(tmp_path / "named")
    stored = StoredImages(tmp_path / "named")
    assert stored.name("test", columns.keys[2]) == "field 2.tif"
    assert stored.name("train", index.splits["train"].keys[2]) == index.splits["train"].keys[2]


@pytest.mark.parametrize("channels", [1, 2, 3, 4, 5, 32])
def test_images_of_any_channels_are_shown_in_red_green_and_blue(channels):
    image = np.random.default_rng(0).integers(0, 256, (6, 6, channels), dtype=np.uint8)
    seen = in_colours(image)
    assert seen.shape == (6, 6, 3)
    assert seen.dtype == np.uint8
    for c in range(3):
        expected = image[:, :, 0] if channels == 1 else image[:, :, c] if c < channels else 0 * image[:, :, 0]
        assert np.array_equal(seen[:, :, c], expected)
    deep = in_colours(image.astype(np.uint16) * 257)
    assert np.array_equal(deep, seen)


@pytest.mark.parametrize(("side", "expected"), [(1, 56), (10, 50), (28, 56), (56, 56), (57, 56), (224, 56)])
def test_pictures_are_enlarged_by_whole_factors_or_made_small(side, expected):
    image = np.full((side, side, 3), 77, np.uint8)
    assert small(image).shape == (expected, expected, 3)
    assert (small(image) == 77).all()


def test_rows_may_have_fewer_pictures_than_the_first():
    one = np.full((4, 4, 3), 9, np.uint8)
    picture = np.asarray(sheet([[one, one, one], [one]], after_first=5))
    assert picture.shape == (4 + GAP + 4, 4 + 5 + 4 + GAP + 4, 4)
    assert picture[5 + GAP, 8, 3] == 0
