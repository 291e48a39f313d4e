"""What Gaussian noise on an average guarantees against every attacker, whatever that attacker knows."""

import math

from scipy.optimize import brentq
from scipy.special import log_ndtr, ndtr, ndtri


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


def best_guess(deviation: float, k: int, values: int, candidates: int = 2) -> float:
    """How often anybody can be right, at most, who guesses which of so many equally likely images is in the average.

    It holds for every attack there is or will be, and whatever else is known; of two candidates it is exact for the
    two images that are furthest apart.  Compare each candidate with a grey picture, which is nobody's: what is
    published differs by half of `separation` at most, so by the lemma of Neyman and Pearson a set of published
    pictures that has the probability q under grey has at most Phi(Phi^-1(q) + separation / 2) under the candidate.
    The sets of all guesses share a probability of 1 under grey, and the bound is concave in q.

    >>> round(best_guess(3.0, 2, 784), 2), round(best_guess(3.0, 2, 784, 10**6), 2)
    (1.0, 0.47)
    """
    if candidates < 2:
        raise ValueError(f"candidates must be at least 2, got {candidates}")
    return float(ndtr(ndtri(1 / candidates) + separation(deviation, k, values) / 2))
