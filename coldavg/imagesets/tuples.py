"""Which images go together: the protocol's test tuples, and groups of the most alike."""

import math

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d

from .opening import ImageSet


def draw_tuples(total: int, k: int = 2, count: int = 1000, seed: int = 0,
                identities: np.ndarray | None = None) -> Tensor:
    """The protocol's tuples: (count, k) indices into `total` images, no image twice in a tuple.

    `count` seeded images stand once each in first place; their partners are drawn among all others, again
    and again until nobody of `identities` (total,), if given, is in a tuple twice.  Raises ValueError if
    there are too few images or identities.  RandomState, as NumPy promises that its stream never changes.
    """
    if count < 1 or k < 2:
        raise ValueError(f"count must be at least 1 and k at least 2, got {count} and {k}")
    if total < max(count, k):
        raise ValueError(f"images must be at least count = {count} and k = {k}, got {total}")
    identities = np.arange(total) if identities is None else identities
    if len(np.unique(identities)) < k:
        raise ValueError(f"identities must be at least k = {k}, got {len(np.unique(identities))}")
    rng = np.random.RandomState(seed)
    rows = []
    for first in rng.permutation(total)[:count]:
        row = [first, first]
        while len(set(identities[row])) < k:
            partners = rng.choice(total - 1, size=k - 1, replace=False)
            row = [first, *(partners + (partners >= first))]  # skips `first` itself
        rows.append(row)
    return torch.tensor(np.array(rows))


def thumbnails(images: Tensor | ImageSet, rows: np.ndarray) -> Tensor:
    """The images of these rows, reduced to 8 x 8 and flattened (len(rows), C 64): by these the alike are found."""
    several = max(1, 5_000_000 // math.prod(images.shape[1:]))  # at once, to spare memory
    return torch.cat([adaptive_avg_pool2d(images[torch.from_numpy(rows[start : start + several])], 8).flatten(1)
                      for start in range(0, len(rows), several)])


def alike_tuples(features: Tensor, k: int, count: int, identities: np.ndarray, seed: int = 0) -> np.ndarray:
    """Tuples (G, k) of the most alike among `features` (N, D), as k-same anonymisation forms them: G <= count.

    Seeded images stand first, one after another; each takes the k - 1 nearest that are left, no two of one
    identity.  No image is in two tuples.  K-same: Newton, Sweeney and Malin 2005.
    """
    left, rows = torch.ones(len(features), dtype=torch.bool), []
    identities = torch.from_numpy(np.unique(identities, return_inverse=True)[1])
    for first in np.random.RandomState(seed).permutation(len(features)):
        if len(rows) == count:
            break
        if not left[first]:
            continue
        row, distance = [int(first)], (features - features[first]).square().sum(1)
        distance[~left] = torch.inf
        while len(row) < k:
            distance[identities == identities[row[-1]]] = torch.inf
            if distance.min() == torch.inf:
                break
            row.append(int(distance.argmin()))
        if len(row) == k:
            left[row] = False
            rows.append(row)
    return np.array(rows, dtype=int).reshape(-1, k)
