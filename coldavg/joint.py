"""All K images at once: projection onto the mixture, two at a time, mirror images."""

from itertools import combinations

import torch
from torch import Tensor, nn

from .matching import align
from .mixing import project
from .predictor import Network, ask

LAPS = 3  # times through all pairs of images; chapter 8 draws what each one brings


def split(network: Network, mixture: Tensor, weights: Tensor) -> Tensor:
    """The K images that a joint `network` sees in `mixture` (B, C, H, W): (B, K, C, H, W), sum_k w_k x_k = m.

    Where the network is not `exact` the published picture is not the average, and the answers stay as they are.
    """
    answer = ask(network, mixture, 1 - weights[0].item())
    return project(answer, mixture, weights) if network.exact else answer


def two_at_a_time(network: Network, mixture: Tensor, k: int) -> tuple[Tensor, int]:
    """More than two images by a joint `network` for two: images (B, K, C, H, W), and how many answers were asked for.

    All K start as the mixture (B, C, H, W), equal weights; then every two of them are put together and
    split anew, LAPS times over.  A split leaves the sum of its two as it was: the mean stays the mixture.
    """
    images, half = mixture[:, None].repeat(1, k, 1, 1, 1), torch.full((2,), 0.5, dtype=torch.float64)
    couples = LAPS * list(combinations(range(k), 2))
    for two in map(list, couples):
        mean = images[:, two].mean(1)  # may leave [-1, 1], which the network has never seen
        images[:, two] = project(ask(network, mean.clamp(-1, 1), 0.5), mean, half)
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
        self.weights, self.exact = network.weights, network.exact

    def forward(self, x: Tensor, alpha: Tensor) -> Tensor:
        answer = self.network(x, alpha)
        mirrored = self.network(x.flip(-1), alpha).flip(-1)
        return (answer + align(mirrored, answer)) / 2
