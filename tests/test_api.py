"""The interface that users script against, as the documentation shows it."""

import doctest
import importlib
from operator import attrgetter

import pytest
import torch

import eqssl

# module, and the function in it
EXAMPLES = [
    ("eqssl.symmetry.groups", "group"),
    ("eqssl.symmetry.gsets", "GSet.from_function"),
    ("eqssl.symmetry.gsets", "GSet.from_generators"),
    ("eqssl.symmetry.checks", "equivariance_error"),
    ("eqssl.symmetry.checks", "assert_equivariant"),
    ("eqssl.encoders.frame_averaging", "frame_averaged"),
    ("eqssl.losses.similarity", "absorbed_similarity"),
    ("eqssl.losses.nt_xent", "nt_xent"),
    ("eqssl.losses.moco", "moco"),
    ("eqssl.losses.moco_v3", "moco_v3"),
    ("eqssl.losses.byol", "byol"),
    ("eqssl.losses.simsiam", "simsiam"),
    ("eqssl.losses.barlow_twins", "barlow_twins"),
    ("eqssl.losses.vicreg", "vicreg"),
    ("eqssl.losses.sinkhorn", "sinkhorn"),
    ("eqssl.losses.swav", "swav"),
    ("eqssl.losses.swav", "swav_crops"),
    ("eqssl.losses.dino", "dino"),
    ("eqssl.losses.dino", "dino_crops"),
    ("eqssl.losses.dino", "dino_centre"),
    ("eqssl.pretexts", "build"),
    ("eqssl.evaluation.head", "with_head"),
]


@pytest.mark.parametrize(("module", "name"), EXAMPLES)
def test_a_public_function_has_an_example_that_runs_by_itself(module: str, name: str):
    owner, *_ = name.split(".")
    known = {owner: getattr(importlib.import_module(module), owner)}
    documented = attrgetter(name)(importlib.import_module(module))
    example = doctest.DocTestParser().get_doctest(documented.__doc__, known, name, None, None)
    assert example.examples
    assert doctest.DocTestRunner().run(example).failed == 0


def test_every_public_name_is_there():
    for name in eqssl.__all__:
        assert getattr(eqssl, name) is not None
    with pytest.raises(AttributeError, match="nonsense"):
        _ = eqssl.nonsense


def test_a_users_script_runs_with_the_public_names(tmp_path):
    G = eqssl.group("D4")
    assert (G.order, len(G.elements), G.is_exact) == (8, 8, True)

    encoder = eqssl.pretexts.build(
        "eq_labels", eqssl.Params.load().model_copy(update={"group": "D4"})
    ).encoder
    eqssl.encoders.save_encoder(encoder.eval(), tmp_path, {})
    encoder = eqssl.load_encoder(tmp_path)
    images = torch.rand(2, 1, 28, 28)
    features = encoder(images)
    assert features.shape == (2, encoder.fields, 8)
    assert encoder.invariant(images).shape == (2, encoder.fields)

    g, h = G.elements[3], G.elements[6]
    turned = encoder(G.act(images, g))
    torch.testing.assert_close(turned[..., G.index(g @ h)], features[..., G.index(h)], atol=1e-5, rtol=1e-5)
    eqssl.symmetry.assert_equivariant(encoder, G, images, tolerance=1e-5)
    assert eqssl.symmetry.equivariance_error(encoder, G, images) < 1e-5

    similarity = eqssl.losses.absorbed_similarity(features, turned, G, kind="max")
    assert similarity.shape == (2, 2)
    assert float(eqssl.losses.nt_xent(features, turned, G, kind=None, temperature=0.2)) > 0
