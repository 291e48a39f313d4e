"""How well were the images got back?  PSNR, SSIM, success rate, the matching before them, and their uncertainty."""

import torch
from torch import Tensor
from torchmetrics.functional.image import peak_signal_noise_ratio, structural_similarity_index_measure

from .matching import assign, in_order
from .support.pixels import round_to_8_bits


def psnr(images: Tensor, truth: Tensor) -> Tensor:
    """Peak signal-to-noise ratio in dB, image by image; (N, C, H, W) in [-1, 1] both, (N,) out.

    Taken on [0, 1] with peak 1; a mean squared error under 1e-10 counts as 1e-10 (100 dB).
    """
    ratio = peak_signal_noise_ratio(unit(images), unit(truth), data_range=1.0, reduction="none", dim=(1, 2, 3))
    return ratio.clamp(max=100.0)


def ssim(images: Tensor, truth: Tensor) -> Tensor:
    """Structural similarity (torchmetrics' defaults, data range 1), image by image; as `psnr`."""
    several = max(1, 400_000 // truth[0].numel())  # at once: each pixel takes 2 kB
    parts = zip(unit(images).float().split(several), unit(truth).float().split(several))  # doubles take 5 times longer
    return torch.cat([structural_similarity_index_measure(image, true, data_range=1.0, reduction="none").reshape(-1)
                      for image, true in parts]).double()


def unit(images: Tensor) -> Tensor:
    """[-1, 1] to [0, 1]."""
    return (images.double() + 1) / 2


def match(recovered: Tensor, truth: Tensor) -> Tensor:
    """`recovered` in the order with the best summed PSNR to `truth`; both (B, K, C, H, W)."""
    several = max(1, 400 // truth.shape[1] ** 2)  # at once, to spare memory
    if len(truth) > several:
        return torch.cat([match(*part) for part in zip(recovered.split(several), truth.split(several))])
    b, k = truth.shape[:2]
    image, answer = truth.repeat_interleave(k, dim=1), recovered.repeat(1, k, 1, 1, 1)
    table = psnr(answer.flatten(0, 1), image.flatten(0, 1)).reshape(b, k, k)  # [tuple, truth, recovered]
    return in_order(recovered, assign(table))


def score(recovered: Tensor, truth: Tensor, mixture: Tensor) -> dict[str, Tensor]:
    """The protocol's scores, image by image, each (B, K), of what was recovered from `mixture`.

    `recovered` and `truth` (B, K, C, H, W), `mixture` (B, C, H, W), in [-1, 1].  What was recovered is
    clamped, rounded to 8 bits and matched first.  `psnr` (dB) and `ssim`; those of the mixture itself are
    `average_psnr` and `average_ssim`; `gain` is the PSNR less the mixture's; `success` (0 or 1): closer to
    the truth by SSIM than the mixture is.
    """
    return score_matched(match(round_to_8_bits(recovered), truth), truth, mixture)


def score_matched(matched: Tensor, truth: Tensor, mixture: Tensor) -> dict[str, Tensor]:
    """As `score`, for images that are rounded and in the order of the truth already."""
    b, k = truth.shape[:2]
    matched, flat, average = matched.flatten(0, 1), truth.flatten(0, 1), mixture.repeat_interleave(k, dim=0)
    scores = {"psnr": psnr(matched, flat), "ssim": ssim(matched, flat),
              "average_psnr": psnr(average, flat), "average_ssim": ssim(average, flat)}
    scores["gain"] = scores["psnr"] - scores["average_psnr"]
    scores["success"] = (scores["ssim"] > scores["average_ssim"]).double()
    return {name: values.reshape(b, k) for name, values in scores.items()}


def bootstrap_interval(scores: Tensor, draws: int = 2000, seed: int = 0) -> tuple[float, float]:
    """The 95 % bootstrap interval of the mean of `scores` (B, K), drawn anew over the B tuples."""
    means = scores.double().mean(1)
    generator = torch.Generator().manual_seed(seed)
    drawn = means[torch.randint(len(means), (draws, len(means)), generator=generator)].mean(1)
    low, high = drawn.quantile(torch.tensor([0.025, 0.975], dtype=torch.float64)).tolist()
    return low, high


DECIBELS = ("psnr", "average_psnr", "gain")
SIMILARITIES = ("ssim", "average_ssim", "lpips")


def summarise(scores: dict[str, Tensor]) -> dict[str, float | list[float]]:
    """Scores (B, K) as they stand in a row of results: for each name its mean, and as NAME_interval its 95 % interval.

    Decibels are rounded to 3 places, similarities to 4; all else is a share, and becomes percent with 2.
    """
    row = {}
    for name, values in scores.items():
        scale, digits = (1, 3) if name in DECIBELS else (1, 4) if name in SIMILARITIES else (100, 2)
        row[name] = round(scale * values.double().mean().item(), digits)
        row[f"{name}_interval"] = [round(scale * end, digits) for end in bootstrap_interval(values)]
    return row
