from __future__ import annotations

import re
from itertools import product

import pytest

from eqssl.machine.accuracy_names import PATTERN, AccuracyName
from eqssl.machine.cell_numbers import ACCURACY


def test_every_name_reads_back_as_what_it_says():
    parts = ((1, 2, 12), (False, True), ("logistic", "ridge", "svm"), ("stored", "grid", "angle"), (1, 100))
    names = [AccuracyName(*values) for values in product(*parts)]
    assert [AccuracyName.read(str(name)) for name in names] == names
    assert len({str(name) for name in names}) == len(names)
    assert all(re.fullmatch(PATTERN, str(name)) and ACCURACY.fullmatch(str(name)) for name in names)


@pytest.mark.parametrize(
    "name", ["acc", "acc_stored", "knn_stored", "stage_1_acc_stored_1", "knn_acc_stored_1", "acc_stored_1_lo"]
)
def test_other_names_are_no_accuracies(name):
    assert AccuracyName.read(name) is None
