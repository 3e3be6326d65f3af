"""One convolution on a CPU in its different ways, in turns in one process: where each of them pays.

    python bench/convolutions.py [--quick] [--json FILE] [--batches 16,64] [--sides 4,8] [--channels 64,256]
                                 [--kernels 3,5] [--dtypes float32,bfloat16] [--threads N] [--rounds N]

`interleaved` is `eqssl.nn.small_maps`, in training (forward and backward) and inference, `points` is
`eqssl.nn.winograd`, in inference alone; both are measured against torch's convolution of the same map in
channels_last, copies included. A ratio is the median over rounds of the ratios within a round. An asterisk
marks what the layers take: their rules (`pays` in both modules) come from this table.
"""

from __future__ import annotations

import argparse
import itertools
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from _measuring import Clock, Step, interleaved, ratio
from rich.console import Console
from rich.progress import track
from rich.table import Table
from torch import Tensor

from eqssl.machine.files import write_json
from eqssl.machine.memory import keep_freed_memory
from eqssl.machine.provenance import record
from eqssl.nn import small_maps, winograd

MOST_PRODUCTS = 25 * 10**8
"""Larger convolutions are left out: their maps are not small, or they take too long."""
LEAST_PRODUCTS = 10**8
"""A step repeats smaller ones until it has as many."""


@dataclass(frozen=True)
class Case:
    """A convolution that keeps the size of a square map.

    Attributes:
        batch: images.
        side: pixels of a side of the map.
        channels: that go in and out.
        kernel: side of the filter.
        dtype: `float32` or `bfloat16`.
        trains: whether the gradients are computed too.
    """

    batch: int
    side: int
    channels: int
    kernel: int
    dtype: str
    trains: bool

    @property
    def products(self) -> int:
        """Multiplications, those with padding included."""
        return self.batch * self.side**2 * self.channels**2 * self.kernel**2


def steps(case: Case) -> dict[str, Step]:
    """Each way to compute it."""
    precision, padding = getattr(torch, case.dtype), case.kernel // 2
    generator = torch.Generator().manual_seed(0)

    def drawn(first: int, side: int) -> Tensor:
        values = torch.randn(first, case.channels, side, side, generator=generator).to(precision)
        made: Tensor = values.contiguous(memory_format=torch.channels_last)
        return made.requires_grad_(case.trains)

    x, gradient = (drawn(case.batch, case.side) for _ in range(2))
    weight = drawn(case.channels, case.kernel)

    def repeated(convolve: Any) -> Step:
        def step() -> None:
            for _ in range(max(1, LEAST_PRODUCTS // case.products)):
                result = convolve()
                if case.trains:
                    torch.autograd.grad(result, (x, weight), gradient.detach())

        return step

    found = {
        "torch": repeated(lambda: F.conv2d(x, weight, None, 1, padding)),
        "interleaved": repeated(lambda: small_maps.convolve(x, weight)),
    }
    if not case.trains and case.dtype == "float32" and case.kernel in winograd.POSITIVE:
        filters = winograd.packed(weight, x)
        found["points"] = repeated(lambda: winograd.convolve(x, filters, None, rectified=False))
    return found


def measure(case: Case, rounds: int) -> dict[str, Any]:
    """The row of a case."""
    with torch.set_grad_enabled(case.trains):
        times = interleaved(Clock(torch.device("cpu")), steps(case), rounds)
    x = torch.empty(case.batch, case.channels, case.side, case.side, dtype=getattr(torch, case.dtype))
    row: dict[str, Any] = asdict(case) | {"torch_ms": round(1000 * sorted(times["torch"])[rounds // 2], 3)}
    for name in list(times)[1:]:
        row[name], row[f"{name}_quartiles"] = ratio(times, name, "torch")
    points = "points" in row and winograd.pays(x, case.channels, case.kernel)
    pays = small_maps.pays(x, case.channels, case.kernel)
    return row | {"taken": "points" if points else "interleaved" if pays else "torch"}


def cases(options: argparse.Namespace) -> Iterator[Case]:
    """Every combination of the options that is small enough."""
    axes = (options.batches, options.sides, options.channels, options.kernels, options.dtypes)
    for values in itertools.product(*axes, (True, False)):
        case = Case(*values)
        if case.products <= MOST_PRODUCTS:
            yield case


def show(rows: list[dict[str, Any]]) -> None:
    """Print the table."""
    table = Table(title="Time relative to torch's convolution: median (quartiles)")
    for heading in ("batch", "side", "channels", "kernel", "dtype", "pass", "torch, ms"):
        table.add_column(heading, justify="right")
    ways = ("interleaved", "points")
    for way in ways:
        table.add_column(way, justify="right")
    for row in rows:
        ratios = [_ratio(row, way) for way in ways]
        fixed = [str(row[key]) for key in ("batch", "side", "channels", "kernel", "dtype")]
        table.add_row(*fixed, "train" if row["trains"] else "infer", str(row["torch_ms"]), *ratios)
    Console(width=130).print(table)


def _ratio(row: dict[str, Any], way: str) -> str:
    if way not in row:
        return ""
    low, high = row[f"{way}_quartiles"]
    return f"{row[way]:.2f} ({low:.2f}-{high:.2f}){'*' if row['taken'] == way else ' '}"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="a few cases, in less than 20 s")
    parser.add_argument("--json", type=Path, help="file for the results")
    parser.add_argument("--batches", type=_numbers)
    parser.add_argument("--sides", type=_numbers)
    parser.add_argument("--channels", type=_numbers)
    parser.add_argument("--kernels", type=_numbers)
    parser.add_argument("--dtypes", type=lambda text: text.split(","), default=["float32", "bfloat16"])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=7)
    return parser


def _numbers(text: str) -> list[int]:
    return [int(word) for word in text.split(",")]


def main() -> int:
    """Measure, print the table, and write JSON where asked."""
    options = _parser().parse_args()
    quick = options.quick
    options.batches = options.batches or ([64] if quick else [16, 64])
    options.sides = options.sides or ([4, 8] if quick else [2, 3, 4, 5, 6, 7, 8, 14, 16])
    options.channels = options.channels or ([64, 256] if quick else [16, 32, 64, 128, 256, 512])
    options.kernels = options.kernels or ([3] if quick else [3, 5])
    torch.set_num_threads(options.threads)
    kept = keep_freed_memory()
    every = list(cases(options))
    rows = [measure(case, options.rounds) for case in track(every, "Measuring", console=Console(stderr=True))]
    show(rows)
    if options.json:
        machine = record() | {"threads": options.threads, "keeps_memory": kept}
        write_json(options.json, {"benchmark": "convolutions", "machine": machine, "rows": rows})
    return 0


if __name__ == "__main__":
    sys.exit(main())
