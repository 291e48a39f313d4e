"""The search among an archive: it finds who is in an average, and of pairs the best of all."""

from itertools import combinations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from coldavg import load, mix
from coldavg.evaluation import Averaging
from coldavg.evaluation.archive import search, which_found
from coldavg.imagesets import open_images


def test_the_best_pair_is_the_best_of_all_pairs():
    """Against every pair tried one by one; and an average of two candidates is found for what it is."""
    candidates = load("digits", "train")[:12]
    mixture = torch.cat([mix(load("digits")[:6].unflatten(0, (3, 2))), mix(candidates[[3, 8]])[None]])
    found = candidates[search(mixture, candidates, 2)]
    pairs = torch.tensor([[i, j] for i in range(12) for j in range(i)])
    errors = (mixture[:, None] - mix(candidates[pairs])).square().flatten(2).mean(2)
    torch.testing.assert_close((mixture - mix(found)).square().flatten(1).mean(1), errors.min(1).values)
    assert {image.numpy().tobytes() for image in found[-1]} == {image.numpy().tobytes() for image in candidates[[3, 8]]}


def noise(count, side=16, seed=0):
    return torch.rand(count, 1, side, side, generator=torch.Generator().manual_seed(seed)) * 2 - 1


@given(st.integers(2, 9), st.integers(0, 1000))
def test_of_all_pairs_the_search_takes_the_best_also_beside_doubles(count, seed):
    """Brute force over every pair, where two candidates are one image: no image is taken twice."""
    candidates = noise(count, 4, seed).double()
    candidates = torch.cat([candidates, candidates[:1]])
    shown = torch.cat([noise(4, 4, seed + 1).double(), mix(candidates[[0, 1]])[None], candidates[:1]])
    pairs = torch.combinations(torch.arange(count + 1))
    apart = (mix(candidates[pairs])[None] - shown[:, None]).square().flatten(2).sum(2)  # (N, pairs)
    found = search(shown, candidates, 2)
    assert (found[:, 0] < found[:, 1]).all(), "two images, ascending"
    reached = (mix(candidates[found]) - shown).square().flatten(1).sum(1)
    torch.testing.assert_close(reached, apart.min(1).values, rtol=0, atol=1e-12)
    assert found[-1].tolist() == [0, count], "the average of one image twice is found in its two copies"
    assert torch.equal(which_found(found[-1:], torch.tensor([[0, 1]])), torch.tensor([[1.0, 0.0]]).double())


@pytest.mark.parametrize("k", [2, 3, 5, 8])
def test_the_search_finds_who_is_in_the_average(k):
    images = open_images("digits")
    averaging = Averaging(k)
    indices = averaging.draw(images, 30)
    assert torch.equal(which_found(search(averaging.publish(images[indices]), images[:400], k), indices).mean(1) == 1,
                       (indices < 400).all(1)), "all of them, where all are candidates"


def test_the_search_is_the_best_of_all_pairs():
    candidates, shown = noise(30, 8), noise(12, 8, 1)  # averages of none of them
    tuples = list(combinations(range(30), 2))
    apart = torch.stack([(mix(candidates[list(two)]) - shown).square().sum((1, 2, 3)) for two in tuples])
    best = [tuples[i] for i in apart.argmin(0).tolist()]
    found = [tuple(row) for row in search(shown, candidates, 2).tolist()]
    assert found == best
    with pytest.raises(ValueError, match="candidates must be at least k = 3"):
        search(shown, candidates[:2], 3)
