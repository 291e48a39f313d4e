"""How averages are made: of how many images, with which weights, of which groups, and published in what form."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ..imagesets.opening import ImageSet
from ..imagesets.tuples import alike_tuples, draw_tuples, thumbnails
from ..metrics import psnr
from ..mixing import check_weights, mix
from ..publishing import keeps_average, parse_form, publish, release

GROUPS = ("random", "nearest")


@dataclass(frozen=True)
class Averaging:
    """How averages are made: of `k` images, with `weights` (None: equal), of `groups`, `published` in a form.

    Groups are "random", or "nearest": the most alike images, as k-same anonymisation forms them.  The form
    is that of `release`.  Raises ValueError for any other.
    """

    k: int = 2
    weights: tuple[float, ...] | None = None
    groups: str = "random"
    published: str = "png"

    def __post_init__(self):
        if type(self.k) is not int or not 2 <= self.k <= 16:
            raise ValueError(f"k must be a whole number from 2 to 16, got {self.k}; who is in larger "
                             "averages a report says by itself")
        if self.groups not in GROUPS:
            raise ValueError(f"groups must be one of {', '.join(GROUPS)}, got {self.groups!r}")
        object.__setattr__(self, "weights", self.weights and tuple(self.weights))
        check_weights(self.weights, self.k)
        secret = any(each.name == "weights" for each, _ in parse_form(self.published))
        if secret and self.weights is not None:
            raise ValueError(f"weights can't be both given and secret, got {list(self.weights)} and {self.published!r}")

    @property
    def plain(self) -> bool:
        """Whether equal shares were published with nothing done to them: then a network for two serves every K."""
        return keeps_average(self.published) and self.weights is None

    def draw(self, images: ImageSet, count: int, seed: int = 0) -> Tensor:
        """Which images go into each average: (N, K) indices into `images`, N <= count, nobody twice in one.

        Nor are two near-copies.  Random groups: N seeded images stand first, one in each average; an image may be in
        others too, as a partner.  Nearest: no image is in two.  ValueError if there are too few images or identities.
        """
        people = len(np.unique(images.apart))
        if people < self.k:
            raise ValueError(f"k = {self.k} images of different identities are averaged, got {people} identities; "
                             "add images, or choose a smaller k")
        if self.groups == "random":
            return draw_tuples(len(images), self.k, min(count, len(images)), seed, images.apart)
        features = thumbnails(images, np.arange(len(images)))
        return torch.from_numpy(alike_tuples(features, self.k, count, images.apart, seed))

    def publish(self, tuples: Tensor, seed: int = 0) -> Tensor:
        """The averages (N, C, H, W) of tuples (N, K, C, H, W); the random numbers are the publisher's own."""
        return release(tuples, self.published, self.weights, range(seed << 32, (seed << 32) + len(tuples)))

    def as_published(self, candidates: Tensor) -> Tensor:
        """What of candidate images (M, C, H, W) reaches the published picture: what is linear is done to each."""
        linear = all(each.name in ("blur", "small", "resized") for each, _ in parse_form(self.published))
        return publish(candidates, self.published) if linear else candidates


PAIRS = Averaging()  # the plain average of two, as a PNG


def fidelity(published: Tensor, tuples: Tensor, weights: Sequence[float] | None = None) -> float:
    """What is left for use: the mean PSNR (dB) of what was published to the plain average that it stands for."""
    return psnr(published, mix(tuples, weights)).mean().item()
