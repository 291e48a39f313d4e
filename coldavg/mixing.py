"""Mixing images, the path from an original to the remainder, and the mixture constraint.

Notation, the same in the book:  x_1 ... x_K `images`, w_k `weights`, m `mixture`, x_1 `original`,
r `remainder`, alpha the weight of r on the path x_alpha = (1 - alpha) x_1 + alpha r.
"""

from collections.abc import Sequence
from numbers import Integral

import torch
from torch import Tensor

TARGETS = ("original", "remainder", "difference")  # what a path network may say; a joint one says all


def check_images(images: Tensor, name: str = "images", dims: int = 4) -> Tensor:
    """Return `images` if it is a finite floating tensor of at least `dims` dimensions in [-1, 1].

    Raises TypeError or ValueError, naming what came and what to do.
    """
    if isinstance(images, list | tuple) and all(isinstance(image, Tensor) for image in images):
        sizes = sorted({tuple(image.shape) for image in images})
        if len(sizes) > 1:
            raise ValueError(f"{name} must be of one size, got {', '.join(map(str, sizes))}; resize them to one")
    if not isinstance(images, Tensor):
        raise TypeError(
            f"{name} must be a torch tensor, got {type(images).__name__}; convert with torch.stack or torch.tensor"
        )
    if not images.is_floating_point():
        raise TypeError(
            f"{name} must hold floats in [-1, 1], got {images.dtype}; for 8-bit images use x / 127.5 - 1"
        )
    if images.ndim < dims:
        shape = "(..., K, C, H, W)" if dims == 4 else "(..., C, H, W)"
        raise ValueError(f"{name} must have the shape {shape}, got {tuple(images.shape)}; add the missing dimension")
    if images.numel() == 0:
        raise ValueError(f"{name} is empty, got the shape {tuple(images.shape)}; pass at least one image")
    if not torch.isfinite(images).all():
        raise ValueError(f"{name} holds NaN or infinity; clean it before mixing")
    low, high = images.min().item(), images.max().item()
    if low < -1.0001 or high > 1.0001:
        raise ValueError(f"{name} must lie in [-1, 1], got [{low:.3g}, {high:.3g}]; rescale (8 bits: x / 127.5 - 1)")
    return images


def check_weights(weights: Sequence[float] | Tensor | None, k: int) -> Tensor:
    """Mixing weights as a (K,) float64 tensor; None means 1/K each.  Raises ValueError if they are not valid."""
    if not isinstance(k, Integral) or k < 2:
        raise ValueError(f"k must be a whole number of at least 2, got {k}; one image is no mixture")
    if weights is None:
        return torch.full((k,), 1 / k, dtype=torch.float64)
    try:
        weights = torch.as_tensor(weights, dtype=torch.float64)
    except (TypeError, ValueError, RuntimeError):
        raise TypeError(f"weights must be {k} numbers, one an image, got {weights!r}") from None
    if weights.shape != (k,):
        raise ValueError(f"weights must be {k} numbers, one an image, got {weights.tolist()}")
    if not (weights > 0).all() or abs(weights.sum().item() - 1) > 1e-6:
        raise ValueError(f"weights must be positive and sum to 1, got {weights.tolist()}; divide them by their sum")
    return weights


def mix(images: Tensor, weights: Sequence[float] | Tensor | None = None) -> Tensor:
    """The mixture m = sum_k w_k x_k, in [-1, 1].

    `images` (..., K, C, H, W) floats in [-1, 1], K >= 2; `weights` K positive numbers that sum to 1,
    1/K each if None.  Returns (..., C, H, W).  Raises TypeError or ValueError on anything else.

    >>> pair = torch.stack([torch.zeros(1, 2, 2), torch.ones(1, 2, 2)])
    >>> mix(pair, [0.25, 0.75]).unique()
    tensor([0.7500])
    """
    k = check_images(images).shape[-4]
    if k < 2:
        raise ValueError(f"images must hold K >= 2 images in dimension -4, got K = {k}; one image is no mixture")
    weights = check_weights(weights, k).to(images)
    return torch.einsum("...kchw,k->...chw", images, weights)


def on_path(original: Tensor, remainder: Tensor, alpha: float | Tensor) -> Tensor:
    """x_alpha = (1 - alpha) x_1 + alpha r: the point of the path at `alpha` (a number, or one that broadcasts)."""
    return (1 - alpha) * original + alpha * remainder


def remainder_of(images: Tensor, weights: Tensor | None = None) -> Tensor:
    """r of `images` (..., K, C, H, W), the first of which is the original: the mean of the others by `weights` (K,)."""
    others = images[..., 1:, :, :, :]
    if weights is None:
        return others.mean(-4)
    return torch.einsum("...kchw,k->...chw", others, (weights[1:] / weights[1:].sum()).to(others))


def say(target: str, original: Tensor, remainder: Tensor) -> Tensor:
    """What a perfect path network of this `target` answers; the inverse of `complete`.  All (B, C, H, W)."""
    check_target(target)
    return {"original": original, "remainder": remainder, "difference": remainder - original}[target]


def complete(target: str, answer: Tensor, anchor: Tensor, alpha: float) -> tuple[Tensor, Tensor]:
    """Keep a network's `answer`, and solve for the half that it did not say.  Returns (original, remainder).

    The two must re-mix to `anchor` at `alpha`.  That gives the partner rules: (anchor, alpha) is (x_alpha, alpha) *from
    the state*, (m, alpha_0) *from the mixture*.  All images (B, C, H, W); `target` one of TARGETS; 0 < alpha < 1.

    >>> complete("original", torch.tensor([1.0]), torch.tensor([0.5]), 0.5)
    (tensor([1.]), tensor([0.]))
    """
    check_target(target)
    if target == "original":
        return answer, (anchor - (1 - alpha) * answer) / alpha
    if target == "remainder":
        return (anchor - alpha * answer) / (1 - alpha), answer
    return anchor - alpha * answer, anchor + (1 - alpha) * answer


def check_target(target: str) -> None:
    """ValueError if `target` is none that a path network may have."""
    if target not in TARGETS:
        raise ValueError(f"target must be one of {', '.join(TARGETS)}, got {target!r}")


def project(images: Tensor, mixture: Tensor, weights: Sequence[float] | Tensor | None = None) -> Tensor:
    """The images nearest to `images` (least squares) whose weighted sum is exactly `mixture`.

    `images` (..., K, C, H, W), `mixture` (..., C, H, W); the values may leave [-1, 1].  The change of
    image k is w_k / sum_j w_j^2 times what is missing: the Lagrange condition of the least change.
    """
    weights = check_weights(weights, images.shape[-4]).to(images)
    missing = mixture - torch.einsum("...kchw,k->...chw", images, weights)
    share = (weights / weights.square().sum()).reshape(-1, 1, 1, 1)
    return images + share * missing.unsqueeze(-4)


def keep_in_range(pair: Tensor) -> Tensor:
    """The pair nearest to `pair` (..., 2, C, H, W) with the same mean m and both images in [-1, 1], if |m| <= 1.

    Both lie there if |d| <= 1 - |m|, d the half-difference.  The true one does, so no answer gets further from it.
    """
    first, second = pair.unbind(-4)
    mean, half = (first + second) / 2, (first - second) / 2
    room = (1 - mean.abs()).clamp(min=0)
    half = half.clamp(-room, room)
    return torch.stack([mean + half, mean - half], -4)


def brightest_first(images: Tensor) -> Tensor:
    """`images` (..., K, C, H, W) reordered so that the one with the largest mean stands first."""
    first = images.mean((-3, -2, -1)).argsort(dim=-1, descending=True, stable=True)
    return torch.take_along_dim(images, first[..., None, None, None], -4)
