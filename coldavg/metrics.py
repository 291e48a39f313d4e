"""How well were the images got back?  PSNR, SSIM, success rate, the matching before them, and re-identification."""

import torch
from torch import Tensor
from torchmetrics.functional.image import peak_signal_noise_ratio, structural_similarity_index_measure

from .mixing import assign, in_order, round_to_8_bits


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
    gain = psnr(answer.flatten(0, 1), image.flatten(0, 1)).reshape(b, k, k)  # [b, image, answer]
    return in_order(recovered, assign(gain))


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


def accept_limit(gallery: Tensor, rate: float = 0.01) -> float:
    """The distance under which at most `rate` of all pairs of different people are taken for one person.

    `gallery` (G, D): the embedding of one photograph for each of G people.
    """
    apart = torch.pdist(gallery.double()).sort().values
    return apart[int(rate * len(apart))].item()


def identify(probes: Tensor, people: Tensor, gallery: Tensor, limit: float) -> dict[str, Tensor]:
    """The marks of re-identification, probe by probe: `rank1`, `true_accepts`, `false_accepts`, each (B, K).

    `probes` (B, K, D): one embedding for each person of a tuple, looked at once; `people` (B, K): their
    rows in `gallery` (G, D), the embeddings of *other* photographs, one a person.  Rank 1: the person's
    photograph is the nearest.  True accept: it is nearer than `limit`.  False accepts: the share of other
    people's that are.  The others of the tuple are left out, because an average shows them too and is not
    wrong to find them; so a blind guess has rank 1 once in G - K + 1.
    """
    distance = torch.cdist(probes.double(), gallery.double(), compute_mode="donot_use_mm_for_euclid_dist")  # (B, K, G)
    others = torch.ones(len(people), len(gallery), dtype=torch.bool).scatter(1, people, False)[:, None]  # (B, 1, G)
    own, nearest = distance.gather(2, people[..., None])[..., 0], distance.where(others, torch.inf).amin(2)
    false = ((distance < limit) & others).sum(2) / others.sum(2)
    return {"rank1": (own < nearest).double(), "true_accepts": (own < limit).double(), "false_accepts": false.double()}


def interval(marks: Tensor, draws: int = 2000, seed: int = 0) -> tuple[float, float]:
    """The 95 % bootstrap interval of the mean of `marks` (B, K), drawn anew over the B tuples."""
    means = marks.double().mean(1)
    generator = torch.Generator().manual_seed(seed)
    drawn = means[torch.randint(len(means), (draws, len(means)), generator=generator)].mean(1)
    low, high = drawn.quantile(torch.tensor([0.025, 0.975], dtype=torch.float64)).tolist()
    return low, high
