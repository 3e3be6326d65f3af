"""Encoders that come with eqssl load by name, and have the symmetry and the numbers that they say."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from eqssl.config.groups import GROUPS
from eqssl.encoders import load_encoder, pretrained_names
from eqssl.encoders.release.pretrained import pretrained_folder
from eqssl.encoders.release.saving import read_description
from eqssl.machine.cell_numbers import read_metrics
from eqssl.report.releasing import write_release
from eqssl.symmetry import assert_equivariant, group

ROOT = Path(__file__).resolve().parents[3]


def test_there_is_one_for_each_kind_of_group() -> None:
    assert pretrained_names() == ["trivial", "C4", "C8", "D4", "SO2"]


@pytest.mark.parametrize("name", pretrained_names())
def test_it_loads_frozen_and_is_equivariant_on_the_pixel_grid(name: str) -> None:
    encoder = load_encoder(f"eqssl:{name}")
    assert not encoder.training
    assert not any(parameter.requires_grad for parameter in encoder.parameters())
    images = torch.rand(4, 1, 28, 28, generator=torch.Generator().manual_seed(0))
    on_grid = {"C8": "C4", "SO2": "C4"}.get(name, name)
    turned = torch.rot90(images, 1, (2, 3))
    invariant = encoder.invariant(images)
    moved = (encoder.invariant(turned) - invariant).abs().max() / invariant.abs().max()
    if name == on_grid:
        assert_equivariant(encoder, group(name), images, tolerance=1e-5)
    assert (moved < 1e-5) == (name != "trivial")  # the plain network is the control


@pytest.mark.parametrize("name", pretrained_names())
def test_its_metrics_are_of_its_weights_and_of_the_settings_in_experiments(name: str) -> None:
    folder = pretrained_folder(name)
    described = read_description(folder).values
    (metrics,) = folder.glob("eval-*/probe-*/metrics.json")
    measured = read_metrics(metrics).values
    assert measured["details"]["encoder"]["weights_sha256"] == described["weights_sha256"]
    assert (measured["group"], measured["pretext"]) == (name, "inv_contrastive")
    assert described["job"]["pretrain"]["epochs"] == 10
    assert described["versions"]["clean"] is True
    assert 0.6 < measured["acc_stored_100"] < 0.8


def test_a_name_that_is_not_there_is_refused_with_those_that_are() -> None:
    allowed = ", ".join(f"eqssl:{name}" for name in pretrained_names())
    with pytest.raises(ValueError, match=f"encoder: given 'eqssl:D3', allowed: {allowed}"):
        load_encoder("eqssl:D3")
    with pytest.raises(ValueError, match=r"given 'eqssl:\.\./release', allowed"):
        load_encoder("eqssl:../release")


def test_it_is_released_with_a_card_that_has_its_accuracy(tmp_path: Path) -> None:
    write_release("eqssl:C4", tmp_path / "c4", onnx=False)
    card = (tmp_path / "c4/README.md").read_text()
    (metrics,) = pretrained_folder("C4").glob("eval-*/probe-*/metrics.json")
    assert f"| {100 * read_metrics(metrics).values['acc_stored_100']:.1f} |" in card


def test_every_name_is_a_group() -> None:
    assert set(pretrained_names()) <= set(GROUPS)
