"""The training loop. It uses the interface of a pretext alone, and can be stopped and resumed at any step."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from eqssl.config.pretraining import PretrainSettings
from eqssl.data.loading.batches import Batches
from eqssl.machine.live.progress import Show, progress
from eqssl.pretexts.base import Pretext, Step
from eqssl.training import checkpoints
from eqssl.training.interruption import noting_signals
from eqssl.training.log import Log
from eqssl.training.meter import Meter
from eqssl.training.optimisers import STATE, build_optimiser, set_learning_rate
from eqssl.training.precision import autocast
from eqssl.training.schedules import learning_rate
from eqssl.training.state import StateValues, check_random, check_tensors, checked_values
from eqssl.training.warned import warned

if TYPE_CHECKING:
    from eqssl.training.trackers.base import Tracker

READ_SECONDS = 1.0
"""Time between two readings of the loss, the only times when the host waits for the device."""
MOST_STATES, HEADER_BYTES = 4, 2**26
"""A checkpoint is not read if it is larger than `MOST_STATES` states of the pretext and a header.

The largest one holds each weight and two more numbers for it.
"""


class Trainer:
    """A pretext in training, with everything that the next step depends on.

    Args:
        pretext: the pretext, on its device.
        batches: batches of the training images.
        settings: settings of the optimisation.
        generator: draws views and corruptions, on the same device.
        precision: type of numbers in the forward pass.
        title: names the cell in messages.
        fingerprint: stands for everything that decides the weights. A checkpoint with another fingerprint is
            not resumed.

    Attributes:
        step: steps done.
        steps: steps in all.
        seconds: time spent so far, including that of killed processes up to their last checkpoint.
        meter: the loss and the pretext's own numbers.
        rows: for each finished epoch, the means of these numbers over its steps.

    Raises:
        ValueError: if the warm-up is longer than the training.
    """

    def __init__(
        self,
        pretext: Pretext,
        batches: Batches,
        settings: PretrainSettings,
        generator: torch.Generator,
        precision: torch.dtype,
        title: str,
        fingerprint: str = "",
    ) -> None:
        self.pretext, self.batches, self.settings = pretext, batches, settings
        self.generator, self.precision, self.title = generator, precision, title
        self.fingerprint = fingerprint
        self.device = generator.device
        self.steps = len(batches) * settings.epochs
        self.warmup = round(settings.warmup_epochs * len(batches))
        self.optimiser = build_optimiser(
            settings.optimiser, pretext, settings.learning_rate, settings.weight_decay
        )
        self.meter = Meter(self.device)
        self.rows: list[list[float]] = []
        self.step, self.seconds = 0, 0.0
        self._last_step, self._last_seconds = 0, 0.0  # at the reading before
        self._said: set[str] = set()  # names of warnings

    def train(
        self, state: Path, log_file: Path, checkpoint_seconds: float, tracker: Tracker | None = None
    ) -> None:
        """Train until the last step.

        Args:
            state: file of the checkpoint.
            log_file: JSON lines are appended here.
            checkpoint_seconds: least time between two checkpoints.
            tracker: is given the numbers of the log as well.

        Raises:
            ValueError: the loss is not finite.
            SystemExit: after SIGTERM (code 143) or SIGINT (130); the checkpoint is written first.
        """
        self.pretext.train()
        log = Log(log_file, self.step, tracker)
        saved = started = time.monotonic()
        earlier = self._last_seconds = self.seconds
        self._last_step = self.step
        self._said = set(warned(self.pretext, self.meter.names, self.rows))
        with noting_signals() as interruption, progress(self.title, self.steps, "steps") as show:
            for images, labels in self._remaining():
                self._update(images, labels)
                now = time.monotonic()
                self.seconds = earlier + now - started
                stop = interruption.signal is not None and self.step < self.steps
                save = stop or (now - saved >= checkpoint_seconds and self.step < self.steps)
                ended = self.step % len(self.batches) == 0
                if save or ended or self.seconds - self._last_seconds >= READ_SECONDS:
                    self._read(log, show, ended)
                if save:
                    self.save(state)
                    saved = time.monotonic()
                if stop:
                    raise SystemExit(interruption.exit_code)

    def save(self, path: Path) -> None:
        """Write everything that the next step depends on.

        Raises:
            OSError: it cannot be written; an earlier checkpoint stays.
        """
        tensors = {
            **checkpoints.module_state(self.pretext),
            **checkpoints.optimiser_state(self.optimiser),
            **self._random(),
        }
        if self.meter.sums is not None:
            tensors["sums"] = self.meter.sums
        values = StateValues(
            fingerprint=self.fingerprint,
            step=self.step,
            seconds=self.seconds,
            names=self.meter.names,
            rows=self.rows,
            tensors=sorted(tensors),
        )
        checkpoints.save(path, tensors, values.model_dump())

    def load(self, path: Path) -> None:
        """Go back to the state that `save` wrote.

        Raises:
            ValueError: the file is damaged or belongs to another training; names it. Nothing is changed then.
            OSError: it cannot be read.
        """
        own = sum(tensor.nbytes for tensor in self.pretext.state_dict().values())
        tensors, values = checkpoints.load(path, MOST_STATES * own + HEADER_BYTES)
        try:
            self.restore(tensors, values)
        except ValueError as error:
            raise ValueError(f"{path}: unfit checkpoint: {error}") from None

    def restore(self, tensors: Mapping[str, Tensor], values: Mapping[str, Any]) -> None:
        """Go back to the state that `save` wrote, from what `checkpoints.load` gave.

        Raises:
            ValueError: it is not a state of this training; names the value and the reason. Nothing is
                changed then.
        """
        state = checked_values(values, self.fingerprint, self.steps, len(self.batches))
        random = self._random()
        others = {**random}
        if state.step:
            others["sums"] = torch.empty(len(state.names), dtype=self.meter.precision)
        kept = STATE[self.settings.optimiser]
        check_tensors(tensors, state, self.pretext, self.optimiser, kept, others)
        for name in random:
            check_random(name, tensors[name], "cpu" if name == "random/cpu" else self.device)
        checkpoints.restore_module(self.pretext, tensors)
        checkpoints.restore_optimiser(self.optimiser, tensors)
        self.generator.set_state(tensors["random/views"])
        torch.set_rng_state(tensors["random/cpu"])
        if self.device.type == "cuda":
            torch.cuda.set_rng_state(tensors["random/cuda"], self.device)
        self.meter.restore(state.names, tensors.get("sums"))
        self.step, self.seconds, self.rows = state.step, state.seconds, state.rows

    def _random(self) -> dict[str, Tensor]:
        """The states of all generators of random numbers."""
        states = {"random/views": self.generator.get_state(), "random/cpu": torch.get_rng_state()}
        if self.device.type == "cuda":
            states["random/cuda"] = torch.cuda.get_rng_state(self.device)
        return states

    def _remaining(self) -> Iterator[tuple[Tensor, Tensor]]:
        while self.step < self.steps:
            epoch, start = divmod(self.step, len(self.batches))
            yield from self.batches.epoch(epoch, start)

    def _update(self, images: Tensor, labels: Tensor) -> None:
        """One step of the optimiser; nothing here waits for the device."""
        set_learning_rate(self.optimiser, self._rate(self.step))
        step = Step(images, labels, self.generator, self.step / self.steps)
        with autocast(self.device, self.precision):
            loss, scalars = self.pretext(step)
        self.optimiser.zero_grad()
        loss.backward()
        self.optimiser.step()
        self.step += 1
        with torch.no_grad():
            self.pretext.after_step(self.step / self.steps)
        self.meter.add(loss, scalars)

    def _read(self, log: Log, show: Show, ended: bool) -> None:
        """Read the numbers from the device, check and show them, and close the epoch if it ended."""
        recent, sums = self.meter.read()
        epoch = (self.step - 1) // len(self.batches) + 1
        if not all(map(math.isfinite, sums)):
            raise ValueError(
                f"{self.title}: the loss is no longer finite in epoch {epoch}, found at step {self.step}; "
                "a lower pretrain.learning_rate or a longer pretrain.warmup_epochs may help"
            )
        steps, seconds = self.step - self._last_step, self.seconds - self._last_seconds
        means = dict(zip(self.meter.names, (total / steps for total in recent), strict=True))
        rate = steps * self.settings.batch_size / max(seconds, 1e-9)
        more = {
            "learning_rate": self._rate(self.step - 1),
            "images_per_second": round(rate, 1),
            "seconds": round(self.seconds, 3),
        }
        if ended:
            self.rows.append([total / len(self.batches) for total in sums])
            self.meter.end_epoch()
        warnings = self._new_warnings() if ended else []
        log.write(
            {
                "step": self.step,
                "epoch": epoch,
                **means,
                **more,
                **({"warnings": warnings} if warnings else {}),
            }
        )
        numbers = f"epoch {epoch}/{self.settings.epochs}, loss {means['loss']:.4f}, {rate:,.0f} images/s"
        show(self.step, numbers, (self.steps - self.step) * self.seconds / self.step)
        self._last_step, self._last_seconds = self.step, self.seconds

    def _new_warnings(self) -> list[str]:
        """Say what the pretext warns of after an epoch for the first time."""
        found = self.pretext.warnings(dict(zip(self.meter.names, self.rows[-1], strict=True)))
        new = {name: text for name, text in found.items() if name not in self._said}
        self._said |= new.keys()
        for text in new.values():
            print(f"eqssl: {self.title}: {text}", file=sys.stderr, flush=True)
        return list(new.values())

    def _rate(self, step: int) -> float:
        return learning_rate(step, self.steps, self.warmup, self.settings.learning_rate)
