"""unmix: take a mixture apart, image after image along the path, or all at once with a joint network."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from numbers import Integral

import torch
from torch import Tensor
from tqdm.auto import tqdm

from . import joint
from .mixing import check_images, check_weights, complete, remainder_of
from .predictor import Network, ask, check_network
from .samplers import SAMPLERS, Guess, Sampler, Step

STEPS = 20  # of a sampler, if nothing else is asked for


@dataclass(frozen=True)
class Point:
    """One point of a trajectory: where it stood, and what the network guessed there; (B, C, H, W)."""

    alpha: float
    x: Tensor
    original: Tensor
    remainder: Tensor


@dataclass(frozen=True)
class Result:
    """What `unmix` returns.

    `images` (K, C, H, W), or (B, K, C, H, W) for a batch; their weighted sum is the mixture (but for a
    network that is not `exact`), so that they may leave [-1, 1] by a little.  `calls` counts network calls
    for each mixture.  `trajectory`, if asked for, holds a Point (with a batch dimension) for every step or look
    and, of a path, one for the end; for more than two images those of one peeling after another.
    """

    images: Tensor
    calls: int
    trajectory: list[Point] = field(default_factory=list)


def schedule(steps: int | Sequence[float], alpha0: float) -> list[float]:
    """The alphas that a sampler visits, from alpha0 down to 0: `steps` equal steps, or the list itself.

    >>> schedule(2, 0.5)
    [0.5, 0.25, 0.0]
    """
    if isinstance(steps, Integral) and not isinstance(steps, bool):
        if steps < 1:
            raise ValueError(f"steps must be at least 1, got {steps}; more steps, more network calls")
        return [alpha0 * (1 - i / steps) for i in range(steps + 1)]
    try:
        alphas = [float(alpha) for alpha in steps]
    except (TypeError, ValueError):
        raise TypeError(f"steps must be a whole number or a list of alphas, got {steps!r}") from None
    falling = all(a > b for a, b in zip(alphas, alphas[1:]))
    if len(alphas) < 2 or abs(alphas[0] - alpha0) > 1e-9 or alphas[-1] != 0 or not falling:
        raise ValueError(f"steps must fall from alpha0 = {alpha0:.6g} to 0, got {alphas}; or pass a whole number")
    return alphas


def check_joint(network: Network, k: int, weights) -> Tensor:
    """The mixing weights of a call of a joint network: those that it was trained on."""
    trained = check_weights(network.weights, network.k)
    if k != network.k and (network.k != 2 or not network.exact or network.weights is not None):
        raise ValueError(f"k must be {network.k} for this joint network, got {k}; use a network for {k} images, or one "
                         "for 2 that was trained on plain averages, which takes more two at a time")
    weights = check_weights(weights if weights is not None or k != network.k else trained, k)
    if not torch.allclose(weights, trained if k == network.k else weights[0]):
        raise ValueError(f"weights must be those that this joint network was trained on, got {weights.tolist()}, not "
                         f"{'equal ones' if k > network.k else trained.tolist()}; use a path network")
    return weights


def check_problem(mixture: Tensor, network: Network, k: int | None, weights, alpha0: float | None) -> Tensor:
    """The mixing weights of a well-posed call of `unmix`; ValueError or TypeError for any other."""
    check_network(network)
    check_images(mixture, "mixture", dims=3)
    if mixture.ndim > 4:
        raise ValueError(f"mixture must be (C, H, W) or (B, C, H, W), got {tuple(mixture.shape)}; flatten the batch")
    if network.channels not in (None, mixture.shape[-3]):
        raise ValueError(f"mixture must have the network's {network.channels} channel(s), got {mixture.shape[-3]}; "
                         "convert it")
    if alpha0 is not None:
        if weights is not None or k not in (None, 2):
            raise ValueError("alpha0 says the weights of a pair, (1 - alpha0, alpha0); for others pass weights alone")
        if not 0 < alpha0 < 1:
            raise ValueError(f"alpha0 must be in (0, 1), got {alpha0}; for K equal images it is (K - 1) / K")
        weights, k = (1 - alpha0, alpha0), 2
    if k is None:
        k = len(weights) if hasattr(weights, "__len__") else network.k if network.target == "joint" else 2
    if network.target == "joint":
        return check_joint(network, k, weights)
    weights = check_weights(weights, k)
    if k > network.k:
        raise ValueError(f"k must be at most {network.k} for this network, got {k}; use one trained to peel {k} images")
    for first in range(k - 1):  # each peeling starts from its own alpha_0
        start = 1 - (weights[first] / weights[first:].sum()).item()
        if start > network.alpha_max + 1e-9:
            raise ValueError(f"alpha0 must be at most the network's alpha_max = {network.alpha_max}, got {start:.4g}; "
                             "name the image of the larger weight first, or train with a larger alpha_max")
    return weights


@torch.no_grad()
def unmix(mixture: Tensor, network: Network, sampler: str | Sampler = "cold",
          steps: int | Sequence[float] | None = None, k: int | None = None, weights: Sequence[float] | None = None,
          alpha0: float | None = None, *, trajectory: bool = False, progress: bool = False,
          callback: Callable[[Point], None] | None = None, seed: int = 0) -> Result:
    """Take a mixture of K images apart.

    `mixture` (C, H, W) or (B, C, H, W), floats in [-1, 1]; `network` a path network (its images come out one
    after another: peeling) or a joint one (`sampler` plays no part; one for two serves any `k`, two by two).
    `sampler` a name of SAMPLERS; `steps` their number (None: 20), or the alphas from alpha_0 = 1 - w_1 down to
    0, scaled to the alpha_0 of each further peeling; of a joint network that looks again how often it looks
    (None: its own best), of others, and two by two, it plays no part.  `k` and `weights` say what was mixed: by
    default what a joint network was trained on, for a path network a pair of equal weights; for a pair, `alpha0`
    alone says the weights.  `callback` gets a Point after every step; `seed` is for random samplers.
    Raises ValueError or TypeError, naming what was wrong and what to do.

    >>> from coldavg import load, load_network, mix
    >>> unmix(mix(load("digits")[:2]), load_network("digits-original"), steps=5).images.shape
    torch.Size([2, 1, 28, 28])
    """
    weights = check_problem(mixture, network, k, weights, alpha0)
    batch = mixture if mixture.ndim == 4 else mixture[None]
    points: list[Point] = []
    alpha0 = 1 - weights[0].item()
    with tqdm(unit=" points", disable=not progress) as bar:

        def visit(point: Point) -> None:
            bar.update()
            if trajectory:
                points.append(point)
            if callback is not None:
                callback(point)

        if network.target != "joint":
            chosen = find_sampler(sampler)
            alphas = schedule(chosen.steps or (STEPS if steps is None else steps), alpha0)
            bar.total = (len(weights) - 1) * len(alphas)
            generator = torch.Generator(batch.device).manual_seed(seed)
            images, calls = peel(batch, network, chosen, alphas, weights, generator, visit)
        elif len(weights) == network.k:
            looks = check_looks(network, steps)
            for images in joint.split(network, batch, weights, looks):
                visit(Point(alpha0, batch, images[:, 0], remainder_of(images, weights)))
            calls = looks * network.calls
        else:
            images, answers = joint.two_at_a_time(network, batch, len(weights))
            calls = answers * network.calls
    return Result(images if mixture.ndim == 4 else images[0], calls, points)


def check_looks(network: Network, steps: int | None) -> int:
    """How often a joint network is asked: `steps` times if it looks again, else once; ValueError if it can't be."""
    looks = network.looks if steps is None else steps
    if network.looks and (not isinstance(looks, Integral) or looks < 1):
        raise ValueError(f"steps must be a whole number of looks, at least 1, for this joint network, got {steps!r}")
    return int(looks) if network.looks else 1


def find_sampler(sampler: str | Sampler) -> Sampler:
    """The Sampler of that name; ValueError, with all names, if there is none."""
    if isinstance(sampler, Sampler):
        return sampler
    if sampler not in SAMPLERS:
        raise ValueError(f"sampler must be one of {', '.join(SAMPLERS)}, got {sampler!r}")
    return SAMPLERS[sampler]


def peel(mixture: Tensor, network: Network, sampler: Sampler, alphas: list[float], weights: Tensor,
         generator: torch.Generator, visit: Callable[[Point], None]) -> tuple[Tensor, int]:
    """Recover one image after another; what is left of each, unclamped, is the next mixture."""
    shares = [alpha / alphas[0] for alpha in alphas]  # the same spacing for every image
    images, calls, rest = [], 0, mixture
    for first in range(len(weights) - 1):
        alpha0 = 1 - (weights[first] / weights[first:].sum()).item()
        original, rest, more = follow(rest, network, sampler, [alpha0 * share for share in shares], generator, visit)
        images.append(original)
        calls += more
    return torch.stack(images + [rest], dim=1), calls


def follow(mixture: Tensor, network: Network, sampler: Sampler, alphas: list[float], generator: torch.Generator,
           visit: Callable[[Point], None]) -> tuple[Tensor, Tensor, int]:
    """The loop: follow the path from m at alphas[0] down to 0: where it ends, what is left of m, network calls."""
    alpha0, x, calls = alphas[0], mixture, 0

    def predict(x: Tensor, alpha: float) -> Guess:
        nonlocal calls
        calls += network.calls
        answer = ask(network, x, alpha)
        if sampler.partner == "mixture" or (alpha == 0 and network.target == "original"):
            return Guess(*complete(network.target, answer, mixture, alpha0))  # at alpha 0 the state holds nothing of r
        return Guess(*complete(network.target, answer, x, alpha))

    for a, b in zip(alphas, alphas[1:]):
        guess = predict(x, a)
        visit(Point(a, x, *guess))
        step = Step(x, a, b, *guess, mixture, alpha0, a == alpha0, predict, generator)
        x = sampler.step(step)
        if not isinstance(x, Tensor) or x.shape != mixture.shape:
            came = tuple(x.shape) if isinstance(x, Tensor) else type(x).__name__
            raise ValueError(f"sampler {sampler.name!r} must return a tensor {tuple(mixture.shape)}, got {came}")
    rest = (mixture - (1 - alpha0) * x) / alpha0
    visit(Point(0.0, x, x, rest))
    return x, rest, calls
