"""Widgets (ipywidgets) that draw anew while a reader moves a control; they need a kernel."""

from collections.abc import Callable, Sequence

from matplotlib.figure import Figure
from torch import Tensor

from ..metrics import score
from ..mixing import brightest_first, mix
from ..samplers import SAMPLERS
from ..support.figures import show
from ..support.pixels import png, round_to_8_bits
from ..unmixing import unmix


def explorer(draw: Callable[..., Figure], **controls: Sequence):
    """Widgets over a function that draws: a slider for each range of numbers, a menu for any other list.

    `draw` takes the chosen values by name and returns a Figure.  Needs a kernel.  The first picture is
    drawn at once, outside the widgets, so that an error in `draw` is an error of the cell.
    """
    import ipywidgets as widgets

    chosen = {}
    for name, values in controls.items():
        kind = widgets.SelectionSlider if isinstance(values[0], int | float) else widgets.Dropdown
        chosen[name] = kind(options=list(values), value=values[0], description=name.replace("_", " "))
    picture = widgets.Image(format="png")

    def redraw(_=None) -> None:
        picture.value = png(draw(**{name: widget.value for name, widget in chosen.items()}))

    redraw()
    for widget in chosen.values():
        widget.observe(redraw, "value")
    return widgets.VBox([*chosen.values(), picture])


def mixing_explorer(pairs: Tensor):
    """Widgets that mix: which pair, and the weight of its first image.  `pairs` (N, 2, C, H, W) in [-1, 1]."""

    def draw(pair: int, weight: float) -> Figure:
        first, second = pairs[pair]
        mixture = mix(pairs[pair], [weight, 1 - weight])
        return show([[first, second, mixture]], [f"{weight:.0%} of this", f"{1 - weight:.0%} of this", "the mixture"])

    return explorer(draw, pair=range(len(pairs)), weight=[round(0.05 * i, 2) for i in range(10, 0, -1)])


def sampler_explorer(pairs: Tensor, network):
    """Widgets that un-average: which pair, which sampler, how many steps.  As `mixing_explorer`, path `network`."""

    def draw(pair: int, sampler: str, steps: int) -> Figure:
        truth = brightest_first(pairs[pair])
        mixture = round_to_8_bits(mix(truth))
        result = unmix(mixture, network, sampler, steps)
        decibels = score(result.images[None], truth[None], mixture[None])["psnr"][0]
        titles = ["truth", "truth", "the average", *(f"recovered\n{psnr:.1f} dB" for psnr in decibels)]
        return show([[*truth, mixture, *result.images]], titles)

    names = sorted(SAMPLERS, key=lambda name: name != "cold")  # one that steps first, so that the sliders show it
    return explorer(draw, pair=range(len(pairs)), sampler=names, steps=[1, 2, 5, 10, 20])
