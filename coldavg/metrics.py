"""How well were the images got back?  PSNR, SSIM, success rate, and the matching that comes before them."""

from itertools import permutations

import torch
from torch import Tensor
from torchmetrics.functional.image import peak_signal_noise_ratio, structural_similarity_index_measure

from .mixing import round_to_8_bits


def psnr(images: Tensor, truth: Tensor) -> Tensor:
    """Peak signal-to-noise ratio in dB, image by image; (N, C, H, W) in [-1, 1] both, (N,) out.

    Taken on [0, 1] with peak 1; a mean squared error under 1e-10 counts as 1e-10 (100 dB).
    """
    ratio = peak_signal_noise_ratio(unit(images), unit(truth), data_range=1.0, reduction="none", dim=(1, 2, 3))
    return ratio.clamp(max=100.0)


def ssim(images: Tensor, truth: Tensor) -> Tensor:
    """Structural similarity (torchmetrics' defaults, data range 1), image by image; as `psnr`."""
    parts = zip(unit(images).split(32), unit(truth).split(32))  # 400 digits at once would take 1.4 GB
    return torch.cat([structural_similarity_index_measure(image, true, data_range=1.0, reduction="none").reshape(-1)
                      for image, true in parts])


def unit(images: Tensor) -> Tensor:
    """[-1, 1] to [0, 1]."""
    return (images.double() + 1) / 2


def match(recovered: Tensor, truth: Tensor) -> Tensor:
    """`recovered` in the order with the best summed PSNR to `truth`; both (B, K, C, H, W)."""
    b, k = truth.shape[:2]
    answer, image = recovered.repeat_interleave(k, dim=1), truth.repeat(1, k, 1, 1, 1)
    gain = psnr(answer.flatten(0, 1), image.flatten(0, 1)).reshape(b, k, k)  # [b, answer, image]
    orders = torch.tensor(list(permutations(range(k))), device=gain.device)  # answer orders[o, j] goes to image j
    best = orders[gain[:, orders, torch.arange(k, device=gain.device)].sum(-1).argmax(1)]
    return torch.take_along_dim(recovered, best[..., None, None, None], 1)


def score(recovered: Tensor, truth: Tensor, mixture: Tensor) -> dict[str, Tensor]:
    """The protocol's marks, image by image: `psnr` (dB), `ssim`, `success`, each (B, K).

    `recovered` and `truth` (B, K, C, H, W), `mixture` (B, C, H, W), in [-1, 1].  What was recovered is
    clamped, rounded to 8 bits and matched first.  Success: closer to the truth by SSIM than the mixture is.
    """
    b, k = truth.shape[:2]
    matched = match(round_to_8_bits(recovered), truth).flatten(0, 1)
    flat, average = truth.flatten(0, 1), mixture.repeat_interleave(k, dim=0)
    similarity = ssim(matched, flat)
    marks = {"psnr": psnr(matched, flat), "ssim": similarity, "success": (similarity > ssim(average, flat)).double()}
    return {name: mark.reshape(b, k) for name, mark in marks.items()}


def interval(marks: Tensor, draws: int = 2000, seed: int = 0) -> tuple[float, float]:
    """The 95 % bootstrap interval of the mean of `marks` (B, K), drawn anew over the B tuples."""
    means = marks.double().mean(1)
    generator = torch.Generator().manual_seed(seed)
    drawn = means[torch.randint(len(means), (draws, len(means)), generator=generator)].mean(1)
    low, high = drawn.quantile(torch.tensor([0.025, 0.975], dtype=torch.float64)).tolist()
    return low, high
