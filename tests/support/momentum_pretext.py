"""A pretext that uses everything a pretext may use: momentum, a queue, a predictor, views of two sizes."""

from copy import deepcopy

import torch
from torch import nn

from eqssl.config.params import ViewSettings
from eqssl.pretexts.base import Outcome, Step
from eqssl.pretexts.joint.branches import JointEmbedding
from eqssl.pretexts.parameters import ParameterGroup, decayed_and_not
from eqssl.pretexts.views import ViewSpec

QUEUE, SMALL = 40, 8


class Momentum(JointEmbedding):
    """Pulls predicted embeddings of small views to a momentum branch's, and away from a queue of others.

    `told` lists the progress that `after_step` got at each call.
    """

    def build(self, settings: object, classes: int, generator: torch.Generator | None) -> None:
        plain: ViewSettings = self.view_settings.model_copy(update={"jitter": 0.0})
        self.views = (ViewSpec(1, None, self.view_settings), ViewSpec(2, SMALL, plain))
        self.projector = self.make_projector([16, 8], True, generator)
        width = self.fields_of(8) * self.group.order
        self.predictor = nn.Linear(width, width)
        with torch.no_grad():
            self.predictor.weight.copy_(torch.eye(width))
            self.predictor.bias.zero_()
        self.teacher = deepcopy(nn.ModuleList([self.encoder, self.projector])).requires_grad_(False)
        self.register_buffer("queue", torch.randn(QUEUE, width, generator=generator))
        self.register_buffer("place", torch.zeros((), dtype=torch.int64))
        self.register_buffer("temperature", torch.tensor(0.5))
        self.told: list[float] = []

    def forward(self, step: Step) -> Outcome:
        whole, *small = self.draw_views(step.images, step.generator)
        predicted = self.predictor(torch.cat([self.embed(view).flatten(1) for view in small]))
        with torch.no_grad():
            encoder, projector = self.teacher
            target = projector(encoder(self.normalised(whole))).flatten(1)
            targets = nn.functional.normalize(target, dim=1)
            queue = nn.functional.normalize(self.queue, dim=1).clone()
            rows = (self.place + torch.arange(len(target))) % QUEUE
            self.queue.index_copy_(0, rows, target)
            self.place += len(target)
        predicted = nn.functional.normalize(predicted, dim=1)
        right = (predicted * targets.repeat(len(small), 1)).sum(1, keepdim=True)
        temperature = self.temperature * (1 - 0.5 * step.progress)
        logits = torch.cat([right, predicted @ queue.T], 1) / temperature
        return Outcome(-logits.log_softmax(1)[:, 0].mean(), {"temperature": temperature.detach()})

    def after_step(self, progress: float) -> None:
        self.told.append(progress)
        self.temperature.fill_(0.5 - 0.3 * progress)
        keep = 0.9 + 0.1 * progress
        for old, new in zip(self.teacher, (self.encoder, self.projector), strict=True):
            for mine, other in zip(old.state_dict().values(), new.state_dict().values(), strict=True):
                if mine.is_floating_point():
                    mine.lerp_(other, 1 - keep)

    def parameter_groups(self) -> list[ParameterGroup]:
        named = list(self.named_parameters())
        inner = [(name, parameter) for name, parameter in named if name.startswith("predictor.")]
        outer = [(name, parameter) for name, parameter in named if not name.startswith("predictor.")]
        return [*decayed_and_not(outer), *decayed_and_not(inner, fixed_rate=True)]
