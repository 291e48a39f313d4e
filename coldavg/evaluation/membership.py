"""Is this picture in that average? The linear test of membership: no network, no archive, crowds of any size."""

import torch
from scipy.special import ndtr, ndtri
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d

from ..mixing import mix
from ..support.pixels import round_to_8_bits

VALUES = 1024  # an image is reduced to at most so many numbers, which keeps its average the average
RIDGE = 0.01  # of the mean variance: what a sample's covariance knows badly
ROUNDING = 1 / 127.5 / 12**0.5  # standard deviation of the error of rounding to 8 bits


class MembershipTest:
    """The test of somebody who knows one image, and of the others only what images of the kind are like.

    If images are Gaussian, of the mean and the covariance S of `reference` (R, C, H, W), the average of k without x
    has the covariance S / k, and with x nearly the same, about a mean moved by d = (x - mean) / k.  So the logarithm
    of the likelihood ratio is linear in what is published, <d, y>' - <d, d>' / 2, where y is the published picture
    less the mean and <,>' weighs by the inverse of S / k and the noise.  Homer et al. 2008 asked so of genomes; Dwork
    et al. 2015 say when it works.  `deviation`: of noise that the publisher adds.
    """

    def __init__(self, reference: Tensor, k: int, deviation: float = ROUNDING):
        if k < 2 or len(reference) < 2 or not deviation >= 0:
            raise ValueError("k and the images of reference must be at least 2 and deviation not negative, "
                             f"got k {k}, {len(reference)} images and deviation {deviation}")
        self.k, values = k, reduce(reference)
        self.mean = values.mean(0)
        variances, self.axes = torch.linalg.eigh(torch.cov(values.T))
        self.variances = (variances.clamp_min(0) + RIDGE * variances.mean()) / k + deviation**2

    def inside(self, images: Tensor) -> Tensor:
        """Images (N, C, H, W) less the mean, along the principal axes, in standard deviations of an average."""
        return (reduce(images) - self.mean) @ self.axes / self.variances.sqrt()

    def __call__(self, published: Tensor, candidates: Tensor) -> Tensor:
        """The log likelihood ratio that each of `candidates` (M, C, H, W) is in each average (N, C, H, W): (N, M)."""
        moved = self.inside(candidates) / self.k
        return self.inside(published) @ moved.T - moved.square().sum(1) / 2

    def separation(self, candidates: Tensor) -> Tensor:
        """mu of each candidate (M, C, H, W), (M,): by how many standard deviations its being in moves the ratio.

        In a Gaussian world of D values its mean square is D / k, but for rounding.
        """
        return self.inside(candidates).norm(dim=1) / self.k


def reduce(images: Tensor) -> Tensor:
    """Images (N, C, H, W) as at most VALUES means over blocks (N, D), float64: linear, so averages stay averages."""
    side = min(images.shape[-1], int((VALUES / images.shape[1]) ** 0.5))
    return adaptive_avg_pool2d(images.double(), side).flatten(1)


def expected_rate(separation: Tensor, rate: float = 0.01) -> float:
    """How often the test names a member in the Gaussian world, if it accuses `rate` of all others wrongly."""
    return float(ndtr(ndtri(rate) + separation.numpy()).mean())


def measure_membership(images: Tensor, reference: Tensor, k: int, averages: int = 20, rate: float = 0.01,
                       seed: int = 0) -> dict:
    """How often members of averages of k of `images` (N, C, H, W) are named, where `rate` of others are accused.

    Each 8-bit average is asked about its members, at most 100 of them, and about 100 images that are not in it, or as
    many as there are.  The threshold is set on those.  `reference` (R, C, H, W): other images of the kind, the
    attacker's.  Returns `named` (%) with its 95 % interval over averages, which sets the threshold anew in each draw;
    `expected` (%) in the Gaussian world, and `separation`.
    """
    if len(images) < 2 * k:
        raise ValueError(f"images must be at least 2 k = {2 * k}, half of them in no average, got {len(images)}")
    test, generator = MembershipTest(reference, k), torch.Generator().manual_seed(seed)
    asked, members, others, apart = min(k, 100), [], [], []
    for _ in range(averages):
        order = torch.randperm(len(images), generator=generator)
        inside, outside = images[order[:k]], images[order[k : k + 100]]
        published = round_to_8_bits(mix(inside))[None]
        members.append(test(published, inside[:asked])[0])
        others.append(test(published, outside)[0])
        apart.append(test.separation(inside[:asked]))
    members, others = torch.stack(members), torch.stack(others)
    drawn = [share_named(members[chosen], others[chosen], rate)
             for chosen in torch.randint(averages, (1000, averages), generator=generator)]
    low, high = torch.tensor(drawn).quantile(torch.tensor([0.025, 0.975])).tolist()
    return {"k": k, "averages": averages, "asked": asked,
            "named": round(100 * share_named(members, others, rate), 1),
            "named_interval": [round(100 * low, 1), round(100 * high, 1)],
            "expected": round(100 * expected_rate(torch.cat(apart), rate), 1),
            "separation": round(torch.cat(apart).mean().item(), 3)}


def share_named(members: Tensor, others: Tensor, rate: float) -> float:
    """The share of ratios of members (A, M) above what `rate` of those of others (A, O) surpass."""
    return (members > others.flatten().quantile(1 - rate)).double().mean().item()
