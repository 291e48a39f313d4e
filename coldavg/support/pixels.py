"""Between images, floats in [-1, 1], and pictures: 8 bits a value, and PNG files."""

import base64
import io

import numpy as np
import torch
from matplotlib.figure import Figure
from PIL import Image
from torch import Tensor


def to_8_bits(images: Tensor) -> Tensor:
    """Images (...) in [-1, 1] as uint8: clamped, and rounded half to even to the 256 levels of a PNG.

    >>> to_8_bits(torch.tensor([-1.0, 0.0, 0.5, 7.0]))
    tensor([  0, 128, 191, 255], dtype=torch.uint8)
    """
    levels = ((images.clamp(-1, 1) + 1) * 127.5).round(decimals=3)  # less the noise of floats: a half is a half
    return levels.round().to(torch.uint8)


def from_8_bits(levels: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
    """Levels (...) from 0 to 255 as floats in [-1, 1]."""
    return levels.to(dtype) / 127.5 - 1


def round_to_8_bits(images: Tensor) -> Tensor:
    """`images` clamped to [-1, 1] and rounded (half to even) to the 256 values that a PNG can hold."""
    return from_8_bits(to_8_bits(images), images.dtype)


def picture(image: Tensor) -> np.ndarray:
    """An image (C, H, W) in [-1, 1] as uint8 (H, W) if grey, (H, W, 3) if colour; values outside are clamped."""
    array = to_8_bits(image.detach().cpu().double()).numpy()
    return array[0] if len(array) == 1 else array.transpose(1, 2, 0)


def png(drawn: Tensor | np.ndarray | Figure, dpi: int = 100) -> bytes:
    """An image (C, H, W), an array as of `picture`, or a figure at `dpi` dots an inch, as the bytes of a PNG file."""
    packed = io.BytesIO()
    if isinstance(drawn, Figure):
        drawn.savefig(packed, format="png", dpi=dpi)
    else:
        array = picture(drawn) if isinstance(drawn, Tensor) else drawn
        Image.fromarray(array).save(packed, "PNG", optimize=True)
    return packed.getvalue()


def embedded(content: bytes) -> str:
    """The bytes of a PNG file as the address of an image inside a page."""
    return f"data:image/png;base64,{base64.b64encode(content).decode()}"


def rasterise(figure: Figure, dpi: int = 100) -> np.ndarray:
    """A figure as uint8 (H, W, 3)."""
    return np.asarray(Image.open(io.BytesIO(png(figure, dpi))).convert("RGB"))
