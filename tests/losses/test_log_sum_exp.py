import math

import pytest
import torch
from slow_pairs import embeddings

from eqssl.losses import block_comparison, group_products
from eqssl.losses.correlation import correlation
from eqssl.losses.kinds import pooled, unit
from eqssl.losses.log_sum_exp import log_sum_exp
from eqssl.losses.similarity import plain_similarity, similarity
from eqssl.symmetry import group, group_names

KINDS = ["max", "softmax", "pool", "align", None]
CLOSE = {torch.float64: {"rtol": 0, "atol": 1e-12}, torch.float32: {"rtol": 1e-6, "atol": 1e-6}}
WAYS = {"fourier": 0, "direct": 10**6}
N, M, TAU = 70, 41, 0.3


@pytest.fixture(params=list(WAYS))
def way(request, monkeypatch) -> str:
    """Either way to the correlation, in blocks so small that there are several."""
    monkeypatch.setattr(group_products, "FEW_FIELDS", WAYS[request.param])
    monkeypatch.setattr(block_comparison, "BLOCK_BYTES", {"cpu": 1})
    return request.param


def with_gradients(function, *inputs):
    inputs = [z.clone().requires_grad_() for z in inputs]
    found = function(*inputs)
    weights = torch.linspace(-1, 2, len(found), dtype=found.dtype)
    return [found.detach(), *torch.autograd.grad((found * weights).sum(), inputs)]


def direct(a, b, G, kind):
    """All similarities, with the whole correlation in memory."""
    if kind == "pool":
        a, b = pooled(a), pooled(b)
    if kind in ("pool", None):
        return plain_similarity(a, b)
    products = correlation(unit(a), unit(b), G)
    if kind == "softmax":
        return TAU * (torch.logsumexp(products / TAU, 0) - math.log(len(products)))
    return products.amax(0)


def stored(a, b, name, kind, own=None):
    """The same sum from the table of all pairs."""
    logits = direct(a, b, group(name), kind) / TAU
    if own is not None:
        rows = torch.arange(len(a))
        logits = logits.index_put((rows, rows + own), torch.tensor(float("-inf"), dtype=logits.dtype))
    return logits.logsumexp(1)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", group_names())
def test_values_and_gradients_equal_those_of_the_whole_table(name, kind, dtype, way):
    a, b = (embeddings(n, name, n, fields=8, dtype=dtype) for n in (N, M))
    found = with_gradients(lambda a, b: log_sum_exp(a, b, group(name), kind, TAU), a, b)
    expected = with_gradients(lambda a, b: stored(a, b, name, kind), a, b)
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, **CLOSE[dtype])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", group_names())
def test_among_themselves_embeddings_leave_themselves_out(name, kind, dtype, way):
    a = embeddings(N, name, 1, fields=8, dtype=dtype)
    found = with_gradients(lambda a: log_sum_exp(a, None, group(name), kind, TAU), a)
    expected = with_gradients(lambda a: stored(a, a, name, kind, 0), a)
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, **CLOSE[dtype])


@pytest.mark.parametrize("own", [0, 10, 30])
def test_embeddings_can_stand_anywhere_among_those_they_are_compared_with(own, way):
    a, b = embeddings(40, "C4", 1), embeddings(N, "C4", 2)
    b[own : own + 40] = a
    found = with_gradients(lambda a, b: log_sum_exp(a, b, group("C4"), "max", TAU, own=own), a, b)
    expected = with_gradients(lambda a, b: stored(a, b, "C4", "max", own), a, b)
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, **CLOSE[torch.float64])


@pytest.mark.parametrize("name", ["C4", "D4"])
def test_only_wanted_gradients_are_computed(name):
    a, b = embeddings(5, name, 1).requires_grad_(), embeddings(6, name, 2)
    log_sum_exp(a, b, group(name)).sum().backward()
    assert b.grad is None
    queries, keys = embeddings(5, name, 1), embeddings(6, name, 2).requires_grad_()
    log_sum_exp(queries, keys, group(name)).sum().backward()
    assert keys.grad is not None


def test_equal_values_share_the_gradient_as_in_torch():
    z = torch.ones(6, 2, 4, dtype=torch.float64) * torch.linspace(1, 2, 6)[:, None, None]
    z[:, 1] *= torch.linspace(-1, 1, 6)[:, None]
    found = with_gradients(lambda z: log_sum_exp(z, None, group("C4"), "max", TAU), z)
    expected = with_gradients(lambda z: stored(z, z, "C4", "max", 0), z)
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other)


@pytest.mark.parametrize("temperature", [0.003, 0.05])
def test_low_temperatures_neither_overflow_nor_vanish(temperature):
    a = embeddings(20, "D4", 1, dtype=torch.float32)
    found = log_sum_exp(a, None, group("D4"), "max", temperature)
    logits = similarity(a, a, group("D4"), "max").double() / temperature
    expected = logits.fill_diagonal_(float("-inf")).logsumexp(1)
    torch.testing.assert_close(found.double(), expected, rtol=1e-4, atol=1e-3)


def test_the_precision_of_autocast_does_not_reach_the_sums():
    a = embeddings(30, "D4", 1, fields=16, dtype=torch.float32)
    expected = log_sum_exp(a, None, group("D4"))
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(log_sum_exp(a, None, group("D4")), expected)
        rounded = log_sum_exp(a.bfloat16(), None, group("D4"))
    assert rounded.dtype == torch.float32
    assert torch.equal(rounded, log_sum_exp(a.bfloat16().float(), None, group("D4")))


@pytest.mark.parametrize("kind", ["max", "softmax", "pool", "align"])
def test_for_the_trivial_group_every_kind_is_the_plain_one_to_the_bit(kind):
    a = embeddings(9, "trivial", 1, fields=5, dtype=torch.float32)
    found = with_gradients(lambda a: log_sum_exp(a, None, group("trivial"), kind), a)
    expected = with_gradients(lambda a: log_sum_exp(a, None, group("trivial"), None), a)
    assert all(torch.equal(one, other) for one, other in zip(found, expected, strict=True))


def test_no_table_of_all_pairs_is_stored():
    """What autograd keeps is in proportion to the embeddings, whatever the number of pairs."""
    kept = 0

    def pack(tensor):
        nonlocal kept
        kept += tensor.numel()
        return tensor

    a = embeddings(600, "C4", 1, fields=2, dtype=torch.float32).requires_grad_()
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        found = log_sum_exp(a, None, group("C4"))
    assert kept <= 4 * a.numel()
    # nor does the comparison, which is needed once more, keep its blocks
    assert found.grad_fn.comparison._memory == {}


def test_sums_over_nothing_are_refused():
    with pytest.raises(ValueError, match="given 1 embeddings and 0 others, allowed: at least one other"):
        log_sum_exp(torch.randn(1, 3, 4), None, group("C4"))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", group_names())
def test_similarities_from_blocks_equal_those_from_the_whole_correlation(name, kind, dtype, way):
    a, b = (embeddings(n, name, n, fields=8, dtype=dtype) for n in (N, M))
    weights = torch.linspace(-1, 2, M, dtype=dtype)
    found = with_gradients(lambda a, b: similarity(a, b, group(name), kind, TAU) @ weights, a, b)
    expected = with_gradients(lambda a, b: direct(a, b, group(name), kind) @ weights, a, b)
    close = {"rtol": 0, "atol": 1e-11} if dtype == torch.float64 else {"rtol": 1e-5, "atol": 1e-4}
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, **close)


@pytest.mark.parametrize("function", [log_sum_exp, similarity])
def test_second_derivatives_are_refused_also_of_a_mean(function):
    a, b = (embeddings(n, "C4", n).requires_grad_() for n in (5, 6))
    mean = function(a, b, group("C4")).mean()
    with pytest.raises(RuntimeError, match="create_graph: given True, allowed: False"):
        torch.autograd.grad(mean, a, create_graph=True)
    (gradient,) = torch.autograd.grad(mean, a)
    assert not gradient.requires_grad
