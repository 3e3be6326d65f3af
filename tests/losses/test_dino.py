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
    turn_each,
)

from eqssl.losses import DINOLoss, absorbed_similarity, dino, dino_centre, dino_crops
from eqssl.symmetry import group


def slow_dino(z1, z2, c, name, kind, tau, student, teacher, centre=None, fixed=None):
    G, fixed = group(name), c if fixed is None else fixed
    centre = torch.zeros(len(c)) if centre is None else centre
    terms = []
    for one, other in zip(z1, z2.detach(), strict=True):
        scores = [slow_similarity(one, prototype, G, kind, tau) / student for prototype in c]
        logs = [score - torch.log(sum(s.exp() for s in scores)) for score in scores]
        targets = [slow_similarity(other, prototype, G, kind, tau) for prototype in fixed.detach()]
        targets = [torch.exp((s - shift) / teacher) for s, shift in zip(targets, centre, strict=True)]
        terms.append(-sum(target / sum(targets) * log for target, log in zip(targets, logs, strict=True)))
    return sum(terms) / len(terms)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", GROUPS)
def test_values_and_gradients_equal_those_of_a_slow_loop(name: str, kind: str | None):
    z1, z2, c, fixed = (embeddings(n, name, seed) for n, seed in ((2, 1), (2, 2), (3, 3), (3, 4)))
    centre = torch.tensor([0.1, -0.2, 0.05], dtype=torch.float64)
    assert_same_with_gradients(
        lambda a, b, c: dino(a, b, c, group(name), kind, 0.3, 0.2, 0.1),
        lambda a, b, c: slow_dino(a, b, c, name, kind, 0.3, 0.2, 0.1),
        z1,
        z2,
        c,
    )
    assert_same_with_gradients(
        lambda a, b, c, f: dino(a, b, c, group(name), kind, 0.3, 0.2, 0.1, centre, f),
        lambda a, b, c, f: slow_dino(a, b, c, name, kind, 0.3, 0.2, 0.1, centre, f),
        z1,
        z2,
        c,
        fixed,
    )


@pytest.mark.parametrize("kind", ["max", None])
@pytest.mark.parametrize("taught", [1, 2])
def test_several_crops_are_the_mean_over_pairs_of_different_views(taught: int, kind: str | None):
    students, teachers = embeddings(12, "D4", 1).chunk(4), embeddings(6, "D4", 2).chunk(2)[:taught]
    c, fixed, centre = embeddings(5, "D4", 3), embeddings(5, "D4", 4), torch.rand(5, dtype=torch.float64)
    told = {"kind": kind, "centre": centre, "teacher_prototypes": fixed, "teacher_temperature": 0.1}
    assert_same_with_gradients(
        lambda c, *z: dino_crops(z[:4], z[4:], c, group("D4"), **told),
        lambda c, *z: torch.stack(
            [dino(z[j], z[4 + i], c, group("D4"), **told) for i in range(taught) for j in range(4) if i != j]
        ).mean(),
        c,
        *students,
        *teachers,
    )


def test_the_plain_loss_is_the_published_one():
    # 2104.14294, algorithm 1: H(t, s), with scores of normalised features and weights of length 1
    z1, z2, c = (embeddings(n, "D4", seed) for n, seed in ((5, 1), (5, 2), (7, 3)))
    centre = torch.linspace(-0.1, 0.1, 7, dtype=torch.float64)
    weight = F.normalize(c.flatten(1), dim=1)
    s, t = (F.linear(F.normalize(z.flatten(1), dim=1), weight) for z in (z1, z2))
    s, t = torch.softmax(s / 0.1, 1), torch.softmax((t - centre) / 0.04, 1)
    expected = -(t * torch.log(s)).sum(1).mean()
    torch.testing.assert_close(dino(z1, z2, c, group("D4"), None, centre=centre), expected)


def test_the_centre_is_the_mean_score_of_each_prototype_without_gradient():
    z, c = embeddings(3, "D4", 1).requires_grad_(), embeddings(4, "D4", 2)
    found = dino_centre(z, c, group("D4"), "softmax", 0.3)
    expected = [
        sum(float(slow_similarity(one, k, group("D4"), "softmax", 0.3).detach()) for one in z) / 3 for k in c
    ]
    torch.testing.assert_close(found, torch.tensor(expected, dtype=torch.float64))
    assert not found.requires_grad
    turned = dino_centre(turn_each(z, "D4", 3), turn_each(c, "D4", 4), group("D4"), "softmax", 0.3)
    torch.testing.assert_close(turned, found)
    plain = dino_centre(turn_each(z, "D4", 3), c, group("D4"), None)
    assert (plain - dino_centre(z, c, group("D4"), None)).abs().max() > 1e-2


def test_a_centre_takes_the_share_of_a_prototype_that_all_images_are_near():
    c = embeddings(4, "C4", 1)
    z = c[:1] + 0.1 * embeddings(6, "C4", 2)
    centre = dino_centre(z, c, group("C4"))
    with_centre, without = (
        torch.softmax((absorbed_similarity(z, c, group("C4")) - shift) / 0.04, 1).mean(0)
        for shift in (centre, 0 * centre)
    )
    assert without[0] > 0.99
    assert with_centre[0] < 0.5


def test_the_module_is_the_function():
    z1, z2, c = (embeddings(4, "C4", seed) for seed in (1, 2, 3))
    centre = torch.rand(4, dtype=torch.float64)
    loss = DINOLoss(group("C4"), "softmax", temperature=0.5, student_temperature=0.2)
    expected = dino(z1, z2, c, group("C4"), "softmax", 0.5, 0.2, 0.07, centre)
    assert torch.equal(loss(z1, z2, c, teacher_temperature=0.07, centre=centre), expected)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"z2": torch.randn(3, 3, 4)}, "z1, z2: .* allowed: equal shapes"),
        ({"z1": torch.randn(4, 3, 5), "z2": torch.randn(4, 3, 5)}, r"z1: .* allowed: \(batch, 3, 4\)"),
        ({"c": torch.randn(4, 2, 4)}, r"c: given shape \(4, 2, 4\), allowed: \(batch, 3, 4\)"),
        ({"teacher_prototypes": torch.randn(5, 3, 4)}, r"teacher_prototypes: .* allowed: \(4, 3, 4\)"),
        ({"centre": torch.zeros(3)}, r"centre: given shape \(3,\), allowed: \(4,\)"),
        ({"temperature": 0.0}, "temperature: given 0.0, allowed: a positive number"),
        ({"student_temperature": 0.0}, "student_temperature: given 0.0, allowed: a positive number"),
        ({"teacher_temperature": -1.0}, "teacher_temperature: given -1.0, allowed: a positive number"),
        ({"kind": "min"}, "kind: given 'min', allowed: max"),
    ],
)
def test_bad_arguments_are_refused_by_name(change: dict, reason: str):
    z1, z2, c = torch.randn(3, 4, 3, 4)
    arguments = {"z1": z1, "z2": z2, "c": c, "G": group("C4")}
    assert_bad_arguments_are_refused(dino, arguments, change, reason)


@pytest.mark.parametrize(("students", "teachers"), [(1, 1), (3, 0), (2, 3)])
def test_too_few_views_are_refused(students: int, teachers: int):
    z, t = list(torch.randn(students, 4, 3, 4)), list(torch.randn(teachers, 4, 3, 4))
    with pytest.raises(ValueError, match=f"students, teachers: given {students} and {teachers} views"):
        dino_crops(z, t, torch.randn(5, 3, 4), group("C4"))
