"""The parts of the audit: verdict, people, measures, report; and what noise guarantees, against exact answers."""

import math
import re

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.stats import norm

from coldavg import load, load_network, psnr, score
from coldavg.audit import Plan, best_guess, epsilon, run_audit
from coldavg.audit.attacker import Attacker, attack_with
from coldavg.audit.embedding import fit_autoencoder
from coldavg.audit.measure import ask_crowds, ask_membership, measure_attack, measure_search
from coldavg.audit.people import choose_recogniser, find_people
from coldavg.audit.privacy import separation
from coldavg.audit.report import crowds, page
from coldavg.audit.verdict import headline, judge
from coldavg.evaluation import Averaging, recover
from coldavg.evaluation.recognisers import learn_discriminants, reduce_pixels
from coldavg.metrics import summarise

from .pictures import in_memory
from .reports import check_report, found_by_chance


def row(success=(90, 85, 95), gain=(3, 2.5, 3.5), blind=0.0, same=(0.5, 0.2), people=None):
    return {"k": 2, "averages": 100, "success": success[0], "success_interval": list(success[1:]), "gain": gain[0],
            "gain_interval": list(gain[1:]), "blind_gain": blind, "median_average_ssim": same[0],
            "median_stranger_ssim": same[1], "people": people}


def linked(average, recovered, chance=1.0):
    return {"average": average[0], "average_interval": average[1:], "recovered": recovered[0],
            "recovered_interval": recovered[1:], "chance": chance}


@pytest.mark.parametrize("given, level, words", [
    (row(), "high", r"the attack gets images back. From averages of 2, 90 % .* 85 to 95.* 3.0 dB .2.5 to 3.5; 100 av"),
    (row(success=(70, 60, 80)), "some", "part of the images"),
    (row(gain=(0.9, 0.8, 1.0)), "some", "0.9 dB .0.8 to 1.0"),
    (row(blind=2.6), "unclear", "measures of what came back disagree.* 0.4 dB .-0.1 to 0.9"),
    (row(success=(52, 49, 55)), "unclear", "disagree"),
    (row(success=(52, 49, 55), gain=(0.1, 0.0, 0.2)), "none", "got nothing back"),
    (row(success=(52, 49, 55), gain=(-0.02, -0.04, 0.01)), "none", r"gains 0.0 dB .0.0 to 0.0; "),
    (row(same=(0.97, 0.2)), "same", "hide nothing.*0.97, where images that are not in them have 0.20"),
    (row(same=(0.97, 0.96)), "high", "gets images back"),
    (row(same=(0.999, 0.96)), "same", "hide nothing"),
    (row(same=(1.0, 1.0)), "high", "gets images back"),
    (row(same=(0.96, -0.1)), "same", "hide nothing"),
    (row(success=(60, 20, 90), gain=(1.0, -0.5, 2.0)), "few", "Too few averages to say"),
    (row(success=(40, 35, 45), people=linked((20, 12, 28), (2, 0, 4))), "high", "averages themselves 20 % .*12 to 28"),
    (row(success=(40, 35, 45), people=linked((2, 0, 4), (20, 12, 28))), "high", "In the recovered images 20 %"),
    (row(success=(40, 35, 45), gain=(0.1, 0.0, 0.2), people=linked((20, 12, 28), (20, 12, 28), 10)), "none",
     "got nothing back"),
])
def test_the_verdict_follows_from_the_low_ends_of_the_intervals(given, level, words):
    said, sentence = judge(given)
    assert said == level and re.search(words, sentence), sentence


def test_the_headline_says_where_there_is_too_little_to_say():
    wide = row(success=(60, 20, 90)) | {"found": 100, "found_interval": [95, 100],
                                        "people": linked((20, 1, 60), (5, 0, 12)) | {"averages": 100}}
    pictures, people, archive = headline([wide])
    assert pictures.endswith("too few to say.") and people.endswith("too few to say.") and "themselves" in people
    assert "100 % (95 to 100)" in archive and not archive.endswith("too few to say.")
    assert headline([wide | {"averages": 5}])[2].endswith("too few to say."), "all of five say little"


def noise(count, side=16, seed=0):
    return torch.rand(count, 1, side, side, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def test_a_grey_image_stays_grey_whatever_the_network_says(tmp_path):
    attack = attack_with(Attacker(load_network("faces-joint")), Averaging())
    recovered = attack(noise(2, 64).expand(-1, 3, -1, -1))
    assert (recovered == recovered[:, :, :1]).all() and recovered.std() > 0.1


def test_people_are_found_by_other_images_and_by_nothing_else():
    """The upper half of an image says who it is, the lower half is chance."""
    rng, identities = np.random.RandomState(0), np.arange(120) // 4
    who = rng.randint(0, 256, (30, 8, 16, 1))
    people = in_memory(identities, np.concatenate([who[identities], rng.randint(0, 256, (120, 8, 16, 1))], 1)
                       .astype(np.uint8))

    def upper(images):
        return images[..., :8, :].flatten(-3)

    def nothing(shown):
        return shown[:, None].expand(-1, 2, -1, -1, -1)

    found = find_people(people, Averaging(2), nothing, upper, 60)
    assert found["clean"] == 100 and found["gallery"] == 30 and found["chance"] == pytest.approx(100 / 29, abs=0.01)
    assert found["recovered"] == found["average"] > 90, "an average of two shows both"
    blind = find_people(people, Averaging(2), nothing, lambda images: images[..., 8:, :].flatten(-3), 60)
    assert blind["clean"] < 15 and blind["average"] < 15
    with pytest.raises(ValueError, match="it takes 3"):
        find_people(in_memory(np.array([0, 0, 1, 2, 3])), Averaging(2), nothing, upper)


def test_discriminants_find_what_pixels_do_not(monkeypatch):
    """Loud random columns hide a quiet pattern that is the identity's own."""
    monkeypatch.setattr("coldavg.evaluation.recognisers.find_spec", lambda name: None)  # no recogniser of faces here
    rng, identities = np.random.RandomState(1), np.arange(400) // 4
    own, loud = rng.randn(100, 16, 16, 1), rng.randn(400, 1, 16, 1)
    people = in_memory(identities, np.clip(128 + 4 * own[identities] + 30 * loud, 0, 255).astype(np.uint8))
    name, chosen = choose_recogniser(people, learn=True)
    assert "discriminants" in name
    shown = people[np.arange(200, 400)].unflatten(0, (50, 4))[:, :2]

    def rank1(embedding):
        apart = torch.cdist(embedding(shown[:, :1])[:, 0], embedding(shown[:, 1:])[:, 0])
        return (apart.argmin(1) == torch.arange(50)).double().mean()

    assert rank1(learn_discriminants(people, np.arange(50))) > rank1(reduce_pixels) + 0.3
    with pytest.raises(ValueError, match="it takes 6"):
        choose_recogniser(in_memory(np.arange(20)), learn=True)


def test_scores_of_the_truth_and_of_the_average_itself():
    tuples = load("digits")[:20].unflatten(0, (10, 2))
    shown = Averaging().publish(tuples)
    perfect, matched = measure_attack(tuples.flip(1), tuples, shown)
    assert perfect["psnr"] == 100 and perfect["success"] == 100 and torch.equal(matched, tuples)
    itself, _ = measure_attack(shown[:, None].expand_as(tuples), tuples, shown)
    assert itself["gain"] == 0 and itself["success"] == 0 and itself["psnr"] == itself["average_psnr"]


def test_members_are_named_where_others_are_and_noise_is_not():
    images = noise(400, 8)
    indices = torch.randperm(200, generator=torch.Generator().manual_seed(1)).reshape(-1, 2)
    shown = images[:200][indices].mean(1)
    found = ask_membership(shown, images[:200], indices, images[200:])
    assert found["named"] > 95 and found["named_interval"][0] > 90, "64 independent values, 2 images"
    others = ask_membership(noise(100, 8, seed=9), images[:200], indices, images[200:])
    assert others["named"] < 5, "an average of none of them names one in a hundred"
    assert ask_membership(shown[:2], images[:8], indices[:2] % 8, images[200:]) == {}, "too few to set a threshold"


def test_members_of_larger_crowds_are_named_as_the_gaussian_world_says_and_the_report_shows_it():
    images = in_memory(np.arange(2400))  # of 16 x 16 independent values
    rows = ask_crowds(images.only(np.arange(400)), images.only(np.arange(400, 2400)))
    assert [row["k"] for row in rows] == [30, 100], "half of 400 images must stand outside"
    few, many = rows
    assert few["named"] > 30 > many["named"] > 1, "256 values among 30, and among 100"
    for row in rows:  # less, as the attacker knows the covariance of 256 values from 2,000 images alone
        assert row["expected"] / 2 < row["named"] < row["expected"] + 5
    assert all(text in crowds(rows) for text in ("<td>30</td>", "<td>100</td>", f"{many['expected']:.1f}"))
    assert ask_crowds(images.only(np.arange(59)), images) == [] and crowds([]) == ""


def test_the_headline_names_members_where_that_was_asked():
    asked = row() | {"found": 3, "found_interval": [0, 8], "named": 80, "named_interval": [70, 90], "people_why": "x"}
    assert "80 % (70 to 90), where 1 % of all others are accused" in headline([asked])[3]


def test_an_attack_is_scored_as_everything_is():
    tuples = load("digits")[:20].unflatten(0, (10, 2))
    shown = Averaging().publish(tuples)
    recovered, _ = recover(shown, load_network("digits-joint"))
    row, matched = measure_attack(recovered, tuples, shown)
    scores = score(recovered, tuples, shown)
    assert row == summarise(scores) and row["psnr"] == round(scores["psnr"].mean().item(), 3) > 20
    torch.testing.assert_close(psnr(matched.flatten(0, 1), tuples.flatten(0, 1)), scores["psnr"].flatten())
    indices = torch.arange(20).reshape(10, 2)
    assert measure_search(shown, load("digits")[:20], indices) == {"found": 100, "found_interval": [100, 100]}


def test_the_report_says_what_it_can_not(tmp_path):
    found = run_audit(Plan("digits", attacker="digits-joint", count=10), tmp_path)
    found["images"] |= {"reduced": True, "source": "<script>alert(1)</script>"}
    case = {"truth": load("digits")[:6].unflatten(0, (3, 2)), "published": load("digits")[:3],
            "recovered": load("digits")[:6].unflatten(0, (3, 2)), "psnr": torch.zeros(3, 2)}
    text = page(found, [case])
    assert "<script>" not in text and "Only 10 averages" in text and "Try a larger --size" in text
    assert "no proof of safety" in text and "Not asked: each image is an identity of its own" in text


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(found_by_chance())
def test_reports_of_any_numbers_and_names_are_files_that_every_program_reads(tmp_path, found):
    check_report(found, tmp_path)


def test_an_autoencoder_gives_back_what_it_learned():
    images = load("digits", "train")[:400, :, ::4, ::4]
    coder = fit_autoencoder(images, 300)
    codes = coder.encode(images)
    assert codes.shape == (400, 48, 1, 1) and codes.abs().max() <= 1
    assert psnr(coder.decode(codes), images).mean() > psnr(images.mean(0).expand_as(images), images).mean() + 4
    assert torch.equal(fit_autoencoder(images, 2).encode(images), fit_autoencoder(images, 2).encode(images))


@given(st.floats(0.05, 20), st.integers(1, 16), st.integers(1, 5000), st.sampled_from([1e-3, 1e-5, 1e-7]))
def test_epsilon_is_that_of_the_gaussian_mechanism(deviation, k, values, delta):
    """By integrating what delta is made of: the most that one distribution exceeds e^epsilon times the other."""
    found, ratio = epsilon(deviation, k, values, delta), separation(deviation, k, values)
    if found == 0:
        assert 2 * norm.cdf(ratio / 2) - 1 <= delta * (1 + 1e-9)
    elif found < 200:  # beyond, e^epsilon leaves what floats can hold
        start = found / ratio + ratio / 2  # where the two densities, ratio apart, differ by the factor e^epsilon
        excess = quad(lambda x: norm.pdf(x, ratio) - math.exp(found + norm.logpdf(x)), start, start + 40,
                      epsabs=0, epsrel=1e-8)[0]
        assert excess == pytest.approx(delta, rel=1e-4)
    assert epsilon(2 * deviation, k, values, delta) <= found <= epsilon(deviation / 2, k, values, delta)


def test_the_best_guess_is_what_the_best_guesser_scores():
    rng, images = np.random.default_rng(0), torch.stack([torch.ones(1, 2, 2), -torch.ones(1, 2, 2)])
    deviation = 1.5
    other = torch.zeros(1, 2, 2)
    right = 0
    for _ in range(4000):
        truth = int(rng.integers(2))
        seen = (images[truth] + other) / 2 + deviation * torch.from_numpy(rng.standard_normal((1, 2, 2)))
        right += int((seen.sum() < 0).item() == truth)  # the likelihood ratio of the two candidates
    assert right / 4000 == pytest.approx(best_guess(deviation, 2, 4), abs=0.025)
    for wrong in ((0, 2, 4), (1.0, 0, 4), (float("nan"), 2, 4)):
        with pytest.raises(ValueError, match="deviation must be above 0"):
            epsilon(*wrong)
    with pytest.raises(ValueError, match="candidates must be at least 2"):
        best_guess(1.0, 2, 4, 1)


@given(deviation=st.floats(0.2, 5), candidates=st.integers(2, 12), seed=st.integers(0, 10))
def test_nobody_guesses_better_than_the_bound(deviation, candidates, seed):
    """The best guesser there is, who takes the nearest of the candidates, against corners, the hardest to hide."""
    rng = np.random.default_rng(seed)
    images = rng.choice([-1.0, 1.0], (candidates, 6))
    truth = rng.integers(candidates, size=4000)
    seen = images[truth] / 2 + deviation * rng.standard_normal((4000, 6))
    guesses = ((seen[:, None] - images / 2) ** 2).sum(2).argmin(1)
    bound = best_guess(deviation, 2, 6, candidates)
    assert (guesses == truth).mean() <= bound + 4 * math.sqrt(bound * (1 - bound) / 4000) + 1e-9
    assert 1 / candidates < bound <= 1
