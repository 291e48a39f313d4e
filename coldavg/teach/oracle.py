"""Exact predictors, for worlds small enough to have one; they are called like a path network.

Each answers with the posterior mean E[target | x_alpha], the best that any network trained with squared
error can hope for, plus a `bias` of the reader's choice: so the error of a sampler can be told from
the error of a network.  K = 2.
"""

import torch
from torch import Tensor

from ..mixing import check_target, say
from ..predictor import Network


class Oracle(Network):
    """What all exact predictors share: the target, and the bias added to the answer (a number or an image)."""

    k, alpha_max = 2, 1.0

    def __init__(self, target: str = "original", bias: float | Tensor = 0.0):
        check_target(target)
        self.target, self.bias = target, bias

    def means(self, x: Tensor, alpha: Tensor) -> tuple[Tensor, Tensor]:
        """E[x_1 | x_alpha] and E[r | x_alpha], each (B, C, H, W), for x (B, C, H, W) and alpha (B,)."""
        raise NotImplementedError

    def __call__(self, x: Tensor, alpha: Tensor) -> Tensor:
        """The answer of a network with this target: (B, C, H, W)."""
        return say(self.target, *(mean.to(x) for mean in self.means(x.double(), alpha.double()))) + self.bias


class Known(Oracle):
    """Knows the two images, whatever it is shown: every sampler must return them.  Each (..., C, H, W)."""

    def __init__(self, original: Tensor, remainder: Tensor, target: str = "original", bias: float | Tensor = 0.0):
        super().__init__(target, bias)
        self.original, self.remainder = original, remainder

    def means(self, x: Tensor, alpha: Tensor) -> tuple[Tensor, Tensor]:
        return self.original.expand_as(x), self.remainder.expand_as(x)


class FiniteWorld(Oracle):
    """A world of N images: a pair is two different ones, and x_alpha is seen through Gaussian noise.

    `images` (N, C, H, W); `noise` the standard deviation of the noise on each pixel, above 0; `order`
    "random" (all ordered pairs, equally likely) or "brightest" (the image of the larger mean first).
    """

    def __init__(self, images: Tensor, noise: float = 0.01, order: str = "random", target: str = "original",
                 bias: float | Tensor = 0.0):
        super().__init__(target, bias)
        if order not in ("random", "brightest") or len(images) < 2:
            raise ValueError(f"order must be random or brightest, images at least 2; got {order!r}, {len(images)}")
        if not noise > 0:
            raise ValueError(f"noise must be above 0, got {noise}; a small one, 1e-3, comes close to none")
        self.images, self.noise = images.double(), noise
        means = self.images.flatten(1).mean(1)
        allowed = ~torch.eye(len(images), dtype=torch.bool)
        if order == "brightest":
            allowed &= means[:, None] >= means[None]
        self.log_prior = torch.zeros(allowed.shape, dtype=torch.float64).masked_fill(~allowed, -torch.inf)

    def posterior(self, x: Tensor, alpha: Tensor) -> Tensor:
        """P(original is image i, remainder is image j | x_alpha): (B, N, N)."""
        flat = self.images.flatten(1)
        inner, seen = flat @ flat.T, x.double().flatten(1) @ flat.T  # (N, N), (B, N)
        a, square = alpha.double()[:, None, None], inner.diagonal()
        # |x - (1 - a) x_i - a x_j|^2, less |x|^2, which is the same for all pairs
        distance = ((1 - a) ** 2 * square[:, None] + a**2 * square + 2 * a * (1 - a) * inner
                    - 2 * (1 - a) * seen[:, :, None] - 2 * a * seen[:, None])
        return (self.log_prior - distance / (2 * self.noise**2)).flatten(1).softmax(1).reshape(distance.shape)

    def means(self, x: Tensor, alpha: Tensor) -> tuple[Tensor, Tensor]:
        pairs = self.posterior(x, alpha)
        return tuple(torch.einsum("bn,nchw->bchw", pairs.sum(over), self.images) for over in (2, 1))


class GaussianWorld(Oracle):
    """Images drawn from a mixture of round Gaussians (in two dimensions: points of the plane).

    `centres` (M, C, H, W), for points (M, 1, 1, 2); `spread` their standard deviation; `chances` (M,),
    equal if None; `noise` the standard deviation of the noise on what is seen.
    """

    def __init__(self, centres: Tensor, spread: float, chances: Tensor | None = None, noise: float = 0.0,
                 target: str = "original", bias: float | Tensor = 0.0):
        super().__init__(target, bias)
        if spread <= 0:
            raise ValueError(f"spread must be above 0, got {spread}; for a finite set of images use FiniteWorld")
        m = len(centres)
        self.centres, self.spread, self.noise = centres.double(), spread, noise
        self.log_chances = torch.full((m,), 1.0 / m, dtype=torch.float64).log() if chances is None else chances.log()

    def sample(self, count: int, generator: torch.Generator) -> Tensor:
        """`count` images (count, C, H, W) of this world."""
        which = torch.multinomial(self.log_chances.exp(), count, replacement=True, generator=generator)
        centres = self.centres[which]
        return centres + self.spread * torch.randn(centres.shape, generator=generator, dtype=torch.float64)

    def means(self, x: Tensor, alpha: Tensor) -> tuple[Tensor, Tensor]:
        a = alpha[:, None, None]
        flat = self.centres.flatten(1)
        centre = (1 - a)[..., None] * flat[:, None] + a[..., None] * flat  # of x_alpha, for parts i, j: (B, M, M, D)
        variance = ((1 - a) ** 2 + a**2) * self.spread**2 + self.noise**2  # (B, 1, 1)
        away = x.flatten(1)[:, None, None] - centre
        log = self.log_chances[:, None] + self.log_chances - away.square().sum(-1) / (2 * variance)
        parts = log.flatten(1).softmax(1).reshape(log.shape)[..., None]  # (B, M, M, 1)
        pull = away * (self.spread**2 / variance)[..., None]
        original = (parts * (flat[:, None] + (1 - a)[..., None] * pull)).sum((1, 2))
        remainder = (parts * (flat + a[..., None] * pull)).sum((1, 2))
        return original.reshape(x.shape), remainder.reshape(x.shape)
