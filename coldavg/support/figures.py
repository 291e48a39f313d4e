"""Figures from arrays: nothing here knows a network, and nothing is shown, only returned."""

from collections.abc import Sequence
from itertools import product

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.transforms import Bbox
from torch import Tensor

from .pixels import picture

# Okabe and Ito's colours, told apart by colour-blind readers; one for each class of samplers
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")

AROUND = [(1, 1), (1, 0), (1, -1), (-1, 1), (-1, 0), (-1, -1), (0, 1), (0, -1)]  # of a dot: right, up


def show(rows: Sequence[Sequence[Tensor] | Tensor], columns: Sequence[str] = (), labels: Sequence[str] = (),
         captions: Sequence[Sequence[str]] = (), inches: float = 1.2) -> Figure:
    """A table of pictures: `rows` of images (C, H, W) in [-1, 1], enlarged without blur.

    `columns` are titles above the first row, `labels` stand left of the rows, `captions` under the pictures.
    """
    across = max(len(row) for row in rows)
    side = 1.1 if labels else 0.1
    tall = inches + (0.3 if captions else 0.08)
    figure = Figure(figsize=(across * (inches + 0.08) + side, len(rows) * tall + (0.35 if columns else 0.05)), dpi=120)
    axes = figure.subplots(len(rows), across, squeeze=False)
    for i, row in enumerate(rows):
        for j, axis in enumerate(axes[i]):
            axis.set_xticks([]), axis.set_yticks([])
            axis.spines[:].set_visible(False)
            if j < len(row):
                axis.imshow(picture(row[j]), cmap="gray", vmin=0, vmax=255, interpolation="nearest")
            if i == 0 and j < len(columns):
                axis.set_title(columns[j], fontsize=10)
            if i < len(captions) and j < len(captions[i]):
                axis.set_xlabel(captions[i][j], fontsize=9)
        if i < len(labels):
            axes[i][0].set_ylabel(labels[i], rotation=0, ha="right", va="center", fontsize=10)
    figure.tight_layout(pad=0.4)
    return figure


def lines(curves: dict[str, tuple[Sequence[float], Sequence[float]]], x: str, y: str, log: bool = False,
          level: tuple[str, float] | None = None) -> Figure:
    """Curves {name: (xs, ys)} in one frame with axis titles; `log` scales x, `level` draws a dashed line."""
    figure = Figure(figsize=(7, 3.8), dpi=120)
    axis = figure.subplots()
    for index, (name, (xs, ys)) in enumerate(curves.items()):
        mark = "osD^vPX"[index % 7] if len(xs) <= 30 else None
        axis.plot(xs, ys, color=COLOURS[index % len(COLOURS)], marker=mark, label=name)
    if level is not None:
        axis.axhline(level[1], color="0.4", linestyle="--", label=level[0])
    if log:
        axis.set_xscale("log")
    axis.set_xlabel(x), axis.set_ylabel(y)
    axis.grid(alpha=0.3)
    axis.spines[["top", "right"]].set_visible(False)
    axis.legend(frameon=False, fontsize=9)
    figure.tight_layout()
    return figure


def label_dots(axis: Axes, texts: Sequence[str], xs: Sequence[float], ys: Sequence[float]) -> None:
    """Write each text beside its dot (x, y), where it covers no dot, no curve and no other text; "" writes none.

    Lay the figure out first.  A text that has to stand apart is tied to its dot by a thin line.
    """
    axis.figure.draw_without_rendering()  # fixes the limits of the axes
    dots = axis.transData.transform(list(zip(xs, ys, strict=True)))
    taken = [Bbox.from_extents(*(dot - 5), *(dot + 5)) for dot in dots]
    ways = [axis.transData.transform(line.get_xydata()) for line in axis.lines if line.get_linestyle() != "None"]
    curves = [one + t * (other - one) for way in ways for one, other in zip(way, way[1:])
              for t in np.linspace(0, 1, 99)]
    for text, x, y in zip(texts, xs, ys, strict=True):
        label = axis.annotate(text, (x, y), (0, 0), textcoords="offset points", fontsize=8, annotation_clip=False)
        for far, (right, up) in product((5, 12, 20, 30, 45, 60), AROUND):
            label.set_position((right * far, up * far))
            label.set(ha=("center", "left", "right")[right], va=("center", "bottom", "top")[up])
            box = label.get_window_extent()
            free = not any(map(box.overlaps, taken)) and not box.count_contains(curves or [(-1, -1)])
            if free and axis.bbox.fully_containsx(box.x1):
                break
        if text:
            taken.append(box)
        if text and far > 5:
            axis.annotate("", (x, y), label.get_position(), textcoords="offset points",
                          arrowprops={"arrowstyle": "-", "linewidth": 0.6, "color": "0.5"})
