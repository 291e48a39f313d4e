"""unmix: what it hands out on the way, batches, and the errors that name what was wrong."""

import numpy as np
import pytest
import torch

from coldavg import mix, unmix

from .predictors import CLOSE, Arbitrary, images


def test_the_trajectory_and_the_callback_see_every_step():
    seen = []
    network, pair = Arbitrary("original", 0), images(2, 0)[0]
    result = unmix(mix(pair), network, "naive", 4, trajectory=True, callback=seen.append)
    assert [point.alpha for point in result.trajectory] == [0.5, 0.375, 0.25, 0.125, 0.0]
    assert all(a is b for a, b in zip(seen, result.trajectory)) and len(seen) == 5
    for (x, alpha), point in zip(network.asked, result.trajectory):
        assert torch.equal(x, point.x) and alpha == point.alpha
    assert torch.equal(result.trajectory[-1].x[0], result.images[0])
    assert result.calls == 4 and unmix(mix(pair), network, "naive", 4).trajectory == []


def test_a_batch_is_the_same_as_its_images_one_by_one():
    mixtures, network = mix(images(2, 1)), Arbitrary("difference", 2)
    together = unmix(mixtures, network, "cold", 3).images
    alone = torch.stack([unmix(mixture, network, "cold", 3).images for mixture in mixtures])
    torch.testing.assert_close(together, alone, **CLOSE)


still = torch.zeros(1, 6, 6)
WRONG = {
    "dimensions": ({"mixture": torch.zeros(6, 6)}, "mixture must have the shape"),
    "too many dimensions": ({"mixture": torch.zeros(2, 2, 1, 6, 6)}, "flatten the batch"),
    "integers": ({"mixture": still.int()}, "mixture must hold floats"),
    "NaN": ({"mixture": still / 0}, "NaN"),
    "range": ({"mixture": still + 9}, r"mixture must lie in \[-1, 1\]"),
    "sampler": ({"sampler": "warm"}, "one_step, naive, cold.*'warm'"),
    "no steps": ({"steps": 0}, "at least 1"),
    "steps in words": ({"steps": "many"}, "steps must be a whole number or a list"),
    "rising steps": ({"steps": [0.5, 0.7, 0.0]}, "fall from alpha0"),
    "steps from elsewhere": ({"steps": [0.4, 0.0]}, "fall from alpha0"),
    "steps that stop early": ({"steps": [0.5, 0.1]}, "fall from alpha0"),
    "k": ({"k": 1}, "k must be a whole number of at least 2"),
    "k of the network": ({"k": 7}, "k must be at most 6"),
    "weights": ({"weights": [0.5, 0.6]}, "sum to 1"),
    "weights and k": ({"weights": [0.5, 0.5], "k": 3}, "weights must be 3 numbers"),
    "weights in words": ({"weights": "even"}, "weights must be 4 numbers"),
    "one weight": ({"weights": 0.5}, "weights must be 2 numbers"),
    "alpha0": ({"alpha0": 1.5}, r"alpha0 must be in \(0, 1\)"),
    "alpha0 of zero": ({"alpha0": 0.0}, r"alpha0 must be in \(0, 1\)"),
    "alpha0 above the network's": ({"alpha0": 0.97}, "alpha_max"),
    "alpha0 and weights": ({"alpha0": 0.5, "weights": [0.5, 0.5]}, "pass weights alone"),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_input_is_named_in_one_line(case):
    arguments, words = WRONG[case]
    network = Arbitrary("original", 0)
    network.alpha_max = 0.95
    with pytest.raises((ValueError, TypeError), match=words) as caught:
        unmix(**{"mixture": still, "network": network, **arguments})
    assert "\n" not in str(caught.value)


def test_numbers_of_numpy_are_numbers():
    network = Arbitrary("original", 0)
    given, plain = (unmix(still.double(), network, steps=kind(3), k=kind(2)).images for kind in (np.int64, int))
    assert torch.equal(given, plain)
