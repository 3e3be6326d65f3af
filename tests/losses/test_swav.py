import pytest
import torch
import torch.nn.functional as F
from slow_pairs import (
    GROUPS,
    KINDS,
    assert_bad_arguments_are_refused,
    assert_same_with_gradients,
    embeddings,
    slow_similarity,
)

from eqssl.losses import SwAVLoss, sinkhorn, swav, swav_crops
from eqssl.symmetry import group


def slow_scores(z, c, G, kind, t):
    return [[slow_similarity(one, prototype, G, kind, t) for prototype in c] for one in z]


def slow_code(z, c, G, kind, t, epsilon, iterations):
    """Of scores in a table of Python numbers; `test_sinkhorn.py` has a slow reference of the assignment."""
    with torch.no_grad():
        table = [[float(score) for score in row] for row in slow_scores(z, c, G, kind, t)]
    return sinkhorn(torch.tensor(table, dtype=torch.float64), epsilon, iterations).tolist()


def slow_swav_crops(views, c, name, kind, t, epsilon, iterations, queue, coded):
    G, terms = group(name), []
    for i in range(coded):
        known = views[i] if queue is None else torch.cat([queue[i], views[i]])
        code = slow_code(known, c, G, kind, t, epsilon, iterations)[-len(views[i]) :]
        for j, view in enumerate(views):
            if j == i:
                continue
            for row, q in zip(slow_scores(view, c, G, kind, t), code, strict=True):
                total = sum(torch.exp(score / t) for score in row)
                logs = [torch.log(torch.exp(score / t) / total) for score in row]
                terms.append(-sum(share * log for share, log in zip(q, logs, strict=True)))
    return sum(terms) / len(terms)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", GROUPS)
def test_values_and_gradients_equal_those_of_a_slow_loop(name: str, kind: str | None):
    z1, z2, c = (embeddings(n, name, seed) for n, seed in ((2, 1), (2, 2), (3, 3)))
    assert_same_with_gradients(
        lambda a, b, c: swav(a, b, c, group(name), kind, 0.3, 0.2, 2),
        lambda a, b, c: slow_swav_crops([a, b], c, name, kind, 0.3, 0.2, 2, None, 2),
        z1,
        z2,
        c,
    )


@pytest.mark.parametrize("kind", ["max", "softmax", None])
@pytest.mark.parametrize("coded", [1, 2])
def test_several_crops_and_a_queue_equal_a_slow_loop(coded: int, kind: str | None):
    views = [embeddings(2, "D4", seed) for seed in (1, 2, 3, 4)]
    queue = torch.stack([embeddings(3, "D4", seed) for seed in (5, 6)[:coded]])
    assert_same_with_gradients(
        lambda c, q, *views: swav_crops(views, c, group("D4"), kind, 0.3, 0.2, 2, q, coded=coded),
        lambda c, q, *views: slow_swav_crops(views, c, "D4", kind, 0.3, 0.2, 2, q, coded),
        embeddings(3, "D4", 7),
        queue,
        *views,
    )


def test_the_plain_loss_is_the_published_one():
    # 2006.09882, listing 1 of the appendix
    z1, z2, c = (embeddings(n, "D4", seed) for n, seed in ((5, 1), (5, 2), (7, 3)))
    z1n, z2n, cn = (F.normalize(z.flatten(1), dim=1) for z in (z1, z2, c))
    total = 0.0
    for own, other in ((z1n, z2n), (z2n, z1n)):
        q = torch.exp(own @ cn.t() / 0.05).t()
        q /= q.sum()
        for _ in range(3):
            q *= (torch.ones(7, dtype=torch.float64) / 7 / q.sum(1))[:, None]
            q *= (torch.ones(5, dtype=torch.float64) / 5 / q.sum(0))[None]
        q = (q / q.sum(0, keepdim=True)).t()
        total -= 0.5 * (q * F.log_softmax(other @ cn.t() / 0.1, dim=1)).sum(1).mean()
    torch.testing.assert_close(swav(z1, z2, c, group("D4"), None), total)


def test_a_queue_changes_the_assignment():
    z1, z2, c = (embeddings(4, "C4", seed) for seed in (1, 2, 3))
    queue = torch.stack([z1, z2]) + 0.1
    assert not torch.isclose(swav(z1, z2, c, group("C4"), queue=queue), swav(z1, z2, c, group("C4")))


def test_the_module_is_the_function():
    z1, z2, c = (embeddings(4, "C4", seed) for seed in (1, 2, 3))
    queue = torch.stack([z2, z1])
    loss = SwAVLoss(group("C4"), "softmax", temperature=0.5, epsilon=0.1, iterations=2)
    expected = swav(z1, z2, c, group("C4"), "softmax", 0.5, 0.1, 2, queue)
    assert torch.equal(loss(z1, z2, c, queue=queue), expected)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"z2": torch.randn(3, 3, 4)}, "z1, z2: .* allowed: equal shapes"),
        ({"z1": torch.randn(4, 3, 5), "z2": torch.randn(4, 3, 5)}, r"z1: .* allowed: \(batch, 3, 4\)"),
        ({"c": torch.randn(4, 2, 4)}, r"c: given shape \(4, 2, 4\), allowed: \(batch, 3, 4\)"),
        ({"c": torch.randn(0, 3, 4)}, "c: given 0 embeddings, allowed: at least one"),
        ({"temperature": 0.0}, "temperature: given 0.0, allowed: a positive number"),
        ({"epsilon": 0.0}, "epsilon: given 0.0, allowed: a positive number"),
        ({"iterations": 0}, "iterations: given 0, allowed: a positive number"),
        ({"queue": torch.randn(5, 3, 4)}, r"queue: given shape \(5, 3, 4\), allowed: \(2, queue, 3, 4\)"),
        ({"queue": torch.randn(2, 5, 2, 4)}, r"queue: given shape \(5, 2, 4\), allowed: \(batch, 3, 4\)"),
        ({"kind": "min"}, "kind: given 'min', allowed: max"),
    ],
)
def test_bad_arguments_are_refused_by_name(change: dict, reason: str):
    z1, z2, c = torch.randn(3, 4, 3, 4)
    arguments = {"z1": z1, "z2": z2, "c": c, "G": group("C4")}
    assert_bad_arguments_are_refused(swav, arguments, change, reason)


@pytest.mark.parametrize(("views", "coded"), [(1, 1), (3, 0), (3, 4)])
def test_too_few_views_are_refused(views: int, coded: int):
    z = list(torch.randn(views, 4, 3, 4))
    with pytest.raises(ValueError, match=f"views, coded: given {views} views of which {coded} give codes"):
        swav_crops(z, torch.randn(5, 3, 4), group("C4"), coded=coded)
