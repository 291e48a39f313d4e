"""The sampler workshop says what is true of a sampler, and never raises at what a student wrote."""

import pytest
import torch

from coldavg import SAME_AS, SAMPLERS, Sampler, load_network, on_path, protocol, recover, score
from coldavg.workshop import BUILT_IN, compare, inspect, table

RETURNS = {"one_step": "first guess", "naive": "last guess", "cold": "mean of its guesses",
           "without_error_removal": "last guess", "with_error_removal": "first guess", "difference": "last guess",
           "resolve": "neither"}


@pytest.mark.parametrize("name", SAMPLERS)
def test_what_is_proved_of_the_built_in_samplers_is_found(name):
    runs, truth, seed, batch, new, calls, returned = inspect(SAMPLERS[name])
    assert all(finding.holds for finding in (runs, truth, seed, batch))
    assert new.holds is (name not in SAME_AS)
    if name in SAME_AS:
        assert SAME_AS[name] in new.words
    assert calls.words.startswith("1 " if name == "one_step" else "5 ") and RETURNS[name] in returned.words


def planted(step, partner="state"):
    return [finding.holds for finding in inspect(Sampler("planted", step, partner))]


def test_a_planted_fault_is_found():
    shared = torch.Generator().manual_seed(0)
    assert planted(lambda s: s.x[0]) == [False], "the wrong shape is the one finding"
    assert planted(lambda s: 1 / 0) == [False] and planted(lambda s: s.nothing) == [False]
    assert planted(lambda s: s.x / 0)[0] is False, "no numbers"
    assert planted(lambda s: 0.9 * s.original)[:2] == [True, False], "misses the truth"
    noise = planted(lambda s: s.original + torch.randn(s.x.shape, generator=shared, dtype=s.x.dtype))
    assert noise[2] is False, "its own generator does not follow the seed"
    assert planted(lambda s: s.original + s.x.mean(0) - s.x.mean(0, keepdim=True).roll(1, 0))[3] is True
    assert planted(lambda s: s.original - 0.1 * (s.original - s.original.mean(0)))[3] is False, "neighbours count"
    assert planted(lambda s: on_path(s.original, s.added, s.b))[4] is False, "an old sampler in disguise"


def test_a_stub_stays_a_stub():
    def stub(s):
        raise NotImplementedError

    with pytest.raises(NotImplementedError):
        inspect(Sampler("stub", stub, "state"))


def test_the_comparison_is_that_of_the_protocol():
    tuples, mixture = protocol("digits", count=6)
    network = load_network("digits-original")
    twice = Sampler("twice", lambda s: (s.predict(s.x, s.a), s.original)[1], "mixture")
    marks = compare(twice, network, tuples, mixture, calls=4)
    assert list(marks) == [*BUILT_IN, "twice"] and all(mark.shape == (6,) for mark in marks.values())
    for name in BUILT_IN:
        again = score(recover(mixture, network, name, 4)[0], tuples, mixture)["psnr"].mean(1)
        torch.testing.assert_close(marks[name], again)
    assert twice.step is not None and recover(mixture, network, twice, 2)[1] == 4, "two steps of two calls"


def test_the_table_says_who_is_ahead():
    marks = {"cold": torch.tensor([20.0, 21.0, 25.0]), "mine": torch.tensor([21.0, 22.0, 24.0])}
    head, first, second = table(marks, "mine").splitlines()
    assert first.split()[:2] == ["mine", "22.33"] and second.split()[:3] == ["cold", "22.00", "+0.33"]
    assert second.endswith("67 % of the pairs") and "mine is ahead" in head
