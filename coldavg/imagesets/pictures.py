"""One picture as it was read, and how it becomes a square.

What has 8 bits comes out as uint8.  What has more comes out as floats, for one scale of the whole set (`scales`).
"""

import math
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageOps

FITS = ("crop", "pad", "stretch")
FILTER = Image.Resampling.LANCZOS  # it averages what it drops


class NotRead(ValueError):
    """Why a file is not read, in plain words that name no file; `broken` if it ought to be a picture."""

    def __init__(self, why: str, broken: bool = True):
        super().__init__(why)
        self.broken = broken


class Fit(NamedTuple):
    """How a picture becomes a square: of which side, of 1 or 3 channels, by which of FITS."""

    size: int
    channels: int
    how: str = "crop"


class Picture(NamedTuple):
    """A picture that was read.

    `values` (size, size, channels): uint8, or float32 of the `scale` whose range the whole set settles, or all of one
    `series` where it names one.  `kind`: the format; `size` (W, H) as it was; `colour`; `bits` a value; `levels`: the
    lowest and the highest before resizing; `frames` that its file holds; `label`: who it is, as the file says it;
    `note`: what was left out.
    """

    values: np.ndarray
    kind: str
    size: tuple[int, int]
    colour: bool
    bits: int
    levels: tuple[float, float]
    scale: str = ""
    series: str = ""
    frames: int = 1
    label: tuple | None = None
    note: str = ""

    def kept(self) -> float:
        """The shorter side over the longer: what cropping keeps, how much of a padded square is filled, 1 / stretch."""
        return min(self.size) / max(self.size)


def to_square(picture: Image.Image, fit: Fit) -> Image.Image:
    """The picture (L, RGB or F) at the side of `fit`: its middle square, or all of it on the grey of its edge."""
    square = (fit.size, fit.size)
    if fit.how == "stretch":
        return picture.resize(square, FILTER)
    if fit.how == "crop":
        return ImageOps.fit(picture, square, FILTER)
    pixels = np.asarray(picture)
    edge = np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]])
    ground = np.median(edge, 0)
    colour = tuple(int(value) for value in ground) if ground.ndim else float(ground)
    return ImageOps.pad(picture, square, FILTER, color=colour if picture.mode != "L" else int(colour))


def from_levels(values: np.ndarray, kind: str, fit: Fit, size: tuple[int, int] | None = None, **facts) -> Picture:
    """A grey picture of values (H, W) that are not of 8 bits, as a Picture whose scale is still to be settled."""
    if not np.isfinite(values).all():
        raise NotRead("values that are no numbers (NaN or infinite)")
    whole, low, high = np.issubdtype(values.dtype, np.integer), float(values.min()), float(values.max())
    if max(abs(low), abs(high)) > 1e30:
        raise NotRead("values beyond all scales")
    scale = facts.pop("scale", "") or ("whole numbers" if whole and low >= 0 else "signed or broken numbers")
    square = np.asarray(to_square(Image.fromarray(values.astype(np.float32)), fit))
    return Picture(np.repeat(square[..., None], fit.channels, 2), kind, size or values.shape[::-1], False,
                   8 * values.dtype.itemsize, (low, high), scale, **facts)


def plain_size(shape: tuple[int, ...]) -> bool:
    """Whether an array of this shape (H, W) is a picture that is neither empty nor too large."""
    return min(shape) > 0 and math.prod(shape) <= Image.MAX_IMAGE_PIXELS
