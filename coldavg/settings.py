"""Settings: all that decides a training run.  It is saved with the network, and is the command line of `train`."""

import math
from dataclasses import Field, dataclass, field

from .mixing import TARGETS, check_weights
from .publishing import keeps_average

ORDERS = ("brightest", "random")
LOSSES = ("squared", "log")
MOST = {False: 4, True: 16}  # images in a mixture, for a path and for a joint network


def setting(default, text: str) -> Field:
    """A field of Settings, with the text that `coldavg train --help` shows."""
    return field(default=default, metadata={"help": text})


@dataclass(frozen=True)
class Settings:
    """All that decides a training run.  What each setting is stands beside it; `coldavg train --help` prints it.

    Raises TypeError or ValueError, naming the setting, for values that can't be.
    """

    data: str = setting("digits", "image set, or a folder or zip of images; its training split is used")
    target: str = setting("original", "what the network says: original, remainder or difference (path), or joint")
    k: int = setting(2, "images in a mixture; a path network draws 2 to k, so that it can peel")
    order: str = setting("brightest", "which image comes first: brightest (the largest mean), or random")
    alpha_max: float = setting(0.8, "of a path network: largest alpha (known setting: 0.8)")
    at_start: float = setting(0.5, "of a path network: share of points at (k - 1) / k, where samplers start (known: 0)")
    published: str = setting("png", "form in which a joint network sees averages: png, noise-0.1, blur-2+jpeg-50, ...")
    weights: tuple[float, ...] | None = setting(None, "mixing weights, known to the attacker, as 0.6,0.4; none: equal")
    pool: int = setting(0, "average the most alike among so many images drawn (k-same anonymisation); 0: any images")
    looks: int = setting(0, "looks of a joint network: answers after 1 to so many are trained; 0: it never sees one")
    loss: str = setting("squared", "mean squared error, or log: the mean of its logarithm, mixture by mixture")
    flips: bool = setting(False, "draw mirror images too (left out: as the data allow)")
    channels: int = setting(1, "channels of the images")
    widths: tuple[int, ...] = setting((64, 96, 160), "channels of each level of the U-Net, multiples of 4")
    patch: int = setting(2, "side of the squares of pixels that the network takes as one")
    mixtures: int = setting(800_000, "mixtures to see")
    batch: int = setting(64, "mixtures in a step, over all processes")
    learning_rate: float = setting(2e-3, "learning rate at its highest: warm-up, then cosine")
    ema: float = setting(0.9995, "decay of the running average of the parameters, which is the network that is kept")
    seed: int = setting(0, "seed of all random numbers")

    def __post_init__(self):
        object.__setattr__(self, "widths", tuple(self.widths))
        object.__setattr__(self, "weights", self.weights and tuple(self.weights))
        for name, choices in (("target", (*TARGETS, "joint")), ("order", ORDERS), ("loss", LOSSES)):
            if getattr(self, name) not in choices:
                raise ValueError(f"{name} must be one of {', '.join(choices)}, got {getattr(self, name)!r}")
        for name in ("k", "channels", "patch", "mixtures", "batch", "seed", "pool", "looks"):
            if type(getattr(self, name)) is not int:
                raise TypeError(f"{name} must be a whole number, got {getattr(self, name)!r}")
        if not 2 <= self.k <= MOST[self.target == "joint"]:
            raise ValueError(f"k must be from 2 to {MOST[False]}, of a joint network to {MOST[True]}, got {self.k}")
        exact = self.exact  # for any target: a form that is none is a ValueError
        if self.target != "joint" and not (exact and self.weights is None and self.pool == 0):
            raise ValueError(f"target must be 'joint' for published {self.published!r}, weights {self.weights} and "
                             f"pool {self.pool}, got {self.target!r}; path networks learn plain averages")
        if self.looks < 0 or self.looks and self.target != "joint":
            raise ValueError(f"looks must be at least 0, and 0 but for a joint network, got {self.looks}")
        if self.pool and self.pool < self.k:
            raise ValueError(f"pool must be 0, or at least k = {self.k}, got {self.pool}")
        check_weights(self.weights, self.k)
        if self.target != "joint" and not (self.k - 1) / self.k <= self.alpha_max < 1:
            raise ValueError(f"alpha_max must be in [(k - 1) / k, 1), got {self.alpha_max} for k = {self.k}")
        if not self.widths or any(width < 4 or width % 4 for width in self.widths):
            raise ValueError(f"widths must each be a multiple of 4, for the heads of attention, got {self.widths}")
        if min(self.mixtures, self.batch, self.channels, self.patch) < 1:
            raise ValueError("mixtures, batch, channels and patch must be at least 1")
        if not 0 <= self.at_start <= 1:
            raise ValueError(f"at_start must be in [0, 1], got {self.at_start}")
        if not 0 < self.learning_rate < math.inf or not 0 <= self.ema < 1:
            raise ValueError("learning_rate must be above 0 and ema in [0, 1)")

    @property
    def exact(self) -> bool:
        """Whether the network is shown the average itself, but for its rounding: then its answers re-mix to it."""
        return keeps_average(self.published)
