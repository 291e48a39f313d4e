"""What a network is trained on: batch number n, a function of the seed and n alone."""

from functools import cache
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from .imagesets.opening import ImageSet
from .imagesets.tuples import alike_tuples, thumbnails
from .mixing import brightest_first, on_path, remainder_of
from .publishing import release
from .settings import Settings


@cache
def held_out(count: int) -> tuple[np.ndarray, np.ndarray]:
    """Of `count` training images, those to draw from and those held out for checks: a tenth, at most 64."""
    checked = np.linspace(0, count - 1, min(64, count // 10)).astype(int)
    return np.setdiff1d(np.arange(count), checked), checked


def draw_held_out(count: int, k: int, several: int) -> Tensor:
    """Indices (several, k) into `count` images: tuples of those held out, at every call the same."""
    _, checked = held_out(count)
    return torch.from_numpy(checked[draw_different(len(checked), k, several, np.random.default_rng(0))])


class Batch(NamedTuple):
    """What a step learns from: `tuples` (B, K, C, H, W), what the network is `given` (B, C, H, W), `alpha` (B,).

    A path network is given a point of the path; a joint one what was published, and it looks `looks` times.
    """

    tuples: Tensor
    given: Tensor
    alpha: Tensor
    looks: int


def draw(images: Tensor | ImageSet, settings: Settings, step: int, mine: slice = slice(None)) -> Batch:
    """Batch number `step`, its tuples in the order of the settings.

    All is a function of the seed and `step` (Philox, a counter-based generator), whatever was drawn before: a run can
    stop and go on, and processes that share a batch each take their part, `mine`.
    """
    rng = np.random.Generator(np.random.Philox(key=settings.seed, counter=[0, 0, 0, step]))
    k = settings.k if settings.target == "joint" else int(rng.integers(2, settings.k + 1))
    drawn, _ = held_out(len(images))
    indices = draw_alike(images, settings, rng) if settings.pool else draw_different(len(drawn), k, settings.batch, rng)
    alpha = settings.alpha_max * (1 - rng.random(settings.batch))  # never 0
    alpha[: round(settings.at_start * settings.batch)] = (k - 1) / k
    mirrored = torch.from_numpy(rng.random((settings.batch, k)) < 0.5)[mine]
    tuples, alpha = images[torch.from_numpy(drawn[indices])[mine]], torch.from_numpy(alpha).float()[mine]
    if settings.flips:
        tuples = torch.where(mirrored[:, :, None, None, None], tuples.flip(-1), tuples)
    if settings.order == "brightest":
        tuples = brightest_first(tuples)
    looks = int(rng.integers(1, settings.looks + 1)) if settings.looks else 1
    if settings.target == "joint":
        seeds = [(settings.seed << 64) | ((step + 1) << 32) | row for row in range(settings.batch)][mine]
        return Batch(tuples, release(tuples, settings.published, settings.weights, seeds), alpha, looks)
    return Batch(tuples, on_path(tuples[:, 0], remainder_of(tuples), alpha[:, None, None, None]), alpha, looks)


def draw_different(count: int, k: int, batch: int, rng: np.random.Generator) -> np.ndarray:
    """Indices (batch, k) into `count` images, no image twice in a tuple."""
    first = rng.integers(count, size=(batch, 1))
    gap = (count - 1) // (k - 1)  # partner j stands 1 + (j - 1) gap to j gap further on
    further = rng.integers(1, gap + 1, size=(batch, k - 1)) + gap * np.arange(k - 1)
    return np.hstack([first, (first + further) % count])


def draw_alike(images: Tensor | ImageSet, settings: Settings, rng: np.random.Generator) -> np.ndarray:
    """Indices (batch, k) into the images: tuples as a publisher forms them who groups like with like."""
    drawn, _ = held_out(len(images))
    size, rows = min(settings.pool, len(drawn)), []
    while len(rows) < settings.batch:  # a pool, and if need be another
        chosen = rng.permutation(len(drawn))[:size]
        identities = getattr(images, "apart", np.arange(len(images)))[drawn[chosen]]
        groups = alike_tuples(thumbnails(images, drawn[chosen]), settings.k, settings.batch - len(rows), identities)
        if not len(groups):
            raise ValueError(f"pool {settings.pool} gives no tuple of {settings.k} identities; draw from a larger one")
        rows += chosen[groups].tolist()
    return np.array(rows)
