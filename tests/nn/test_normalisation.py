import pytest
import torch

from eqssl.nn.normalisation import FieldBatchNorm
from eqssl.symmetry import _escnn, group, group_names
from eqssl.symmetry.fourier import sampling_matrix

GROUPS = group_names()


def slow_norm(x: torch.Tensor, order: int, weight: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
    out = x.clone()
    fields = x.shape[1] // order
    for f in range(fields):
        values = x[:, f::fields]
        out[:, f::fields] = (values - values.mean()) / (values.var(correction=0) + 1e-5).sqrt() * weight[
            f
        ] + bias[f]
    return out


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("order", [1, 2, 8])
@pytest.mark.parametrize("fields", [1, 3])
def test_outputs_and_gradients_are_a_slow_norms(fields: int, order: int, layout: torch.memory_format):
    norm = FieldBatchNorm(fields, order).double()
    with torch.no_grad():
        norm.weight.normal_()
        norm.bias.normal_()
    x = torch.randn(4, fields * order, 5, 5, dtype=torch.float64).add(1).contiguous(memory_format=layout)
    x.requires_grad_()
    weight, bias = norm.weight.detach().clone().requires_grad_(), norm.bias.detach().clone().requires_grad_()
    y = x.detach().clone().requires_grad_()
    cotangent = torch.randn_like(x)
    (norm(x) * cotangent).sum().backward()
    (slow_norm(y, order, weight, bias) * cotangent).sum().backward()
    torch.testing.assert_close(x.grad, y.grad, atol=1e-10, rtol=1e-10)
    torch.testing.assert_close(norm.weight.grad, weight.grad)
    torch.testing.assert_close(norm.bias.grad, bias.grad)


@pytest.mark.parametrize("name", [name for name in GROUPS if not group(name).is_continuous])
def test_field_batch_norm_is_escnns_inner_batch_norm(name: str):
    G = group(name)
    theirs = _escnn.nn.InnerBatchNorm(_escnn.nn.FieldType(G.gspace, 3 * [G.gspace.regular_repr])).double()
    ours = FieldBatchNorm(3, G.order).double()
    for _ in range(3):
        field_major = torch.randn(4, 3 * G.order, 5, 5, dtype=torch.float64) * 2 + 1
        group_major = field_major.unflatten(1, (3, G.order)).transpose(1, 2).flatten(1, 2)
        expected = theirs(_escnn.nn.GeometricTensor(field_major, theirs.in_type)).tensor
        expected = expected.unflatten(1, (3, G.order)).transpose(1, 2).flatten(1, 2)
        torch.testing.assert_close(ours(group_major), expected)
    states = theirs.state_dict()
    running = {key.rsplit(".", 1)[-1]: value for key, value in states.items()}
    torch.testing.assert_close(ours.running_mean, running["running_mean"])
    torch.testing.assert_close(ours.running_var, running["running_var"])
    ours.eval(), theirs.eval()
    expected = theirs(_escnn.nn.GeometricTensor(field_major, theirs.in_type)).tensor
    expected = expected.unflatten(1, (3, G.order)).transpose(1, 2).flatten(1, 2)
    torch.testing.assert_close(ours(group_major), expected)


@pytest.mark.parametrize("training", [True, False])
def test_narrow_inputs_stay_narrow_and_statistics_wide(training: bool):
    norm, x = FieldBatchNorm(3, 4).train(training), torch.randn(8, 12, 6, 6) * 2 + 1
    expected = norm(x)
    found = norm(x.bfloat16().requires_grad_())
    assert found.dtype == torch.bfloat16
    assert norm.running_var.dtype == torch.float32
    torch.testing.assert_close(found.float(), expected, atol=5e-2, rtol=5e-2)
    found.float().square().sum().backward()
    assert norm.weight.grad.isfinite().all()


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("name", ["SO2", "O2"])
def test_fourier_coefficients_are_normalised_as_the_functions_that_they_stand_for(name: str, training: bool):
    """Sampled at enough elements, a band-limited field is a regular one with the same statistics."""
    G = group(name)
    matrix = sampling_matrix(G, 16)
    coefficients = FieldBatchNorm(3, matrix.shape[1], fourier=True).double()
    sampled = FieldBatchNorm(3, len(matrix)).double()
    with torch.no_grad():
        for norm in (coefficients, sampled):
            norm.weight.copy_(torch.tensor([1.0, -2.0, 0.5]))
            norm.bias.copy_(torch.tensor([0.3, 0.0, -1.0]))
    for round_number in range(3):
        x = torch.randn(4, 3 * matrix.shape[1], 5, 5, dtype=torch.float64).add(0.5).requires_grad_()
        if round_number == 2:
            # the unbiased estimates count other numbers of values
            torch.testing.assert_close(coefficients.running_var, sampled.running_var, rtol=1e-2, atol=0)
            coefficients.running_var.copy_(sampled.running_var)
            coefficients.train(training), sampled.train(training)
        found, expected = sample(coefficients(x), matrix), sampled(sample(x, matrix))
        torch.testing.assert_close(found, expected)
    cotangent = torch.randn_like(found)
    gradients = [
        torch.autograd.grad((y * cotangent).sum(), x, retain_graph=True)[0] for y in (found, expected)
    ]
    torch.testing.assert_close(*gradients)


def sample(x: torch.Tensor, matrix: torch.Tensor) -> torch.Tensor:
    fields = x.unflatten(1, (matrix.shape[1], -1))
    return torch.einsum("sc,bcfhw->bsfhw", matrix, fields).flatten(1, 2)


@pytest.mark.parametrize("fourier", [False, True])
def test_batch_norm_in_eval_mode_is_a_factor_and_a_summand_for_each_channel(fourier: bool):
    norm = FieldBatchNorm(3, 4, fourier).double()
    with torch.no_grad():
        norm.weight.normal_(), norm.bias.normal_()
    for _ in range(3):
        norm(torch.randn(4, 12, 5, 5, dtype=torch.float64) + 1)
    x = torch.randn(4, 12, 5, 5, dtype=torch.float64)
    scale, shift = norm.affine()
    torch.testing.assert_close(norm.eval()(x), x * scale[:, None, None] + shift[:, None, None])


@pytest.mark.parametrize(("size", "fourier"), [(1, False), (8, False), (7, True)])
def test_narrow_maps_cost_their_own_rounding_and_no_more(size: int, fourier: bool):
    generator = torch.Generator().manual_seed(0)
    norm = FieldBatchNorm(3, size, fourier, momentum=1.0)
    # a mean far from zero: statistics or factors rounded to the maps' type would be seen
    x = torch.randn(4, 3 * size, 8, 8, generator=generator) + 30
    narrow = x.bfloat16().contiguous(memory_format=torch.channels_last)
    cotangent = torch.randn(narrow.shape, generator=generator).bfloat16()

    def computed(x: torch.Tensor) -> list[torch.Tensor]:
        norm.zero_grad()
        x = x.clone().requires_grad_()
        y = norm(x)
        y.backward(cotangent.to(x.dtype))
        exact = [norm.weight.grad.clone(), norm.bias.grad.clone(), norm.running_mean.clone()]
        return [y.detach().float(), x.grad.float(), *exact, norm.running_var.clone()]

    found, expected = computed(narrow), computed(narrow.float())
    for number, (own, wide) in enumerate(zip(found, expected, strict=True)):
        limit = 4e-3 if number < 2 else 1e-4
        assert float((own - wide).norm() / wide.norm()) < limit, number
