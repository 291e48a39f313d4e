"""What publishers do to averages, checked against what it says, and what noise guarantees, against exact answers."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.stats import norm

from coldavg import Settings, epsilon, load, mix, publish, release, round_to_8_bits
from coldavg.data import alike_tuples, thumbnails
from coldavg.release import TREATMENTS, best_guess, keeps_average, separation, treatments
from coldavg.training import draw

FORMS = ["png", "float", "jpeg-50", "noise-0.3", "blur-1.5", "small-2", "bits-2", "shift-2", "weights-3",
         "shift-1+noise-0.1+small-4+jpeg-80"]
pairs = load("digits")[:12].unflatten(0, (6, 2))


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("k, channels", [(2, 1), (3, 3)])
def test_every_form_gives_8_bit_pictures_that_depend_on_their_own_seed_alone(form, k, channels):
    images = torch.rand(4, k, channels, 13, 17, generator=torch.Generator().manual_seed(0)) * 2 - 1
    whole = release(images, form)
    assert whole.shape == (4, channels, 13, 17) and whole.abs().max() <= 1
    assert form == "float" or torch.equal(whole, round_to_8_bits(whole))
    assert torch.equal(whole, release(images, form)), "the same seeds, the same pictures"
    part = release(images[2:], form, seeds=[2, 3])
    torch.testing.assert_close(whole[2:], part, atol=1e-6, rtol=0, msg="the others of a batch change nothing")
    random = "noise" in form or "shift" in form or "weights" in form
    assert torch.equal(whole, release(images, form, seeds=range(9, 13))) != random


def test_what_is_published_is_what_can_be_read():
    mixtures = mix(pairs)
    assert torch.equal(publish(mixtures, "float"), mixtures)
    assert torch.equal(publish(mixtures, "png"), round_to_8_bits(mixtures))
    lost = {quality: (publish(mixtures, f"jpeg-{quality}") - mixtures).square().mean() for quality in (10, 50, 95)}
    assert 0 < lost[95] < lost[50] < lost[10]
    flat = torch.full((2, 3, 16, 16), 51 / 127.5 - 1)  # one colour survives any quality, but for a level
    assert (publish(flat, "jpeg-50") - flat).abs().max() < 2 / 127.5
    assert publish(flat[0], "jpeg-50").shape == (3, 16, 16)


@pytest.mark.parametrize("form", ["gif", "jpeg", "jpeg-", "jpeg-0", "jpeg-96", "jpeg-x", "jpeg-1.5", "noise-0",
                                  "noise-inf", "noise-nan", "bits-9", "float+jpeg-50", "png-3", "", "+"])
def test_a_form_that_is_none_is_told_all_that_there_is(form):
    with pytest.raises(ValueError, match="png, float, or one or more of shift-1 to -32, weights-1"):
        release(pairs, form)
    with pytest.raises(ValueError, match="png, float, or one or more of"):
        Settings(target="joint", published=form)


def test_what_begins_before_the_averaging_needs_the_images():
    with pytest.raises(ValueError, match="use release with the images"):
        publish(mix(pairs), "shift-1")
    with pytest.raises(ValueError, match="both given and secret"):
        release(pairs, "weights-2", [0.4, 0.6])


def test_each_treatment_does_what_it_says():
    flat = torch.full((1, 1, 16, 16), 0.2)
    published = {form: publish(flat, form) for form in ("noise-0.1", "blur-3", "small-4", "bits-1", "bits-8")}
    for form in ("blur-3", "small-4", "bits-8"):
        assert torch.equal(published[form], round_to_8_bits(flat)), f"{form} leaves a flat picture as it is"
    assert torch.equal(published["bits-1"], torch.ones_like(flat))
    many = publish(torch.zeros(60, 1, 32, 32), "noise-0.1")
    assert many.std().item() == pytest.approx(0.1, rel=0.02) and abs(many.mean().item()) < 0.002
    dot = torch.full((1, 1, 33, 33), -1.0)
    dot[..., 16, 16] = 127.0  # blurred before it is rounded: the kernel itself
    blurred = TREATMENTS["blur"].apply(dot[0], 2.0, None)[0] + 1
    offsets = torch.arange(33) - 16
    kernel = torch.exp(-offsets.square() / 8)
    torch.testing.assert_close(blurred / blurred.sum(), torch.outer(kernel, kernel) / kernel.sum() ** 2,
                               atol=1e-4, rtol=0)
    ramp = torch.arange(16.0).reshape(1, 1, 4, 4) / 8 - 1
    means = ramp.unflatten(2, (2, 2)).unflatten(4, (2, 2)).mean((3, 5))
    torch.testing.assert_close(TREATMENTS["small"].apply(ramp[0], 2.0, None),
                               means[0].repeat_interleave(2, 1).repeat_interleave(2, 2))


def test_a_shift_moves_whole_images_and_not_all_alike():
    dot = torch.full((1, 2, 1, 15, 15), -1.0)
    dot[..., 7, 7] = 1
    places = set()
    for seed in range(200):
        moved = TREATMENTS["shift"].apply(dot[0], 2.0, np.random.default_rng(seed))
        assert (moved == 1).sum() == 2
        places |= {tuple(place.tolist()) for place in (moved[:, 0] == 1).nonzero()[:, 1:]}
    assert places == {(row, column) for row in range(5, 10) for column in range(5, 10)}


def test_secret_weights_lie_where_the_form_says_and_sum_to_one():
    shares = [TREATMENTS["weights"].apply(torch.ones(2, 1, 1, 1), 3.0, np.random.default_rng(seed)).flatten() / 2
              for seed in range(300)]
    shares = torch.stack(shares)
    torch.testing.assert_close(shares.sum(1), torch.ones(300))
    ratio = shares.max(1).values / shares.min(1).values
    assert 2.5 < ratio.max() <= 3 and ratio.min() < 1.1


def test_only_plain_averages_bind_the_answers():
    assert {form for form in [*FORMS, "png+png"] if keeps_average(form)} == {"png", "float", "png+png"}
    assert [each.name for each, _ in treatments("shift-2+jpeg-9")] == ["shift", "jpeg"]


@given(st.floats(0.05, 20), st.integers(1, 16), st.integers(1, 5000), st.sampled_from([1e-3, 1e-5, 1e-7]))
def test_epsilon_is_that_of_the_gaussian_mechanism(deviation, k, values, delta):
    """By integrating what delta is made of: the most that one distribution exceeds e^epsilon times the other."""
    found, ratio = epsilon(deviation, k, values, delta), separation(deviation, k, values)
    if found == 0:
        assert 2 * norm.cdf(ratio / 2) - 1 <= delta * (1 + 1e-9)
    elif found < 200:  # beyond, e^epsilon leaves what floats can hold
        start = found / ratio + ratio / 2  # where the two densities, ratio apart, differ by the factor e^epsilon
        excess = quad(lambda x: norm.pdf(x, ratio) - math.exp(found + norm.logpdf(x)), start, start + 40)[0]
        assert excess == pytest.approx(delta, rel=1e-4)
    assert epsilon(2 * deviation, k, values, delta) <= found <= epsilon(deviation / 2, k, values, delta)


def test_the_best_guess_is_what_the_best_guesser_scores():
    random, images = np.random.default_rng(0), torch.stack([torch.ones(1, 2, 2), -torch.ones(1, 2, 2)])
    deviation = 1.5
    other = torch.zeros(1, 2, 2)
    right = 0
    for _ in range(4000):
        truth = int(random.integers(2))
        seen = (images[truth] + other) / 2 + deviation * torch.from_numpy(random.standard_normal((1, 2, 2)))
        right += int((seen.sum() < 0).item() == truth)  # the likelihood ratio of the two candidates
    assert right / 4000 == pytest.approx(best_guess(deviation, 2, 4), abs=0.025)
    for wrong in ((0, 2, 4), (1.0, 0, 4), (float("nan"), 2, 4)):
        with pytest.raises(ValueError, match="deviation must be above 0"):
            epsilon(*wrong)


def test_the_alike_are_grouped_as_k_same_does():
    values = torch.tensor([0.0, 10, 1, 11, 20, 30, 21, 31])[:, None]
    groups = alike_tuples(values, 2, 9, np.arange(8))
    assert sorted(groups.flatten().tolist()) == list(range(8)), "each image once"
    assert all(abs(values[a] - values[b]) == 1 for a, b in groups)
    people = np.array([0, 0, 0, 1, 1, 1, 2, 2])
    assert all(len(set(people[row])) == 2 for row in alike_tuples(values, 2, 9, people))
    assert len(alike_tuples(values, 3, 9, people)) <= 2 and len(alike_tuples(values, 2, 3, np.arange(8))) == 3
    assert alike_tuples(values, 4, 9, people).shape == (0, 4), "three people make no tuple of four"


def test_training_forms_tuples_as_the_publisher_does():
    images = load("digits", "train")[:200]

    def apart(pool: int) -> float:
        tuples, given, _ = draw(images, Settings(target="joint", pool=pool, published="noise-0.2"), 3)
        inside = mix(tuples).abs() < 0.2  # where nothing is cut off
        assert (given - mix(tuples))[inside].std().item() == pytest.approx(0.2, rel=0.1)
        small = thumbnails(tuples.flatten(0, 1), np.arange(128)).unflatten(0, (64, 2))
        return (small[:, 0] - small[:, 1]).square().mean().item()

    assert apart(180) < apart(20) < apart(0)
