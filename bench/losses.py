"""What absorbing turns costs: NT-Xent with similarity max against the plain loss, forward and backward.

    python bench/losses.py [--quick] [--json FILE] [--groups C4,D4] [--batches 256,1024] [--numbers 1024]
                           [--dtypes float32,bfloat16] [--device auto] [--threads N] [--rounds N] [--step]

All rows have embeddings of equally many numbers. Times are relative to `nt_xent` with kind None, which is
computed in the same blocks: of the absorbed loss through the Fourier transform of the group (`ours`), of the
same loss from the correlation computed directly (`direct`), and of the plain loss with a table of all pairs,
as other libraries write it (`table`). A ratio is the median over rounds of the ratios within a round. Memory
is the highest of a process of its own (of the device, on CUDA) beyond what it has before the step. --step
adds whole training steps of ResNet-18 with D4 at batch 256, absorbed against plain, one of each type.
"""

from __future__ import annotations

import argparse
import multiprocessing
import sys
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from _measuring import Clock, Step, device_name, device_peak_bytes, interleaved, ratio
from rich.console import Console
from rich.table import Table
from torch import Tensor

from eqssl import pretexts
from eqssl.config.encoders import EncoderSettings
from eqssl.config.params import Params
from eqssl.config.pretexts import PretextSettings
from eqssl.losses import group_products, nt_xent
from eqssl.machine.files import write_json
from eqssl.machine.memory import keep_freed_memory
from eqssl.machine.provenance import record
from eqssl.pretexts import base
from eqssl.symmetry import group, group_names
from eqssl.training.device import choose_device
from eqssl.training.precision import autocast

ROOT = Path(__file__).parent.parent
TEMPERATURE = 0.2
WANTED = {"D8": 4.0, "O2": 4.0}
"""Largest time of the absorbed loss; of all other groups 2.5."""
WANTED_MEMORY, WANTED_STEP = 1.1, 1.03
MOST_DIRECT = 512
"""Largest batch for which the direct way and the table are measured: they take minutes beyond."""
MANY, FEW_ROUNDS = 2048, 3
"""From batches of the first size on, so many rounds at most are measured."""
FORMS = ("plain", "ours", "direct", "table")


def table_of_all_pairs(z: Tensor) -> Tensor:
    """Plain NT-Xent with the similarities of all pairs in memory."""
    u = F.normalize(z.flatten(1).float(), dim=1)
    logits = (u @ u.t() / TEMPERATURE).fill_diagonal_(float("-inf"))
    half = len(z) // 2
    return F.cross_entropy(logits, torch.arange(len(z), device=z.device).roll(half))


def loss_step(form: str, name: str, batch: int, numbers: int, dtype: str, device: torch.device) -> Step:
    """Forward and backward pass of one form of the loss."""
    G = group(name)
    fields = max(1, numbers // G.order)
    generator = torch.Generator().manual_seed(0)
    z = torch.randn(2 * batch, fields, G.order, generator=generator).to(device, getattr(torch, dtype))
    z.requires_grad_()
    few = 10**9 if form == "direct" else group_products.FEW_FIELDS

    def step() -> None:
        z.grad = None
        if form == "table":
            table_of_all_pairs(z).backward()
            return
        before, group_products.FEW_FIELDS = group_products.FEW_FIELDS, few
        nt_xent(*z.chunk(2), G, None if form == "plain" else "max", TEMPERATURE).backward()
        group_products.FEW_FIELDS = before

    return step


def peak_megabytes(form: str, name: str, batch: int, numbers: int, dtype: str, device: str) -> float:
    """Highest memory of a step, beyond the memory before it. On a CPU, run it in a process of its own."""
    place = torch.device(device)
    if place.type == "cpu":
        torch.set_num_threads(1)
    # a small step first, so that libraries are loaded
    loss_step(form, name, 8, numbers, dtype, place)()
    step = loss_step(form, name, batch, numbers, dtype, place)
    if place.type == "cuda":
        return device_peak_bytes(step, place) / 1e6
    before = _status("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # the highest memory so far is forgotten
    step()
    return (_status("VmHWM") - before) / 1e3


def _status(key: str) -> int:
    """Kilobytes of this process, as Linux counts them."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith(f"{key}:")).split()[1])


def memory(forms: list[str], *told: Any) -> dict[str, float]:
    """Memory of each form: on a CPU of a fresh process, on CUDA as the allocator counts it."""
    if torch.device(told[-1]).type == "cuda":
        return {form: round(peak_megabytes(form, *told), 1) for form in forms}
    found = {}
    for form in forms:
        with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
            found[form] = round(pool.submit(peak_megabytes, form, *told).result(), 1)
    return found


def measure(
    name: str, batch: int, dtype: str, options: argparse.Namespace, device: torch.device
) -> dict[str, Any]:
    """One row."""
    forms = [form for form in FORMS if batch <= MOST_DIRECT or form in ("plain", "ours")]
    told = (name, batch, options.numbers, dtype)
    steps = {form: loss_step(form, *told, device) for form in forms}
    rounds = min(options.rounds, FEW_ROUNDS) if batch >= MANY else options.rounds
    times = interleaved(Clock(device), steps, rounds, warm_up=1)
    row: dict[str, Any] = {"group": name, "batch": batch, "dtype": dtype, "numbers": options.numbers}
    for form in forms[1:]:
        row[f"{form}_vs_plain"], row[f"{form}_quartiles"] = ratio(times, form)
    row["plain_ms"] = round(1000 * sorted(times["plain"])[rounds // 2], 2)
    row["wanted"] = WANTED.get(name, 2.5)
    if options.memory and dtype == "float32":
        measured = ["plain", "ours", *(["table"] if "table" in forms else [])]
        row["peak_mb"] = memory(measured, *told, str(device))
        row["memory_vs_plain"] = round(row["peak_mb"]["ours"] / max(row["peak_mb"]["plain"], 0.1), 3)
    return row


def whole_step(dtype: str, options: argparse.Namespace, device: torch.device) -> dict[str, Any]:
    """A training step of ResNet-18, D4, batch 256: absorbed against plain, with equally large embeddings."""
    params = Params.load(ROOT / "params.yaml")
    encoder = EncoderSettings.read(
        {**params.encoder.plain(), "name": "resnet18", "width": list(RESNET_WIDTH)}
    )
    params = params.model_copy(update={"group": "D4", "encoder": encoder})
    generator = torch.Generator(device).manual_seed(0)
    images = torch.randint(0, 256, (256, 3, 32, 32), dtype=torch.uint8, device=device)
    steps: dict[str, Step] = {}
    for name, entry in (("plain", "contrastive"), ("ours", "inv_contrastive")):
        values = {**params.pretexts[entry].alone().plain(), "hidden": 1024, "embedding": options.numbers}
        changed = params.model_copy(update={"pretexts": {"one": PretextSettings.read(values)}})
        pretext = pretexts.build("one", changed, image_shape=(3, 32, 32)).to(device).train()
        optimiser = torch.optim.SGD([p for p in pretext.parameters() if p.requires_grad], 0.01)

        def step(pretext: base.Pretext = pretext, optimiser: torch.optim.SGD = optimiser) -> None:
            optimiser.zero_grad()
            with autocast(device, getattr(torch, dtype)):
                loss = pretext(base.Step(images, None, generator, 0.0)).loss
            loss.backward()
            optimiser.step()

        steps[name] = step
    rounds = max(3, options.rounds // 2)
    times = interleaved(Clock(device), steps, rounds, warm_up=1)
    median, quartiles = ratio(times, "ours")
    seconds = sorted(times["plain"])[rounds // 2]
    return {
        "encoder": "resnet18",
        "group": "D4",
        "batch": 256,
        "dtype": dtype,
        "ours_vs_plain": median,
        "quartiles": quartiles,
        "plain_s": round(seconds, 4),
        "wanted": WANTED_STEP,
    }


RESNET_WIDTH = (64, 128, 256, 512)


def show(rows: list[dict[str, Any]], steps: list[dict[str, Any]]) -> None:
    """Print the rows."""
    table = Table(title="NT-Xent, forward and backward, relative to the plain loss: median (quartiles)")
    for heading in ("group", "batch", "dtype"):
        table.add_column(heading)
    for heading in ("ours", "wanted", "direct", "table", "plain, ms", "memory"):
        table.add_column(heading, justify="right")
    for row in rows:
        missed = row["ours_vs_plain"] > row["wanted"]
        ours = _text(row, "ours")
        table.add_row(
            row["group"],
            str(row["batch"]),
            row["dtype"],
            f"[bold red]{ours}[/]" if missed else ours,
            f"{row['wanted']:.1f}",
            _text(row, "direct"),
            _text(row, "table"),
            f"{row['plain_ms']:.1f}",
            f"{row['memory_vs_plain']:.2f}" if "memory_vs_plain" in row else "",
        )
    console = Console(width=130)
    console.print(table)
    for step in steps:
        console.print(
            f"ResNet-18, D4, batch 256, {step['dtype']}, a whole step: {step['ours_vs_plain']:.3f} "
            f"({step['quartiles'][0]:.3f}-{step['quartiles'][1]:.3f}), wanted {WANTED_STEP}"
        )


def _text(row: dict[str, Any], form: str) -> str:
    if f"{form}_vs_plain" not in row:
        return ""
    low, high = row[f"{form}_quartiles"]
    return f"{row[f'{form}_vs_plain']:.2f} ({low:.2f}-{high:.2f})"


def main() -> int:
    """Measure, print a table, and write JSON if asked for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="C4 and D4, batch 256, few rounds")
    parser.add_argument("--json", type=Path, help="file for the results")
    parser.add_argument("--groups", help="names, with commas between them")
    parser.add_argument("--batches", help="images of a batch, with commas between them")
    parser.add_argument("--dtypes", default="float32,bfloat16", help="types of the embeddings")
    parser.add_argument("--numbers", type=int, default=1024, help="numbers of an embedding, fields x |G|")
    parser.add_argument("--device", default="auto", help="auto, cpu or cuda")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, help="rounds that count")
    parser.add_argument("--memory", action=argparse.BooleanOptionalAction, default=True)
    parser.add_argument("--step", action="store_true", help="also whole steps of ResNet-18")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    keep_freed_memory()
    device = choose_device(options.device)
    groups = options.groups.split(",") if options.groups else ["C4", "D4"] if options.quick else group_names()
    batches = options.batches or ("256" if options.quick else "256,1024,8192")
    options.rounds = options.rounds or (3 if options.quick else 7)
    rows = []
    for batch in map(int, batches.split(",")):
        for dtype in options.dtypes.split(","):
            for name in groups:
                rows.append(measure(name, batch, dtype, options, device))
                print(f"{name} {batch} {dtype}: {_text(rows[-1], 'ours')}", file=sys.stderr, flush=True)
    dtypes = options.dtypes.split(",") if options.step else []
    steps = [whole_step(dtype, options, device) for dtype in dtypes]
    show(rows, steps)
    if options.json:
        machine = record() | {"threads": torch.get_num_threads(), "device": device_name(device)}
        result = {"benchmark": "losses", "machine": machine, "rows": rows, "steps": steps}
        write_json(options.json, result)
    return 0


if __name__ == "__main__":
    sys.exit(main())
