"""From which value is black to which is white, where files hold other than 8 bits: one scale for a whole set.

What is measured in units of its own, as MR is, has one scale for each volume or series, as viewers show it.
"""

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np


class Scale(NamedTuple):
    """The values that become 0 and 255, and how they were found, in words."""

    low: float
    high: float
    said: str

    def apply(self, values: np.ndarray) -> np.ndarray:
        """Values (...) as uint8."""
        span = (self.high - self.low) or 1.0
        return np.rint((values.astype(np.float64) - self.low) * (255 / span)).clip(0, 255).astype(np.uint8)


def settle_scale(kind: str, low: float, high: float) -> Scale:
    """The one scale of all pictures of a `kind` (`Picture.scale`), whose lowest and highest value are given.  Or of
    all of one series.

    Whole numbers: the fewest bits, 8 or more, that hold the highest: 12-bit data in a 16-bit file are 12-bit data.
    Broken numbers in [0, 1], [-1, 1] or [0, 255] (beyond 127) mean these; all others go from their lowest to
    their highest.

    >>> settle_scale("whole numbers", 3, 4000)
    Scale(low=0.0, high=4095.0, said='levels 3 to 4000, taken for 12 bits')
    """
    if kind == "DICOM through its window":
        return Scale(0.0, 1.0, "each through the window that its file names")
    span = f"{low:.6g} to {high:.6g}"
    if kind == "whole numbers":
        bits = max(8, int(high).bit_length())
        return Scale(0.0, float(2**bits - 1), f"levels {span}, taken for {bits} bits")
    if kind == "signed or broken numbers":
        for bottom, top, least in ((0, 1, 0), (-1, 1, 0), (0, 255, 127)):
            if bottom <= low and least < high <= top:
                return Scale(float(bottom), float(top), f"values {span}, taken for {bottom} to {top}")
    return Scale(low, high, f"values {span}, the lowest shown black and the highest white")


def say_scales(kind: str, scales: Iterable[Scale]) -> str:
    """The scales of all series of a kind, or the one of the whole set, in words."""
    first, *others = scales
    if not others:
        return first.said if kind == "DICOM through its window" else f"{first.said}, one scale for the whole set"
    every = [first, *others]
    return (f"{len(every)} volumes or series, each at a scale of its own: black is its lowest value, or that which its "
            f"file says, white its highest ({min(each.low for each in every):.6g} to "
            f"{max(each.high for each in every):.6g} over all)")
