import copy
import pickle

import pytest
import torch
import torch.nn.functional as F

from eqssl.nn.convolution import GroupConv2d
from eqssl.nn.filters import filter_basis
from eqssl.symmetry import _escnn, assert_equivariant, equivariance_error, group, group_names

GROUPS = group_names()


def layer(name: str, kind: str, kernel: int, fields: tuple[int, int] = (2, 3)) -> GroupConv2d:
    generator = torch.Generator().manual_seed(0)
    return GroupConv2d(filter_basis(name, kind, kernel), *fields, kernel, generator=generator)


def act_on_map(G, maps: torch.Tensor, g) -> torch.Tensor:
    """Regular fields over the plane: pixels move, and the group's axis of the channels is permuted."""
    moved = G.act(maps, g).unflatten(1, (G.order, -1))
    out = torch.empty_like(moved)
    out[:, G.product[G.index(g)]] = moved
    return out.flatten(1, 2)


@pytest.mark.parametrize("kernel", [1, 3, 5])
@pytest.mark.parametrize("kind", ["lift", "group"])
@pytest.mark.parametrize("name", GROUPS)
def test_outputs_and_gradients_are_escnns(name: str, kind: str, kernel: int):
    G, ours = group(name), layer(name, kind, kernel).double()
    source = G.gspace.trivial_repr if kind == "lift" else G.gspace.regular_repr
    theirs = _escnn.nn.R2Conv(
        _escnn.nn.FieldType(G.gspace, 2 * [source]),
        _escnn.nn.FieldType(G.gspace, 3 * [G.gspace.regular_repr]),
        kernel,
        padding=kernel // 2,
        bias=False,
        initialize=False,
        recompute=True,
    ).double()
    order = 1 if kind == "lift" else G.order
    # escnn numbers channels field by field, we element by element
    field_major = torch.randn(2, 2 * order, 7, 7, dtype=torch.float64)
    group_major = field_major.unflatten(1, (2, order)).transpose(1, 2).flatten(1, 2)
    with torch.no_grad():
        weights = theirs.weights.normal_().view(3, 2, -1)
        ours.weight.copy_(weights.transpose(1, 2))
    expected = theirs(_escnn.nn.GeometricTensor(field_major, theirs.in_type)).tensor
    expected = expected.unflatten(1, (3, G.order)).transpose(1, 2).flatten(1, 2)
    found = ours(group_major)
    # escnn samples its basis in float32, and ours was rounded to float32 too
    torch.testing.assert_close(found, expected, atol=2e-6, rtol=1e-6)
    cotangent = torch.randn_like(found)
    ours.weight.grad, theirs.weights.grad = None, None
    (found * cotangent).sum().backward()
    (expected * cotangent).sum().backward()
    gradient = theirs.weights.grad.view(3, 2, -1).transpose(1, 2)
    torch.testing.assert_close(ours.weight.grad, gradient, atol=2e-5, rtol=1e-5)


@pytest.mark.parametrize("size", [7, 8])
@pytest.mark.parametrize("name", GROUPS)
def test_a_group_convolution_is_equivariant(name: str, size: int):
    G, convolution = group(name), layer(name, "group", 3)
    maps = torch.randn(2, 2 * G.order, size, size)

    def act(values, g):
        return act_on_map(G, values, g)

    assert_equivariant(convolution, G, maps, 1e-6, output=act, act=act)
    assert_equivariant(convolution.double(), G, maps.double(), 1e-14, output=act, act=act)


def test_a_stride_of_the_wrong_parity_is_refused_and_would_not_be_equivariant():
    G = group("C4")
    convolution = GroupConv2d(filter_basis("C4", "lift", 3), 1, 2, 3, stride=2)
    with pytest.raises(ValueError, match=r"8 x 8 pixels; the nearest sizes that work: 7 or 9"):
        convolution(torch.randn(1, 1, 8, 8))

    def unchecked(images):
        return F.conv2d(images, convolution.expand(), None, 2, 1)

    def act(values, g):
        return act_on_map(G, values, g)

    assert equivariance_error(unchecked, G, torch.randn(1, 1, 8, 8), output=act) > 0.1
    assert_equivariant(convolution, G, torch.randn(1, 1, 9, 9), output=act)


def test_the_filters_are_equivariant_to_the_bit():
    G = group("D4")
    filters = layer("D4", "group", 3).expand().unflatten(1, (G.order, -1)).unflatten(0, (G.order, -1))
    for i, g in enumerate(G.elements):
        # K[g o, g i](g x) = K[o, i](x)
        turned = G.act(filters, g)
        assert torch.equal(filters[G.product[i]][:, :, G.product[i]], turned)


def test_the_gradient_of_the_gather_is_right():
    convolution = layer("D4", "group", 3, (1, 1)).double()

    def expand(weight):
        return torch.func.functional_call(convolution, {"weight": weight}, (torch.ones(1, 8, 3, 3).double(),))

    assert torch.autograd.gradcheck(expand, (convolution.weight.detach().requires_grad_(),))


def test_the_kept_filter_follows_the_parameters():
    convolution, images = layer("C4", "lift", 3).eval(), torch.randn(1, 2, 6, 6)
    with torch.no_grad():
        before = convolution(images)
        assert torch.equal(convolution(images), before)
        convolution.weight.mul_(2)  # as an exponential moving average does
        torch.testing.assert_close(convolution(images), 2 * before)
        convolution.load_state_dict({**convolution.state_dict(), "weight": convolution.weight / 4})
        torch.testing.assert_close(convolution(images), before / 2)


def test_layers_can_be_copied_and_pickled():
    convolution, images = layer("D4", "lift", 3).eval(), torch.randn(1, 2, 6, 6)
    with torch.no_grad():
        expected = convolution(images)
        assert torch.equal(copy.deepcopy(convolution)(images), expected)
        assert torch.equal(pickle.loads(pickle.dumps(convolution))(images), expected)  # noqa: S301


def test_layers_do_not_share_their_bases():
    one, other = layer("C4", "group", 3), layer("C4", "group", 3)
    one.double()
    assert other.basis.dtype == torch.float32
    assert one.index.data_ptr() != other.index.data_ptr()


@pytest.mark.parametrize("name", ["trivial", "C4", "D4"])
def test_first_filters_keep_the_variance(name: str):
    convolution = layer(name, "group", 3, (64, 64))
    images = torch.randn(4, 64 * group(name).order, 16, 16).relu()
    with torch.no_grad():
        inside = convolution(images)[..., 2:-2, 2:-2]
    # He: the variance that comes in as E[x^2] / 2 of a rectified signal goes out again
    assert float(inside.var() / images.square().mean()) == pytest.approx(2.0, rel=0.15)
