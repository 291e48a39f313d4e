"""Things to play with: a player that needs no kernel, and explorers (ipywidgets) that need one."""

import base64
import html
import io
import json
from collections.abc import Callable, Sequence

import numpy as np
import torch
from matplotlib.figure import Figure
from PIL import Image
from torch import Tensor

from .figures import pixels, show
from .metrics import score
from .mixing import brightest_first, mix, round_to_8_bits
from .samplers import SAMPLERS, unmix


class Player:
    """A slider over a strip of frames: HTML and JavaScript in one piece, no kernel and no network.

    `frames` (N, C, H, W) in [-1, 1], or N figures of one size; `labels` one text a frame, shown beside
    the slider; `alt` says in words what moves; `scale` enlarges images without blur; `start` is the first frame shown.
    """

    def __init__(self, frames: Tensor | Sequence[Figure], labels: Sequence[str], alt: str, scale: int = 4,
                 start: int = 0):
        arrays = [drawn(frame) if isinstance(frame, Figure) else pixels(frame) for frame in frames]
        if not arrays or len(labels) != len(arrays):
            raise ValueError(f"labels must be one for each of the {len(arrays)} frames (at least 1), got {len(labels)}")
        if not 0 <= start < len(arrays):
            raise ValueError(f"start must be in [0, {len(arrays) - 1}], got {start}")
        self.strip, self.labels, self.alt, self.start = np.concatenate(arrays, axis=1), list(labels), alt, start
        self.height, self.width = arrays[0].shape[:2]
        self.scale = scale

    def __repr__(self) -> str:  # no address in memory: the outputs of a chapter stay the same
        return f"Player({len(self.labels)} frames: {self.alt})"

    def _repr_html_(self) -> str:
        packed = io.BytesIO()
        Image.fromarray(self.strip).save(packed, "PNG", optimize=True)
        source = base64.b64encode(packed.getvalue()).decode()
        last = max(1, len(self.labels) - 1)
        wide = self.width * self.scale
        sharp = "image-rendering:pixelated;" if self.scale > 1 else ""
        move = (
            "var f=this.closest('figure'),p=f.querySelector('[role=img]'),t=JSON.parse(f.dataset.labels)[this.value];"
            f"p.style.backgroundPositionX=this.value*100/{last}+'%';f.querySelector('output').textContent=t;"
            "this.setAttribute('aria-valuetext',t)"
        )
        return (
            f'<figure class="coldavg-player" data-labels="{html.escape(json.dumps(self.labels))}" '
            f'style="margin:1em 0;max-width:{wide}px">'
            f'<div role="img" aria-label="{html.escape(self.alt)}" style="width:100%;'
            f"aspect-ratio:{self.width}/{self.height};background-image:url(data:image/png;base64,{source});"
            f"background-size:{100 * len(self.labels)}% 100%;background-position-x:{100 * self.start / last}%;"
            f'{sharp}"></div>'
            f'<input type="range" min="0" max="{len(self.labels) - 1}" value="{self.start}" '
            f'aria-label="{html.escape(self.alt)}" aria-valuetext="{html.escape(self.labels[self.start])}" '
            f'oninput="{html.escape(move)}" style="width:100%;margin:.5em 0 0">'
            f'<output style="font-variant-numeric:tabular-nums">{html.escape(self.labels[self.start])}</output>'
            "</figure>"
        )


def swipe(left: Tensor, right: Tensor, names: tuple[str, str], alt: str, scale: int = 4, stops: int = 20) -> Player:
    """A player that draws one picture over another: left of a line stands `left`, right of it `right`.

    Both (C, H, W) in [-1, 1]; the line moves in `stops` steps from the left edge to the right one.
    """
    frames, width = [], left.shape[-1]
    for stop in range(stops + 1):
        edge = round(stop / stops * width)
        frame = torch.cat([left[..., :edge], right[..., edge:]], -1)
        if 0 < edge < width:
            frame[..., edge] = 0.5  # the line
        frames.append(frame)
    labels = [f"left of the line {names[0]}, right of it {names[1]}"] * (stops + 1)
    labels[0], labels[-1] = names[1], names[0]
    return Player(torch.stack(frames), labels, alt, scale, stops // 2)


def drawn(figure: Figure, dpi: int = 100) -> np.ndarray:
    """A figure as uint8 (H, W, 3)."""
    packed = io.BytesIO()
    figure.savefig(packed, format="png", dpi=dpi)
    return np.asarray(Image.open(packed).convert("RGB"))


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
        packed = io.BytesIO()
        draw(**{name: widget.value for name, widget in chosen.items()}).savefig(packed, format="png", dpi=100)
        picture.value = packed.getvalue()

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
        marks = score(result.images[None], truth[None], mixture[None])["psnr"][0]
        titles = ["truth", "truth", "the average", *(f"recovered\n{mark:.1f} dB" for mark in marks)]
        return show([[*truth, mixture, *result.images]], titles)

    names = sorted(SAMPLERS, key=lambda name: name != "cold")  # one that steps first, so that the sliders show it
    return explorer(draw, pair=range(len(pairs)), sampler=names, steps=[1, 2, 5, 10, 20])


def attempt(check: Callable[[object], None], answer: object) -> None:
    """Try an `answer` to an exercise: say "Right.", or what `check` finds wrong (it raises, usually by assert)."""
    try:
        check(answer)
    except NotImplementedError:
        print("Not yet: replace the line that raises NotImplementedError by your own.")
    except Exception as error:  # whatever a reader's code does, the page goes on
        print(f"Not yet: {(str(error) or type(error).__name__).splitlines()[0]}")
    else:
        print("Right.")
