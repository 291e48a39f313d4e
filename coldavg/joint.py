"""All K images at once: projection onto the mixture, look by look, and two at a time."""

from collections.abc import Iterator
from itertools import combinations

import torch
from torch import Tensor

from .mixing import keep_in_range, project
from .predictor import Network, ask

LAPS = 3  # times through all pairs of images, by a network that is asked once; chapter 7 draws what each brings


def split(network: Network, mixture: Tensor, weights: Tensor, looks: int = 1) -> Iterator[Tensor]:
    """The K images that a joint `network` sees in `mixture` (B, C, H, W), look by look: (B, K, C, H, W) each.

    After every look sum_k w_k x_k = m; the next one starts from what the last one saw.  Of a network that looks
    again, two images of equal weight are kept in [-1, 1], too.  Where the network is not `exact` the published picture
    is not the average, and the answers stay as they are.
    """
    images, bounded = None, network.looks and network.exact and network.k == 2 and network.weights is None
    for _ in range(looks):
        answer = ask(network, mixture, 1 - weights[0].item(), images)
        images = project(answer, mixture, weights) if network.exact else answer
        images = keep_in_range(images) if bounded else images
        yield images


def two_at_a_time(network: Network, mixture: Tensor, k: int) -> tuple[Tensor, int]:
    """More than two images by a joint `network` for two: images (B, K, C, H, W), and how many answers were asked for.

    All K start as the mixture (B, C, H, W), equal weights; then every two of them are put together and
    split anew, LAPS times over; by a network that looks again twice as often, and on the last third of the laps it
    sees the two as they are.  A split leaves the sum of its two as it was: the mean stays the mixture.
    """
    images, half = mixture[:, None].repeat(1, k, 1, 1, 1), torch.full((2,), 0.5, dtype=torch.float64)
    couples = LAPS * (2 if network.looks else 1) * list(combinations(range(k), 2))
    for number, two in enumerate(map(list, couples)):
        pair = images[:, two]
        mean = pair.mean(1)  # may leave [-1, 1], which the network has never seen
        last = pair if number >= len(couples) * 2 // 3 else None  # earlier they are not worth a look
        split_anew = project(ask(network, mean.clamp(-1, 1), 0.5, last), mean, half)
        images[:, two] = keep_in_range(split_anew) if network.looks else split_anew
    return images, len(couples)
