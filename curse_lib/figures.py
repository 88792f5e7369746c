"""The one figure style of the book, and a slider that needs no kernel.

A chapter calls `use_style` once, draws with Matplotlib as usual, names curves with
`direct_label` instead of a legend box, and shows a family of figures with `slider`.
"""

from __future__ import annotations

import base64
import html
import io
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import matplotlib as mpl
import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke

__all__ = ["COLOURS", "Slider", "direct_label", "slider", "use_style"]

COLOURS: Mapping[str, str] = MappingProxyType(
    {
        "target": "#146fca",
        "model": "#bf4e06",
        "output": "#00453b",
        "bound": "#7d0a74",
        "data": "#553c0a",
        "input": "#6a6e75",
        "ink": "#1d2229",
        "quiet": "#6a6e75",
        "panel": "#fbfaf7",
    }
)
"""The colours of the book by role, of the hue families of Okabe and Ito.

Each reads as text on the panel (contrast 4.5 or more), and any two of the cycle stay apart for
the three common kinds of colour blindness.

`target` (the given thing), `model` (the approximation), `output`, `bound` (floors and bounds),
`data` (recordings), `input`, then `ink` (text, frame), `quiet` (guides, the same grey as
`input`), `panel` (the background of every figure). The first six are the colour cycle.

Source: Okabe and Ito, "Color Universal Design", 2008.
Used in: every chapter that draws, e.g. `book/framework/memory-kernel.ipynb`.
"""

_CYCLE = tuple(COLOURS[role] for role in ("target", "model", "output", "bound", "data", "input"))

# Metadata that would differ from one build to the next.
_NO_METADATA = {"Date": None, "Creator": None}

_STYLE: dict[str, Any] = {
    "figure.figsize": (6.4, 4.0),
    "figure.dpi": 100,
    "figure.facecolor": COLOURS["panel"],
    "figure.constrained_layout.use": True,
    "figure.constrained_layout.w_pad": 0.08,
    "figure.constrained_layout.h_pad": 0.06,
    "savefig.facecolor": COLOURS["panel"],
    "savefig.transparent": False,
    # A phone shows 6.4 in at little more than half size: 12 pt becomes about 9 px there.
    "font.family": ["DejaVu Sans"],
    "font.size": 12,
    "axes.labelsize": 12,
    "xtick.labelsize": 11,
    "ytick.labelsize": 11,
    "mathtext.fontset": "dejavusans",
    "text.color": COLOURS["ink"],
    "axes.facecolor": COLOURS["panel"],
    "axes.edgecolor": COLOURS["ink"],
    "axes.labelcolor": COLOURS["ink"],
    "axes.linewidth": 0.6,
    "axes.prop_cycle": mpl.cycler(color=_CYCLE),
    "axes.grid": False,
    "axes.xmargin": 0.02,
    "grid.color": "#d9d7d0",
    "grid.linewidth": 0.6,
    "xtick.color": COLOURS["ink"],
    "ytick.color": COLOURS["ink"],
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "xtick.minor.width": 0.4,
    "ytick.minor.width": 0.4,
    "lines.linewidth": 1.8,
    "lines.markersize": 5,
    "image.cmap": "cividis",
    # Glyphs as outlines: the picture is the same on a machine without the font.
    "svg.fonttype": "path",
    "svg.hashsalt": "curse-of-memory",
}


def use_style() -> None:
    """Set the figure style of the book; inside IPython, draw inline figures as SVG.

    Thin frame, no title inside the plot, opaque light panel (so that a figure stays legible on a
    dark page), colour-blind-safe cycle, text that stays readable on a phone. The SVG carries
    neither date nor random identifiers: the same figure gives the same bytes. Calling it again
    changes nothing.

    Notes
    -----
    Cost: none worth naming. Outside IPython only the Matplotlib settings change.

    Used in: the first code cell of every chapter, e.g. `book/framework/memory-kernel.ipynb`.
    """
    mpl.rcParams.update(_STYLE)
    try:
        from IPython import get_ipython
        from matplotlib_inline.config import InlineBackend
    except ImportError:  # plain Python: no inline figures to configure
        return
    shell = get_ipython()
    if shell is not None:
        # Set on the backend's own configuration: it holds whether the inline backend is already
        # active or starts with the first figure.
        inline = InlineBackend.instance(parent=shell)
        inline.figure_formats = {"svg"}
        # The whole canvas, not a tight crop: every figure of a chapter has the same width.
        inline.print_figure_kwargs = {"bbox_inches": None, "metadata": _NO_METADATA}


def direct_label(
    ax: Axes,
    x: float,
    y: float,
    text: str,
    *,
    colour: str | None = None,
    ha: str = "left",
    va: str = "center",
    offset: tuple[float, float] = (5.0, 0.0),
) -> None:
    """Write a curve's name at the curve, in the curve's colour.

    Room is made for the text when it lies beyond the frame. Nothing is returned, so that a cell
    that ends with a label shows its figure and nothing else.

    Parameters
    ----------
    ax : Axes
        Where the curve is drawn.
    x, y : float
        A point of the curve, in data coordinates.
    text : str
        The label; ``$...$`` is mathematics.
    colour : str, optional
        A name in `COLOURS` or any Matplotlib colour. Default: that of the line drawn last on
        `ax`, so call it just after `ax.plot`.
    ha, va : str
        Alignment of the text to the point.
    offset : (float, float)
        Shift of the text from the point, in typographic points.

    Raises
    ------
    ValueError
        When `colour` is not given and `ax` has no line, or when it is no colour.

    Used in: every chapter with more than one curve in a figure, e.g.
    `book/framework/memory-kernel.ipynb`.
    """
    if colour is None:
        if not ax.lines:
            raise ValueError("the axes hold no line to take the colour from; pass colour=...")
        colour = ax.lines[-1].get_color()
    if isinstance(colour, str):
        colour = COLOURS.get(colour, colour)
    if not mpl.colors.is_color_like(colour):
        raise ValueError(
            f"colour is {colour!r}; it must be one of {', '.join(COLOURS)} or a Matplotlib colour"
        )
    ax.annotate(
        text,
        (x, y),
        xytext=offset,
        textcoords="offset points",
        color=to_hex(colour),
        ha=ha,
        va=va,
        annotation_clip=False,
        # A rim in the panel's colour keeps the words readable across another curve.
        path_effects=[withStroke(linewidth=3, foreground=COLOURS["panel"])],
    )


@dataclass(frozen=True)
class Slider:
    """A row of precomputed figures behind one range control; made by `slider`.

    Attributes
    ----------
    html : str
        A self-contained HTML fragment: the frames as SVG images, the control, a short script.
    id : str
        Identifier of the fragment, a UUID5 of its content.

    Used in: `slider`.
    """

    html: str = field(repr=False)
    id: str

    def _repr_html_(self) -> str:
        return self.html


# JupyterLab would take the arrow keys as shortcuts of its own, hence onkeydown.
_SCRIPT = """(function () {
const box = document.getElementById("%s");
const range = box.querySelector("input"), shown = box.querySelector("output");
const frames = box.querySelectorAll("img");
range.oninput = function () {
  frames.forEach(function (f, k) { f.hidden = k !== Number(range.value); });
  shown.value = frames[range.value].dataset.label;
  range.setAttribute("aria-valuetext", shown.value);
};
range.onkeydown = function (event) { event.stopPropagation(); };
range.oninput(); range.parentNode.hidden = false;
})();"""


def slider(
    frames: Sequence[Figure] | Callable[[Any], Figure],
    labels: Sequence[Any],
    *,
    name: str,
    alt: str,
    caption: str = "",
    start: int = 0,
) -> Slider:
    """Show one figure of several, chosen by a slider; no kernel and no network needed.

    Every frame is drawn now and stored in the page, so the slider works on the built site, from
    a file and in JupyterLab. Without scripts the frame `start` is shown. Arrow keys move it.

    Parameters
    ----------
    frames : sequence of Figure, or callable
        The figures, or a function that draws the figure of one label: `frames(label) -> Figure`.
        The figures are closed afterwards.
    labels : sequence
        One label a frame, shown as `str(label)`: numbers or words, in the order of the slider.
    name : str
        What the slider changes, e.g. "delay D"; it labels the control.
    alt : str
        What the figures show, for those who don't see them; the frame's label is added to it.
    caption : str
        A sentence below the figure, plain text.
    start : int
        Index of the frame shown first.

    Returns
    -------
    Slider
        Displays itself in a notebook. The same figures give the same bytes.

    Raises
    ------
    ValueError
        For no frames, a number of labels that differs from the number of frames, an empty name
        or alternative text, or `start` out of range.
    TypeError
        When a frame is not a Matplotlib figure.

    Notes
    -----
    Cost: each frame adds about the size of its SVG, 20 to 60 kB, to the page; some ten frames
    are enough for a slider.

    Used in: `book/framework/sequences-as-functionals.ipynb`.
    """
    labels = list(labels)
    texts = [str(label) for label in labels]
    if not texts:
        raise ValueError("labels is empty; a slider needs at least one frame")
    for what, value in (("name", name), ("alt", alt)):
        if not value.strip():
            raise ValueError(f"{what} is empty; say in words what the slider or figure shows")
    if not 0 <= start < len(texts):
        raise ValueError(f"start is {start}; it must be an index from 0 to {len(texts) - 1}")
    # Each figure is closed before the next is drawn: Matplotlib warns of many open ones.
    images = [_svg(figure) for figure in (map(frames, labels) if callable(frames) else frames)]
    if len(images) != len(texts):
        raise ValueError(f"{len(images)} frames but {len(texts)} labels; give one label each")
    parts = [*images, *texts, name, alt, caption, str(start)]
    uid = f"slider-{uuid.uuid5(uuid.NAMESPACE_OID, chr(0).join(parts))}"

    def frame(k: int) -> str:
        # Images, not inline SVG: identifiers inside one frame cannot clash with another's.
        data = base64.b64encode(images[k].encode()).decode("ascii")
        words = html.escape(f"{alt.rstrip('.')}. {name}: {texts[k]}.")
        hidden = "" if k == start else " hidden"
        return (
            f'<img class="slider-frame" src="data:image/svg+xml;base64,{data}" alt="{words}" '
            f'data-label="{html.escape(texts[k])}" style="max-width:100%"{hidden}>\n'
        )

    # The control appears by script: without one it would be a handle that moves nothing.
    shown = html.escape(texts[start])
    control = (
        f'<p class="slider-control" hidden><label for="{uid}-range">{html.escape(name)}</label> '
        f'<input type="range" id="{uid}-range" min="0" max="{len(texts) - 1}" step="1" '
        f'value="{start}" aria-valuetext="{shown}"> '
        f'<output for="{uid}-range" aria-live="off">{shown}</output></p>\n'
    )
    legend = f"<figcaption>{html.escape(caption)}</figcaption>\n" if caption else ""
    text = (
        f'<figure class="slider" id="{uid}" style="margin:1em 0">\n'
        + "".join(map(frame, range(len(images))))
        + f"{control}{legend}</figure>\n<script>{_SCRIPT % uid}</script>"
    )
    return Slider(html=text, id=uid)


def _svg(figure: Figure) -> str:
    """Draw `figure` as reproducible SVG and close it."""
    if not isinstance(figure, Figure):
        raise TypeError(f"a frame is a {type(figure).__name__}; it must be a Matplotlib Figure")
    buffer = io.StringIO()
    with mpl.rc_context({key: _STYLE[key] for key in ("svg.fonttype", "svg.hashsalt")}):
        figure.savefig(buffer, format="svg", metadata=_NO_METADATA)
    plt.close(figure)
    return buffer.getvalue()
