"""Is this an average of the kind that a network knows?  What it answers is compared with answers to right averages.

A few figures of the picture and of the answer, taken together, lie near those of right averages, or far from them.
How far is too far, and how often that is wrong, `scripts/plausibility.py` measures for each network.
"""

import json
from pathlib import Path

import torch
from scipy.stats import binom
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d

from ..mixing import check_weights, mix
from ..networks import FOLDER
from ..predictor import Network
from ..support.files import fingerprint
from .attackers import recover

FILE = FOLDER / "plausibility.json"
DOUBTED, SURE = 0.02, 0.99  # of right averages that may be doubted, and how sure the threshold must make that
FEW = 9  # of the figures, which are also looked at by themselves: with fewer the odd one stands out
LEAST = 1e-7  # below which a squared error is none


def measure_figures(mixture: Tensor, network: Network, k: int | None = None) -> Tensor:
    """Figures of averages (N, C, H, W) and of what a network answers to them: (N, 18), float64.

    Brightness, contrast and roughness of the average; how far the answers are apart, leave [-1, 1], are rough, share
    edges; how far the network's own words miss the average; and how well it takes its answers apart once more, when the
    last of them was turned upside down.  After these FEW: the brightness of nine parts of the average.
    """
    k = k or (network.k if network.target == "joint" else 2)
    images = glance(mixture, network, k)
    turned = torch.cat([images[:, :-1], images[:, -1:].flip(-2)], 1).clamp(-1, 1)
    again = glance(mix(turned), network, k)
    parts = [mixture.flatten(1).mean(1), log_of(mixture.flatten(1).var(1)), log_of(roughness(mixture)),
             log_of(images.var(1).flatten(1).mean(1)), log_of((images.abs() - 1).relu().square().flatten(1).mean(1)),
             log_of(roughness(images.flatten(1, 2))), shared_edges(images), log_of(missed(mixture, images, network)),
             log_of(torch.minimum(*((again.flip(1) if flipped else again).sub(turned).square().flatten(1).mean(1)
                                    for flipped in (False, True)))),
             *adaptive_avg_pool2d(mixture.mean(1, keepdim=True), 3).flatten(1).T]
    return torch.stack([part.double() for part in parts], 1)


def glance(mixture: Tensor, network: Network, k: int) -> Tensor:
    """What a network answers (N, K, C, H, W) at its first look, or in one step: enough to tell by."""
    return recover(mixture, network, "one_step", 1 if network.looks or network.target != "joint" else None, k)[0]


def log_of(energy: Tensor) -> Tensor:
    """The logarithm of a squared error or variance, from LEAST on."""
    return energy.clamp_min(LEAST).log()


def roughness(image: Tensor) -> Tensor:
    """The mean squared difference of neighbours, (N,) from (N, C, H, W)."""
    return sum((image.diff(dim=dim).square().flatten(1).mean(1)) for dim in (-1, -2))


def shared_edges(images: Tensor) -> Tensor:
    """How alike the edges of the first two answers are: the correlation of their differences, (N,)."""
    one, other = (torch.cat([images[:, i].diff(dim=dim).flatten(1) for dim in (-1, -2)], 1) for i in (0, 1))
    return torch.cosine_similarity(one, other, dim=1)


@torch.no_grad()
def missed(mixture: Tensor, images: Tensor, network: Network) -> Tensor:
    """How far the network's own answer is from averaging to what was published; 0 of one that says one image."""
    if network.target != "joint" or images.shape[1] != network.k:
        return torch.zeros(len(mixture))
    weights = check_weights(network.weights, network.k)
    alpha = (1 - weights[0]).to(mixture).expand(len(mixture))
    own = network(mixture, alpha, *[images] * bool(network.looks))
    return (torch.einsum("bkchw,k->bchw", own, weights.to(own)) - mixture).square().flatten(1).mean(1)


def grouped(figures: Tensor) -> tuple[Tensor, Tensor]:
    """The groups of figures (N, 18) that are looked at together; the brightness of nine parts holds that of all."""
    return figures[:, :FEW], figures[:, 1:]


def fit_right(figures: Tensor) -> dict:
    """Where figures (N, 18) of right averages lie, by groups: centre, how to whiten what is apart from it, its reach.

    The reach is as far as all but DOUBTED of them lie, in standard deviations (Mahalanobis).
    """
    groups = []
    for group in grouped(figures):
        spread = torch.cov(group.T) + 1e-6 * torch.eye(group.shape[1], dtype=group.dtype)
        whiten = torch.linalg.cholesky(torch.linalg.inv(spread)).T
        reach = ((group - group.mean(0)) @ whiten.T).norm(dim=1).quantile(1 - DOUBTED).item()
        groups.append({"centre": group.mean(0).tolist(), "whiten": whiten.tolist(), "reach": reach})
    return {"groups": groups}


def distance_from(figures: Tensor, right: dict) -> Tensor:
    """How far figures (N, D) lie from those of right averages, (N,), in reaches, by the group that is further off."""
    apart = []
    for group, held in zip(grouped(figures), right["groups"], strict=True):
        centre, whiten = (torch.tensor(held[name], dtype=figures.dtype) for name in ("centre", "whiten"))
        apart.append(((group - centre) @ whiten.T).norm(dim=1) / held["reach"])
    return torch.stack(apart).amax(0)


def settle_threshold(distances: Tensor) -> float:
    """The lowest of the distances (N,) of right averages above which at most DOUBTED of all lie, as SURE says.

    A tolerance limit, free of any distribution (Wilks 1941): of N so many may lie above it as would by chance be that
    few in 1 - SURE of all cases, were DOUBTED above it.  ValueError for fewer than 228, which can't make that sure.

    >>> settle_threshold(torch.arange(1000.0))
    990.0
    """
    allowed = int((binom.cdf(range(len(distances)), len(distances), DOUBTED) <= 1 - SURE).sum())
    if not allowed:
        raise ValueError(f"distances must be of at least 228 averages to set a threshold, got {len(distances)}")
    return distances.sort().values[-allowed].item()


def known_of(file: Path) -> dict | None:
    """What was measured of the network in this file; None if nothing was."""
    held = json.loads(FILE.read_text()) if FILE.exists() else {}
    return held.get(fingerprint(file))


def say_plausible(mixture: Tensor, network: Network, file: Path, k: int) -> dict:
    """Whether one average (C, H, W) is plausible for the network of a file, as figures and in words."""
    known = known_of(file)
    if known is None or k != known["k"]:
        return {"doubted": None, "words": "whether this is an average of the kind that the network knows was not "
                                          "measured for this network"}
    distance = distance_from(measure_figures(mixture[None], network, k), known).item()
    doubted = distance > known["threshold"]
    words = (f"this does not look like an average of {k} images of the kind that the network knows: of right ones "
             f"{known['right_doubted']:.1f} % are doubted so" if doubted else
             "nothing speaks against an average of the kind that the network knows; not told from it are "
             f"{', '.join(known['not_told']) or 'none of the wrong kinds that were tried'}")
    return {"doubted": doubted, "distance": round(distance, 3), "threshold": known["threshold"], "words": words,
            "doubted_of_right": known["right_doubted"], "doubted_of_right_interval": known["right_doubted_interval"],
            "doubted_of_wrong": known["wrong_doubted"]}
