"""Splits: as the source gives them, or made by hash, with groups and identical images kept whole."""

import dataclasses
import hashlib
from collections import Counter

import numpy as np
import pytest
from tiny_source import TinySource, job, samples

from eqssl.config.shards import ShardSettings
from eqssl.data.shards.index import ShardIndex
from eqssl.data.shards.rows import Rows
from eqssl.data.shards.splits import deal
from eqssl.data.shards.whole_units import whole_units
from eqssl.data.shards.writing import write_source

TINY = np.ones((2, 2, 1), np.uint8)


def rows(given, classes=2):
    """Rows of (key, label, split, group)."""
    found = Rows("tiny", classes)
    for index, (key, label, split, group) in enumerate(given):
        image = dataclasses.replace(samples(1, 0)[0], key=key, label=label, split=split, index=index)
        found.add(dataclasses.replace(image, group=group, image=TINY, name=f"{key}.png"))
    return found


def settings(count=1, validation=0.2, test=0.2):
    return ShardSettings(count=count, validation=validation, test=test, seed=0)


def dealt(given, identical=None, classes=2, **shares):
    table = rows(given, classes)
    return deal(table, identical or range(len(table)), settings(**shares))


def first_by_hash(keys, share):
    ranked = sorted(keys, key=lambda key: hashlib.sha256(key.encode()).hexdigest())
    return set(ranked[: round(share * len(keys))])


def test_splits_of_the_source_are_taken_as_they_are():
    given = [(f"k{i}", i % 2, ("train", "val", "test")[i % 3], None) for i in range(30)]
    found = dealt(given)
    assert found.splits == [split for _, _, split, _ in given]
    assert found.notes == []


def test_a_test_split_is_made_class_by_class_by_the_hashes_of_keys():
    given = [(f"k{i}", int(i % 4 == 0), None, None) for i in range(100)]
    found = dealt(given, test=0.2, validation=0.1)
    test, val = set(), set()
    for label in (0, 1):
        keys = [key for key, of, _, _ in given if of == label]
        mine = first_by_hash(keys, 0.2)
        test |= mine
        val |= first_by_hash([key for key in keys if key not in mine], 0.1)
    assert {key for (key, *_), split in zip(given, found.splits, strict=True) if split == "test"} == test
    assert {key for (key, *_), split in zip(given, found.splits, strict=True) if split == "val"} == val
    assert any("no split test: 20 images of 100 (20.0%) became one" in note for note in found.notes)


def test_a_test_split_is_made_of_what_is_not_for_validation():
    given = [(f"k{i}", i % 2, "val" if i < 20 else "train", None) for i in range(120)]
    found = dealt(given)
    assert found.splits[:20] == ["val"] * 20
    assert Counter(found.splits) == {"val": 20, "test": 20, "train": 80}


def test_classes_too_small_for_a_share_each_still_give_a_split_and_keep_a_training_image():
    given = [(f"k{i}", i // 2, None, None) for i in range(60)]
    found = dealt(given, classes=30, validation=0.1, test=0.1)
    assert Counter(found.splits)["test"] == 6
    assert 4 <= Counter(found.splits)["val"] <= 6
    training = {
        label for (_, label, _, _), split in zip(given, found.splits, strict=True) if split == "train"
    }
    assert training == set(range(30))


@pytest.mark.parametrize("share", [0.1, 0.2, 0.5])
def test_no_group_is_in_two_splits_and_the_share_is_met(share):
    random = np.random.default_rng(0)
    given, group = [], 0
    while len(given) < 1000:
        label = int(random.integers(2))
        given += [
            (f"k{len(given) + i}", label, None, f"patient {group}") for i in range(random.integers(1, 30))
        ]
        group += 1
    found = dealt(given, test=share, validation=0.1)
    splits_of = {}
    for (_, _, _, group), split in zip(given, found.splits, strict=True):
        splits_of.setdefault(group, set()).add(split)
    assert {len(splits) for splits in splits_of.values()} == {1}
    for label in (0, 1):
        of_class = [s for (_, of, _, _), s in zip(given, found.splits, strict=True) if of == label]
        assert of_class.count("test") / len(of_class) == pytest.approx(share, abs=0.02)
    assert any("whole groups alone" in note for note in found.notes)


def test_groups_are_dealt_the_same_in_any_order_and_from_a_given_training_split():
    given = [(f"k{i}", i % 2, "train" if i < 80 else "test", f"g{i // 5}") for i in range(100)]
    forward = dict(zip((key for key, *_ in given), dealt(given).splits, strict=True))
    backward = dict(zip((key for key, *_ in given[::-1]), dealt(given[::-1]).splits, strict=True))
    assert forward == backward
    assert {split for key, split in forward.items() if int(key[1:]) >= 80} == {"test"}
    assert list(forward.values()).count("val") in (15, 20)


def test_a_group_in_two_splits_of_the_source_is_an_error_that_names_both():
    given = [(f"k{i}", 0, "train" if i < 6 else "test", f"g{i // 4}") for i in range(12)]
    with pytest.raises(
        ValueError, match=r"group 'g1' is in two splits, train \(k4.png\) and test \(k6.png\)"
    ):
        dealt(given, classes=1)


def test_images_with_and_without_a_split_are_an_error_that_names_one():
    given = [(f"k{i}", 0, None if i == 7 else "train", None) for i in range(12)]
    with pytest.raises(ValueError, match=r"1 image of 12 have no split, such as k7.png"):
        dealt(given, classes=1)


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ([("a", 0, "test", None), ("b", 0, "val", None)], "has no training image"),
        ([("a", 0, None, None)], "1 image cannot be divided into training images and the split test"),
        (
            [("a", None, None, None), ("b", None, None, None)],
            "2 images cannot .* split test|1 image cannot .* split val",
        ),
        (
            [(f"k{i}", 0, None, f"g{i % 2}") for i in range(20)],
            r"images of 1 group cannot be divided .* split val",
        ),
        (
            [(f"k{i}", 0, None, "g") for i in range(20)],
            r"20 images of 1 group cannot be divided .* split test",
        ),
    ],
)
def test_too_few_images_or_groups_are_one_sentence(given, reason):
    with pytest.raises(ValueError, match=reason) as caught:
        dealt(given, classes=1)
    assert "\n" not in str(caught.value)


def test_three_groups_are_enough_for_three_splits():
    found = dealt([(f"k{i}", 0, None, f"g{i % 3}") for i in range(21)], classes=1)
    assert Counter(found.splits) == {"train": 7, "val": 7, "test": 7}


def test_images_without_a_group_are_dealt_one_by_one_and_counted():
    given = [(f"k{i}", 0, None, f"g{i // 5}" if i < 50 else None) for i in range(100)]
    found = dealt(given, classes=1)
    assert any("have no group and were dealt one by one" in note for note in found.notes)
    assert 15 <= found.splits.count("test") <= 25


def test_identical_images_are_dealt_together_where_keys_alone_would_part_them():
    given = [(f"k{i}", i % 2, None, None) for i in range(200)]
    identical = [i - i % 4 if i < 40 else i for i in range(200)]
    parted = dealt(given)
    apart = [len({parted.splits[i] for i in range(s, s + 4)}) for s in range(0, 40, 4)]
    assert max(apart) > 1  # negative control
    found = dealt(given, identical)
    assert {len({found.splits[i] for i in range(s, s + 4)}) for s in range(0, 40, 4)} == {1}
    assert any("identical images together" in note for note in found.notes)
    assert found.splits.count("test") == pytest.approx(40, abs=2)


def test_where_all_images_are_identical_they_are_dealt_by_keys():
    found = dealt([(f"k{i}", 0, None, None) for i in range(50)], [0] * 50, classes=1, count=2)
    assert Counter(found.splits) == {"train": 32, "val": 8, "test": 10}


def test_whole_units_never_take_the_last_images_of_a_class():
    labels = [0] * 10 + [1] * 2
    chosen = whole_units({f"u{i}": [2 * i, 2 * i + 1] for i in range(6)}, labels, 0.5)
    assert len(chosen) == 6
    assert not chosen & {10, 11}


def test_an_unsplit_unlabelled_source_becomes_three_splits_with_names_and_groups(tmp_path):
    given = [
        dataclasses.replace(s, label=None, split=None, group=f"slide {i % 10}", name=f"a/{s.key}.png")
        for i, s in enumerate(samples(train=60, test=0))
    ]
    write_source(TinySource(given, classes=()), job(), tmp_path)
    index = ShardIndex.load(tmp_path)
    groups = {}
    for split, columns in index.splits.items():
        assert len(columns) >= 5
        assert set(columns.labels) == {-1}
        assert columns.names == tuple(f"a/{key}.png" for key in columns.keys)
        for group in columns.groups:
            assert groups.setdefault(group, split) == split
    assert len(groups) == 10
    assert any("no image has a label" in note for note in index.notes)
