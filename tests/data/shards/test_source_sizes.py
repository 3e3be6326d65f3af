"""What a square of one size cuts off or enlarges is said, and sizes at the source are kept."""

import dataclasses

import numpy as np
from tiny_source import TinySource, job, samples

from eqssl.data.shards.index import ShardIndex
from eqssl.data.shards.sizes import MOST_SIZES, OTHER, Sizes
from eqssl.data.shards.writing import write_source


def test_cut_and_enlarged_images_are_counted_and_the_worst_is_named(tmp_path):
    given = samples(shape=(10, 10, 1))
    for number, shape in {3: (10, 40, 1), 5: (12, 10, 1), 7: (6, 6, 1)}.items():
        image = np.resize(given[0].image, shape)
        image[0] += np.uint8(number)
        given[number] = dataclasses.replace(given[number], image=image, name=f"photo {number}.png")
    write_source(TinySource(given), job(size=10), tmp_path)
    index = ShardIndex.load(tmp_path)
    assert index.sizes == {"10x10": 49, "40x10": 1, "10x12": 1, "6x6": 1}
    assert (
        "not square: 2 of 52 images; the largest centred square is kept; photo 3.png loses most, "
        "75% of its pixels"
    ) in index.notes
    assert (
        "enlarged to `size` (10): 1 of 52 images; photo 7.png is the smallest, with 6 pixels"
    ) in index.notes


def test_square_images_of_the_wanted_size_need_no_note(tmp_path):
    write_source(TinySource(samples()), job(), tmp_path)
    index = ShardIndex.load(tmp_path)
    assert index.sizes == {"10x10": 52}
    assert not [note for note in index.notes if "square" in note or "enlarged" in note]


def test_rare_sizes_are_counted_together():
    sizes = Sizes(None)
    for side in range(1, MOST_SIZES + 11):
        sizes.add(side, side, str(side))
        sizes.add(side, side, str(side))
    sizes.add(1, 1, "0")
    listed = sizes.listed()
    assert len(listed) == MOST_SIZES + 1
    assert listed[OTHER] == 20
    assert sum(listed.values()) == 2 * (MOST_SIZES + 10) + 1
    assert sizes.notes() == []
