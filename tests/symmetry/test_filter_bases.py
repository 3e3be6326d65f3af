import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from escnn_bases import coordinates, escnns_filters, whole_filters
from hashed_bases import digest

from eqssl.symmetry import _escnn, group, group_names
from eqssl.symmetry.canonical import canonical_basis, rounded
from eqssl.symmetry.filter_bases import filter_basis
from eqssl.symmetry.fourier import field_representation
from eqssl.symmetry.scalar_filters import grid_points, scalar_filters

GROUPS = group_names()
PROGRAM = Path(__file__).with_name("hashed_bases.py")
# another hash here means that a seed draws other first filters than in every result made before
SOME = (["D4", "D8", "C8", "O2"], [3, 5]), "f5323ac21c6d0cf24301dd11344769ec35513279eaa197bed00b9f220d54ac1a"
ALL = (GROUPS, [1, 3, 5, 7, 9]), "0f53b3f830b7fcb03e65ef41d07ecb1045ec211c83848eeeb785a2ca34dabd5b"


def test_filter_bases_are_those_of_every_other_machine():
    (names, kernels), expected = SOME
    assert digest(names, kernels) == expected


def digest_elsewhere(names: list[str], kernels: list[int], folder: Path, **processor: str) -> str:
    """The hash of a new process that computes as on that processor, where escnn has solved nothing yet."""
    # MKL and OpenBLAS choose other kernels, torch's own loops other instructions
    done = subprocess.run(
        [sys.executable, str(PROGRAM), str(folder), ",".join(names), ",".join(map(str, kernels))],
        env=os.environ | processor,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode < 0:
        pytest.skip(f"this processor lacks the instructions of {processor}: signal {-done.returncode}")
    assert done.returncode == 0, done.stderr
    assert any(folder.iterdir())
    return done.stdout.strip()


@pytest.mark.parametrize(
    ("blas", "torchs"), [("Haswell", "default"), ("Zen", "avx2"), ("SkylakeX", "avx512")]
)
def test_filter_bases_are_the_same_on_every_processor(blas: str, torchs: str, tmp_path: Path):
    (names, kernels), expected = SOME
    processor = {"OPENBLAS_CORETYPE": blas, "ATEN_CPU_CAPABILITY": torchs}
    assert digest_elsewhere(names, kernels, tmp_path, **processor) == expected


@pytest.mark.slow
@pytest.mark.parametrize("mkl", ["COMPATIBLE", "AUTO"])
@pytest.mark.parametrize("torchs", ["default", "avx2"])
@pytest.mark.parametrize("blas", ["Nehalem", "Haswell", "Zen", "SkylakeX"])
def test_all_filter_bases_are_the_same_on_every_processor(blas: str, torchs: str, mkl: str, tmp_path: Path):
    (names, kernels), expected = ALL
    processor = {"OPENBLAS_CORETYPE": blas, "ATEN_CPU_CAPABILITY": torchs, "MKL_CBWR": mkl}
    assert digest_elsewhere(names, kernels, tmp_path, **processor) == expected


@pytest.mark.parametrize("kernel", [1, 3, 5, 7])
@pytest.mark.parametrize("kind", ["lift", "group"])
@pytest.mark.parametrize("name", GROUPS)
def test_a_filter_basis_spans_escnns_space(name: str, kind: str, kernel: int):
    G, basis = group(name), filter_basis(name, kind, kernel)
    fields = field_representation(G)
    source = G.gspace.trivial_repr if kind == "lift" else fields
    types = [_escnn.nn.FieldType(G.gspace, [representation]) for representation in (source, fields)]
    theirs = escnns_filters(_escnn.nn.R2Conv(*types, kernel, bias=False, initialize=False)).double()
    ours = whole_filters(basis.rows, basis.index, kernel)
    assert ours.shape == theirs.shape
    assert torch.linalg.matrix_rank(theirs.flatten(1), rtol=1e-4) == len(theirs)
    projected = (coordinates(theirs, ours) @ ours.flatten(1)).view_as(theirs)
    # escnn samples in float32
    assert float((projected - theirs).norm() / theirs.norm()) < 1e-6


@pytest.mark.parametrize("kernel", [1, 3, 5])
@pytest.mark.parametrize("kind", ["lift", "group"])
@pytest.mark.parametrize("name", GROUPS)
def test_whole_filters_are_orthogonal_and_as_long_as_those_of_a_plain_network(
    name: str, kind: str, kernel: int
):
    basis = filter_basis(name, kind, kernel)
    filters = basis.rows[:, basis.index].flatten(1)
    expected = len(basis.index) * torch.eye(len(filters)).double()
    torch.testing.assert_close(filters @ filters.t(), expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize("name", GROUPS)
def test_layers_in_float32_hold_the_rows_as_they_are(name: str):
    rows = filter_basis(name, "group", 3).rows
    assert rows.dtype == torch.float64
    assert torch.equal(rows.float().double(), rows)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("name", ["trivial", "C2", "C4", "D1", "D2", "D4"])
def test_any_basis_of_the_whole_space_has_the_rows_as_its_canonical_basis(name: str, seed: int):
    order = group(name).order
    # any scalar filter from any input to the first output; escnn's own samples hold float32's noise
    axes = np.kron(scalar_filters(3, grid_points(3)), np.eye(order))
    mixed = np.linalg.qr(np.random.default_rng(seed).standard_normal((len(axes),) * 2))[0] @ axes
    expected = filter_basis(name, "group", 3).rows.numpy()
    assert np.array_equal(rounded(canonical_basis(mixed, axes)), expected)
