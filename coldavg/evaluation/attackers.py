"""Who takes averages apart: a network, the average itself, or the best pair among images of the kind."""

from collections.abc import Sequence

import torch
from torch import Tensor
from tqdm import tqdm

from ..joint import FlipEnsemble
from ..networks import load_network
from ..predictor import Network
from ..samplers import Sampler
from ..unmixing import unmix

NO_NETWORK = {"none": "the average itself", "best-pair": "search"}  # attackers that need no network


def recover(mixture: Tensor, network: Network, sampler: str | Sampler = "cold", steps: int | None = None, k: int = 2,
            weights: Sequence[float] | None = None, batch: int = 100, progress: bool = False) -> tuple[Tensor, int]:
    """`unmix` over many mixtures (N, C, H, W), a batch at a time: images (N, K, C, H, W) and calls for each.

    Of mixtures with more than 64 x 64 pixels a batch takes fewer, for the memory that they need.
    """
    several = max(1, min(batch, batch * 64 * 64 // mixture[0, 0].numel()))
    parts = [unmix(part, network, sampler, steps, k, weights)
             for part in tqdm(mixture.split(several), unit=" batches", disable=not progress)]
    return torch.cat([part.images for part in parts]), parts[0].calls


def open_attacker(network: str, sampler: str) -> tuple[Network, str]:
    """The network, and what its rows call the sampler: that of a joint one is "joint", or "flips"."""
    loaded = load_network(network)
    if loaded.target != "joint":
        return loaded, sampler
    return (FlipEnsemble(loaded), "flips") if sampler == "flips" else (loaded, "joint")
