"""The marks of the protocol against values worked by hand."""

import math

import pytest
import torch

from coldavg import psnr, round_to_8_bits, score, ssim
from coldavg.metrics import accept_limit, identify, interval


def flat(value, n=1):
    return torch.full((n, 1, 16, 16), float(value))


def test_psnr_by_hand():
    # on [0, 1] the two differ by 0.1: the mean squared error is 0.01, so 20 dB
    assert psnr(flat(0.0), flat(0.2)).item() == pytest.approx(20, abs=1e-4)
    assert psnr(flat(0.3), flat(0.3)).item() == 100  # the floor of 1e-10
    assert psnr(flat(-1), flat(1)).item() == pytest.approx(0)


def test_psnr_is_of_each_image_not_of_the_batch():
    images, truth = torch.cat([flat(0.2), flat(0.02)]), flat(0.0, 2)
    assert psnr(images, truth).tolist() == pytest.approx([20, 40], abs=1e-4)


def test_ssim_of_flat_images_is_its_luminance_term():
    a, b, c = 0.5, 0.6, 0.01**2
    expected = (2 * a * b + c) / (a * a + b * b + c)
    assert ssim(flat(2 * a - 1), flat(2 * b - 1)).item() == pytest.approx(expected, abs=1e-6)


def test_score_of_the_truth_its_swap_and_the_mixture():
    truth = round_to_8_bits(torch.rand(3, 2, 1, 16, 16, generator=torch.Generator().manual_seed(0)) * 2 - 1)
    mixture = truth.mean(1)
    for perfect in (truth, truth.flip(1)):
        marks = score(perfect, truth, mixture)
        assert (marks["psnr"] == 100).all() and (marks["success"] == 1).all()
        torch.testing.assert_close(marks["ssim"], torch.ones(3, 2).double(), rtol=0, atol=1e-6)
    rounded = round_to_8_bits(mixture)
    average = score(rounded[:, None].expand_as(truth), truth, rounded)
    assert (average["success"] == 0).all(), "the average is no nearer than itself"
    half = (truth[:, 0] - truth[:, 1]).double() / 4  # half the difference, on [0, 1]
    by_hand = -10 * half.square().flatten(1).mean(1).log10()
    torch.testing.assert_close(average["psnr"], by_hand[:, None].expand(3, 2), rtol=0, atol=0.02)


def test_values_out_of_range_are_clamped_before_they_are_marked():
    truth = torch.ones(1, 2, 1, 16, 16)
    assert (score(truth * 7, truth, truth[:, 0])["psnr"] == 100).all()


def test_the_interval_is_that_of_the_mean_over_tuples():
    """For many tuples the bootstrap comes to the normal interval, mean +- 1.96 s / sqrt(n), s over tuples."""
    tuples = torch.randn(400, 1, generator=torch.Generator().manual_seed(0)).double()
    low, high = interval(tuples.expand(400, 2))  # both images of a tuple alike: n is 400, not 800
    mean, error = tuples.mean().item(), 1.96 * tuples.std().item() / math.sqrt(400)
    assert low == pytest.approx(mean - error, abs=0.01) and high == pytest.approx(mean + error, abs=0.01)


def on_a_line(*places):
    """Embeddings of one dimension, (..., 1)."""
    return torch.tensor(places, dtype=torch.float64)[..., None]


def test_the_limit_lets_through_the_share_that_was_asked_for():
    gallery = on_a_line(0, 1, 4, 6)  # a perfect ruler: its pairs are 1, 2, 3, 4, 5 and 6 apart
    assert [accept_limit(gallery, rate) for rate in (0, 0.3, 0.5, 0.9)] == [1, 2, 4, 6]
    crowd = torch.randn(100, 8, generator=torch.Generator().manual_seed(0))
    for rate in (0.01, 0.1):
        accepted = (torch.pdist(crowd.double()) < accept_limit(crowd, rate)).double().mean().item()
        assert rate - 1 / 4950 < accepted <= rate  # of 4,950 pairs, not one fewer than may be


def test_marks_of_re_identification_by_hand():
    gallery, people = on_a_line(0, 10, 20, 31), torch.tensor([[0, 2]])
    marks = identify(on_a_line([3, 14]), people, gallery, limit=7)
    # 3 is nearest to person 0.  14 is 6 from person 2, but 4 from person 1, who is accepted as well.
    expected = {"rank1": [[1, 0]], "true_accepts": [[1, 1]], "false_accepts": [[0, 0.5]]}
    assert {name: mark.tolist() for name, mark in marks.items()} == expected


def test_the_partner_is_no_rival():
    gallery, people = on_a_line(0, 10, 50), torch.tensor([[0, 1]])
    average = identify(on_a_line([5, 5]), people, gallery, limit=6)
    swapped = identify(on_a_line([9, 1]), people, gallery, limit=6)
    assert average["rank1"].tolist() == swapped["rank1"].tolist() == [[1, 1]]
    assert average["true_accepts"].tolist() == [[1, 1]] and swapped["true_accepts"].tolist() == [[0, 0]]
    assert average["false_accepts"].sum() == swapped["false_accepts"].sum() == 0


def test_a_probe_that_knows_nothing_scores_chance():
    """Over all ordered pairs of people, any fixed probes come to 1 / (G - 1) and to their false accepts, exactly."""
    generator = torch.Generator().manual_seed(0)
    gallery = torch.randn(9, 4, generator=generator)
    people = torch.cartesian_prod(torch.arange(9), torch.arange(9))
    people = people[people[:, 0] != people[:, 1]]
    for probe in (gallery[3], torch.randn(4, generator=generator), torch.zeros(4)):
        marks = identify(probe.expand(len(people), 2, 4), people, gallery, limit=2.5)
        assert marks["rank1"].mean().item() == pytest.approx(1 / 8)
        assert marks["true_accepts"].mean().item() == pytest.approx(marks["false_accepts"].mean().item())


def test_a_recogniser_that_says_one_thing_of_all_finds_nobody():
    marks = identify(torch.ones(1, 2, 4), torch.tensor([[0, 1]]), torch.ones(5, 4), limit=0.5)
    assert marks["rank1"].sum() == 0 and (marks["true_accepts"] == 1).all() and (marks["false_accepts"] == 1).all()
