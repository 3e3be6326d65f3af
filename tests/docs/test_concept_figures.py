"""The figures of docs/concepts.md say what the code says."""

from __future__ import annotations

import importlib.util

import pytest
from page_blocks import ROOT

from eqssl.nn.exactness import is_exact

SPEC = importlib.util.spec_from_file_location("draw_concepts", ROOT / "tools/draw_concepts.py")
drawing = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(drawing)


@pytest.mark.parametrize("side", range(3, 20))
def test_windows_lie_on_the_same_pixels_after_mirroring_if_and_only_if_the_parity_fits(side: int):
    same = drawing.centres(side) == drawing.mirrored(side)
    assert same == is_exact(side, drawing.KERNEL, drawing.STRIDE, drawing.PADDING)


def test_every_figure_that_is_drawn_is_on_the_page_and_names_what_it_shows():
    text = (ROOT / "docs/concepts.md").read_text(encoding="utf-8")
    titles = {}
    for name, figure in drawing.drawn():
        assert f"({name}.png)" in text
        assert (ROOT / f"docs/{name}.png").is_file()
        titles[name] = [axes.get_title(loc="left") for axes in figure.axes]
    assert titles == {
        "orbits": ["trivial: 8", "D1: 5", "C2: 4", "D2: 3", "C4: 2", "D4: 2"],
        "parity": ["8 pixels: other pixels", "7 pixels: the same pixels"],
    }
