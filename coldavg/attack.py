"""Attacks on averages that somebody has made: how the averages are made, what comes back, and who was in them."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from .data import ImageSet, alike_tuples, test_tuples, thumbnails
from .evaluate import recover
from .metrics import interval, match, psnr, ssim
from .mixing import check_weights, mix, round_to_8_bits
from .release import keeps_average, publish, release, treatments

GROUPS = ("random", "nearest")
BLURS = (0, 0.5, 0.7, 1, 1.5, 2)  # that an attacker tries
STARTS = 16  # images that the search tries as the first of an average


@dataclass(frozen=True)
class Averaging:
    """How averages are made: of `k` images, with `weights` (None: equal), of `groups`, `published` in a form.

    Groups are "random", or "nearest": the most alike images, as k-same anonymisation forms them.  The form
    is that of `release`.  Raises ValueError for any other.
    """

    k: int = 2
    weights: tuple[float, ...] | None = None
    groups: str = "random"
    published: str = "png"

    def __post_init__(self):
        if type(self.k) is not int or not 2 <= self.k <= 16:
            raise ValueError(f"k must be a whole number from 2 to 16, got {self.k}")
        if self.groups not in GROUPS:
            raise ValueError(f"groups must be one of {', '.join(GROUPS)}, got {self.groups!r}")
        check_weights(self.weights, self.k)
        secret = any(each.name == "weights" for each, _ in treatments(self.published))
        if secret and self.weights is not None:
            raise ValueError(f"weights can't be both given and secret, got {list(self.weights)} and {self.published!r}")

    @property
    def plain(self) -> bool:
        """Whether equal shares were published with nothing done to them: then a network for two serves every K."""
        return keeps_average(self.published) and self.weights is None

    def places(self, images: ImageSet, count: int, seed: int = 0) -> Tensor:
        """Which images go into each average: (N, K) places in `images`, N <= count, nobody twice in one.

        Random groups: N seeded images stand first, one in each average; an image may be in others too, as a
        partner.  Nearest: no image is in two.  ValueError if there are too few images or identities.
        """
        people = len(np.unique(images.identities))
        if people < self.k:
            raise ValueError(f"k = {self.k} images of different identities are averaged, got {people} identities; "
                             "add images, or choose a smaller k")
        if self.groups == "random":
            return test_tuples(len(images), self.k, min(count, len(images)), seed, images.identities)
        features = thumbnails(images, np.arange(len(images)))
        return torch.from_numpy(alike_tuples(features, self.k, count, images.identities, seed))

    def seen(self, candidates: Tensor) -> Tensor:
        """What of candidate images (M, C, H, W) reaches the published picture: what is linear is done to each."""
        linear = all(each.name in ("blur", "small") for each, _ in treatments(self.published))
        return publish(candidates, self.published) if linear else candidates

    def publish(self, tuples: Tensor, seed: int = 0) -> Tensor:
        """The averages (N, C, H, W) of tuples (N, K, C, H, W); the random numbers are the publisher's own."""
        return release(tuples, self.published, self.weights, range(seed << 32, (seed << 32) + len(tuples)))


def smoothing(network, images: ImageSet, averaging: Averaging, count: int = 64) -> float:
    """The blur (SD in pixels, 0: none) after which a network for plain averages of two gets most back.

    Tried on averages of `images`, the attacker's own.  To smooth first is the simplest answer to noise; a
    network that is then trained on smoothed averages starts from there.
    """
    tuples = images[averaging.places(images, count)]
    published = averaging.publish(tuples)
    got = {blur: marks(recover(smoothed(published, blur), network, k=averaging.k)[0], tuples, published)[0]["psnr"]
           for blur in BLURS}
    return max(got, key=got.get)


def smoothed(published: Tensor, blur: float) -> Tensor:
    """Published pictures (N, C, H, W), blurred by the attacker before anything else."""
    return publish(published, f"blur-{blur}") if blur else published


def after_smoothing(form: str, blur: float) -> str:
    """The form in which the network of such an attacker sees what was published."""
    return f"{form}+png+blur-{blur}" if blur else form


def marks(recovered: Tensor, tuples: Tensor, published: Tensor) -> tuple[dict, Tensor]:
    """How much came back, as numbers for a row, and the recovered images in the order of the truth.

    `recovered` and `tuples` (N, K, C, H, W), `published` (N, C, H, W).  Means over images with their 95 %
    intervals over averages: `psnr` (dB), `ssim` and `success` (%) by the protocol; `gain` is the PSNR less
    that of the published picture, `average_psnr` and `average_ssim` are its own.
    """
    n, k = tuples.shape[:2]
    matched = match(round_to_8_bits(recovered), tuples)
    truth, shown = tuples.flatten(0, 1), published.repeat_interleave(k, 0)
    own = {"psnr": psnr(shown, truth), "ssim": ssim(shown, truth)}
    got = {"psnr": psnr(matched.flatten(0, 1), truth), "ssim": ssim(matched.flatten(0, 1), truth)}
    values = {**got, "success": 100.0 * (got["ssim"] > own["ssim"]), "gain": got["psnr"] - own["psnr"],
              "average_psnr": own["psnr"], "average_ssim": own["ssim"]}
    row = {}
    for name, value in values.items():
        value = value.reshape(n, k).double()
        row[name] = round(value.mean().item(), 4)
        row[f"{name}_interval"] = [round(end, 4) for end in interval(value)]
    return row, matched


def search(published: Tensor, candidates: Tensor, k: int, rounds: int = 8) -> Tensor:
    """The attack that needs no network: which k of the `candidates` make each average?  (N, k) places, ascending.

    `published` (N, C, H, W), `candidates` (M, C, H, W).  From each of STARTS first guesses the mean of k is
    brought nearer to the average, one image added and then one exchanged at a time; the nearest of all counts.
    It is exact for the average of a start and one more; for many images it can miss the best.
    """
    if len(candidates) < k:
        raise ValueError(f"candidates must be at least k = {k}, got {len(candidates)}")
    flat = candidates.flatten(1)
    gram, products = flat @ flat.T, published.flatten(1) @ flat.T  # (M, M), (N, M)
    lengths, found = gram.diagonal(), []
    for own in products:
        starts = (2 * own - lengths).topk(min(STARTS, len(flat))).indices  # the nearest of them, if they stood alone
        chosen = starts[:, None]  # (S, 1), one column more for each image

        def fit(others: Tensor, own: Tensor = own) -> Tensor:
            """For `others` (S, j) the squared distance to k m with each candidate added, less what all share."""
            distance = lengths + 2 * gram[others].sum(1) - 2 * k * own
            return distance.scatter(1, others, torch.inf)

        while chosen.shape[1] < k:
            chosen = torch.cat([chosen, fit(chosen).argmin(1, keepdim=True)], 1)
        for _ in range(rounds):
            before = chosen
            for place in range(k):
                others = chosen[:, [i for i in range(k) if i != place]]
                chosen = torch.cat([others[:, :place], fit(others).argmin(1, keepdim=True), others[:, place:]], 1)
            if torch.equal(before, chosen):
                break
        total = gram[chosen[:, :, None], chosen[:, None]].sum((1, 2)) - 2 * k * own[chosen].sum(1)
        found.append(chosen[total.argmin()].sort().values)
    return torch.stack(found)


def share_found(found: Tensor, places: Tensor) -> Tensor:
    """Which of the true images (N, K) `places` are among those `found` (N, k): 1 or 0, (N, K)."""
    return (places[:, :, None] == found[:, None]).any(2).double()


def fidelity(published: Tensor, tuples: Tensor, weights: Sequence[float] | None = None) -> float:
    """What is left for use: the mean PSNR (dB) of what was published to the plain average that it stands for."""
    return psnr(published, mix(tuples, weights)).mean().item()
