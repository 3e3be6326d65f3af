import copy
import pickle
from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from escnn_bases import coordinates, escnns_filters, whole_filters
from moving import act_on_map, relative_error

from eqssl.nn.convolution import GroupConv2d
from eqssl.symmetry import _escnn, assert_equivariant, equivariance_error, group, group_names
from eqssl.symmetry.filter_bases import filter_basis
from eqssl.symmetry.fourier import field_representation, field_size

GROUPS = group_names()


def layer(
    name: str, kind: str, kernel: int, fields: tuple[int, int] = (2, 3), down: str = "no"
) -> GroupConv2d:
    generator = torch.Generator().manual_seed(0)
    return GroupConv2d(filter_basis(name, kind, kernel), *fields, kernel, down, generator)


@pytest.mark.parametrize("kernel", [1, 3, 5, 7])
@pytest.mark.parametrize("kind", ["lift", "group"])
@pytest.mark.parametrize("name", GROUPS)
def test_outputs_and_gradients_are_escnns(name: str, kind: str, kernel: int):
    G, ours = group(name), layer(name, kind, kernel).double()
    fields = field_representation(G)
    source = G.gspace.trivial_repr if kind == "lift" else fields
    theirs = _escnn.nn.R2Conv(
        _escnn.nn.FieldType(G.gspace, 2 * [source]),
        _escnn.nn.FieldType(G.gspace, 3 * [fields]),
        kernel,
        padding=kernel // 2,
        bias=False,
        initialize=False,
        recompute=True,
    ).double()
    size = 1 if kind == "lift" else fields.size
    basis = whole_filters(ours.basis, ours.index, kernel)
    # theirs = change times ours, for filters, and so for the gradients of coefficients
    change = coordinates(escnns_filters(theirs), basis)
    # escnn numbers channels field by field, we place by place
    field_major = torch.randn(2, 2 * size, 7, 7, dtype=torch.float64)
    group_major = field_major.unflatten(1, (2, size)).transpose(1, 2).flatten(1, 2)
    with torch.no_grad():
        weights = theirs.weights.normal_().view(3, 2, -1)
        ours.weight.copy_((weights @ change).transpose(1, 2))
    expected = theirs(_escnn.nn.GeometricTensor(field_major, theirs.in_type)).tensor
    expected = expected.unflatten(1, (3, fields.size)).transpose(1, 2).flatten(1, 2)
    found = ours(group_major)
    # escnn samples its basis in float32, and ours was rounded to float32 too
    assert relative_error(found, expected) < 1e-6
    cotangent = torch.randn_like(found)
    ours.weight.grad, theirs.weights.grad = None, None
    (found * cotangent).sum().backward()
    (expected * cotangent).sum().backward()
    gradient = theirs.weights.grad.view(3, 2, -1).transpose(1, 2)
    assert relative_error(torch.einsum("de,oei->odi", change, ours.weight.grad), gradient) < 1e-6


@pytest.mark.parametrize("size", [7, 8])
@pytest.mark.parametrize("down", ["no", "boxed"])
@pytest.mark.parametrize("kernel", [1, 3, 5, 7])
@pytest.mark.parametrize("name", GROUPS)
def test_a_group_convolution_is_equivariant(name: str, kernel: int, down: str, size: int):
    """At every element that maps the pixel grid to itself."""
    G, convolution = group(name), layer(name, "group", kernel, down=down)
    for dtype, tolerance in [(torch.float32, 1e-6), (torch.float64, 1e-14)]:
        maps = torch.randn(2, 2 * field_size(G), size, size, dtype=dtype)
        convolution.to(dtype)
        reference = convolution(maps)
        for g in G.grid_elements:
            moved = convolution(act_on_map(G, maps, g))
            assert relative_error(moved, act_on_map(G, reference, g)) < tolerance


@pytest.mark.parametrize("kernel", [1, 3, 5, 7])
@pytest.mark.parametrize("size", [7, 8])
def test_boxed_is_the_convolution_and_then_the_mean_of_exact_windows(kernel: int, size: int):
    convolution, maps = layer("C4", "lift", kernel).double(), torch.randn(2, 2, size, size).double()
    boxed = layer("C4", "lift", kernel, down="boxed").double()
    whole = convolution(maps)
    # on odd sides the mean is over one pixel
    expected = F.avg_pool2d(whole, 2, 2) if size % 2 == 0 else whole[..., ::2, ::2]
    torch.testing.assert_close(boxed(maps), expected)


def test_a_stride_of_the_wrong_parity_is_refused_and_would_not_be_equivariant():
    G = group("C4")
    convolution = GroupConv2d(filter_basis("C4", "lift", 3), 1, 2, 3, "strided")
    with pytest.raises(ValueError, match=r"8 x 8 pixels; the nearest sizes that work: 7 or 9"):
        convolution(torch.randn(1, 1, 8, 8))

    def unchecked(images):
        return F.conv2d(images, convolution.expand(), None, 2, 1)

    def act(values, g):
        return act_on_map(G, values, g)

    assert equivariance_error(unchecked, G, torch.randn(1, 1, 8, 8), output=act) > 0.1
    assert_equivariant(convolution, G, torch.randn(1, 1, 9, 9), output=act)


@pytest.mark.parametrize("name", [name for name in GROUPS if not group(name).is_continuous])
def test_the_filters_are_equivariant_to_the_bit(name: str):
    G = group(name)
    filters = layer(name, "group", 3).expand().unflatten(1, (G.order, -1)).unflatten(0, (G.order, -1))
    for g in G.grid_elements:
        i = G.index(g)
        # K[g o, g i](g x) = K[o, i](x)
        turned = G.act(filters, g)
        assert torch.equal(filters[G.product[i]][:, :, G.product[i]], turned)


@pytest.mark.parametrize("name", ["D4", "C8"])
def test_the_gradient_of_the_gather_is_right(name: str):
    convolution = layer(name, "group", 3, (1, 1)).double()

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
        convolution.weight.data.div_(2)  # as others do, past autograd's count of versions
        torch.testing.assert_close(convolution(images), before)
        convolution.weight.data.mul_(2)
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
    # pixels that know nothing of each other: filters of a basis have correlated entries
    images = torch.randn(4, 64 * group(name).order, 16, 16, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        inside = convolution(images)[..., 2:-2, 2:-2]
    # He: the E[x^2] that comes in is half the variance that the signal had before it was rectified
    assert float(inside.var() / images.square().mean()) == pytest.approx(2.0, rel=0.05)


@pytest.mark.parametrize("name", ["D4", "C8", "SO2"])
def test_gradients_of_coefficients_are_summed_in_full_precision_under_autocast(name: str):
    torch._dynamo.reset()
    convolution = layer(name, "group", 3)

    def gradient(expand: Callable[[], torch.Tensor]) -> torch.Tensor:
        convolution.zero_grad()
        with torch.autocast("cpu", torch.bfloat16):
            whole = expand()
        whole.backward(cotangent)
        return convolution.weight.grad

    cotangent = torch.randn(convolution.expand().shape)
    expected = gradient(convolution.expand).clone()
    # torch derives the gradients of traced products under the autocast of the forward pass
    found = gradient(torch.compile(convolution.expand, fullgraph=True, backend="aot_eager"))
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)
