import dataclasses
import hashlib
import json

import numpy as np
import pytest
from sealed import resealed
from tiny_source import TinySource, images_of, job, kept, samples

import eqssl.data.shards.index as index_module
from eqssl.data.shards.index import ShardIndex
from eqssl.data.shards.writing import write_source
from eqssl.machine.records import read_record


@pytest.fixture
def folder(tmp_path):
    write_source(TinySource(samples(shape=(9, 9, 3))), job(count=2), tmp_path / "shards")
    return tmp_path / "shards"


def test_index_describes_tars_and_images(folder):
    index = ShardIndex.load(folder)
    assert index.digest == json.loads((folder / "index.json").read_text())["seal"]
    assert ShardIndex.load(folder / "index.json").digest == index.digest
    assert index.folder == folder
    assert (index.dataset, index.origin, index.licence) == ("tiny", "made up", "CC0")
    assert index.classes == ("cat", "dog")
    assert index.image_shape == (3, 9, 9)
    assert index.schema_version == 3
    assert index.files == {tar.name: tar.sha256 for tar in index.tars}
    assert index.made_of == {}
    assert index.seal == read_record(folder / "index.json").seal
    assert index.job == job(count=2).plain()
    assert list(index.version.split(".")) >= ["0", "1", "0"]
    assert [tar.name for tar in index.tars] == [
        f"{split}-{i:05d}.tar" for split in ("train", "val", "test") for i in range(2)
    ]
    for tar in index.tars:
        content = (folder / tar.name).read_bytes()
        assert (tar.bytes, tar.sha256) == (len(content), hashlib.sha256(content).hexdigest())
    for split, columns in index.splits.items():
        for i, key in enumerate(columns.keys):
            tar = index.tars[columns.tar[i]]
            assert tar.split == split
            content = (folder / tar.name).read_bytes()
            png = content[columns.offset[i] :][: columns.size[i]]
            assert png.startswith(b"\x89PNG")
            assert png.endswith(b"IEND\xaeB`\x82")
            # the label's member stands just before the image's
            label = content[columns.offset[i] - 1024 : columns.offset[i] - 512].rstrip(b"\0")
            assert int(label) == columns.labels[i]
            assert content[columns.offset[i] - 512 :].startswith(f"{key}.png".encode())


def test_mean_and_std_are_of_training_images_inside_the_disc(folder):
    index = ShardIndex.load(folder)
    images = images_of(folder)
    pixels = np.concatenate([images[key][kept(9)] for key in index.splits["train"].keys]) / 255
    np.testing.assert_allclose(index.mean, pixels.mean(0), rtol=1e-12)
    np.testing.assert_allclose(index.std, pixels.std(0), rtol=1e-10)
    everything = np.concatenate([image[kept(9)] for image in images.values()]) / 255
    assert np.abs(everything.mean(0) - index.mean).min() > 1e-6


def test_digest_follows_the_images(folder, tmp_path):
    given = samples(shape=(9, 9, 3))
    given[0] = dataclasses.replace(given[0], image=given[0].image ^ 1)
    write_source(TinySource(given), job(count=2), tmp_path / "other")
    assert ShardIndex.load(tmp_path / "other").digest != ShardIndex.load(folder).digest


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda v: v.update(schema_version=1), "schema_version: given 1, allowed: 3"),
        (lambda v: v.pop("mean"), "mean: is missing"),
        (lambda v: v.update(colour=1), "colour: no such setting"),
        (lambda v: v["splits"]["val"]["keys"].pop(), "splits.val: its columns have different lengths"),
        (lambda v: v["splits"].pop("val"), r"splits: given \['test', 'train'\]"),
        (lambda v: v["splits"]["val"]["tar"].__setitem__(0, 99), "splits.val.tar: names a tar"),
        (lambda v: v["splits"]["val"]["tar"].__setitem__(0, 0), "splits.val.tar: names a tar"),
        (
            lambda v: v["splits"]["val"]["labels"].__setitem__(0, 2),
            "splits.val.labels: a label is not among the 2",
        ),
        (lambda v: v["tars"][0].update(count=1), "tars: train-00000.tar states 1 images, 16 are listed"),
        (lambda v: v["tars"][0].update(bytes="x"), "tars.0.bytes: given 'x'"),
        (lambda v: v["tars"][0].update(sha256="0" * 64), "files: they are not those of the tars"),
        (lambda v: v["tars"][0].update(rha256=v["tars"][0].pop("sha256")), "tars.0.sha256: is missing"),
    ],
)
def test_wrong_index_is_an_error_that_names_file_and_entry(folder, change, reason):
    ShardIndex.load(folder)  # negative control
    resealed(folder / "index.json", change)
    with pytest.raises(ValueError, match=rf"index.json: {reason}") as caught:
        ShardIndex.load(folder)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "change",
    [
        lambda v: v["mean"].__setitem__(0, v["mean"][0] + 1e-9),
        lambda v: v["splits"]["val"]["labels"].__setitem__(0, 1 - v["splits"]["val"]["labels"][0]),
        lambda v: v["job"]["shards"].update(seed=1),
        lambda v: v.update(seal="0" * 64),
        lambda v: v.pop("seal"),
        lambda v: v.pop("files"),
    ],
)
def test_an_index_that_was_edited_is_an_error(folder, change):
    path = folder / "index.json"
    values = json.loads(path.read_text())
    change(values)
    path.write_text(json.dumps(values))
    with pytest.raises(ValueError, match=r"index.json: seal: .* damaged or edited"):
        ShardIndex.load(folder)


def test_an_index_that_is_missing_or_not_json_is_an_error(folder):
    (folder / "index.json").write_text("{")
    with pytest.raises(ValueError, match=r"index.json: "):
        ShardIndex.load(folder)
    (folder / "index.json").unlink()
    with pytest.raises(FileNotFoundError, match=r"index.json"):
        ShardIndex.load(folder)


def test_an_index_that_is_loaded_and_written_has_the_same_bytes(folder, tmp_path):
    ShardIndex.load(folder).write(tmp_path)
    assert (tmp_path / index_module.INDEX_FILE).read_bytes() == (folder / "index.json").read_bytes()
