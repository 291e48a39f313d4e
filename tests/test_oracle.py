"""Exact predictors against answers found in another way: by hand, by brute force, by sampling."""

import pytest
import torch

from coldavg import FiniteWorld, GaussianWorld, Known, mix, on_path
from coldavg.mixing import TARGETS


def world(n=5, seed=0):
    return torch.rand(n, 1, 3, 3, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) * 2 - 1


@pytest.mark.parametrize("order", ["random", "brightest"])
@pytest.mark.parametrize("alpha", [0.2, 0.5, 0.7])
def test_finite_world_is_the_posterior_mean_over_all_pairs(order, alpha):
    images, noise = world(), 0.6
    x = on_path(images[1], images[3], alpha)[None] + 0.1
    mass = original = added = 0
    for i in range(5):
        for j in range(5):
            if i == j or (order == "brightest" and images[i].mean() < images[j].mean()):
                continue
            density = torch.exp(-(x - on_path(images[i], images[j], alpha)).square().sum() / (2 * noise**2))
            mass, original, added = mass + density, original + density * images[i], added + density * images[j]
    alphas = torch.tensor([alpha], dtype=torch.float64)
    expected = {"original": original, "added": added, "difference": added - original}
    for target in TARGETS:
        answer = FiniteWorld(images, noise, order, target)(x, alphas)
        torch.testing.assert_close(answer[0], expected[target] / mass, rtol=0, atol=1e-12)


def test_the_brightness_order_decides_between_a_pair_and_its_swap():
    images, half = world(), torch.tensor([0.5])
    bright, dark = sorted(images[:2], key=lambda image: -image.mean())
    answer = FiniteWorld(images, 1e-3, "brightest")(mix(images[:2])[None], half)
    torch.testing.assert_close(answer[0], bright, rtol=0, atol=1e-9)
    rest = FiniteWorld(images, 1e-3, "brightest", "added")(mix(images[:2])[None], half)
    torch.testing.assert_close(rest[0], dark, rtol=0, atol=1e-9)


def test_one_gaussian_is_linear_regression():
    """x_alpha = (1-a) x_1 + a r, all Gaussian: E[x_1 | x_alpha] = c + (1-a) s^2 / v (x - c), by hand."""
    centre = torch.tensor([0.2, -0.1]).double().reshape(1, 1, 1, 2)
    spread, noise, a = 0.3, 0.1, 0.4
    variance = ((1 - a) ** 2 + a**2) * spread**2 + noise**2
    x = torch.tensor([0.5, 0.5]).double().reshape(1, 1, 1, 2)
    alpha = torch.tensor([a]).double()
    original = GaussianWorld(centre, spread, noise=noise)(x, alpha)
    torch.testing.assert_close(original, centre + (1 - a) * spread**2 / variance * (x - centre))
    added = GaussianWorld(centre, spread, noise=noise, target="added")(x, alpha)
    torch.testing.assert_close(added, centre + a * spread**2 / variance * (x - centre))


def test_gaussian_mixture_is_the_mean_of_what_is_drawn_near_x():
    """Draw many pairs, keep those whose x_alpha falls near x: their mean is the posterior mean."""
    centres = torch.tensor([[-0.6, 0.0], [0.6, 0.0], [0.0, 0.7]]).double().reshape(3, 1, 1, 2)
    chances = torch.tensor([0.5, 0.3, 0.2]).double()
    oracle, generator = GaussianWorld(centres, 0.15, chances), torch.Generator().manual_seed(0)
    first, second = oracle.sample(400_000, generator), oracle.sample(400_000, generator)
    x = torch.tensor([0.1, 0.1]).double().reshape(1, 1, 1, 2)
    near = (on_path(first, second, 0.35) - x).flatten(1).norm(dim=1) < 0.04
    assert near.sum() > 1000
    answer = oracle(x, torch.tensor([0.35]).double())
    torch.testing.assert_close(answer[0], first[near].mean(0), rtol=0, atol=0.03)


def test_the_bias_is_added_to_the_answer():
    images = world()
    x, alpha = images[:1], torch.tensor([0.5])
    for kind in (lambda bias: FiniteWorld(images, 0.5, bias=bias), lambda bias: GaussianWorld(images, 0.5, bias=bias),
                 lambda bias: Known(images[0], images[1], bias=bias)):
        torch.testing.assert_close(kind(0.25)(x, alpha), kind(0.0)(x, alpha) + 0.25)


def test_worlds_that_can_not_be():
    with pytest.raises(ValueError, match="noise must be above 0"):
        FiniteWorld(world(), 0)
    with pytest.raises(ValueError, match="spread must be above 0"):
        GaussianWorld(world(), 0)
