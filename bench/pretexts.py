"""What the labels of a pretext cost: its step compared with its encoder's on equally many pixels, in turns.

    python bench/pretexts.py [--quick] [--json FILE] [--groups C4,D4] [--pretexts eq_labels,eq_jigsaw]
                             [--device auto] [--threads N] [--batch N] [--rounds N]

A pretext step is everything that training does for a batch of stored images: corruption, encoder, head, loss,
backward pass and optimiser. It is compared with a step of the same encoder alone, on a tensor of the shape
that the pretext gives it, with the mean square of its features as the loss. A ratio is the median over rounds
of the ratios within a round. Memory that is freed stays with the process, as in the commands of eqssl.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

import torch
from _measuring import Clock, Step, device_name, interleaved, ratio
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn

from eqssl import pretexts
from eqssl.config.params import Params
from eqssl.machine.files import write_json
from eqssl.machine.memory import keep_freed_memory
from eqssl.machine.provenance import record
from eqssl.pretexts import base
from eqssl.training.device import choose_device

ROOT = Path(__file__).parent.parent
WANTED = 1.15
TASKS = ("eq_labels", "labels", "eq_jigsaw", "jigsaw", "eq_orientation", "orientation", "eq_ring")


def encoded_shape(pretext: base.Pretext, images: Tensor) -> tuple[int, ...]:
    """The shape of the tensor that a step of the pretext gives its encoder."""
    seen: list[tuple[int, ...]] = []
    hook = pretext.encoder.register_forward_pre_hook(lambda _, inputs: seen.append(tuple(inputs[0].shape)))
    pretext(base.Step(images, None, torch.Generator(images.device), 0.0))
    hook.remove()
    (shape,) = seen
    return shape


def optimised(network: nn.Module, loss: Any) -> Step:
    """A training step with a loss given by a function."""
    optimiser = torch.optim.AdamW(network.parameters(), lr=1e-4)

    def step() -> None:
        optimiser.zero_grad()
        loss().backward()
        optimiser.step()

    return step


def measure(name: str, params: Params, batch: int, rounds: int, device: torch.device) -> dict[str, Any]:
    """One row."""
    pretext = pretexts.build(name, params).to(device).train()
    # one encoder for both, because the place of its weights in memory changes times by some per cent
    encoder = pretext.encoder
    generator = torch.Generator(device).manual_seed(0)
    images = torch.randint(0, 256, (batch, 1, 28, 28), dtype=torch.uint8, device=device)
    shape = encoded_shape(pretext, images)
    inputs = torch.randn(shape, device=device).contiguous(memory_format=torch.channels_last)
    steps = {
        "pretext": optimised(pretext, lambda: pretext(base.Step(images, None, generator, 0.0)).loss),
        "encoder": optimised(encoder, lambda: encoder(inputs).square().mean()),
    }
    times = interleaved(Clock(device), steps, rounds)
    median, quartiles = ratio(times, "pretext", "encoder")
    return {
        "pretext": name,
        "group": params.group,
        "batch": batch,
        "encoded": list(shape),
        "pretext_vs_encoder": median,
        "quartiles": quartiles,
        "encoder_ms": round(1000 * sorted(times["encoder"])[rounds // 2], 2),
        "wanted": WANTED,
    }


def show(rows: list[dict[str, Any]]) -> None:
    """Print the rows."""
    table = Table(
        title="A step of a pretext, relative to its encoder's on as many pixels: median (quartiles)"
    )
    for heading in ("pretext", "group", "batch", "encoded"):
        table.add_column(heading)
    for heading in ("pretext / encoder", "wanted", "encoder, ms"):
        table.add_column(heading, justify="right")
    for row in rows:
        low, high = row["quartiles"]
        text = f"{row['pretext_vs_encoder']:.3f} ({low:.2f}-{high:.2f})"
        style = "" if row["pretext_vs_encoder"] <= WANTED else "bold red"
        table.add_row(
            row["pretext"],
            row["group"],
            str(row["batch"]),
            " x ".join(map(str, row["encoded"])),
            f"[{style}]{text}[/]" if style else text,
            f"{WANTED:.2f}",
            f"{row['encoder_ms']:.1f}",
        )
    Console(width=130).print(table)


def main() -> int:
    """Measure, print a table, and write JSON if asked for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="C4 and few rounds only")
    parser.add_argument("--json", type=Path, help="file for the results")
    parser.add_argument("--groups", help="names, with commas between them")
    parser.add_argument("--pretexts", help="names in params.yaml, with commas between them")
    parser.add_argument("--device", default="auto", help="auto, cpu or cuda")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--batch", type=int, help="images of a step")
    parser.add_argument("--rounds", type=int, help="rounds that count")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    keep_freed_memory()
    device = choose_device(options.device)
    groups = (options.groups or ("C4" if options.quick else "trivial,C4,D4")).split(",")
    names = options.pretexts.split(",") if options.pretexts else list(TASKS)
    rounds = options.rounds or (5 if options.quick else 15)
    batch = options.batch or (512 if device.type == "cuda" else 128)
    params = Params.load(ROOT / "params.yaml")
    rows = []
    for name in names:
        for group in groups:
            changed = params.model_copy(update={"group": group})
            rows.append(measure(name, changed, batch, rounds, device))
            print(f"{name} {group}: {rows[-1]['pretext_vs_encoder']:.3f}", file=sys.stderr)
    show(rows)
    if options.json:
        machine = record() | {"threads": torch.get_num_threads(), "device": device_name(device)}
        write_json(options.json, {"benchmark": "pretexts", "machine": machine, "rows": rows})
    return 0


if __name__ == "__main__":
    sys.exit(main())
