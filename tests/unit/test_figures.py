"""The figure style, direct labels and the slider."""

from __future__ import annotations

import base64
import itertools
import re
import subprocess
import sys

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.colors import to_rgb

from curse_lib.figures import COLOURS, direct_label, slider, use_style

CYCLE = ("target", "model", "output", "bound", "data", "input")

# How a dichromat sees linear RGB: Machado, Oliveira, Fernandes 2009, severity 1.
VISION = {
    "full": np.eye(3),
    "no red": [
        [0.152286, 1.052583, -0.204868],
        [0.114503, 0.786281, 0.099216],
        [-0.003882, -0.048116, 1.051998],
    ],
    "no green": [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.011820, 0.042940, 0.968881],
    ],
    "no blue": [
        [1.255528, -0.076749, -0.178779],
        [-0.078411, 0.930809, 0.147602],
        [0.004733, 0.691367, 0.303900],
    ],
}


def linear(colour: str) -> np.ndarray:
    rgb = np.array(to_rgb(colour))
    return np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)


def lab(rgb: np.ndarray) -> np.ndarray:
    """CIE L*a*b* (D65) of linear RGB."""
    to_xyz = [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750]]
    to_xyz.append([0.0193339, 0.1191920, 0.9503041])
    x, y, z = np.array(to_xyz) @ rgb / [0.95047, 1.0, 1.08883]
    fx, fy, fz = (np.cbrt(v) if v > 0.008856 else 7.787 * v + 16 / 116 for v in (x, y, z))
    return np.array([116 * fy - 16, 500 * (fx - fy), 200 * (fy - fz)])


def contrast(one: str, other: str) -> float:
    low, high = sorted(linear(c) @ [0.2126, 0.7152, 0.0722] for c in (one, other))
    return (high + 0.05) / (low + 0.05)


def draw(height: float) -> plt.Figure:
    fig, ax = plt.subplots()
    ax.plot([0, 1], [0, height], marker="o")
    ax.fill_between([0, 1], [0, height], alpha=0.2)
    ax.set(xlabel=r"lag $s$", ylabel=r"$\rho(s)$")
    direct_label(ax, 1, height, "curve")
    return fig


@pytest.fixture(autouse=True)
def style():
    with mpl.rc_context():
        use_style()
        yield
    plt.close("all")


@pytest.mark.parametrize("role", [role for role in COLOURS if role != "panel"])
def test_every_colour_reads_as_text_on_the_panel(role):
    assert contrast(COLOURS[role], COLOURS["panel"]) >= 4.5


@pytest.mark.parametrize("vision", VISION)
def test_colours_of_the_cycle_stay_apart(vision):
    seen = [lab(np.clip(np.array(VISION[vision]) @ linear(COLOURS[role]), 0, 1)) for role in CYCLE]
    assert min(np.linalg.norm(a - b) for a, b in itertools.combinations(seen, 2)) > 20


def test_colours_cannot_be_changed():
    with pytest.raises(TypeError):
        COLOURS["target"] = "red"


def test_style_sets_an_opaque_panel_and_the_cycle():
    assert mpl.rcParams["figure.facecolor"] == COLOURS["panel"]
    assert mpl.rcParams["axes.prop_cycle"].by_key()["color"] == [COLOURS[r] for r in CYCLE]


def test_style_in_ipython_gives_svg_without_date():
    """In a process of its own: IPython's shell is one a process."""
    code = """
import matplotlib
matplotlib.use("module://matplotlib_inline.backend_inline")
from IPython.core.interactiveshell import InteractiveShell
shell = InteractiveShell.instance()
from curse_lib.figures import use_style
use_style()
import matplotlib.pyplot as plt
fig, ax = plt.subplots()
data, _ = shell.display_formatter.format(fig)
assert set(data) == {"image/svg+xml", "text/plain"}, set(data)
svg = data["image/svg+xml"]
assert "<dc:date>" not in svg
assert 'width="460.8pt" height="288pt"' in svg, svg[:800]
print(svg)
"""
    runs = [
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
        for _ in range(2)
    ]
    assert runs[0].returncode == 0, runs[0].stderr
    assert runs[0].stdout == runs[1].stdout


def test_label_takes_the_colour_of_the_last_line():
    _, ax = plt.subplots()
    ax.plot([0, 1], color=COLOURS["model"])
    direct_label(ax, 1, 1, "a")
    direct_label(ax, 1, 1, "a", colour="bound")
    direct_label(ax, 1, 1, "a", colour="black")
    assert [text.get_color() for text in ax.texts] == [
        COLOURS["model"],
        COLOURS["bound"],
        "#000000",
    ]


@pytest.mark.parametrize("colour", [(0.2, 0.4, 0.6), [0.2, 0.4, 0.6], np.array([0.2, 0.4, 0.6])])
def test_label_takes_a_colour_in_numbers(colour):
    _, ax = plt.subplots()
    ax.plot([0, 1], color=colour)
    direct_label(ax, 1, 1, "a")
    direct_label(ax, 1, 1, "a", colour=colour)
    assert [text.get_color() for text in ax.texts] == ["#336699"] * 2


def test_label_beyond_the_frame_stays_on_the_canvas():
    fig, ax = plt.subplots()
    ax.plot([0, 1], [0, 1])
    direct_label(ax, 1, 0.5, "a rather long name of a curve")
    fig.canvas.draw()
    assert ax.texts[0].get_window_extent().x1 <= fig.bbox.x1


def test_label_says_what_is_wrong_with_its_colour():
    _, ax = plt.subplots()
    with pytest.raises(ValueError, match="no line to take the colour from"):
        direct_label(ax, 0, 0, "a")
    with pytest.raises(ValueError, match="'mauvish'; it must be one of target"):
        direct_label(ax, 0, 0, "a", colour="mauvish")


def test_slider_is_the_same_twice_and_for_both_ways_to_call_it():
    heights = [1, 2, 3]
    made = [slider(draw, heights, name="height", alt="A line.") for _ in range(2)]
    made.append(slider([draw(h) for h in heights], heights, name="height", alt="A line."))
    made.append(slider(map(draw, heights), iter(heights), name="height", alt="A line."))
    assert made[0].html == made[1].html == made[2].html == made[3].html
    assert made[0].id == made[1].id == made[2].id


def test_slider_is_the_same_in_another_process():
    code = (
        "import matplotlib; matplotlib.use('agg')\n"
        "import matplotlib.pyplot as plt\n"
        "from curse_lib.figures import slider, use_style\n"
        "use_style()\n"
        "def draw(k):\n"
        "    fig, ax = plt.subplots(); ax.plot([0, k], marker='o'); return fig\n"
        "print(slider(draw, [1, 2], name='k', alt='A line.').id)\n"
    )
    runs = [
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        for _ in range(2)
    ]
    assert runs[0].stdout == runs[1].stdout


def test_sliders_of_other_data_have_other_ids():
    assert (
        slider(draw, [1, 2], name="height", alt="A line.").id
        != slider(draw, [1, 3], name="height", alt="A line.").id
    )


def test_slider_closes_its_figures():
    before = plt.get_fignums()
    slider(draw, [1, 2], name="height", alt="A line.")
    assert plt.get_fignums() == before


def test_slider_draws_one_figure_at_a_time():
    opened = []

    def watched(height):
        fig = draw(height)
        opened.append(len(plt.get_fignums()))
        return fig

    slider(watched, [1, 2, 3], name="height", alt="A line.")
    assert len(set(opened)) == 1


def test_slider_has_alternative_texts_and_one_visible_frame():
    text = slider(draw, [1, 2], name="height", alt='A "line".', start=1)._repr_html_()
    images = re.findall(r"<img [^>]*>", text)
    assert len(images) == 2
    assert 'alt="A &quot;line&quot;. height: 1."' in images[0]
    assert ["hidden" in image.rpartition("style=")[2] for image in images] == [True, False]
    assert "<label" in text and 'type="range"' in text and "aria-valuetext" in text


def test_slider_frames_are_reproducible_pictures():
    text = slider(draw, [1], name="height", alt="A line.").html
    (data,) = re.findall(r"data:image/svg\+xml;base64,([^\"]+)", text)
    svg = base64.b64decode(data).decode()
    assert "<dc:date>" not in svg
    assert "<text" not in svg, "text is drawn as outlines"


def test_slider_loads_nothing():
    text = slider(draw, [1, 2], name="height", alt="A line.").html
    assert "http" not in text


def test_repr_of_a_slider_is_short():
    assert len(repr(slider(draw, [1], name="height", alt="A line."))) < 100


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"labels": []}, "at least one frame"),
        ({"labels": [1, 2, 3]}, "2 frames but 3 labels"),
        ({"name": " "}, "name is empty"),
        ({"alt": ""}, "alt is empty"),
        ({"start": 2}, "start is 2; it must be an index from 0 to 1"),
        ({"start": -1}, "start is -1"),
    ],
)
def test_slider_refuses(change, message):
    arguments = {"labels": [1, 2], "name": "height", "alt": "A line."} | change
    labels = arguments.pop("labels")
    with pytest.raises(ValueError, match=message):
        slider([draw(1), draw(2)], labels, **arguments)


def test_slider_refuses_what_is_no_figure():
    with pytest.raises(TypeError, match="a frame is a Axes"):
        slider(lambda _: plt.subplots()[1], [1], name="height", alt="A line.")
