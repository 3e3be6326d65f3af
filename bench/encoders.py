"""Compare our encoders with plain torch (the same convolution shapes) and escnn, in turns in one process.

    python bench/encoders.py [--quick] [--json FILE] [--groups C4,D4] [--kernels 3,5] [--modes train,eval]
                             [--dtypes float32,bfloat16] [--device auto] [--rounds N] [--forms eager,compiled]

A row compares three networks of one architecture: ours; plain torch in channels_last with as many channels
(an ordinary convolution, BatchNorm2d, ReLU); and escnn's modules. In each round each runs once. A ratio is
the median over rounds of the ratios within a round, so that a busy machine slows down all of them alike.
Modes:

    train               zero_grad, forward, backward and SGD step
    eval                inference in eval mode; ours and escnn keep their filters
    released            our exported network with batch norms folded, escnn's exported one, plain torch, and
                        plain torch with torch's own folding; on a CPU in float32 also our ONNX file in ONNX
                        Runtime, and batches of 1, 32 and 256
    released_unfolded   the same with batch norms as a factor and a summand
    stage               a training step of convolution, batch norm and non-linearity, for SO2 and O2

On a CPU one thread is used and processor time is measured. The ResNet-18 in the rows for every group is
narrow. Each row runs in a new process, because how often malloc returns memory to the kernel and asks for it
again depends on everything that a process did before. With --keep-memory it never returns memory, as in the
commands of eqssl.

On a CUDA device the ResNet-18 has the papers' widths, the batch is 512, and each row counts how often a step
waits for the device; rows are measured eager, as CUDA graphs (without the time of launches, if the step does
not wait for the device), and compiled as CUDA graphs. Without --quick, whole ResNets are measured too, and
compiled networks, which take inductor about a minute each. The JSON is written after every row.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from _construction import construction
from _measuring import device_name
from _networks import Case
from _rows import MODES, Job, measure_apart
from _tables import line, show

from eqssl.machine.files import write_json
from eqssl.machine.memory import keep_freed_memory
from eqssl.machine.provenance import record
from eqssl.symmetry import group, group_names
from eqssl.training.compiling import missing_compiler
from eqssl.training.device import choose_device

NARROW = (32, 64, 128, 256)
"""Channels of the stages of the ResNet-18 in the rows for every group and kernel: all at least 32."""
CUDA_BATCH = 512
EXPORT_BATCHES = (1, 32, 256)
"""Batch sizes of exported networks on a CPU."""


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="a few rows and rounds, in less than 50 s")
    parser.add_argument("--json", type=Path, help="file for the results")
    parser.add_argument("--groups", type=_words, help="names, with commas between them")
    parser.add_argument("--kernels", type=_numbers, help="3, 5 or 3,5")
    parser.add_argument("--modes", type=_words, help=f"some of {','.join(MODES)}")
    parser.add_argument("--dtypes", type=_words, help="float32, bfloat16 or both")
    parser.add_argument("--device", default="auto", help="auto, cpu or cuda")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, help="rounds that count")
    parser.add_argument("--batch", type=int, help="images of a step of the rows for every group")
    parser.add_argument("--forms", type=_words, help="some of eager, graph (on a CUDA device), compiled")
    parser.add_argument("--keep-memory", action="store_true", help="as the commands of eqssl do")
    parts = parser.add_mutually_exclusive_group()
    parts.add_argument("--rows-only", action="store_true", help="no whole ResNets, and no construction")
    parts.add_argument("--whole-only", action="store_true", help="whole ResNets, eager, and nothing else")
    return parser


def _words(text: str) -> list[str]:
    return text.split(",")


def _numbers(text: str) -> list[int]:
    return [int(word) for word in text.split(",")]


def _filled(options: argparse.Namespace) -> argparse.Namespace:
    """Fill in options that were not given, by the kind of run and the device."""
    quick = options.quick
    options.device = choose_device(options.device)
    on_cuda = options.device.type == "cuda"
    everything = [name for name in group_names() if name != "trivial"]
    options.groups = options.groups or (["D4", "SO2"] if quick else everything)
    options.kernels = options.kernels or ([3] if quick else [3, 5])
    options.modes = options.modes or (["train", "released", "stage"] if quick else list(MODES))
    options.dtypes = options.dtypes or (["float32"] if quick else ["float32", "bfloat16"])
    options.rounds = options.rounds or (3 if quick else 15 if on_cuda else 9)
    options.batch_given = options.batch is not None
    options.batch = options.batch or (CUDA_BATCH if on_cuda else 32 if quick else 64)
    every = ["eager", *(["graph"] if on_cuda else []), "compiled"]
    options.forms = options.forms or (["eager"] if quick else every)
    return options


def _jobs(options: argparse.Namespace) -> Iterator[Job]:
    """Every row, the cheap ones first."""
    on_cuda = options.device.type == "cuda"
    if options.whole_only:
        yield from _whole(options)
        return
    if "eager" in options.forms:
        yield from _rows_of(options, compiled=False)
    if "graph" in options.forms:
        yield from _rows_of(options, compiled=False, graph=True)
    if not options.quick and not options.rows_only:
        yield from _whole(options)
    if "compiled" in options.forms and not missing_compiler(options.device):
        yield from _rows_of(options, compiled=True, graph=on_cuda)


def _rows_of(options: argparse.Namespace, compiled: bool, graph: bool = False) -> Iterator[Job]:
    """Rows for every group, kernel, mode and type."""
    for name in options.groups:
        for kernel in options.kernels:
            continuous = group(name).is_continuous
            case = Case(
                encoder="stage" if continuous else "resnet18",
                group=name,
                kernel=kernel,
                width=(64,) if continuous else None if options.device.type == "cuda" else NARROW,
                side=32,
                batch=options.batch,
            )
            for mode in options.modes:
                if (mode == "stage") == continuous:
                    for dtype in options.dtypes:
                        for batch in _batches(options, mode, dtype, compiled):
                            sized = replace(case, batch=batch)
                            yield Job(sized, mode, dtype, compiled, options.rounds, graph)


def _batches(options: argparse.Namespace, mode: str, dtype: str, compiled: bool) -> tuple[int, ...]:
    """Batch sizes of a row; several for exported networks, which are also used with few images."""
    several = mode == "released" and dtype == "float32" and options.device.type == "cpu" and not compiled
    if not several or options.batch_given:
        return (options.batch,)
    return EXPORT_BATCHES[: 2 if options.quick else 3]


def _whole(options: argparse.Namespace) -> Iterator[Job]:
    """ResNet-18 and ResNet-50 with the widths of the papers, in training and exported."""
    on_cuda = options.device.type == "cuda"
    for encoder, side, batch in (("resnet18", 32, 64), ("resnet50", 224, 4)):
        for name in options.groups:
            case = Case(encoder, name, 3, None, side, CUDA_BATCH if on_cuda else batch)
            if group(name).is_continuous:
                continue
            for mode in options.modes:
                for dtype in options.dtypes:
                    if mode in ("train", "released"):
                        rounds = max(3, options.rounds // 2)
                        # a batch of 256 images of 224 pixels would take minutes
                        several = _batches(options, mode, dtype, False) if encoder == "resnet18" else ()
                        for number in several if len(several) > 1 else (case.batch,):
                            yield Job(replace(case, batch=number), mode, dtype, False, rounds)


def _measured(options: argparse.Namespace, notes: list[str]) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    started = time.monotonic()
    jobs = list(_jobs(options))
    for number, job in enumerate(jobs, 1):
        print(f"[{time.monotonic() - started:5.0f} s] {number}/{len(jobs)} {job.name}", file=sys.stderr)
        try:
            row = measure_apart(job, options.device, notes)
            rows.append(row | {"keeps_memory": options.keep_memory})
        except (RuntimeError, NotImplementedError) as error:
            notes.append(f"{job.name}: {str(error).splitlines()[0]}")
            print(f"    {notes[-1]}", file=sys.stderr)
            continue
        print(f"    {line(rows[-1])}", file=sys.stderr)
        _write(options, _result(options, rows, [], notes))
    return rows


def _result(
    options: argparse.Namespace,
    rows: list[dict[str, Any]],
    construction: list[dict[str, Any]],
    notes: list[str],
) -> dict[str, Any]:
    return {
        "benchmark": "encoders",
        "machine": _machine(options),
        "rows": rows,
        "expansion": _column(rows, "expansion_share"),
        "memory": _column(rows, "plain_bytes", "ours_bytes", "escnn_bytes"),
        "construction": construction,
        "notes": notes,
    }


def _write(options: argparse.Namespace, result: dict[str, Any]) -> None:
    if options.json:
        write_json(options.json, result)


def _constructions(options: argparse.Namespace, notes: list[str]) -> list[dict[str, Any]]:
    names = [] if options.rows_only or options.whole_only else ["D4"] if options.quick else options.groups
    found = []
    for name in names:
        print(f"construction of ResNet-18 for {name}, cold and warm", file=sys.stderr)
        try:
            found.append(construction(name))
        except subprocess.CalledProcessError as error:
            notes.append(f"construction for {name}: {(error.stderr or '?').strip().splitlines()[-1]}")
    return found


def _machine(options: argparse.Namespace) -> dict[str, Any]:
    return record() | {"threads": torch.get_num_threads(), "device": device_name(options.device)}


def _column(rows: Sequence[dict[str, Any]], *keys: str) -> list[dict[str, Any]]:
    """Some values of the rows that have them, with the names of the rows."""
    named = ("encoder", "group", "kernel", "dtype", "compiled", "cuda_graph", "batch")
    return [{key: row[key] for key in (*named, *keys)} for row in rows if all(key in row for key in keys)]


def main() -> int:
    """Measure, print tables, and write JSON if asked for."""
    options = _filled(_parser().parse_args())
    torch.set_num_threads(options.threads)
    options.keep_memory = options.keep_memory and keep_freed_memory()
    notes: list[str] = []
    missing = missing_compiler(options.device)
    if "compiled" in options.forms and missing:
        notes.append(f"nothing was compiled: {missing}")
    rows = _measured(options, notes)
    result = _result(options, rows, _constructions(options, notes), notes)
    show(result)
    _write(options, result)
    return 0


if __name__ == "__main__":
    sys.exit(main())
