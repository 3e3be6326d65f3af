import pytest
import torch

from eqssl.symmetry import GSet, act_on_regular, assert_equivariant, equivariance_error, group, group_names

GROUPS = [name for name in group_names(exact=True) if name != "trivial"]
IMAGES = torch.randn(3, 1, 6, 6, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def orbit_sums(name: str):
    """A map with regular output from scratch: inner products with all turned copies of a template."""
    G, template = (
        group(name),
        torch.randn(6, 6, generator=torch.Generator().manual_seed(1), dtype=torch.float64),
    )
    copies = torch.stack([G.act(template, g) for g in G.elements])
    return lambda images: torch.einsum("bchw,ghw->bcg", images, copies)


@pytest.mark.parametrize("name", GROUPS)
def test_an_equivariant_map_passes(name: str):
    G, f = group(name), orbit_sums(name)
    assert equivariance_error(f, G, IMAGES) < 1e-14
    assert_equivariant(f, G, IMAGES)
    assert_equivariant(lambda x: f(x).amax(-1), G, IMAGES, output="invariant")
    assert_equivariant(lambda x: x.square(), G, IMAGES, output="image")
    assert_equivariant(f, G, IMAGES, output=GSet.regular(G))


@pytest.mark.parametrize("name", GROUPS)
def test_a_map_without_symmetry_fails(name: str):
    G, f = group(name), orbit_sums(name)
    with pytest.raises(AssertionError, match=f"under {name}"):
        assert_equivariant(lambda x: f(x) * torch.arange(1.0, G.order + 1), G, IMAGES)
    with pytest.raises(AssertionError, match="under"):
        assert_equivariant(f, G, IMAGES, output="invariant")


def test_the_error_is_the_largest_over_the_group():
    G = group("C4")

    def slow(f):
        reference = f(IMAGES)
        errors = [
            (f(G.act(IMAGES, g)) - act_on_regular(G, reference, g)).norm() / reference.norm()
            for g in G.elements
        ]
        return float(max(errors))

    def broken(x):
        return orbit_sums("C4")(x) + 0.1 * x.mean((2, 3)).square()[..., None] * torch.arange(4)

    assert equivariance_error(broken, G, IMAGES) == pytest.approx(slow(broken), rel=1e-12)


def test_a_constant_map_is_refused():
    with pytest.raises(AssertionError, match="does not look at its input"):
        assert_equivariant(lambda x: torch.ones(len(x), 1, 4), group("C4"), IMAGES)


def test_an_unknown_kind_of_output_is_refused():
    with pytest.raises(ValueError, match="allowed: regular"):
        equivariance_error(lambda x: x, group("C4"), IMAGES, output="irregular")  # type: ignore[arg-type]
