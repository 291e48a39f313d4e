"""The loss that is blind to order, alignment, and matching: against all orders, tried one by one."""

from itertools import permutations

import torch
from hypothesis import given
from hypothesis import strategies as st

from coldavg import mix, psnr
from coldavg.matching import align, pit_loss
from coldavg.metrics import match


def images(k, seed, b=3):
    return torch.rand(b, k, 1, 4, 4, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) * 2 - 1


@given(st.integers(2, 4), st.integers(0, 1000))
def test_the_loss_is_the_least_over_all_orders(k, seed):
    answers, truth = images(k, seed), images(k, seed + 1)
    least = [min((answer[list(order)] - true).square().mean() for order in permutations(range(k)))
             for answer, true in zip(answers, truth)]
    torch.testing.assert_close(pit_loss(answers, truth), torch.stack(least).mean())


@given(st.integers(2, 4), st.integers(0, 1000))
def test_order_does_not_matter_to_loss_alignment_and_matching(k, seed):
    truth = images(k, seed)
    order = torch.randperm(k, generator=torch.Generator().manual_seed(seed))
    assert pit_loss(truth[:, order], truth) == 0
    torch.testing.assert_close(align(truth[:, order], truth), truth)
    torch.testing.assert_close(match(truth[:, order], truth), truth)


def test_for_two_the_loss_is_that_of_the_half_difference_up_to_sign():
    truth = images(2, 0)
    mixture, half = mix(truth), (truth[:, 0] - truth[:, 1]) / 2
    guess = images(2, 1)[:, 0]
    answers = torch.stack([mixture + guess, mixture - guess], 1)
    by_sign = torch.minimum((guess - half).square().flatten(1).mean(1), (guess + half).square().flatten(1).mean(1))
    torch.testing.assert_close(pit_loss(answers, truth), by_sign.mean())


def test_matching_takes_the_order_of_the_best_summed_psnr():
    answers, truth = images(3, 5), images(3, 6)
    for matched, answer, true in zip(match(answers, truth), answers, truth):
        best = max(psnr(answer[list(order)], true).sum() for order in permutations(range(3)))
        torch.testing.assert_close(psnr(matched, true).sum(), best)


def test_the_best_of_many_orders_is_found_at_once():
    truth, answers = images(6, 1), images(6, 2)
    least = [min((answer[list(order)] - true).square().mean() for order in permutations(range(6)))
             for answer, true in zip(answers, truth)]
    torch.testing.assert_close(pit_loss(answers, truth), torch.stack(least).mean())
    assert torch.equal(align(truth[:, [5, 3, 1, 0, 2, 4]], truth), truth)
