"""All K images at once: projection onto the mixture, two at a time, mirror images."""

from collections.abc import Iterator
from itertools import combinations

import torch
from torch import Tensor, nn

from .matching import align
from .mixing import project
from .predictor import Network, ask

LAPS = 3  # times through all pairs of images; chapter 8 draws what each one brings


def split(network: Network, mixture: Tensor, weights: Tensor, looks: int = 1) -> Iterator[Tensor]:
    """The K images that a joint `network` sees in `mixture` (B, C, H, W), look by look: (B, K, C, H, W) each.

    After every look sum_k w_k x_k = m; the next one starts from what the last one saw.  Where the network is
    not `exact` the published picture is not the average, and the answers stay as they are.
    """
    images = None
    for _ in range(looks):
        answer = ask(network, mixture, 1 - weights[0].item(), images)
        images = project(answer, mixture, weights) if network.exact else answer
        yield images


def two_at_a_time(network: Network, mixture: Tensor, k: int) -> tuple[Tensor, int]:
    """More than two images by a joint `network` for two: images (B, K, C, H, W), and how many answers were asked for.

    All K start as the mixture (B, C, H, W), equal weights; then every two of them are put together and
    split anew, LAPS times over.  A split leaves the sum of its two as it was: the mean stays the mixture.
    """
    images, half = mixture[:, None].repeat(1, k, 1, 1, 1), torch.full((2,), 0.5, dtype=torch.float64)
    couples = LAPS * list(combinations(range(k), 2))
    for number, two in enumerate(map(list, couples)):
        pair = images[:, two]
        mean = pair.mean(1)  # may leave [-1, 1], which the network has never seen
        last = pair if number >= len(couples) // LAPS else None  # on the first lap there is no answer to look at
        images[:, two] = project(ask(network, mean.clamp(-1, 1), 0.5, last), mean, half)
    return images, len(couples)


class FlipEnsemble(nn.Module):
    """A joint network asked twice, for the mixture and its mirror image; the aligned answers are averaged.

    It helps only where mirror images are as likely as the images themselves (not for digits).

    >>> from coldavg import load, load_network, mix, unmix
    >>> unmix(mix(load("digits")[:2]), FlipEnsemble(load_network("digits-joint"))).calls
    2
    """

    target = "joint"

    def __init__(self, network: nn.Module):
        super().__init__()
        self.network, self.calls = network, 2 * network.calls
        self.k, self.alpha_max, self.channels = network.k, network.alpha_max, network.channels
        self.weights, self.exact, self.looks = network.weights, network.exact, network.looks

    def forward(self, x: Tensor, alpha: Tensor, last: Tensor | None = None) -> Tensor:
        again, mirrored_again = ((last,), (None if last is None else last.flip(-1),)) if self.looks else ((), ())
        answer = self.network(x, alpha, *again)
        mirrored = self.network(x.flip(-1), alpha, *mirrored_again).flip(-1)
        return (answer + align(mirrored, answer)) / 2
