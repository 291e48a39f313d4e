"""Joint networks: projected answers, aligned ensembles, two images at a time."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from coldavg import Settings, UNet, load_network, mix, score, unmix
from coldavg.evaluation import protocol, recover
from coldavg.evaluation.attackers import FlipEnsemble
from coldavg.joint import LAPS, split
from coldavg.mixing import keep_in_range, project
from coldavg.predictor import Network


def images(k, seed, b=3):
    return torch.rand(b, k, 1, 4, 4, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) * 2 - 1


class LeftRight(torch.nn.Module, Network):
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


class Sines(torch.nn.Module, Network):
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
    assert calls == 18 and (score(recovered, tuples, mixture)["psnr"] - average).mean() > 5


def test_two_at_a_time_takes_equal_weights_alone():
    with pytest.raises(ValueError, match="not equal ones; use a path network"):
        unmix(mix(images(3, 0)), Sines(), weights=(0.5, 0.3, 0.2))


def test_a_joint_network_knows_its_own_weights_alone():
    settings = Settings(target="joint", weights=(0.7, 0.3), widths=(8,), patch=1)
    network, mixture = UNet(settings), mix(images(2, 0).float(), (0.7, 0.3))
    for weights in (None, (0.7, 0.3)):
        recovered = unmix(mixture, network, weights=weights).images
        torch.testing.assert_close(mix(recovered.clamp(-1, 1), (0.7, 0.3)), mixture)
    with pytest.raises(ValueError, match=r"trained on, got \[0.5, 0.5\], not \[0.7, 0.3\]"):
        unmix(mixture, network, weights=(0.5, 0.5))
    with pytest.raises(ValueError, match="that was trained on plain averages"):
        unmix(mixture, network, k=3)  # two at a time would ask it as if on halves


def test_a_network_trained_on_changed_averages_is_not_bound_to_them():
    network = UNet(Settings(target="joint", published="noise-0.2", widths=(8,), patch=1))
    torch.nn.init.constant_(network.last.bias, 0.25)
    mixture = mix(images(2, 0).float())
    assert (unmix(mixture, network).images.mean(1) - mixture).abs().max() > 0.2
    with pytest.raises(ValueError, match="that was trained on plain averages"):
        unmix(mixture, network, k=3)


def test_a_joint_network_is_called_once_and_projected():
    class Joint(Network):
        target, k, alpha_max = "joint", 3, 0.8

        def __call__(self, x, alpha):
            return torch.stack([x.sin(), x.cos(), x * alpha[:, None, None, None]], 1)

    mixture = mix(images(3, 0))
    result = unmix(mixture, Joint())
    assert result.calls == 1 and result.images.shape == (3, 3, 1, 4, 4)
    torch.testing.assert_close(mix(result.images / 8) * 8, mixture, rtol=0, atol=1e-12)
    answer, = split(Joint(), mixture, torch.full((3,), 1 / 3, dtype=torch.float64))
    assert torch.equal(answer, result.images)


class Restless(torch.nn.Module, Network):
    """A joint network that looks again, and says anything, its last answer in it; it keeps what it was asked with."""

    target, alpha_max, looks = "joint", 0.9, 4

    def __init__(self, k, weights=None):
        super().__init__()
        self.k, self.weights, self.seen = k, weights, []

    def forward(self, x, alpha, last):
        self.seen.append(last)
        told = torch.zeros(len(x), self.k, *x.shape[1:]).to(x) if last is None else last.roll(1, -1)
        return torch.stack([(number * x + 3 * told[:, number - 1]).sin() for number in range(1, self.k + 1)], 1)


@given(st.integers(2, 5), st.integers(1, 5), st.booleans(), st.integers(0, 1000))
def test_the_sum_stays_the_mixture_at_every_look(k, looks, equal, seed):
    rng = torch.Generator().manual_seed(seed)
    weights = None if equal else (parts := torch.rand(k, generator=rng, dtype=torch.float64) + 0.1) / parts.sum()
    network, tuples = Restless(k, weights), images(k, seed)
    mixture = mix(tuples, weights)
    result = unmix(mixture, network, steps=looks, trajectory=True)
    assert result.calls == looks == len(result.trajectory) == len(network.seen)
    shares = torch.full((k,), 1 / k, dtype=torch.float64) if equal else weights
    for point, asked in zip(result.trajectory, [*network.seen[1:], result.images]):
        torch.testing.assert_close(torch.einsum("bkchw,k->bchw", asked, shares), mixture, rtol=0, atol=1e-12)
        assert torch.equal(point.original, asked[:, 0]) and torch.equal(point.x, mixture)
        again = (1 - point.alpha) * point.original + point.alpha * point.remainder
        torch.testing.assert_close(again, mixture, rtol=0, atol=1e-12)
    assert network.seen[0] is None, "at the first look there is no answer yet"


def test_a_look_is_asked_for_by_its_number_or_is_the_networks_own():
    mixture = mix(images(2, 0))
    assert unmix(mixture, Restless(2)).calls == 4 and unmix(mixture, FlipEnsemble(Restless(2))).calls == 8
    for wrong in (0, 2.5, [0.5, 0.0], "twice"):
        with pytest.raises(ValueError, match="steps must be a whole number of looks, at least 1") as caught:
            unmix(mixture, Restless(2), steps=wrong)
        assert "\n" not in str(caught.value)


@given(st.integers(2, 4), st.integers(0, 1000))
def test_with_an_exact_predictor_a_look_changes_nothing(k, seed):
    tuples = images(k, seed)

    class Exact(Network):
        target, alpha_max, looks = "joint", 0.9, 1

        def __call__(self, x, alpha, last):
            return tuples

    Exact.k = k
    seen = [unmix(mix(tuples), Exact(), steps=looks).images for looks in (1, 2, 5)]
    torch.testing.assert_close(seen[0], tuples, rtol=0, atol=1e-12)
    for later in seen[1:]:
        torch.testing.assert_close(later, seen[0], rtol=0, atol=1e-14)


def test_a_network_that_does_not_look_again_is_asked_once_whatever_the_steps():
    network, mixture = UNet(Settings(target="joint", widths=(8, 16), seed=3)), mix(images(2, 0).float())
    with torch.no_grad():
        today = project(network(mixture, torch.full((3,), 0.5)), mixture)
    for steps in (None, 1, 7):
        result = unmix(mixture, network, steps=steps, trajectory=True)
        assert result.calls == 1 and torch.equal(result.images, today)
        assert len(result.trajectory) == 1 and torch.equal(result.trajectory[0].remainder, today[:, 1])


@given(st.integers(1, 4), st.integers(0, 1000))
def test_a_pair_that_looks_again_stays_in_range_and_gets_no_further_from_the_truth(looks, seed):
    tuples, network = images(2, seed), Restless(2)
    mixture = mix(tuples)
    result = unmix(mixture, network, steps=looks, trajectory=True)
    assert max(point.original.abs().max() for point in result.trajectory) <= 1 + 1e-12
    assert result.images.abs().max() <= 1 + 1e-12
    wild = project(3 * torch.randn(tuples.shape, generator=torch.Generator().manual_seed(seed)).double(), mixture)
    kept = keep_in_range(wild)
    torch.testing.assert_close(kept.mean(1), mixture, rtol=0, atol=1e-12)
    assert ((kept - tuples).square().flatten(1).sum(1) <= (wild - tuples).square().flatten(1).sum(1) + 1e-9).all()
    torch.testing.assert_close(keep_in_range(kept), kept, rtol=0, atol=1e-12)
    torch.testing.assert_close(keep_in_range(tuples), tuples, rtol=0, atol=1e-12)


def test_a_mirrored_look_sees_a_mirrored_answer():
    class Repeats(torch.nn.Module, Network):
        target, k, alpha_max, looks = "joint", 2, 0.8, 2

        def forward(self, x, alpha, last):
            shade = x.flip(-1) if last is None else last[:, 0] - x
            return torch.stack([x + shade, x - shade], 1)

    mixture = mix(images(2, 1))
    once, twice = (unmix(mixture, FlipEnsemble(Repeats()), steps=looks).images for looks in (1, 2))
    assert (once[:, 0] - mixture).abs().max() > 0.1
    torch.testing.assert_close(twice, once, rtol=0, atol=1e-12)


@given(st.integers(3, 5), st.integers(0, 100))
def test_two_at_a_time_looks_at_the_pair_as_it_stands_on_the_last_third_of_its_laps(k, seed):
    mixture, network = mix(images(k, seed)), Restless(2)
    result = unmix(mixture, network, k=k)
    couples = 2 * LAPS * k * (k - 1) // 2
    assert result.calls == couples == len(network.seen)
    assert all(last is None for last in network.seen[: couples * 2 // 3])
    assert all(last.shape == (3, 2, 1, 4, 4) for last in network.seen[couples * 2 // 3 :])
    torch.testing.assert_close(result.images.mean(1), mixture, rtol=0, atol=1e-12)
