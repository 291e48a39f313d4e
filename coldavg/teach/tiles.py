"""What several chapters draw and compute: rows of pictures as one, half-differences of pairs, ranks compared."""

from collections.abc import Sequence

import torch
from scipy.stats import spearmanr
from torch import Tensor
from torch.nn.functional import pad


def tile(rows: Sequence[Sequence[Tensor] | Tensor]) -> Tensor:
    """Rows of images (C, H, W) in [-1, 1] as one image, each in a white frame: as `Player` wants its frames.

    >>> tile([torch.zeros(3, 1, 28, 28), torch.zeros(3, 1, 28, 28)]).shape
    torch.Size([1, 60, 90])
    """
    framed = [torch.cat([pad(image.clamp(-1, 1), (1, 1, 1, 1), value=1.0) for image in row], -1) for row in rows]
    return torch.cat(framed, -2)


def half_difference(pairs: Tensor) -> Tensor:
    """d = (x_1 - x_2) / 2 of pairs (..., 2, C, H, W), which the average loses: (..., C, H, W)."""
    return (pairs[..., 0, :, :, :] - pairs[..., 1, :, :, :]) / 2


def rank_correlation(one: Tensor, other: Tensor) -> float:
    """Spearman's correlation of two series (N,), from -1 to 1: that of their ranks."""
    return float(spearmanr(one.numpy(), other.numpy()).statistic)
