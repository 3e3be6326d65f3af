"""The claims that a grid can decide, and the pairs of pretexts that decide each: docs/claims.md."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal, NamedTuple, TypeAlias

from eqssl.config.joint import JointSettings
from eqssl.config.label_tasks import LabelSettings
from eqssl.config.params import Params
from eqssl.config.pretext_base import PretextSettings
from eqssl.config.pretexts import CombinedSettings, RandomSettings

Pretexts: TypeAlias = tuple[tuple[str, str], ...]
PLAIN_GROUP = "trivial"
ALL, FEW = "acc_stored_100", "acc_stored_10"
"""Accuracies on stored images with all labels, and with a tenth of them."""


class Claim(NamedTuple):
    """A claim, and what decides it.

    Attributes:
        key: its name.
        text: the claim in words.
        pretexts: pretext and what it is compared with, for each pair.
        against: the encoder of the second: of the `same` group, or of the `plain` network's.
        metric: the column of grid.csv that decides.
    """

    key: str
    text: str
    pretexts: Pretexts
    against: Literal["same", "plain"]
    metric: str


def claims_of(params: Params) -> tuple[Claim, ...]:
    """The claims of docs/claims.md, with the pairs that the table `pretexts` has for them."""
    labels, losses = (_twins(params, kind) for kind in (LabelSettings, JointSettings))
    of_labels, of_losses = "equivariant labels", "invariant losses"
    twin = "their plain twins on the same encoder"
    network, untrained = "the plain network with the plain twin", "the untrained encoder of the same group"
    beside = f"{of_labels} beside an invariant loss beat that loss alone"
    return (
        Claim("labels_twin", f"{of_labels} beat {twin}", labels, "same", ALL),
        Claim("contrast_twin", f"{of_losses} beat {twin}", losses, "same", ALL),
        Claim("labels_network", f"{of_labels} beat {network}", labels, "plain", FEW),
        Claim("contrast_network", f"{of_losses} beat {network}", losses, "plain", FEW),
        Claim("labels_untrained", f"{of_labels} beat {untrained}", _untrained(params, labels), "same", ALL),
        Claim("contrast_untrained", f"{of_losses} beat {untrained}", _untrained(params, losses), "same", ALL),
        Claim("labels_beside", beside, tuple(_beside(params)), "same", ALL),
    )


def _twins(params: Params, kind: type[PretextSettings]) -> Pretexts:
    """Entries of a kind, each with its plain twin."""
    found = params.twins().items()
    return tuple((name, twin) for name, twin in found if isinstance(params.pretexts[name], kind))


def _untrained(params: Params, twins: Pretexts) -> Pretexts:
    names = [name for name, entry in params.pretexts.items() if isinstance(entry, RandomSettings)]
    return tuple((name, names[0]) for name, _ in twins) if names else ()


def _beside(params: Params) -> Iterator[tuple[str, str]]:
    """Sums of a label task and a joint embedding, neither plain, with the entry that is the latter alone."""
    for name, entry in params.pretexts.items():
        if not isinstance(entry, CombinedSettings) or len(entry.parts) != 2:
            continue
        parts = [part.pretext for part in entry.parts.values() if not part.pretext.is_plain]
        labels = [part for part in parts if isinstance(part, LabelSettings)]
        losses = [part for part in parts if isinstance(part, JointSettings)]
        for loss in losses if labels else ():
            yield from ((name, alone) for alone, other in params.pretexts.items() if other.alone() == loss)
