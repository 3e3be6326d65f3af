"""Clocks, memory and synchronisations of a step."""

from __future__ import annotations

import statistics
import time
import warnings
from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

from eqssl.nn.constants import constants_of
from eqssl.nn.convolution import GroupConv2d

Step = Callable[[], object]


STEPS_IN_FLIGHT = 5
"""Steps that are sent to a CUDA device before waiting for it. In training, too, the host runs ahead of it."""


def device_name(device: torch.device) -> str:
    """The name of a GPU, such as `NVIDIA H100 80GB HBM3`; of another device its kind."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else str(device)


class Clock:
    """Seconds of a step, including the device's work.

    On a CPU with one thread this is the processor time of this process, which other processes on the machine
    hardly change. With several threads their processor times would add up, so elapsed time is used. On a CUDA
    device it is the mean of several steps in a row.

    Args:
        device: the device on which the step runs.
    """

    def __init__(self, device: torch.device) -> None:
        self.device = device
        alone = device.type == "cpu" and torch.get_num_threads() == 1
        self.read = time.process_time if alone else time.perf_counter
        self.steps = STEPS_IN_FLIGHT if device.type == "cuda" else 1

    def __call__(self, step: Step) -> float:
        """Run a step once, on a CUDA device several times."""
        self._wait()
        started = self.read()
        for _ in range(self.steps):
            step()
        self._wait()
        return (self.read() - started) / self.steps

    def median(self, step: Step, rounds: int) -> float:
        """Median of several runs after one that warms up."""
        self(step)
        return statistics.median(self(step) for _ in range(rounds))

    def _wait(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)


def interleaved(
    clock: Clock, steps: Mapping[str, Step], rounds: int, warm_up: int = 2
) -> dict[str, list[float]]:
    """Seconds of each step in each round. A round runs all steps once, one after the other.

    Every other round runs in reverse order, so that no step always follows the same one.
    """
    found: dict[str, list[float]] = {name: [] for name in steps}
    for number in range(warm_up + rounds):
        for name in steps if number % 2 else reversed(steps):
            seconds = clock(steps[name])
            if number >= warm_up:
                found[name].append(seconds)
    return found


def ratio(times: Mapping[str, list[float]], name: str, to: str = "plain") -> tuple[float, list[float]]:
    """Median and quartiles of the ratios within a round."""
    ratios = [own / other for own, other in zip(times[name], times[to], strict=True)]
    low, middle, high = (
        statistics.quantiles(ratios, n=4, method="inclusive") if len(ratios) > 1 else ratios * 3
    )
    return round(middle, 4), [round(low, 4), round(high, 4)]


def saved_bytes(forward: Callable[[], Tensor], network: nn.Module) -> int:
    """Bytes that a forward pass keeps for the backward pass, without the network's own tensors."""
    own = {
        t.untyped_storage().data_ptr()
        for t in (*network.parameters(), *network.buffers(), *constants_of(network))
    }
    kept: dict[int, int] = {}

    def pack(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            kept[storage.data_ptr()] = storage.nbytes()
        # an output that is kept as it is would keep its operation alive, and neither would ever be freed
        return tensor.detach()

    # the result is held until the bytes are added up, because other tensors would reuse freed memory
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        result = forward()
    total = sum(kept.values())
    del result
    return total


def device_peak_bytes(step: Step, device: torch.device) -> int:
    """Peak memory of a CUDA device in a step, in bytes, beyond what was in use before."""
    step()
    torch.cuda.synchronize(device)
    torch.cuda.reset_peak_memory_stats(device)
    before = torch.cuda.memory_allocated(device)
    step()
    torch.cuda.synchronize(device)
    return torch.cuda.max_memory_allocated(device) - before


def synchronisations(step: Step) -> int:
    """How often a step waits for the CUDA device."""
    # the first use of the debug mode in a process counts a synchronisation that is not the step's
    torch.cuda.set_sync_debug_mode("warn")
    step()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        torch.cuda.set_sync_debug_mode("warn")
        try:
            step()
        finally:
            torch.cuda.set_sync_debug_mode("default")
    return sum("synchroniz" in str(warning.message) for warning in caught)


def expansion_seconds(clock: Clock, network: nn.Module, rounds: int) -> float:
    """Seconds to expand all filters, including the backward pass."""
    layers = [layer for layer in network.modules() if isinstance(layer, GroupConv2d)]
    gradients = [torch.randn_like(layer.expand().detach()) for layer in layers]

    def step() -> None:
        for layer, gradient in zip(layers, gradients, strict=True):
            layer.expand().backward(gradient)

    seconds = clock.median(step, rounds)
    network.zero_grad()
    return seconds


def tensor_bytes(network: nn.Module) -> tuple[int, int]:
    """Bytes of the parameters, and of the bases and tables that are saved with them."""
    parameters = sum(p.numel() * p.element_size() for p in network.parameters())
    constants = constants_of(network, saved_only=True)
    return parameters, sum(t.numel() * t.element_size() for t in constants)
