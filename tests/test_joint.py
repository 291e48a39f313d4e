"""The loss that is blind to order, aligned ensembles, and matching."""

from itertools import permutations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from coldavg import FlipEnsemble, Settings, load_network, match, mix, order_blind_loss, psnr, unmix
from coldavg.evaluate import protocol, recover
from coldavg.joint import LAPS, align
from coldavg.metrics import score


def images(k, seed, b=3):
    return torch.rand(b, k, 1, 4, 4, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) * 2 - 1


@given(st.integers(2, 4), st.integers(0, 1000))
def test_the_loss_is_the_least_over_all_orders(k, seed):
    answers, truth = images(k, seed), images(k, seed + 1)
    least = [min((answer[list(order)] - true).square().mean() for order in permutations(range(k)))
             for answer, true in zip(answers, truth)]
    torch.testing.assert_close(order_blind_loss(answers, truth), torch.stack(least).mean())


@given(st.integers(2, 4), st.integers(0, 1000))
def test_order_does_not_matter_to_loss_alignment_and_matching(k, seed):
    truth = images(k, seed)
    order = torch.randperm(k, generator=torch.Generator().manual_seed(seed))
    assert order_blind_loss(truth[:, order], truth) == 0
    torch.testing.assert_close(align(truth[:, order], truth), truth)
    torch.testing.assert_close(match(truth[:, order], truth), truth)


def test_for_two_the_loss_is_that_of_the_half_difference_up_to_sign():
    truth = images(2, 0)
    mixture, half = mix(truth), (truth[:, 0] - truth[:, 1]) / 2
    guess = images(2, 1)[:, 0]
    answers = torch.stack([mixture + guess, mixture - guess], 1)
    by_sign = torch.minimum((guess - half).square().flatten(1).mean(1), (guess + half).square().flatten(1).mean(1))
    torch.testing.assert_close(order_blind_loss(answers, truth), by_sign.mean())


def test_matching_takes_the_order_of_the_best_summed_psnr():
    answers, truth = images(3, 5), images(3, 6)
    for matched, answer, true in zip(match(answers, truth), answers, truth):
        best = max(psnr(answer[list(order)], true).sum() for order in permutations(range(3)))
        torch.testing.assert_close(psnr(matched, true).sum(), best)


class LeftRight(torch.nn.Module):
    """A joint network of two whose answers swap when its input is mirrored: only alignment saves the mean."""

    target, k, alpha_max = "joint", 2, 0.8

    def forward(self, x, alpha):
        left_is_brighter = (x[..., :2].mean((1, 2, 3)) > x[..., 2:].mean((1, 2, 3)))[:, None, None, None]
        shade = torch.where(left_is_brighter, 0.5, -0.5)
        return torch.stack([x + shade, x - shade], 1)


def test_the_flip_ensemble_aligns_before_it_averages():
    mixture = mix(images(2, 3))
    result = unmix(mixture, FlipEnsemble(LeftRight()))
    assert result.calls == 2
    torch.testing.assert_close((result.images[:, 0] - result.images[:, 1]).abs(), torch.ones_like(mixture))


class Sines(torch.nn.Module):
    """A joint network of two that answers anything."""

    target, k, alpha_max = "joint", 2, 0.8

    def forward(self, x, alpha):
        return torch.stack([(9 * x).sin(), (7 * x).cos() * alpha[:, None, None, None]], 1)


@given(st.integers(3, 6), st.integers(0, 1000))
def test_two_at_a_time_leaves_the_mean_as_it_is(k, seed):
    mixture = mix(images(k, seed))
    for network, calls in (Sines(), 1), (FlipEnsemble(Sines()), 2):
        result = unmix(mixture, network, k=k)
        assert result.calls == calls * LAPS * k * (k - 1) / 2 and result.images.shape == (3, k, 1, 4, 4)
        torch.testing.assert_close(result.images.mean(1), mixture, rtol=0, atol=1e-12)
        assert (result.images - mixture[:, None]).abs().amax() > 0.1


def test_a_network_for_two_takes_three_digits_apart():
    tuples, mixture = protocol("digits", 3, 20)
    recovered, calls = recover(mixture, load_network("digits-joint"), k=3)
    average = score(mixture[:, None].expand_as(tuples), tuples, mixture)["psnr"]
    assert calls == 9 and (score(recovered, tuples, mixture)["psnr"] - average).mean() > 5


def test_two_at_a_time_takes_equal_weights_alone():
    with pytest.raises(ValueError, match="not equal ones; use a path network"):
        unmix(mix(images(3, 0)), Sines(), weights=(0.5, 0.3, 0.2))


def test_the_best_of_many_orders_is_found_at_once():
    truth, answers = images(6, 1), images(6, 2)
    least = [min((answer[list(order)] - true).square().mean() for order in permutations(range(6)))
             for answer, true in zip(answers, truth)]
    torch.testing.assert_close(order_blind_loss(answers, truth), torch.stack(least).mean())
    assert torch.equal(align(truth[:, [5, 3, 1, 0, 2, 4]], truth), truth)


def test_a_joint_network_knows_its_own_weights_alone():
    settings = Settings(target="joint", weights=(0.7, 0.3), widths=(8,), patch=1)
    network, mixture = settings.network(), mix(images(2, 0).float(), (0.7, 0.3))
    for weights in (None, (0.7, 0.3)):
        recovered = unmix(mixture, network, weights=weights).images
        torch.testing.assert_close(mix(recovered.clamp(-1, 1), (0.7, 0.3)), mixture)
    with pytest.raises(ValueError, match=r"trained on, got \[0.5, 0.5\], not \[0.7, 0.3\]"):
        unmix(mixture, network, weights=(0.5, 0.5))


def test_a_network_trained_on_changed_averages_is_not_bound_to_them():
    network = Settings(target="joint", published="noise-0.2", widths=(8,), patch=1).network()
    torch.nn.init.constant_(network.last.bias, 0.25)
    mixture = mix(images(2, 0).float())
    assert (unmix(mixture, network).images.mean(1) - mixture).abs().max() > 0.2
    with pytest.raises(ValueError, match="that was trained on plain averages"):
        unmix(mixture, network, k=3)
