"""The linear test of membership, against the Gaussian world in which its power is known in closed form."""

import pytest
import torch
from scipy.stats import norm

from coldavg.evaluation.membership import RIDGE, MembershipTest, expected_rate, measure_membership, reduce


def white(count: int, side: int, seed: int) -> torch.Tensor:
    """Images of independent Gaussian pixels, small enough to stay in [-1, 1]."""
    return 0.2 * torch.randn(count, 1, side, side, generator=torch.Generator().manual_seed(seed))


def test_in_a_gaussian_world_the_power_is_that_of_d_over_k():
    side, k = 8, 16
    test = MembershipTest(white(20_000, side, 0), k, 0.0)
    apart = test.separation(white(2000, side, 1))
    assert apart.square().mean().item() == pytest.approx(side**2 / k / (1 + RIDGE), rel=0.02)
    row = measure_membership(white(4000, side, 2), white(20_000, side, 0), k, averages=100)
    exact = 100 * norm.cdf(norm.ppf(0.01) + (side**2 / k) ** 0.5)
    assert row["expected"] == pytest.approx(exact, abs=2) and row["named"] == pytest.approx(exact, abs=5)
    low, high = row["named_interval"]
    assert low <= row["named"] <= high
    assert row["separation"] == pytest.approx((side**2 / k) ** 0.5, rel=0.05)


def test_the_ratio_is_that_of_two_gaussians():
    """Of two densities of one covariance, moved apart by what a member adds; the covariance from `reference`."""
    reference, images = white(500, 4, 0), white(6, 4, 1)
    test = MembershipTest(reference, 3, 0.05)
    values = reduce(reference)
    spread = torch.cov(values.T)
    spread = (spread + RIDGE * spread.diagonal().mean() * torch.eye(16)) / 3 + 0.05**2 * torch.eye(16)
    density = torch.distributions.MultivariateNormal
    for number, candidate in enumerate(images[:3]):
        moved = (reduce(candidate[None])[0] - values.mean(0)) / 3
        without, within = (density(values.mean(0) + shift, spread) for shift in (0 * moved, moved))
        ratio = within.log_prob(reduce(images[3:])) - without.log_prob(reduce(images[3:]))
        assert torch.allclose(test(images[3:], images[:3])[:, number], ratio, atol=1e-8)


def test_noise_makes_it_weaker_and_reduction_keeps_averages():
    images = white(50, 64, 3)
    assert reduce(images).shape == (50, 1024)
    assert torch.allclose(reduce(images.mean(0, keepdim=True)), reduce(images).mean(0, keepdim=True), atol=1e-7)
    weak, strong = (MembershipTest(white(200, 6, 0), 2, noise).separation(white(9, 6, 1)) for noise in (1.0, 0.0))
    assert (weak < strong).all() and expected_rate(weak) < expected_rate(strong)
    assert expected_rate(torch.zeros(1)) == pytest.approx(0.01)


def test_what_can_not_be_asked_is_refused():
    for k, count, noise in ((1, 9, 0.0), (2, 1, 0.0), (2, 9, -1.0), (2, 9, float("nan"))):
        with pytest.raises(ValueError, match="k and the images of reference must be at least 2"):
            MembershipTest(white(count, 4, 0), k, noise)
    with pytest.raises(ValueError, match="images must be at least 2 k = 12"):
        measure_membership(white(11, 4, 0), white(9, 4, 0), 6)


def test_the_interval_holds_what_many_more_averages_say():
    """A threshold that is set on few others is uncertain too: with 20 averages most intervals must hold the rate."""
    images, reference = white(600, 8, 2), white(20_000, 8, 0)
    many = measure_membership(images, reference, 30, averages=400, seed=99)["named"]
    held = [low <= many <= high for low, high in
            (measure_membership(images, reference, 30, seed=seed)["named_interval"] for seed in range(12))]
    assert sum(held) >= 10, f"{sum(held)} of 12 intervals hold {many} %"
