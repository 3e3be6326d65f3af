"""Encoders trained by several processes, and as CUDA graphs."""

import copy
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from small_encoders import gradients, new, relative, statistics, trained_statistics
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from eqssl.encoders.base import Encoder
from eqssl.nn.convolution import GroupConv2d
from eqssl.nn.linear import EquivariantLinear
from eqssl.symmetry import GSet

GROUPS = ["D4", "C8", "SO2"]
HERE = Path(__file__).parent


# ---- many processes

TRAIN = """
import sys, torch
torch.set_num_threads(1)
import torch.distributed as dist
from test_processes import shard_gradients, two_steps
rank, folder = int(sys.argv[1]), sys.argv[2]
dist.init_process_group("gloo", init_method=f"file://{folder}/store", rank=rank, world_size=2)
results = {**two_steps(sys.argv[3], rank), "alone": shard_gradients(sys.argv[3], rank)}
torch.save(results, f"{folder}/rank{rank}")
dist.destroy_process_group()
"""


def shard(rank: int, step: int = 0) -> Tensor:
    return torch.randn(4, 1, 28, 28, generator=torch.Generator().manual_seed(10 * step + rank))


def headed(group_name: str, seed: int) -> nn.Module:
    """An encoder inside a larger network that also has tables."""
    encoder = new(group_name, seed=seed)
    elements = GSet.regular(encoder.group)
    generator = torch.Generator().manual_seed(seed)
    return nn.Sequential(
        encoder, EquivariantLinear(elements, elements, encoder.fields, 2, generator=generator)
    )


def two_steps(group_name: str, rank: int) -> dict:
    """What a process has after two steps, and what DDP sends around."""
    # other first weights in each process, which DDP replaces by those of the first
    network = headed(group_name, seed=rank)
    parallel = DistributedDataParallel(network)
    sent = [
        name for name, value in network.named_buffers() if any(value is b for b in parallel.modules_buffers)
    ]
    optimiser, kept = torch.optim.SGD(parallel.parameters(), 0.05), []
    for step in range(2):
        optimiser.zero_grad()
        parallel(shard(rank, step)).square().mean().backward()
        kept.append([parameter.grad.clone() for parameter in parallel.parameters()])
        optimiser.step()
    return {"sent": sent, "gradients": kept, "state": network.state_dict()}


def shard_gradients(group_name: str, rank: int) -> list[Tensor]:
    """The gradients of the first step, without DDP."""
    network = headed(group_name, seed=0)
    network(shard(rank)).square().mean().backward()
    return [parameter.grad for parameter in network.parameters()]


@pytest.mark.parametrize("group_name", GROUPS)
def test_two_processes_train_one_encoder_and_send_no_filters(group_name: str, tmp_path):
    commands = [[sys.executable, "-c", TRAIN, str(rank), str(tmp_path), group_name] for rank in (0, 1)]
    environment = {**os.environ, "PYTHONPATH": str(HERE.parent / "support")}
    started = [
        subprocess.Popen(
            command, cwd=HERE, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        for command in commands
    ]
    try:
        for process in started:
            _, text = process.communicate(timeout=240)
            assert process.returncode == 0, text
    finally:
        for process in started:
            process.kill()
    first, second = [torch.load(tmp_path / f"rank{rank}") for rank in (0, 1)]
    for name, value in first["state"].items():
        # each process keeps the statistics of its own last batch until the next step begins
        if ".running_" not in name:
            assert torch.equal(second["state"][name], value)
    for one, two in zip(first["gradients"], second["gradients"], strict=True):
        assert all(torch.equal(a, b) for a, b in zip(one, two, strict=True))
    means = [(a + b) / 2 for a, b in zip(first["alone"], second["alone"], strict=True)]
    found, expected = [torch.cat([g.flatten() for g in each]) for each in (first["gradients"][0], means)]
    assert relative(found, expected) < 1e-5
    assert first["sent"]
    assert all(".running_" in name for name in first["sent"])


@pytest.mark.parametrize("group_name", GROUPS)
def test_a_state_holds_coefficients_and_no_expanded_filter(group_name: str):
    encoder = trained_statistics(new(group_name, name="resnet18"))
    with torch.no_grad():
        encoder(torch.randn(1, 1, 28, 28))
    kinds = {name.rpartition(".")[2] for name in encoder.state_dict()}
    constants = {"basis", "index"} | ({"matrix"} if group_name == "SO2" else set())
    assert kinds == {"weight", "bias", "running_mean", "running_var"} | constants
    expanded = {tuple(layer.expand().shape) for layer in encoder.modules() if isinstance(layer, GroupConv2d)}
    assert not expanded & {tuple(value.shape) for value in encoder.state_dict().values()}


# ---- CUDA graphs

needs_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")


def captured_step(encoder: Encoder, images: Tensor) -> torch.cuda.CUDAGraph:
    """A graph of a forward and a backward pass; gradients are added to those that are there."""
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(3):
            encoder(images).square().mean().backward()
    torch.cuda.current_stream().wait_stream(stream)
    encoder.zero_grad(set_to_none=False)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        encoder(images).square().mean().backward()
    return graph


@needs_cuda
@pytest.mark.parametrize("encoder_name", ["cnn", "resnet18"])
@pytest.mark.parametrize("group_name", GROUPS)
def test_a_training_step_runs_as_a_cuda_graph(group_name: str, encoder_name: str):
    encoder = trained_statistics(new(group_name, name=encoder_name)).cuda().train()
    images = torch.randn(4, 1, 28, 28, device="cuda")
    graph = captured_step(encoder, images)
    for seed in (0, 1):
        with torch.no_grad():
            images.copy_(torch.randn(images.shape, generator=torch.Generator().manual_seed(seed)))
            for parameter in encoder.parameters():
                parameter.mul_(1.1)
        encoder.zero_grad(set_to_none=False)
        eager = copy.deepcopy(encoder)
        graph.replay()
        eager(images).square().mean().backward()
        assert relative(gradients(encoder), gradients(eager)) < 1e-4
        assert relative(statistics(encoder), statistics(eager)) < 1e-5


@needs_cuda
@pytest.mark.parametrize("group_name", GROUPS)
def test_an_evaluation_runs_as_a_cuda_graph_with_the_weights_of_its_replay(group_name: str):
    encoder = trained_statistics(new(group_name)).cuda()
    images = torch.randn(4, 1, 28, 28, device="cuda")
    with torch.no_grad():
        for _ in range(3):
            encoder(images)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            features = encoder(images)
        for parameter in encoder.parameters():
            parameter.data.mul_(1.2)
        graph.replay()
        assert relative(features, encoder(images)) < 1e-5
