"""What Gaussian noise on an average guarantees against every attacker, whatever that attacker knows."""

import math

from scipy.optimize import brentq
from scipy.special import log_ndtr, ndtr


def epsilon(deviation: float, k: int, values: int, delta: float = 1e-5) -> float:
    """The differential privacy of an average of K images with Gaussian noise: (epsilon, delta), for one image replaced.

    `deviation` of the noise on [-1, 1]; `values` = C H W of an image.  Two averages that differ in one image
    lie at most (2 / K) sqrt(values) apart; epsilon is the exact one of the Gaussian mechanism (Balle and Wang
    2018, Theorem 8).  Small is private: 1 is a strong promise, 10 hardly one.

    >>> round(epsilon(2.0, 1, 1), 2)
    4.38
    """
    ratio = separation(deviation, k, values)

    def excess(candidate: float) -> float:
        inside = log_ndtr(ratio / 2 - candidate / ratio)
        outside = candidate + log_ndtr(-ratio / 2 - candidate / ratio)
        return math.exp(inside) - math.exp(outside) - delta

    top = ratio**2 / 2 + 10 * ratio
    return 0.0 if excess(0) <= 0 else brentq(excess, 0, top)


def separation(deviation: float, k: int, values: int) -> float:
    """How many standard deviations of the noise lie between two averages that differ in one image, at most."""
    if not deviation > 0 or k < 1 or values < 1:
        raise ValueError(f"deviation must be above 0, k and values at least 1, got {deviation}, {k} and {values}")
    return 2 / k * math.sqrt(values) / deviation


def best_guess(deviation: float, k: int, values: int) -> float:
    """How often anybody at all can be right who guesses which of two images, given as candidates, is in the average.

    It holds for every attack there is or will be, for the two images that are furthest apart.
    """
    return float(ndtr(separation(deviation, k, values) / 2))
