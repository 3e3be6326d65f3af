"""Commands that use or give away an encoder: embed, release."""

from __future__ import annotations

import argparse
from pathlib import Path

from eqssl.cli.adding import ENCODERS, FIRST, Commands, add, whole_number
from eqssl.cli.holding import device, processor

MAPS = (".html", ".png")


def add_commands(commands: Commands) -> None:
    """Add the command to the parser."""
    examples = [
        "eqssl embed data/raw/photos --encoder model --out photos.parquet",
        "eqssl embed data/raw/photos --encoder model --out photos.parquet --map photos.html",
        "eqssl embed sky --encoder released --out sky.parquet --set size=64 --stages 2",
    ]
    embed = add(commands, "embed", _embed, FIRST, examples)
    what = "file or folder of the images, or a data set that comes with a package, such as sky"
    embed.add_argument("images", metavar="IMAGES", help=what)
    where = "folder of the encoder, eqssl:GROUP or hub:OWNER/NAME"
    embed.add_argument("--encoder", required=True, help=where)
    embed.add_argument("--out", required=True, type=Path, metavar="F.parquet", help="file to write")
    embed.add_argument("--regular", action="store_true", help="write the regular features too")
    embed.add_argument(
        "--stages", type=whole_number, default=1, help="stages, from the last one (default: 1)"
    )
    map_help = "also draw a map of the images, with pictures in .html, or as a .png"
    embed.add_argument("--map", type=Path, metavar="F.html", help=map_help)
    embed.add_argument("--source", help="kind of source (default: found)")
    setting = "a setting of the source, such as labelled=false; may be given several times"
    embed.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", dest="given", help=setting)
    embed.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N (default: auto)")
    embed.add_argument("--cores", type=whole_number, help="processor cores to use (default: all)")
    examples = [
        "eqssl release model --out my-encoder --licence mit",
        "eqssl release results/sky/C4/contrastive/s0-0f3c9a2e --out my-encoder --no-onnx",
    ]
    release = add(commands, "release", _release, ENCODERS, examples)
    release.add_argument("encoder", type=Path, metavar="E", help="folder of the trained encoder")
    release.add_argument("--out", required=True, type=Path, metavar="DIR", help="folder to write")
    release.add_argument("--no-onnx", action="store_true", help="do not write model.onnx")
    release.add_argument("--metrics", type=Path, help="the encoder's metrics.json (default: found)")
    release.add_argument("--licence", help="of the weights, as the hub names it, such as mit (default: open)")
    upload = "also put the files on the hub of Hugging Face; a new repository is private"
    release.add_argument("--upload", metavar="OWNER/NAME", help=upload)


def _embed(options: argparse.Namespace) -> None:
    """Write the features of any images to a Parquet file."""
    from eqssl.config.yaml_files import parse_assignments
    from eqssl.machine.provenance import cores as all_cores

    given = parse_assignments(options.given, "--set")
    most = all_cores()
    wanted = most if options.cores is None else options.cores
    if not 1 <= wanted <= most:
        raise ValueError(f"--cores: given {wanted}, allowed: 1 to {most}, those of this machine")
    if options.map is not None and options.map.suffix.lower() not in MAPS:
        allowed = " or ".join(MAPS)
        raise ValueError(f"--map: given {options.map}, allowed: a name that ends in {allowed}")
    with device(options.device), processor(wanted) as cores:
        from eqssl.evaluation.embed.columns import Wanted
        from eqssl.evaluation.embed.embedding import embed

        count = embed(
            options.images,
            options.encoder,
            options.out,
            Wanted(options.stages, options.regular),
            options.source,
            given,
            options.device,
            cores,
        )
    print(f"{options.out}: features of {count:,} images")
    if options.map is not None:
        with processor(1):
            from eqssl.report.embedding_map import write_map

            print(f"{options.map}: a map of {write_map(options.out, options.map):,} images")


def _release(options: argparse.Namespace) -> None:
    """Write an encoder in every form that other software reads, with a model card."""
    if options.upload is not None:
        from eqssl.encoders.release.hub import check_upload

        check_upload(options.upload)
    with processor(1):
        from eqssl.report.releasing import write_release

        found = write_release(
            options.encoder, options.out, not options.no_onnx, options.metrics, options.licence
        )
    for name, difference in found.items():
        print(f"{options.out / name}: differs from the trained encoder by {difference:.1e} at most")
    print(f"{options.out / 'README.md'}: the model card")
    if options.upload is not None:
        from eqssl.encoders.release.hub import uploaded

        print(f"{uploaded(options.out, options.upload)}: all files of {options.out}")
