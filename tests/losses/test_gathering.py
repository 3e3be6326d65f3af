"""Two processes, each with half of a batch, have the loss and the gradients of one process with all of it."""

import sys
from pathlib import Path

import pytest
import torch
import torch.multiprocessing as multiprocessing

ROOT = Path(__file__).parents[2]
HALF, FIELDS = 4, 3


def embeddings(order: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(5)
    return torch.randn(2, 2 * HALF, FIELDS, order, generator=generator, dtype=torch.float64)


def weighted(z1, z2, weight, loss, name, kind):
    """The loss of embeddings that a weight scales, so that there is a gradient of something shared."""
    from eqssl import losses
    from eqssl.symmetry import group

    return getattr(losses, loss)(z1 * weight, z2 + weight, group(name), kind=kind)


def train(rank: int, folder: str, loss: str, name: str, kind: str | None) -> None:
    """What one of two processes computes; it writes the means over both."""
    import torch.distributed as dist

    sys.path.insert(0, str(ROOT))
    from eqssl.symmetry import group

    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=2)
    own = slice(rank * HALF, (rank + 1) * HALF)
    z = embeddings(group(name).order)[:, own].clone().requires_grad_()
    weight = torch.full((FIELDS, 1), 0.7, dtype=torch.float64, requires_grad=True)
    value = weighted(z[0], z[1], weight, loss, name, kind)
    value.backward()
    mean = torch.cat([value.detach()[None], weight.grad.flatten()])
    dist.all_reduce(mean)
    torch.save({"mean": mean / 2, "z": z.grad / 2}, f"{folder}/{rank}.pt")
    dist.destroy_process_group()


@pytest.mark.parametrize(
    ("loss", "name", "kind"),
    [
        ("nt_xent", "C4", "max"),
        ("nt_xent", "D4", "softmax"),
        ("nt_xent", "C4", None),
        ("moco", "D4", "max"),
        ("moco_v3", "C4", "max"),
    ],
)
def test_two_processes_equal_one(tmp_path: Path, loss: str, name: str, kind: str | None):
    from eqssl.symmetry import group

    multiprocessing.spawn(train, (str(tmp_path), loss, name, kind), nprocs=2)
    found = [torch.load(tmp_path / f"{rank}.pt", weights_only=True) for rank in range(2)]
    z = embeddings(group(name).order).requires_grad_()
    weight = torch.full((FIELDS, 1), 0.7, dtype=torch.float64, requires_grad=True)
    value = weighted(z[0], z[1], weight, loss, name, kind)
    value.backward()
    expected = torch.cat([value.detach()[None], weight.grad.flatten()])
    for one in found:
        torch.testing.assert_close(one["mean"], expected, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(torch.cat([one["z"] for one in found], 1), z.grad, rtol=1e-10, atol=1e-12)
