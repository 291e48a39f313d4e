"""The facts of the book's second chapter, for any network: checked in float64 to 1e-12."""

from dataclasses import replace
from itertools import combinations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from coldavg import SAMPLERS, load, mix, on_path, psnr, sampler, unmix
from coldavg.mixing import TARGETS
from coldavg.predictor import Network
from coldavg.samplers import SAME_AS
from coldavg.teach import FiniteWorld, Known

from .predictors import CLOSE, Arbitrary, images


def spaced(alpha0, steps, power):
    """From alpha0 to 0, equal in alpha^(1/power): power 1 is equal spacing."""
    return [alpha0 * (1 - i / steps) ** power for i in range(steps + 1)]


problems = {
    "target": st.sampled_from(TARGETS), "seed": st.integers(0, 10_000), "alpha0": st.floats(0.05, 0.9),
    "steps": st.integers(1, 12), "power": st.sampled_from([0.7, 1.0, 1.6]),
}


def run(sampler, target, seed, alpha0, steps, power, partner=None):
    chosen = SAMPLERS[sampler] if partner is None else replace(SAMPLERS[sampler], partner=partner)
    network, pair = Arbitrary(target, seed), images(2, seed)
    mixture = mix(pair, [1 - alpha0, alpha0])
    result = unmix(mixture, network, chosen, spaced(alpha0, steps, power), alpha0=alpha0, trajectory=True)
    return result, network, mixture


@given(**problems)
def test_fact_1_with_the_partner_from_the_state_four_samplers_are_one(**problem):
    reference = run("difference", **problem)[0].images
    for name in ("naive", "cold", "without_error_removal"):
        torch.testing.assert_close(run(name, **problem, partner="state")[0].images, reference, **CLOSE)


@given(**problems)
def test_fact_2_error_removal_returns_the_first_prediction(**problem):
    once = run("one_step", **problem)[0]
    assert once.calls == 1
    # the correction divides by alpha_0 - a: rounding grows with the number and unevenness of the steps
    torch.testing.assert_close(run("with_error_removal", **problem)[0].images, once.images, rtol=0, atol=1e-10)


@given(**problems)
def test_fact_3_cold_returns_the_weighted_mean_of_its_predictions(**problem):
    result, _, _ = run("cold", **problem)
    alphas = spaced(problem["alpha0"], problem["steps"], problem["power"])
    shares = [(a - b) / problem["alpha0"] for a, b in zip(alphas, alphas[1:])]
    mean = sum(share * point.original for share, point in zip(shares, result.trajectory))
    torch.testing.assert_close(result.images[:, 0], mean, **CLOSE)


@given(**problems)
def test_fact_4_naive_and_without_error_removal_return_the_last_prediction(**problem):
    for name in ("naive", "without_error_removal"):
        result, _, _ = run(name, **problem)
        torch.testing.assert_close(result.images[:, 0], result.trajectory[-2].original, **CLOSE)


@pytest.mark.parametrize("target, more", [("original", {}), ("remainder", {"resolve": "without_error_removal"}),
                                          ("difference", {"cold": "without_error_removal"})])
def test_fact_5_seven_names_are_five_samplers_and_four_for_some_targets(target, more):
    problem = {"target": target, "seed": 3, "alpha0": 0.5, "steps": 6, "power": 1.0}
    answers = {name: run(name, **problem)[0].images for name in SAMPLERS}
    same = SAME_AS | more
    for name, other in same.items():
        torch.testing.assert_close(answers[name], answers[other], rtol=0, atol=1e-10)
    classes = [name for name in SAMPLERS if name not in same]
    assert len(SAMPLERS) == 7 and len(classes) == 5 - len(more)
    for first, second in combinations(classes, 2):
        assert (answers[first] - answers[second]).abs().max() > 1e-3, (first, second)


@given(name=st.sampled_from(sorted(SAMPLERS)), k=st.integers(2, 5), **problems)
@settings(max_examples=150)
def test_fact_6_a_predictor_that_knows_the_truth_recovers_it_by_every_sampler(name, k, target, seed, alpha0, steps,
                                                                            power):
    truth = images(k, seed)
    weights = torch.rand(k, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) + 0.2
    weights = (weights / weights.sum()).tolist()

    chosen = SAMPLERS[name]
    per_image = chosen.steps or steps
    asked = []

    class Truth(Network):
        """Knows all K images, and from the number of calls which of them is being recovered."""

        def __init__(self):
            self.target, self.k, self.alpha_max = target, k, 1.0

        def __call__(self, x, alpha):
            first = len(asked) // per_image
            asked.append(alpha)
            left = torch.tensor(weights[first + 1:], dtype=torch.float64)
            remainder = torch.einsum("bkchw,k->bchw", truth[:, first + 1:], left / left.sum())
            original = truth[:, first]
            return {"original": original, "remainder": remainder, "difference": remainder - original}[target]

    result = unmix(mix(truth, weights), Truth(), name, spaced(1 - weights[0], steps, power), weights=weights)
    assert result.calls == len(asked) == per_image * (k - 1)
    torch.testing.assert_close(result.images, truth, rtol=0, atol=1e-9)


@given(name=st.sampled_from(sorted(SAMPLERS)), **problems)
def test_what_comes_out_always_mixes_to_what_went_in(name, **problem):
    result, _, mixture = run(name, **problem)
    weights = [1 - problem["alpha0"], problem["alpha0"]]
    again = torch.einsum("bkchw,k->bchw", result.images, torch.tensor(weights, dtype=torch.float64))
    torch.testing.assert_close(again, mixture, **CLOSE)


@pytest.fixture(scope="module")
def world():
    """Forty digits, a pair of them, and its mixture, in float64."""
    some = load("digits", "test")[:40].double()
    return some, some[:2], mix(some[:2])


@pytest.mark.parametrize("target", TARGETS)
def test_fact_7_one_call_at_one_half_returns_the_average_itself(world, target):
    some, _, mixture = world
    for noise in (1e-3, 1e-1):
        result = unmix(mixture, FiniteWorld(some, noise, "random", target), "one_step")
        torch.testing.assert_close(result.images, mixture.expand(2, 1, 28, 28), rtol=0, atol=1e-9)


def test_fact_7_the_ways_out(world):
    some, pair, mixture = world
    nudge = 1e-3 * torch.randn(mixture.shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    slid = unmix((mixture + nudge).clamp(-1, 1), FiniteWorld(some, 1e-2), "naive", 50).images
    assert max(psnr(slid, pair).mean(), psnr(slid, pair.flip(0)).mean()) > 60
    first = pair if pair[0].mean() > pair[1].mean() else pair.flip(0)
    ordered = unmix(mixture, FiniteWorld(some, 1e-2, "brightest"), "one_step").images
    assert psnr(ordered, first).min() > 60


def test_fact_8_the_state_and_the_mixture_together_give_the_original_away():
    """For alpha other than alpha_0, x_1 is a fixed linear function of the two; at alpha_0 there is none."""
    pair, alpha, alpha0 = images(2, 5)[0], 0.2, 0.5
    x, m = on_path(*pair, alpha), on_path(*pair, alpha0)
    torch.testing.assert_close((alpha0 * x - alpha * m) / (alpha0 - alpha), pair[0], **CLOSE)
    assert torch.equal(on_path(*pair, alpha0), m)  # where sampling starts, the two inputs are one


def test_a_student_adds_a_second_order_sampler_and_takes_it_away():
    @sampler("heun", partner="state")
    def heun(s):
        there = s.predict(s.x + (s.b - s.a) * (s.remainder - s.original), s.b)
        return s.x + (s.b - s.a) / 2 * (s.remainder - s.original + there.remainder - there.original)

    try:
        pair = images(2, 4)[0]
        for target in TARGETS:
            result = unmix(mix(pair), Known(*pair, target), "heun", 3)
            torch.testing.assert_close(result.images, pair, **CLOSE)
            assert result.calls == 6
        sampler("heun", partner="state")(lambda s: s.x[0])
        with pytest.raises(ValueError, match="'heun' must return a tensor"):
            unmix(mix(pair), Known(*pair), "heun", 2)
    finally:
        del SAMPLERS["heun"]


def test_random_samplers_follow_the_seed():
    @sampler("noisy", partner="state")
    def noisy(s):
        return s.original + torch.randn(s.x.shape, generator=s.generator, dtype=s.x.dtype)

    try:
        pair = images(2, 4)[0]
        one, same, other = (unmix(mix(pair), Known(*pair), "noisy", 2, seed=seed).images for seed in (1, 1, 2))
        assert torch.equal(one, same) and not torch.equal(one, other)
    finally:
        del SAMPLERS["noisy"]


def test_wrong_partner_rule():
    with pytest.raises(ValueError, match="state or mixture"):
        sampler("lost", partner="nobody")
