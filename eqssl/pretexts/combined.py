"""Several pretexts at once: a weighted sum of label tasks, or labels beside a contrastive loss."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from eqssl import pretexts
from eqssl.config.pretexts import CombinedSettings
from eqssl.pretexts.base import Outcome, Pretext, Step
from eqssl.pretexts.parameters import ParameterGroup


class Combined(Pretext):
    """The weighted sum of the losses of several pretexts on one encoder.

        L = sum over parts of  weight * L_part

    Labels of orientation beside an invariant contrastive loss are E-SSL (Dangovski et al. 2022, arXiv
    2111.00899), here with exact groups: the contrastive loss absorbs the turn of an image, and the labels
    keep it. A sum of equivariant and invariant losses does not change when its images are turned, because
    none of its parts changes.
    """

    def build(self, settings: CombinedSettings, classes: int, generator: torch.Generator | None) -> None:
        """Create the parts, all around the same encoder."""
        self.weights = {name: part.weight for name, part in settings.parts.items()}
        shared = (self.encoder, self.view_settings, classes, generator)
        made = {
            name: pretexts.attach(f"parts.{name}", part.pretext, *shared)
            for name, part in settings.parts.items()
        }
        self.members = nn.ModuleDict(made)

    def described(self) -> dict[str, Any]:
        """The descriptions of the parts, by their names."""
        return {name: part.described() for name, part in self.parts().items()}

    def forward(self, step: Step) -> Outcome:
        """The sum, and each part's loss and numbers under its name."""
        total: Tensor | float = 0.0
        scalars: dict[str, Tensor] = {}
        for name, part in self.parts().items():
            loss, numbers = part(step)
            total = total + self.weights[name] * loss.float()
            scalars[f"{name}/loss"] = loss.detach()
            scalars |= {f"{name}/{key}": value for key, value in numbers.items()}
        assert isinstance(total, Tensor)  # noqa: S101 - there is at least one part
        return Outcome(total, scalars)

    def after_step(self, progress: float) -> None:
        """Call `after_step` of each part."""
        for part in self.parts().values():
            part.after_step(progress)

    def warnings(self, numbers: Mapping[str, float]) -> dict[str, str]:
        """What is wrong with each part, under its name."""
        found: dict[str, str] = {}
        for name, part in self.parts().items():
            start = f"{name}/"
            own = {key.removeprefix(start): value for key, value in numbers.items() if key.startswith(start)}
            found |= {f"{name}/{key}": f"part {name}: {text}" for key, text in part.warnings(own).items()}
        return found

    def parameter_groups(self) -> list[ParameterGroup]:
        """The groups of all parts. A parameter that several parts train is in the group of the first one."""
        seen: set[int] = set()
        groups = []
        for group in (group for part in self.parts().values() for group in part.parameter_groups()):
            fresh = [parameter for parameter in group["params"] if id(parameter) not in seen]
            seen.update(map(id, fresh))
            if fresh:
                groups.append({**group, "params": fresh})
        return groups

    def parts(self) -> dict[str, Pretext]:
        """The parts, by their names."""
        return {name: part for name, part in self.members.items() if isinstance(part, Pretext)}
