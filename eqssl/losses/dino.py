"""DINO: predict the teacher's distribution over prototypes, with turns absorbed or plain."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from eqssl.losses.arguments import check_pair, check_positive
from eqssl.losses.kinds import ANGLES, Kind
from eqssl.losses.module import LossModule
from eqssl.losses.precision import in_full_precision
from eqssl.losses.prototype_scores import cross_entropy, prototype_scores
from eqssl.symmetry.groups import Group


@in_full_precision
def dino(
    z1: Float[Tensor, "batch fields order"],
    z2: Float[Tensor, "batch fields order"],
    c: Float[Tensor, "prototypes fields order"],
    G: Group,
    kind: Kind | None = "max",
    temperature: float = 0.2,
    student_temperature: float = 0.1,
    teacher_temperature: float = 0.04,
    centre: Float[Tensor, " prototypes"] | None = None,
    teacher_prototypes: Float[Tensor, "prototypes fields order"] | None = None,
    angles: int = ANGLES,
) -> Float[Tensor, ""]:
    """Self-distillation without labels (Caron et al. 2021, arXiv 2104.14294, section 3.1).

        mean over i of  -sum over k of P_ik log p_ik
        p = softmax over k of s(z1_i, c_k) / student_temperature
        P = softmax over k of (s(z2_i, c'_k) - centre_k) / teacher_temperature,  without gradient

    Prototypes are fields, as embeddings are, and both are normalised. With a kind, s absorbs the turns of
    embedding and prototype; with kind None it is the cosine, as published. The method takes the mean of this
    over all pairs of a teacher's view and another view of the student (`dino_crops`).

    Args:
        z1: embeddings of the student.
        z2: embeddings of the teacher, in the same order; without gradient.
        c: the student's prototypes.
        G: the group.
        kind: max, align, softmax, pool, or None for the plain loss.
        temperature: tau of softmax; the other kinds have no use for it.
        student_temperature: of the student's distribution.
        teacher_temperature: of the teacher's: the lower, the sharper.
        centre: running mean of the teacher's scores (`dino_centre`), which is taken from them; None for zero.
        teacher_prototypes: the teacher's prototypes c'; None for those of the student.
        angles: of SO2 and O2, at how many angles the embeddings are compared.

    Returns:
        The loss, a scalar.

    Raises:
        ValueError: if shapes do not fit each other or the group, a temperature is not positive, or there is
            no such kind.

    Example:
        >>> import torch
        >>> from eqssl.symmetry import act_on_regular, group
        >>> G = group("C4")
        >>> z1, z2, c = torch.randn(3, 8, 16, 4)
        >>> turned = act_on_regular(G, c, G.elements[1])
        >>> bool(torch.isclose(dino(z1, z2, turned, G), dino(z1, z2, c, G)))
        True
    """
    check_pair(z1, z2, G)
    check_positive(student_temperature=student_temperature)
    student = prototype_scores(z1, c, G, kind, temperature, angles)
    fixed = _fixed(c, teacher_prototypes)
    teacher = prototype_scores(z2.detach(), fixed, G, kind, temperature, angles)
    return cross_entropy(student, student_temperature, _targets(teacher, teacher_temperature, centre))


@in_full_precision
def dino_crops(
    students: Sequence[Float[Tensor, "batch fields order"]],
    teachers: Sequence[Float[Tensor, "batch fields order"]],
    c: Float[Tensor, "prototypes fields order"],
    G: Group,
    kind: Kind | None = "max",
    temperature: float = 0.2,
    student_temperature: float = 0.1,
    teacher_temperature: float = 0.04,
    centre: Float[Tensor, " prototypes"] | None = None,
    teacher_prototypes: Float[Tensor, "prototypes fields order"] | None = None,
    angles: int = ANGLES,
) -> Float[Tensor, ""]:
    """`dino` with several views of an image: the mean over all pairs of a teacher's view and another view.

    The teacher sees the first views, and the student sees all of them.

    Args:
        students: embeddings of the student for each view, in the same order of images.
        teachers: embeddings of the teacher for the first of these views; without gradient.
        c: the student's prototypes.
        G: the group.
        kind: max, align, softmax, pool, or None for the plain loss.
        temperature: tau of softmax; the other kinds have no use for it.
        student_temperature: of the student's distribution.
        teacher_temperature: of the teacher's: the lower, the sharper.
        centre: running mean of the teacher's scores (`dino_centre`), which is taken from them; None for zero.
        teacher_prototypes: the teacher's prototypes; None for those of the student.
        angles: of SO2 and O2, at how many angles the embeddings are compared.

    Returns:
        The loss, a scalar.

    Raises:
        ValueError: if shapes do not fit each other or the group, a temperature is not positive, there are
            too few views, or there is no such kind.

    Example:
        >>> import torch
        >>> from eqssl.symmetry import act_on_regular, group
        >>> G = group("C4")
        >>> *students, one, other, c = torch.randn(7, 8, 16, 4)
        >>> turned = [act_on_regular(G, z, g) for z, g in zip(students, G.elements)]
        >>> teachers = [one, other]
        >>> bool(torch.isclose(dino_crops(turned, teachers, c, G), dino_crops(students, teachers, c, G)))
        True
    """
    if len(students) < 2 or not 1 <= len(teachers) <= len(students):
        raise ValueError(
            f"students, teachers: given {len(students)} and {len(teachers)} views, "
            "allowed: at least two of the student, the first of them also of the teacher"
        )
    for other in (*students[1:], *teachers):
        check_pair(students[0], other, G)
    check_positive(student_temperature=student_temperature)
    fixed = _fixed(c, teacher_prototypes)
    # all views at once: one matrix product
    student = prototype_scores(torch.cat(list(students)), c, G, kind, temperature, angles)
    teacher = prototype_scores(torch.cat(list(teachers)).detach(), fixed, G, kind, temperature, angles)
    targets = _targets(teacher, teacher_temperature, centre).chunk(len(teachers))
    losses = [
        cross_entropy(scores, student_temperature, target)
        for i, target in enumerate(targets)
        for j, scores in enumerate(student.chunk(len(students)))
        if i != j
    ]
    return torch.stack(losses).mean()


@torch.no_grad()
def dino_centre(
    z2: Float[Tensor, "batch fields order"],
    teacher_prototypes: Float[Tensor, "prototypes fields order"],
    G: Group,
    kind: Kind | None = "max",
    temperature: float = 0.2,
    angles: int = ANGLES,
) -> Float[Tensor, " prototypes"]:
    """Mean score of each prototype in a batch of the teacher, of which the centre is a running mean.

    Equation 4 of Caron et al. 2021. Turning embeddings or prototypes does not change it, unless kind is None.

    Args:
        z2: embeddings of the teacher, of one view or of several after each other.
        teacher_prototypes: the teacher's prototypes.
        G: the group.
        kind: max, align, softmax, pool, or None for the plain loss.
        temperature: tau of softmax.
        angles: of SO2 and O2, at how many angles the embeddings are compared.

    Raises:
        ValueError: as `dino` does.

    Example:
        >>> import torch
        >>> from eqssl.symmetry import group
        >>> dino_centre(torch.randn(8, 16, 4), torch.randn(5, 16, 4), group("C4")).shape
        torch.Size([5])
    """
    return prototype_scores(z2, teacher_prototypes, G, kind, temperature, angles).mean(0)


def _fixed(c: Tensor, teacher_prototypes: Tensor | None) -> Tensor:
    """The teacher's prototypes, without gradient."""
    if teacher_prototypes is None:
        return c.detach()
    if teacher_prototypes.shape != c.shape:
        raise ValueError(
            f"teacher_prototypes: given shape {tuple(teacher_prototypes.shape)}, allowed: {tuple(c.shape)}"
        )
    return teacher_prototypes.detach()


def _targets(scores: Tensor, temperature: float, centre: Tensor | None) -> Tensor:
    """The teacher's probabilities: scores less the centre, sharpened; without gradient."""
    check_positive(teacher_temperature=temperature)
    if centre is not None:
        if centre.shape != scores.shape[1:]:
            raise ValueError(f"centre: given shape {tuple(centre.shape)}, allowed: ({scores.shape[1]},)")
        scores = scores - centre
    return torch.softmax(scores.detach() / temperature, 1)


class DINOLoss(LossModule):
    """Module form of `dino`.

    Example:
        >>> import torch
        >>> from eqssl.symmetry import group
        >>> loss = DINOLoss(group("C4"))
        >>> z1, z2, prototypes = torch.randn(3, 8, 16, 4)
        >>> loss(z1, z2, prototypes).shape
        torch.Size([])
    """

    loss = staticmethod(dino)
