"""The fixed tuples of the protocol, and groups of the most alike."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from coldavg.imagesets import draw_tuples
from coldavg.imagesets.tuples import alike_tuples


@pytest.mark.parametrize("k", [2, 3, 4])
def test_the_tuples_of_the_protocol(k):
    rows = draw_tuples(2000, k)
    assert rows.shape == (1000, k) and torch.equal(rows, draw_tuples(2000, k))
    assert len(set(rows[:, 0].tolist())) == 1000, "each first image once"
    assert all(len(set(row)) == k for row in rows.tolist())
    assert rows.min() >= 0 and rows.max() < 2000
    counts = rows[:, 1:].flatten().bincount(minlength=2000).float()
    assert counts.mean() == pytest.approx((k - 1) / 2) and counts.max() <= 8  # partners are spread over all
    assert not torch.equal(rows, draw_tuples(2000, k, seed=1))
    with pytest.raises(ValueError, match="at least count"):
        draw_tuples(10, k)


def test_the_tuples_never_change():
    """Every stored result rests on them."""
    assert draw_tuples(2000)[:3].tolist() == [[405, 1274], [1190, 1647], [1132, 1951]]


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(0, 9), min_size=12, max_size=60), st.integers(2, 4), st.integers(0, 99))
def test_nobody_is_in_a_tuple_twice(people, k, seed):
    people = np.array(people)
    if len(set(people)) < k:
        with pytest.raises(ValueError, match=f"identities must be at least k = {k}"):
            draw_tuples(len(people), k, 10, seed, people)
    else:
        rows = draw_tuples(len(people), k, 10, seed, people)
        assert all(len(set(people[row])) == k for row in rows.numpy()) and len(set(rows[:, 0].tolist())) == 10


def test_the_alike_are_grouped_as_k_same_does():
    values = torch.tensor([0.0, 10, 1, 11, 20, 30, 21, 31])[:, None]
    groups = alike_tuples(values, 2, 9, np.arange(8))
    assert sorted(groups.flatten().tolist()) == list(range(8)), "each image once"
    assert all(abs(values[a] - values[b]) == 1 for a, b in groups)
    people = np.array([0, 0, 0, 1, 1, 1, 2, 2])
    assert all(len(set(people[row])) == 2 for row in alike_tuples(values, 2, 9, people))
    assert len(alike_tuples(values, 3, 9, people)) <= 2 and len(alike_tuples(values, 2, 3, np.arange(8))) == 3
    assert alike_tuples(values, 4, 9, people).shape == (0, 4), "three people make no tuple of four"
