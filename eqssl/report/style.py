"""How figures look: colours that colour-blind readers can tell apart, one style for each pretext, and SVG.

Figures are `matplotlib.figure.Figure` objects, drawn without pyplot and without a trace of the reader's own
matplotlib settings. In the report their colours become CSS variables, so that one drawing serves light
pages, dark pages and paper.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import matplotlib.style
from markupsafe import Markup
from matplotlib.figure import Figure

from eqssl.machine.files import atomic

INK, SOFT, FAINT, PAPER = "#1b1b1f", "#55555d", "#dcdce2", "#ffffff"
REFERENCE = {"random": "#7d7d85", "supervised": "#2b2b30"}
# Dark and light of one hue for a pretext and its plain twin, after Okabe & Ito (2008). The last is a spare.
FAMILIES = [("#0067a5", "#3d9be0"), ("#b94700", "#e08a1e"), ("#00734f", "#35b07a"), ("#8a3c7a", "#cf7fb5")]
ON_DARK = {
    INK: "#ececf1",
    SOFT: "#adadb8",
    FAINT: "#3a3a44",
    PAPER: "#17171b",
    "#7d7d85": "#9c9ca6",
    "#2b2b30": "#e4e4ea",
    "#0067a5": "#4aa3f0",
    "#3d9be0": "#a5d3ff",
    "#b94700": "#ff7f3f",
    "#e08a1e": "#ffc680",
    "#00734f": "#35c491",
    "#35b07a": "#a6ecca",
    "#8a3c7a": "#d680c9",
    "#cf7fb5": "#f3c6e6",
}
# Hues of the common tasks, so that a pretext looks the same in every report.
KNOWN = {"labels": 0, "contrastive": 1, "jigsaw": 2, "orientation": 3}
MARKERS = ["o", "s", "^", "D", "v", "P"]
SOLID, DASHED, DOTTED, DASH_DOT = (), (5.0, 2.0), (1.2, 1.8), (6.0, 2.0, 1.2, 2.0)
HOUSE = {
    "axes.edgecolor": SOFT,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "axes.axisbelow": True,
    "axes.labelcolor": INK,
    "axes.labelsize": 12,
    "axes.linewidth": 0.8,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlelocation": "left",
    "axes.titlesize": 13,
    "axes.titleweight": "bold",
    "axes.titlecolor": INK,
    "figure.facecolor": "#ffffff",
    "axes.facecolor": "none",
    "font.size": 12,
    "grid.color": FAINT,
    "grid.linewidth": 0.8,
    "legend.frameon": False,
    "lines.linewidth": 1.8,
    "lines.markersize": 6,
    "svg.fonttype": "none",
    "svg.hashsalt": "eqssl",
    "text.color": INK,
    "xtick.color": SOFT,
    "ytick.color": SOFT,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "xtick.labelsize": 11,
    "ytick.labelsize": 11,
    "xtick.minor.visible": False,
}


@dataclass(frozen=True)
class LineStyle:
    """The style of one line wherever it appears: colour, dashes in points, marker, filled or open."""

    colour: str
    dashes: tuple[float, ...]
    marker: str
    filled: bool

    @property
    def drawing(self) -> dict[str, Any]:
        """Keyword arguments for `Axes.plot` and `Axes.errorbar`."""
        return {
            "color": self.colour,
            "linestyle": (0, self.dashes) if self.dashes else "-",
            "marker": self.marker,
            "markerfacecolor": self.colour if self.filled else PAPER,
            "markeredgecolor": self.colour,
            "markeredgewidth": 1.4,
        }


def pretext_styles(pretexts: Sequence[str], twins: Mapping[str, str]) -> dict[str, LineStyle]:
    """A style for each pretext: twins share a hue; the plain one is lighter, dashed and open.

    Pretexts with the same plain twin differ in their markers, up to four of them. Tasks that are not `KNOWN`
    take the hues that are left; from the fifth pair on the hues come again, with another marker.

    Args:
        pretexts: their names.
        twins: pretext -> its plain twin, of as many more as there are.
    """
    styles = {name: _reference_style(name) for name in pretexts if name in REFERENCE}
    own = [name for name in pretexts if name not in REFERENCE]
    families = _families([twins.get(name, name) for name in own])
    for name in own:
        family = families[twins.get(name, name)]
        strong, light = FAMILIES[family % len(FAMILIES)]
        siblings = [other for other, twin in twins.items() if twin == twins.get(name)]
        shift = siblings.index(name) if name in siblings else 0
        marker = MARKERS[(family + family // len(FAMILIES) + shift) % 4]
        is_plain = name in twins.values()
        colour, dashes = (light, DASHED) if is_plain else (strong, SOLID)
        styles[name] = LineStyle(colour, dashes, marker, filled=not is_plain)
    return {name: styles[name] for name in pretexts}


def _reference_style(pretext: str) -> LineStyle:
    untrained = pretext == "random"
    return LineStyle(REFERENCE[pretext], DOTTED if untrained else DASH_DOT, "v" if untrained else "P", True)


def _families(bases: Sequence[str]) -> dict[str, int]:
    """The number of each task's hue."""
    families = {base: KNOWN[base] for base in bases if base in KNOWN}
    free = (number for number in count() if number not in families.values())
    return families | {base: next(free) for base in dict.fromkeys(bases) if base not in KNOWN}


def group_styles(groups: Sequence[str], colour: str) -> dict[str, LineStyle]:
    """A style for each group in one colour."""
    dashes = [SOLID, DASHED, DOTTED, DASH_DOT, (10.0, 2.0), (3.0, 1.0)]
    return {
        group: LineStyle(colour, dashes[i % 6], MARKERS[i % 6], i % 2 == 1) for i, group in enumerate(groups)
    }


def group_colours(groups: Sequence[str]) -> dict[str, LineStyle]:
    """A style with a colour of its own for each group; the trivial one is gray, the fifth dashed."""
    styles, number = {}, 0
    for group in groups:
        if group == "trivial":
            styles[group] = LineStyle(REFERENCE["random"], SOLID, "o", False)
            continue
        dashes = (SOLID, DASHED, DOTTED)[number // len(FAMILIES) % 3]
        styles[group] = LineStyle(FAMILIES[number % len(FAMILIES)][0], dashes, MARKERS[number % 6], True)
        number += 1
    return styles


@contextmanager
def house_style() -> Iterator[None]:
    """Draw in the report's style whatever matplotlibrc says, and restore its settings afterwards."""
    with matplotlib.style.context(["default", HOUSE]):
        yield


def save_figure(figure: Figure, path: str | Path) -> None:
    """Save a figure, in the format that the path's ending names, always with the same bytes.

    Raises:
        ValueError: the ending is neither .png, .svg nor .pdf.

    Example:
        >>> import tempfile
        >>> from matplotlib.figure import Figure
        >>> figure = Figure()
        >>> _ = figure.subplots().plot([1, 2, 4])
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     save_figure(figure, f"{folder}/curve.svg")
    """
    path = Path(path)
    kind = path.suffix.removeprefix(".").lower()
    # What would differ from run to run, or from one version of matplotlib to the next, is left out.
    absent = {
        "png": {"Software": None},
        "svg": {"Date": None, "Creator": None},
        "pdf": {"CreationDate": None, "Creator": None, "Producer": None},
    }
    if kind not in absent:
        raise ValueError(f"{path}: given ending {path.suffix!r}, allowed: .png, .svg, .pdf")
    # Text of a stand-alone SVG is drawn as outlines: it looks the same where the font is missing.
    with atomic(path) as temporary, house_style(), matplotlib.rc_context({"svg.fonttype": "path"}):
        figure.savefig(temporary, format=kind, dpi=144, metadata=absent[kind])


def inline_svg(figure: Figure, prefix: str, alt: str) -> Markup:
    """A figure as an <svg> element to stand inside HTML, its ids made unique by `prefix`.

    Colours become `var(--c-..., colour)`, text takes the page's font, and the size follows the page.
    """
    buffer = io.StringIO()
    with house_style():
        figure.savefig(
            buffer,
            format="svg",
            transparent=True,
            metadata={"Date": None, "Creator": None, "Format": None, "Type": None},
        )
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>\s*", "", text, flags=re.DOTALL)
    text = re.sub(r'\bid="([^"]+)"', rf'id="{prefix}-\1"', text)
    text = re.sub(r"url\(#([^)]+)\)", rf"url(#{prefix}-\1)", text)
    text = re.sub(r'xlink:href="#([^"]+)"', rf'href="#{prefix}-\1"', text)
    text = re.sub(r"font-family: [^;\"]*", "font-family: var(--font)", text)
    for colour in ON_DARK:
        text = text.replace(colour, f"var({css_name(colour)}, {colour})")
    label = Markup.escape(alt)
    text = re.sub(
        r'<svg [^>]*viewBox="([^"]+)"[^>]*>',
        rf'<svg viewBox="\1" role="img" aria-label="{_literal(label)}" xmlns="http://www.w3.org/2000/svg">',
        text,
        count=1,
    )
    return Markup(text.strip())  # noqa: S704 - matplotlib escaped every text of the figure


def swatch(style: LineStyle) -> Markup:
    """A short piece of a line with its marker, for a legend in the page."""
    shapes = {
        "o": '<circle cx="16" cy="6" r="3.4"/>',
        "s": '<rect x="12.8" y="2.8" width="6.4" height="6.4"/>',
        "^": '<path d="M16 2 L19.8 9.2 L12.2 9.2 Z"/>',
        "v": '<path d="M16 10 L19.8 2.8 L12.2 2.8 Z"/>',
        "D": '<path d="M16 1.8 L20.2 6 L16 10.2 L11.8 6 Z"/>',
        "P": '<path d="M14.6 2 h2.8 v2.6 h2.6 v2.8 h-2.6 v2.6 h-2.8 v-2.6 h-2.6 v-2.8 h2.6 Z"/>',
    }
    colour = f"var({css_name(style.colour)})"
    dashes = " ".join(f"{length * 1.8:g}" for length in style.dashes)
    return Markup(
        '<svg class="swatch" viewBox="0 0 32 12" aria-hidden="true">'
        '<line x1="0" y1="6" x2="32" y2="6" style="stroke:{0};stroke-width:1.8;stroke-dasharray:{1}"/>'
        '<g style="stroke:{0};stroke-width:1.4;fill:{2}">{3}</g></svg>'
    ).format(
        colour,
        dashes or "none",
        colour if style.filled else f"var({css_name(PAPER)})",
        Markup(shapes[style.marker]),  # noqa: S704 - written above
    )


def css_name(colour: str) -> str:
    """The CSS variable that carries a colour."""
    return f"--c-{colour.removeprefix('#')}"


def css_variables(dark: bool) -> Markup:
    """Declarations of every colour's variable, for light or for dark pages."""
    pairs = ((css_name(colour), on_dark if dark else colour) for colour, on_dark in ON_DARK.items())
    return Markup(" ".join(f"{name}: {value};" for name, value in pairs))  # noqa: S704


def _literal(text: str) -> str:
    """Text that `re.sub` takes as it is."""
    return text.replace("\\", r"\\")
