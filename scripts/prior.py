"""An attacker who never trained on averages, only on single digits: posterior sampling with a generative prior.

    coldavg evaluate --data digits --network scripts/prior.py:sample --out results/prior.json

A network learns to take noise from single training digits; that is a prior over digits.  Behind the average m stand
m + d and m - d.  The half-difference d is drawn as diffusion models draw images: it starts as noise of the size
LEVELS[0], and the noise is turned down.  If d is known up to noise of size s, then m + d and m - d are each known up to
s sqrt(2), for their sum is known: so each is denoised at that size, and half their difference is the new d.  This is
separation with a generative prior as Jayaram and Thickstun (2020) do it by Langevin steps, with the steps of a
diffusion sampler in their place.
"""

import torch
from torch import Tensor
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from coldavg import Settings, load
from coldavg.optimiser import Optimiser
from coldavg.unet import UNet

STEPS, BATCH, RATE = 2400, 64, 4e-3
LEVELS = torch.logspace(0.3, -2, 40, dtype=torch.float64).tolist() + [0.0]  # of the noise on d, 2 to 0.01


def denoise(network: torch.nn.Module, noisy: Tensor, level: Tensor) -> Tensor:
    """The mean of what digits may lie behind `noisy` (B, 1, H, W), digits plus Gaussian noise of the sizes (B,)."""
    scaled = noisy / (1 + level[:, None, None, None])  # between the digit, at share 0 of noise, and pure noise, at 1
    return network(scaled, level / (1 + level))


def learn_prior(images: Tensor) -> torch.nn.Module:
    """A denoiser of single images (N, 1, H, W)."""
    network = UNet(Settings(target="original", widths=(48, 72, 120)))
    average = AveragedModel(network, multi_avg_fn=get_ema_multi_avg_fn(0.995))
    optimiser, rng = Optimiser(network, RATE), torch.Generator().manual_seed(0)
    for step in range(STEPS):
        clean = images[torch.randint(len(images), (BATCH,), generator=rng)]
        share = torch.rand(BATCH, generator=rng) * 0.8 + 0.01  # of noise: sizes of 0.01 to 4
        level = share / (1 - share)
        noisy = clean + level[:, None, None, None] * torch.randn(clean.shape, generator=rng)
        with torch.autocast("cpu", torch.bfloat16):
            seen = denoise(network, noisy, level)
        errors = (seen.float() - clean).square().mean((1, 2, 3))
        (errors * (4 + level**-2)).mean().backward()  # a size of noise counts as another does (Karras et al. 2022)
        optimiser.step(RATE * min(1, step / 100, 2 * (1 - step / STEPS)))
        average.update_parameters(network)
        if step % 200 == 199:
            print(f"prior: step {step + 1} of {STEPS}, mean squared error {errors.mean().item():.4f}", flush=True)
    return average.module.eval()


@torch.no_grad()
def draw(prior: torch.nn.Module, m: Tensor) -> Tensor:
    """One half-difference (B, 1, H, W) for each average."""
    d = LEVELS[0] * torch.randn(m.shape, generator=torch.Generator().manual_seed(1))
    for now, then in zip(LEVELS, LEVELS[1:], strict=False):
        level = torch.full((2 * len(m),), now * 2**0.5)
        first, second = denoise(prior, torch.cat([m + d, m - d]), level).chunk(2)
        found = (first - second) / 2
        d = found + then / now * (d - found)
    return d


def sample(averages: Tensor) -> Tensor:
    """The attack: averages (N, 1, H, W) to pairs (N, 2, 1, H, W)."""
    prior = learn_prior(load("digits-full", "train")[:])
    d = torch.cat([draw(prior, m) for m in averages.split(100)])
    return torch.stack([averages + d, averages - d], 1)
