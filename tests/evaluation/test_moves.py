from __future__ import annotations

import numpy as np
import pytest
import torch

from eqssl.evaluation.moves import draw_moves, view_of
from eqssl.symmetry import group


def images(count=16, side=12):
    return torch.randint(0, 256, (count, 1, side, side), generator=torch.Generator().manual_seed(1)).to(
        torch.uint8
    )


def inside(side=12):
    rows, columns = np.mgrid[:side, :side] - (side - 1) / 2
    return torch.from_numpy(rows**2 + columns**2 <= (side / 2) ** 2)


def moves(count, seed=0):
    elements, angles = draw_moves(count, seed)
    return torch.from_numpy(elements), torch.from_numpy(angles)


def test_an_image_s_move_depends_on_its_number_alone():
    few, many = draw_moves(5, 3), draw_moves(50, 3)
    assert few[0].tolist() == many[0][:5].tolist()
    assert few[1].tolist() == many[1][:5].tolist()
    assert draw_moves(50, 4)[1].tolist() != many[1].tolist()


def test_elements_and_angles_are_uniform():
    elements, angles = draw_moves(4000, 0)
    counts = np.bincount(elements, minlength=8)
    assert counts.shape == (8,)
    # 500 each, deviation 21
    assert counts.min() > 420
    assert counts.max() < 580
    assert angles.min() >= 0
    assert angles.max() < 360
    quarters = np.histogram(angles, 4, (0, 360))[0]
    assert quarters.min() > 880
    # the two are independent: no element has angles of its own
    assert np.corrcoef(elements, angles)[0, 1] == pytest.approx(0, abs=0.05)


def test_stored_is_the_image_cut_to_the_disc():
    x = images()
    seen = view_of(x, "stored", *moves(16))
    assert seen.dtype == torch.uint8
    assert torch.equal(seen, x * inside())
    assert not torch.equal(seen, x)


def test_grid_moves_each_image_by_its_own_element():
    x = images()
    elements, angles = moves(16)
    seen = view_of(x, "grid", elements, angles)
    D4 = group("D4")
    for i in range(16):
        assert torch.equal(seen[i], D4.act(x[i], D4.elements[elements[i]]) * inside())
    # as numpy says it: the eight images of the square's symmetries, all of them drawn
    for i in range(16):
        image = (x[i, 0] * inside()).numpy()
        eight = [np.rot90(mirrored, k) for mirrored in (image, image[:, ::-1]) for k in range(4)]
        assert sum(np.array_equal(seen[i, 0].numpy(), one) for one in eight) == 1
    assert len(set(moves(60)[0].tolist())) == 8


def test_angle_turns_counter_clockwise():
    x = images()
    angles = torch.tensor([0.0, 90.0, 180.0, 270.0] * 4)
    seen = view_of(x, "angle", torch.zeros(16, dtype=torch.int64), angles)
    assert seen.dtype == torch.float32
    for i in range(16):
        expected = torch.rot90(x[i].float() / 255, i % 4, (1, 2)) * inside()
        assert torch.allclose(seen[i], expected, atol=1e-5)
    tilted = view_of(x, "angle", torch.zeros(16, dtype=torch.int64), angles + 30)
    assert (tilted - seen).abs().max() > 0.1
    assert float(tilted[:, :, ~inside()].abs().max()) == 0
