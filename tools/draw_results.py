"""Draw the figures of the README and of docs/results.md from the cells of a grid.

python tools/draw_results.py rotation results/**/metrics.json --out docs/rotation.png
python tools/draw_results.py labels results/**/metrics.json --out docs/labels.png

The figures follow `twin:` of params.yaml.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from eqssl.config.params import Params
from eqssl.report.accuracy_charts import accuracy_against_labels
from eqssl.report.angle_charts import accuracy_against_rotation
from eqssl.report.cells import read_cells
from eqssl.report.style import house_style, pretext_styles, save_figure
from eqssl.report.tables import rows_of

CHARTS = {"labels": accuracy_against_labels, "rotation": accuracy_against_rotation}


def main() -> None:
    """Draw one figure."""
    parser = argparse.ArgumentParser(description="Draw a figure of the published results.")
    parser.add_argument("figure", choices=CHARTS)
    parser.add_argument("metrics", type=Path, nargs="+", help="metrics.json of each cell")
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    # metrics.json lies in cell/eval-ID/probe-ID, loss.csv in the cell's own folder
    rows = rows_of(read_cells([(path, path.parents[2] / "loss.csv") for path in options.metrics]))
    pretexts = list(dict.fromkeys(row.pretext for row in rows))
    styles = pretext_styles(pretexts, Params.load().twins())
    with house_style():
        save_figure(CHARTS[options.figure](rows, styles).figure(), options.out)


if __name__ == "__main__":
    main()
