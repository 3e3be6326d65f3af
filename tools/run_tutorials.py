"""Run the notebooks of docs/tutorials and keep their outputs: `python tools/run_tutorials.py [NAME ...]`.

Each runs in an empty folder of its own, with the eqssl of this environment. An error in a cell or a command
ends the run, and the notebook stays as it was.
"""

from __future__ import annotations

import os
import re
import sys
import tempfile
import time
from pathlib import Path

import nbformat
from nbclient import NotebookClient

TUTORIALS = Path(__file__).parents[1] / "docs/tutorials"
MOST_SECONDS = 900
KERNEL = {"kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"}}
# Tables without colours, lines that fit a page, and one thread, as the steps of the pipeline have.
VARIABLES = {"TERM": "dumb", "COLUMNS": "100", "OMP_NUM_THREADS": "1"}


def executed(path: Path, folder: Path) -> nbformat.NotebookNode:
    """A notebook with the outputs that it has when it is run in a folder.

    Args:
        path: the notebook.
        folder: an empty folder, of which outputs do not tell the name.

    Raises:
        ValueError: a command told an error.
        nbclient.exceptions.CellExecutionError: a cell raised one.
    """
    notebook = nbformat.read(path, as_version=4)
    notebook.metadata = nbformat.from_dict(KERNEL)
    environment = {**os.environ, **VARIABLES}
    client = NotebookClient(
        notebook, timeout=MOST_SECONDS, kernel_name="python3", resources={"metadata": {"path": str(folder)}}
    )
    client.execute(env=environment)
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)
        if cell.cell_type == "code":
            cell.outputs = _joined(cell.outputs, folder)
            told = "".join(output.get("text", "") for output in cell.outputs)
            if re.search(r"^(eqssl: error|\w*Error):?", told, re.MULTILINE):
                raise ValueError(f"{path.name}: a command failed\n{cell.source}\n{told}")
    return notebook


def _joined(outputs: list[nbformat.NotebookNode], folder: Path) -> list[nbformat.NotebookNode]:
    """What a cell printed as one text, less the name of the folder."""
    kept: list[nbformat.NotebookNode] = []
    for output in outputs:
        if output.output_type != "stream":
            kept.append(output)
            continue
        text = output.text.replace(f"{folder.resolve()}/", "").replace("\r\n", "\n")
        if kept and kept[-1].output_type == "stream":
            kept[-1].text += text
        else:
            kept.append(nbformat.v4.new_output("stream", name="stdout", text=text))
    return kept


def main() -> None:
    """Run the notebooks that are named, or all, and say how long each took."""
    for name in sys.argv[1:] or sorted(path.stem for path in TUTORIALS.glob("*.ipynb")):
        path, started = TUTORIALS / f"{name}.ipynb", time.monotonic()
        with tempfile.TemporaryDirectory() as folder:
            nbformat.write(executed(path, Path(folder)), path)
        print(f"{path.name}: {time.monotonic() - started:.0f} s", flush=True)


if __name__ == "__main__":
    main()
