"""Labels that are missing, alone or few: decided when a data set is sharded, in a sentence each."""

import dataclasses
import tarfile

import pytest
from tiny_source import TinySource, job, samples

from eqssl.data.shards.index import ShardIndex
from eqssl.data.shards.writing import write_source


def written(tmp_path, label_of, classes=("cat", "dog"), **shares):
    given = [
        dataclasses.replace(sample, label=label_of(sample.split, i)) for i, sample in enumerate(samples())
    ]
    write_source(
        TinySource(given, classes, notes=("2 files were left out: a.txt, b.csv",)), job(**shares), tmp_path
    )
    return ShardIndex.load(tmp_path)


def test_a_data_set_without_labels_has_no_label_files_and_says_so(tmp_path, capsys):
    index = written(tmp_path, lambda split, i: None, ())
    assert {label for columns in index.splits.values() for label in columns.labels} == {-1}
    for path in tmp_path.glob("*.tar"):
        with tarfile.open(path) as tar:
            assert all(name.endswith(".png") for name in tar.getnames())
    assert index.notes == (
        "2 files were left out: a.txt, b.csv",
        "no image has a label: probes and `supervised` are skipped",
    )
    error = capsys.readouterr().err
    for note in index.notes:
        assert f"eqssl: note: tiny: {note}\n" in error


def test_some_images_without_labels_are_counted(tmp_path):
    index = written(tmp_path, lambda split, i: i % 2 if i % 4 else None)
    labels = [label for columns in index.splits.values() for label in columns.labels]
    assert labels.count(-1) == 13
    assert any(note.startswith("13 of 52 images have no label: ") for note in index.notes)


def test_labels_of_the_test_split_alone_are_no_error_but_a_note(tmp_path):
    index = written(tmp_path, lambda split, i: i % 2 if split == "test" else None)
    assert any("no training image has a label, others have" in note for note in index.notes)
    assert any("no validation image has a label, others have" in note for note in index.notes)


def test_labels_of_the_training_split_alone_are_a_note(tmp_path):
    index = written(tmp_path, lambda split, i: None if split == "test" else i % 2)
    assert any("no test image has a label, others have" in note for note in index.notes)


def test_one_class_for_all_is_a_note(tmp_path):
    index = written(tmp_path, lambda split, i: 0, ("thing",))
    assert any("are of one class, 'thing': probes" in note for note in index.notes)


def test_a_class_with_one_image_is_a_training_image_and_a_note(tmp_path):
    index = written(tmp_path, lambda split, i: int(i == 3))
    assert 1 in index.splits["train"].labels
    assert "1 class has one image, which is a training image: 'dog'" in index.notes


def test_a_class_absent_from_the_test_split_is_a_note(tmp_path):
    index = written(tmp_path, lambda split, i: 0 if split == "test" else i % 2)
    assert "1 class has no test image: 'dog'" in index.notes


def test_very_unequal_classes_are_a_note_with_the_counts(tmp_path):
    index = written(tmp_path, lambda split, i: int(i in (3, 50)))
    assert "classes are very unequal: 'cat' has 31 training images, 'dog' has 1" in index.notes


def test_a_class_without_a_training_image_is_an_error(tmp_path):
    with pytest.raises(ValueError, match=r"class 'dog' \(label 1\) has no training image$"):
        written(tmp_path, lambda split, i: i % 2 if split == "test" else 0)


def test_a_label_without_classes_is_an_error(tmp_path):
    with pytest.raises(ValueError, match="label 0 is out of range, the source has no classes"):
        written(tmp_path, lambda split, i: 0, ())


def test_a_plain_data_set_has_no_notes(tmp_path):
    write_source(TinySource(samples()), job(), tmp_path)
    assert ShardIndex.load(tmp_path).notes == ()


@pytest.mark.parametrize(
    ("names", "shown"),
    [
        (("caf\u00e9", "cafe\u0301"), r"'caf\\xe9', 'cafe\\u0301'"),
        (("cat", "cat "), "'cat', 'cat '"),
        (("a b", "a\u00a0b"), r"'a b', 'a\\xa0b'"),
    ],
)
def test_classes_that_are_one_name_are_refused(tmp_path, names, shown):
    with pytest.raises(ValueError, match=f"data set tiny: the classes {shown} differ only in"):
        written(tmp_path, lambda split, i: i % 2, names)


def test_classes_with_nearly_the_same_name_are_named(tmp_path):
    index = written(tmp_path / "a", lambda split, i: i % 2, ("Cat", "cat"))
    assert "classes with nearly the same name: 'Cat', 'cat'" in index.notes
    index = written(tmp_path / "b", lambda split, i: i % 2, ("2", "02"))
    assert "classes with nearly the same name: '2', '02'" in index.notes
    index = written(tmp_path / "c", lambda split, i: i % 2, ("2", "20"))
    assert not [note for note in index.notes if "nearly" in note]
