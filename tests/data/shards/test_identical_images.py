"""Identical images: found also turned and mirrored, counted, named, kept out of other splits."""

import dataclasses

import numpy as np
import pytest
from tiny_source import TinySource, job, kept, samples

from eqssl.data.shards.index import ShardIndex
from eqssl.data.shards.moments import moments, same_turned
from eqssl.data.shards.writing import write_source


def eight(image):
    return [np.rot90(one, k) for one in (image, image.transpose(1, 0, 2)) for k in range(4)]


@pytest.mark.parametrize(
    ("shape", "kind"), [((7, 7, 1), np.uint8), ((8, 8, 3), np.uint8), ((9, 9, 5), np.uint16)]
)
def test_moments_and_names_are_those_of_all_eight_turns_and_of_no_other_image(shape, kind):
    image = np.random.default_rng(0).integers(0, np.iinfo(kind).max, shape, dtype=kind, endpoint=True)
    assert len({moments(one) for one in eight(image)}) == 1
    assert len({same_turned(one) for one in eight(image)}) == 1
    other = image.copy()
    other[0, 0], other[0, 1] = image[0, 1], image[0, 0]
    assert same_turned(other) != same_turned(image)
    other[0, 0] ^= 1
    assert moments(other) != moments(image)
    found, values = moments(image), image.astype(object).reshape(-1, shape[2])
    assert found.sums == tuple(values.sum(0))
    assert found.squares == tuple((values**2).sum(0))


def test_names_of_images_that_look_the_same_after_a_turn_are_safe():
    flat = np.full((6, 6, 1), 9, np.uint8)
    assert len({same_turned(one) for one in eight(flat)}) == 1
    # equal sums over all rows and columns, yet no turn of each other
    one = np.zeros((4, 4, 1), np.uint8)
    other = one.copy()
    one[[0, 1, 2, 3], [0, 1, 2, 3]] = 1
    other[[0, 1, 2, 3], [1, 0, 2, 3]] = 1
    assert len({same_turned(turned) for turned in eight(one)}) == 1
    assert same_turned(one) != same_turned(other)


def test_names_of_floats_do_not_depend_on_the_order_of_sums():
    image = np.random.default_rng(0).normal(size=(33, 33, 2)).astype(np.float32)
    assert len({same_turned(one) for one in eight(image)}) == 1


def with_copies(number, turned=True):
    """Test images, of which so many are copies of training images."""
    given = samples(train=100, test=50)
    for i in range(number):
        image = given[i].image
        given[100 + i] = dataclasses.replace(
            given[100 + i], image=np.rot90(image, i % 4)[:, :: 1 - 2 * (i % 2)] if turned else image
        )
    return given


def found(tmp_path, given, **settings):
    write_source(TinySource(given), job(**settings), tmp_path)
    return ShardIndex.load(tmp_path).notes


@pytest.mark.parametrize("settings", [{}, {"turned": True}, {"mask": "none"}, {"store": "jpeg"}])
def test_copies_in_two_splits_are_counted_and_named(tmp_path, settings):
    assert found(tmp_path / "none", samples(train=100, test=50), **settings) == ()
    notes = " ".join(found(tmp_path / "some", with_copies(6), **settings))
    assert "of 50 test images" in notes
    assert "are identical to training images, as they are, turned or mirrored: test-00" in notes
    counts = [int(note.split()[0]) for note in notes.split("; ") if "identical to" in note]
    assert sum(counts) <= 6


def test_more_copies_than_the_share_allows_are_an_error_that_leaves_nothing(tmp_path):
    with pytest.raises(
        ValueError, match=r"data set tiny: \d of 50 test images .* `shards.most_shared` allows 1.0%"
    ):
        found(tmp_path / "out", with_copies(9), most_shared=0.01)
    assert not (tmp_path / "out").exists()
    found(tmp_path / "out", with_copies(9), most_shared=0.2)


def test_copies_within_a_split_are_counted(tmp_path):
    given = samples(train=100, test=50)
    given[149] = dataclasses.replace(given[149], image=given[148].image[::-1])
    assert found(tmp_path, given) == (
        "images that repeat another image of their split, as they are, turned or mirrored: 1 test",
        "identical images with different labels, as they are, turned or mirrored: test-049 and test-048",
    )


def test_images_that_differ_outside_the_disc_alone_are_identical_only_with_the_disc(tmp_path):
    given = samples(train=100, test=50)
    image = given[0].image.copy()
    image[~kept(10)] ^= 1
    given[120] = dataclasses.replace(given[120], image=image)
    assert len(found(tmp_path / "disc", given)) == 1
    assert found(tmp_path / "none", given, mask="none") == ()


def test_splits_that_are_made_part_no_identical_images(tmp_path):
    given = [dataclasses.replace(sample, split=None) for sample in with_copies(30)]
    notes = found(tmp_path, given, most_shared=0.0)
    assert any("identical images together" in note for note in notes)
    assert not any("identical to" in note for note in notes)


def test_identical_images_with_different_labels_are_named(tmp_path):
    given = samples(train=20, test=20)
    given[3] = dataclasses.replace(given[3], image=np.rot90(given[0].image), label=1 - given[0].label)
    given[4] = dataclasses.replace(given[4], image=given[1].image, label=given[1].label)
    given[5] = dataclasses.replace(given[5], image=given[2].image, label=None)
    write_source(TinySource(given), job(), tmp_path)
    (note,) = [note for note in ShardIndex.load(tmp_path).notes if "different labels" in note]
    assert note.endswith(
        f"turned or mirrored: {given[3].name or given[3].key} and {given[0].name or given[0].key}"
    )
