"""The command that uses an encoder on any images: embed."""

from __future__ import annotations

import argparse
from pathlib import Path

from eqssl.cli.adding import Commands, add
from eqssl.cli.holding import device, processor

MAPS = (".html", ".png")


def add_commands(commands: Commands) -> None:
    """Add the command to the parser."""
    embed = add(commands, "embed", _embed)
    what = "file or folder of the images, or a data set that comes with a package, such as sky"
    embed.add_argument("images", metavar="IMAGES", help=what)
    embed.add_argument("--encoder", required=True, type=Path, help="folder of the encoder")
    embed.add_argument("--out", required=True, type=Path, metavar="F.parquet", help="file to write")
    embed.add_argument("--regular", action="store_true", help="write the regular features too")
    embed.add_argument("--stages", type=int, default=1, help="stages, from the last one (default: 1)")
    map_help = "also draw a map of the images, with pictures in .html, or as a .png"
    embed.add_argument("--map", type=Path, metavar="F.html", help=map_help)
    embed.add_argument("--source", help="kind of source (default: found)")
    setting = "a setting of the source, such as labelled=false; may be given several times"
    embed.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", dest="given", help=setting)
    embed.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N (default: auto)")
    embed.add_argument("--cores", type=int, help="processor cores to use (default: all)")


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
        from eqssl.data.looking.hints import hinting
        from eqssl.evaluation.embed.columns import Wanted
        from eqssl.evaluation.embed.embedding import embed

        with hinting():
            count = embed(
                options.images,
                options.encoder,
                options.out,
                Wanted(options.regular, options.stages),
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
