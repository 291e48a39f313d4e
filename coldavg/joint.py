"""All K images at once: projection onto the mixture, a loss blind to their order, flips, two at a time."""

from itertools import combinations

import torch
from torch import Tensor, nn

from .mixing import assign, in_order, project

LAPS = 3  # times through all pairs of images; chapter 8 draws what each one brings


def split(network, mixture: Tensor, weights: Tensor, exact: bool = True) -> Tensor:
    """The K images that a joint `network` sees in `mixture` (B, C, H, W): (B, K, C, H, W), sum_k w_k x_k = m.

    Not `exact`: the published picture is not the average itself, and the answers are left as they are.
    """
    alpha = (1 - weights[0]).to(mixture).expand(len(mixture))
    answer = network(mixture, alpha)
    return project(answer, mixture, weights) if exact else answer


def two_at_a_time(network, mixture: Tensor, k: int) -> tuple[Tensor, int]:
    """More than two images by a joint `network` for two: images (B, K, C, H, W), calls.

    All K start as the mixture (B, C, H, W), equal weights; then every two of them are put together and
    split anew, LAPS times over.  A split leaves the sum of its two as it was: the mean stays the mixture.
    """
    images, half = mixture[:, None].repeat(1, k, 1, 1, 1), torch.full((2,), 0.5, dtype=torch.float64)
    places = LAPS * list(combinations(range(k), 2))
    for two in map(list, places):
        mean = images[:, two].mean(1)
        answer = network(mean.clamp(-1, 1), half[0].to(mixture).expand(len(mixture)))
        images[:, two] = project(answer, mean, half)
    return images, len(places)


def order_blind_loss(recovered: Tensor, truth: Tensor) -> Tensor:
    """Mean squared error under the best of the K! orders of `truth`, tuple by tuple; both (B, K, C, H, W).

    Permutation-invariant training: Yu, Kolbaek, Tan and Jensen 2017.  Returns one number.
    """
    return errors(align(recovered, truth), truth).mean()


def errors(images: Tensor, reference: Tensor) -> Tensor:
    """The mean squared error of each tuple (B,); both (B, K, C, H, W), in the same order."""
    return (images - reference).square().flatten(1).mean(1)


def align(images: Tensor, reference: Tensor) -> Tensor:
    """`images` (B, K, C, H, W) in the order that fits `reference` best by squared error.

    All orders share the squares, so it is the one of the largest inner products.
    """
    inner = torch.einsum("bpd,bid->bpi", reference.flatten(2), images.detach().flatten(2).to(reference))
    return in_order(images, assign(inner))


class FlipEnsemble(nn.Module):
    """A joint network asked twice, for the mixture and its mirror image; the aligned answers are averaged.

    It helps only where mirror images are as likely as the images themselves (not for digits).

    >>> ensemble = FlipEnsemble(network)                      # doctest: +SKIP
    >>> result = unmix(mixture, ensemble)                     # doctest: +SKIP
    """

    calls = 2  # network calls for each answer

    def __init__(self, network: nn.Module):
        super().__init__()
        self.network, self.target, self.k, self.alpha_max = network, "joint", network.k, network.alpha_max
        self.exact, self.weights = getattr(network, "exact", True), getattr(network, "weights", None)

    def forward(self, x: Tensor, alpha: Tensor) -> Tensor:
        answer = self.network(x, alpha)
        mirrored = self.network(x.flip(-1), alpha).flip(-1)
        return (answer + align(mirrored, answer)) / 2
