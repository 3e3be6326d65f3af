"""One row of the benchmark: three or more networks, whose steps are timed in turns."""

from __future__ import annotations

import gc
import multiprocessing
import sys
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from typing import Any

import torch
from _measuring import (
    Clock,
    Step,
    device_peak_bytes,
    expansion_seconds,
    interleaved,
    ratio,
    saved_bytes,
    synchronisations,
)
from _networks import Case, escnn, exported, folded, ours, plain
from _onnx_runtime import is_installed, session
from torch import Tensor, nn

from eqssl.encoders.base import Encoder
from eqssl.encoders.release.fold import release
from eqssl.fast_cpu import accelerate
from eqssl.training.precision import autocast

MODES = ("train", "eval", "released", "released_unfolded", "stage")
_SMALL = {"C2", "D1", "D2"}


@dataclass(frozen=True)
class Job:
    """What one row measures.

    Attributes:
        case: the network and its images.
        mode: `train` and `stage` are training steps; the others are inference.
        dtype: `float32` or `bfloat16` (autocast).
        compiled: whether the networks go through torch.compile.
        rounds: number of rounds that count.
        graph: whether steps are CUDA graphs, which a device runs without waiting for the host's launches.
    """

    case: Case
    mode: str
    dtype: str
    compiled: bool
    rounds: int
    graph: bool = False

    @property
    def trains(self) -> bool:
        """Whether a step is a training step."""
        return self.mode in ("train", "stage")

    @property
    def name(self) -> str:
        """The name of the job in messages."""
        case = self.case
        form = ("compiled" if self.compiled else "eager") + (", CUDA graph" if self.graph else "")
        return f"{case.encoder} {case.group} {case.kernel}x{case.kernel} {self.mode} {self.dtype} {form}"


def target(job: Job) -> float | None:
    """The largest acceptable ratio to plain torch, for rows that have one."""
    if job.mode == "stage":
        return 1.8
    if job.mode == "released":
        return 0.88
    if job.mode == "released_unfolded":
        return 1.03
    if job.mode == "train" and job.graph:
        return 1.05
    if job.mode == "train":
        return 1.12 if job.case.group in _SMALL or job.case.kernel == 5 else 1.08
    return None


def measure(job: Job, device: torch.device, notes: list[str]) -> dict[str, Any]:
    """The row of a job.

    Args:
        job: what to measure.
        device: the device to measure on.
        notes: a line is added for each measurement that was not possible.
    """
    makers = {**_MAKERS, **({"plain_folded": plain} if job.mode == "released" else {})}
    networks = {name: make(job.case).to(device) for name, make in makers.items()}
    images = _images(job.case, device)
    for network in networks.values():
        _settle(network, images["ours"])
    # what escnn exports is on the CPU
    networks = {name: _in_mode(network, name, job.mode).to(device) for name, network in networks.items()}
    runs = _compiled(networks, images, job, device, notes) if job.compiled else dict(networks)
    raw = {name: _step(runs[name], networks[name], images[name], job, device) for name in networks}
    if _has_onnx(job, device):
        raw["onnx_runtime"] = _onnx_step(networks["ours"], images["ours"])
    steps = {name: _captured(step, name, job, notes) for name, step in raw.items()} if job.graph else raw
    clock = Clock(device)
    times = interleaved(clock, steps, job.rounds, warm_up=1 if job.rounds < 5 else 2)
    row = {**_described(job), **_compared(times), "target": target(job)}
    if job.trains and not job.graph:
        row |= _memory(networks, steps, images, job, device)
    if job.trains and not job.compiled and not job.graph:
        share = expansion_seconds(clock, networks["ours"], 3) * 1000 / row["ours_ms"]
        row["expansion_share"] = round(share, 4)
    if device.type == "cuda":
        row |= {f"{name}_synchronisations": synchronisations(step) for name, step in raw.items()}
    gc.collect()
    return row


def measure_apart(job: Job, device: torch.device, notes: list[str]) -> dict[str, Any]:
    """The row of a job. On a CPU it is measured in a new process.

    How often malloc returns memory to the kernel and asks for it again depends on the largest block that a
    process has ever freed. So earlier rows would change a row's times by up to a sixth.
    """
    if device.type != "cpu":
        return measure(job, device, notes)
    with ProcessPoolExecutor(1, multiprocessing.get_context("fork")) as process:
        row, found = process.submit(_measure_noted, job, device).result()
    notes.extend(found)
    return row


def _measure_noted(job: Job, device: torch.device) -> tuple[dict[str, Any], list[str]]:
    notes: list[str] = []
    return measure(job, device, notes), notes


def _has_onnx(job: Job, device: torch.device) -> bool:
    exported_here = job.mode == "released" and job.dtype == "float32" and device.type == "cpu"
    return exported_here and not job.compiled and is_installed()


def _onnx_step(network: nn.Module, images: Tensor) -> Step:
    assert isinstance(network, Encoder)  # noqa: S101 - stages are trained only
    # in the memory layout of ONNX, not in ours
    run, images = session(network), images.contiguous()
    return lambda: run(images)


_MAKERS: dict[str, Callable[[Case], nn.Module]] = {"plain": plain, "ours": ours, "escnn": escnn}


def _described(job: Job) -> dict[str, Any]:
    values = asdict(job.case) | {"mode": job.mode, "dtype": job.dtype, "compiled": job.compiled}
    return values | {"rounds": job.rounds, "channels_in": job.case.channels, "cuda_graph": job.graph}


def _compared(times: dict[str, list[float]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    pairs = [("ours", "plain"), ("escnn", "plain"), ("ours", "escnn")]
    pairs += [("ours", peer) for peer in ("plain_folded", "onnx_runtime") if peer in times]
    for name, to in pairs:
        found[f"{name}_vs_{to}"], found[f"{name}_vs_{to}_quartiles"] = ratio(times, name, to)
    for name, seconds in times.items():
        found[f"{name}_ms"] = round(1000 * sorted(seconds)[len(seconds) // 2], 2)
    return found


def _images(case: Case, device: torch.device) -> dict[str, Tensor]:
    """Images for each network, in the layout that it runs fastest on."""
    generator = torch.Generator().manual_seed(1)
    images = torch.randn(case.batch, case.channels, case.side, case.side, generator=generator).to(device)
    last = images.contiguous(memory_format=torch.channels_last)
    theirs = images if case.encoder == "stage" else last
    return {"plain": last, "plain_folded": last, "ours": last, "escnn": theirs}


def _settle(network: nn.Module, images: Tensor) -> None:
    """Let batch norms see images, so that no map is huge or vanishes in eval mode."""
    network.train()
    with torch.no_grad():
        for _ in range(2):
            network(images[:8])


def _in_mode(network: nn.Module, name: str, mode: str) -> nn.Module:
    if mode in ("train", "stage"):
        return network.train()
    if mode.startswith("released") and name == "ours":
        assert isinstance(network, Encoder)  # noqa: S101 - stages are trained only
        # as `load_encoder` gives it
        return accelerate(release(network, fold=mode == "released"))
    if mode.startswith("released") and name == "escnn":
        return exported(network)
    if name == "plain_folded":
        return folded(network)
    return network.eval()


def _step(
    run: Callable[[Tensor], Tensor], network: nn.Module, images: Tensor, job: Job, device: torch.device
) -> Step:
    """A training step (gradients, loss, optimiser) or an inference."""
    precision = getattr(torch, job.dtype)
    if not job.trains:

        def infer() -> None:
            with torch.no_grad(), _cast(device, precision):
                run(images)

        return infer
    optimiser = torch.optim.SGD(network.parameters(), lr=1e-4, momentum=0.9)
    # inside a network the convolution also computes the gradient of its input
    images = images.detach().requires_grad_(job.mode == "stage")

    def train() -> None:
        optimiser.zero_grad()
        images.grad = None
        with _cast(device, precision):
            result = run(images)
        result.float().square().mean().backward()
        optimiser.step()

    return train


def _cast(device: torch.device, precision: torch.dtype) -> AbstractContextManager[object]:
    return autocast(device, precision)


def _compiled(
    networks: dict[str, nn.Module],
    images: dict[str, Tensor],
    job: Job,
    device: torch.device,
    notes: list[str],
) -> dict[str, Any]:
    """Compile each network with torch.compile as one graph; escnn's stays as it is if that fails.

    escnn's filter expansion reads numbers from tensors, which breaks the graph, and compiling its pieces one
    by one takes minutes for each network.

    Raises:
        RuntimeError: if ours or the plain one does not compile.
    """
    found: dict[str, Any] = {}
    # once for a row, because it would also drop what has been compiled for the row's other networks
    torch._dynamo.reset()
    for name, network in networks.items():
        run = torch.compile(network, fullgraph=True)
        started = time.monotonic()
        try:
            _step(run, network, images[name], job, device)()
        except Exception as error:
            reason = str(error).strip().splitlines()[0][:120]
            if name != "escnn":
                raise RuntimeError(f"{name} does not compile: {reason}") from error
            notes.append(f"{job.name}: escnn does not compile as one graph and runs eagerly ({reason})")
            run = network
        print(f"    {name}: {time.monotonic() - started:.0f} s in the compiler", file=sys.stderr)
        found[name] = run
    return found


def _captured(step: Step, name: str, job: Job, notes: list[str]) -> Step:
    """The step as one CUDA graph, or unchanged if it waits for the device, which a graph cannot do."""
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(3):
            step()
        waits = synchronisations(step)
    torch.cuda.current_stream().wait_stream(stream)
    if waits:
        notes.append(f"{job.name}: {name} waits for the device {waits} times a step and is no graph")
        return step
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        step()
    return graph.replay


def _memory(
    networks: dict[str, nn.Module],
    steps: dict[str, Step],
    images: dict[str, Tensor],
    job: Job,
    device: torch.device,
) -> dict[str, int]:
    """Peak bytes of a step on a CUDA device; elsewhere those that are kept for the backward pass."""
    if device.type == "cuda":
        return {f"{name}_bytes": device_peak_bytes(step, device) for name, step in steps.items()}
    if job.compiled:
        return {}
    found = {}
    for name, network in networks.items():

        def forward(network: nn.Module = network, images: Tensor = images[name]) -> Tensor:
            with _cast(device, getattr(torch, job.dtype)):
                result: Tensor = network(images)
            return result

        found[f"{name}_bytes"] = saved_bytes(forward, network)
    return found
