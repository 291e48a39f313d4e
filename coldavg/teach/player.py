"""A player that needs no kernel: a slider over a strip of pictures, in a published page too."""

import html
import json
from collections.abc import Sequence

import numpy as np
import torch
from matplotlib.figure import Figure
from torch import Tensor

from ..support.pixels import embedded, picture, png, rasterise


class Player:
    """A slider over a strip of frames: HTML and JavaScript in one piece, no kernel and no network.

    `frames` (N, C, H, W) in [-1, 1], or N figures of one size; `labels` one text a frame, shown beside
    the slider; `alt` says in words what moves; `scale` enlarges images without blur; `start` is the first frame shown.
    """

    def __init__(self, frames: Tensor | Sequence[Figure], labels: Sequence[str], alt: str, scale: int = 4,
                 start: int = 0):
        arrays = [rasterise(frame) if isinstance(frame, Figure) else picture(frame) for frame in frames]
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
            f"aspect-ratio:{self.width}/{self.height};background-image:url({embedded(png(self.strip))});"
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
