"""The interface that users script against, as the documentation shows it."""

import pytest
import torch

import eqssl


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
