"""Mixing, the path, the partner rules, projection; and the errors that name what was wrong."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from coldavg import brightest_first, complete, mix, on_path, project
from coldavg.mixing import TARGETS, check_weights, remainder_of, say

tuples = st.builds(
    lambda k, c, seed: torch.rand(3, k, c, 4, 5, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    * 2 - 1,
    st.integers(2, 6), st.sampled_from([1, 3]), st.integers(0, 2**32),
)


def some_weights(k, seed):
    weights = torch.rand(k, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) + 0.1
    return weights / weights.sum()


def test_a_mixture_worked_by_hand():
    images = torch.tensor([-1.0, 0.0, 1.0]).reshape(3, 1, 1, 1)
    assert mix(images).item() == pytest.approx(0)
    assert mix(images, [0.5, 0.3, 0.2]).item() == pytest.approx(-0.3)


@given(tuples, st.integers(0, 1000))
def test_a_mixture_is_the_path_at_alpha0(images, seed):
    weights = some_weights(images.shape[1], seed)
    rest = torch.einsum("bkchw,k->bchw", images[:, 1:], weights[1:]) / (1 - weights[0])
    torch.testing.assert_close(mix(images, weights), on_path(images[:, 0], rest, 1 - weights[0]), rtol=0, atol=1e-14)


@given(tuples, st.integers(0, 1000))
def test_projection_meets_the_mixture_and_changes_least(images, seed):
    weights, target = some_weights(images.shape[1], seed), mix(images.flip(0))
    nearest = project(images, target, weights)
    torch.testing.assert_close(torch.einsum("bkchw,k->bchw", nearest, weights), target, rtol=0, atol=1e-13)
    torch.testing.assert_close(project(nearest, target, weights), nearest, rtol=0, atol=1e-13)
    # Pythagoras: any other set that meets the mixture lies further off by the distance to the nearest
    other = project(images.flip(-1), target, weights)
    square = [(a - b).square().sum() for a, b in ((other, images), (nearest, images), (other, nearest))]
    torch.testing.assert_close(square[0], square[1] + square[2], rtol=1e-10, atol=1e-10)


@given(st.sampled_from(TARGETS), st.floats(0.01, 0.99), st.integers(0, 1000))
def test_the_completed_pair_keeps_the_answer_and_meets_the_anchor(target, alpha, seed):
    generator = torch.Generator().manual_seed(seed)
    answer, anchor = torch.randn(2, 3, 1, 2, 2, generator=generator, dtype=torch.float64)
    original, remainder = complete(target, answer, anchor, alpha)
    torch.testing.assert_close(on_path(original, remainder, alpha), anchor, rtol=0, atol=1e-12)
    said = {"original": original, "remainder": remainder, "difference": remainder - original}[target]
    torch.testing.assert_close(said, answer, rtol=0, atol=1e-12)


@given(st.sampled_from(TARGETS), tuples, st.floats(0.01, 0.99))
def test_what_a_perfect_network_says_completes_to_the_truth(target, images, alpha):
    """`say` and `complete` are each other's inverse; for equal weights the mixture is the path at (K - 1) / K."""
    original, remainder = images[:, 0], remainder_of(images)
    torch.testing.assert_close(remainder, images[:, 1:].sum(1) / (images.shape[1] - 1), rtol=0, atol=1e-14)
    anchor = on_path(original, remainder, alpha)
    found = complete(target, say(target, original, remainder), anchor, alpha)
    for half, truth in zip(found, (original, remainder)):
        torch.testing.assert_close(half, truth, rtol=0, atol=1e-12)
    start = (images.shape[1] - 1) / images.shape[1]
    torch.testing.assert_close(mix(images), on_path(original, remainder, start), rtol=0, atol=1e-14)


def test_brightest_first_moves_whole_images():
    images = torch.tensor([[-0.5, 0.25, 0.0]]).reshape(1, 3, 1, 1, 1).expand(1, 3, 1, 2, 2)
    assert brightest_first(images)[0, :, 0, 0, 0].tolist() == [0.25, 0.0, -0.5]


fine = torch.zeros(2, 1, 4, 4)
WRONG = {
    "no tensor": (lambda: mix([[0.0]]), TypeError, "images must be a torch tensor"),
    "mixed sizes": (lambda: mix([fine[0], fine[0, :, :2]]), ValueError, r"of one size, got \(1, 2, 4\), \(1, 4, 4\)"),
    "dimensions": (lambda: mix(torch.zeros(4, 4)), ValueError, "shape"),
    "one image": (lambda: mix(fine[:1]), ValueError, "K >= 2"),
    "empty": (lambda: mix(torch.zeros(2, 1, 0, 4)), ValueError, "empty"),
    "integers": (lambda: mix(torch.zeros(2, 1, 4, 4, dtype=torch.uint8)), TypeError, "x / 127.5 - 1"),
    "range": (lambda: mix(fine + 200), ValueError, r"\[-1, 1\]"),
    "NaN": (lambda: mix(fine * float("nan")), ValueError, "NaN"),
    "number of weights": (lambda: mix(fine, [1.0]), ValueError, "2 numbers"),
    "sum of weights": (lambda: mix(fine, [0.5, 0.6]), ValueError, "sum to 1"),
    "sign of weights": (lambda: mix(fine, [1.5, -0.5]), ValueError, "positive"),
    "NaN weights": (lambda: mix(fine, [float("nan"), 0.5]), ValueError, "positive"),
    "k": (lambda: check_weights(None, 1), ValueError, "at least 2"),
    "target": (lambda: complete("both", fine, fine, 0.5), ValueError, "original, remainder, difference"),
    "target that is said": (lambda: say("joint", fine, fine), ValueError, "difference, got 'joint'"),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_input_is_named_in_one_line(case):
    call, kind, words = WRONG[case]
    with pytest.raises(kind, match=words) as caught:
        call()
    assert "\n" not in str(caught.value)
