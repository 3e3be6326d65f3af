"""Batches and samples are bounded by memory, and those of small images stay what published numbers had."""

import math

import pytest
import torch

from eqssl.config.encoders import ResNet18Settings
from eqssl.config.groups import GROUPS
from eqssl.encoders import build_encoder
from eqssl.evaluation.amounts import MOST_MEASURED, batch_size, sample, turned_images


def encoder(settings, group, side):
    return build_encoder(settings, group, (1, side, side), (0.5,), (0.5,), torch.Generator().manual_seed(0))


@pytest.mark.parametrize("name", ["trivial", "C4", "D4"])
def test_the_default_grid_has_batches_of_512(params, name):
    assert name in GROUPS
    assert batch_size(encoder(params.encoder, name, 28)) == 512
    assert sample(28, 8, 23, 3000, 784, 512) == MOST_MEASURED == (512, 128, 1000, 128)


def test_batches_shrink_as_images_grow():
    settings = ResNet18Settings(
        name="resnet18", width=(8, 16, 32, 64), kernel=3, match="params", group_pooling="mean"
    )
    sizes = [batch_size(encoder(settings, "C4", side)) for side in (32, 96, 224, 512)]
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[0] > sizes[-1] >= 1
    assert all(math.log2(size).is_integer() for size in sizes)


@pytest.mark.parametrize("images", [100, 2000, 50_000, 10**7])
@pytest.mark.parametrize("side", [65, 224, 1024])
def test_measuring_large_images_takes_a_fifth_of_the_passes_at_most(images, side):
    found = sample(side, order=8, angles=23, passes=images, image_bytes=3 * side**2, batch=32)
    passes = found.errors * 9 + found.turned * 24 + found.gallery * 2
    assert passes <= images / 5 + 16 * 9 + 4 * 24 + 2 * 128
    assert max(found[:3]) * 3 * side**2 <= 2**26
    assert (found.errors, found.turned, found.gallery) <= (512, 128, 1000)
    assert min(found) >= 1


@pytest.mark.parametrize("passes", [100, 5000, 10**6])
@pytest.mark.parametrize("moves", [8, 24])
def test_turning_large_images_takes_no_more_passes_than_their_other_features(passes, moves):
    assert turned_images(500, 64, moves, passes) == 500
    found = turned_images(500, 65, moves, passes)
    assert found == min(500, max(16, passes // moves))
    assert found * moves <= max(passes, 16 * moves)
    assert turned_images(3, 224, moves, passes) == 3
    assert turned_images(0, 224, moves, passes) == 0
