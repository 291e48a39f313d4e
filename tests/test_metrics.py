"""The scores of the protocol against values worked by hand."""

import math

import pytest
import torch

from coldavg import psnr, round_to_8_bits, score, ssim
from coldavg.metrics import bootstrap_interval, match, score_matched, summarise


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
        scores = score(perfect, truth, mixture)
        assert (scores["psnr"] == 100).all() and (scores["success"] == 1).all()
        torch.testing.assert_close(scores["ssim"], torch.ones(3, 2).double(), rtol=0, atol=1e-6)
    rounded = round_to_8_bits(mixture)
    average = score(rounded[:, None].expand_as(truth), truth, rounded)
    assert (average["success"] == 0).all(), "the average is no nearer than itself"
    half = (truth[:, 0] - truth[:, 1]).double() / 4  # half the difference, on [0, 1]
    by_hand = -10 * half.square().flatten(1).mean(1).log10()
    torch.testing.assert_close(average["psnr"], by_hand[:, None].expand(3, 2), rtol=0, atol=0.02)


def test_values_out_of_range_are_clamped_before_they_are_scored():
    truth = torch.ones(1, 2, 1, 16, 16)
    assert (score(truth * 7, truth, truth[:, 0])["psnr"] == 100).all()


def test_the_interval_is_that_of_the_mean_over_tuples():
    """For many tuples the bootstrap comes to the normal interval, mean +- 1.96 s / sqrt(n), s over tuples."""
    tuples = torch.randn(400, 1, generator=torch.Generator().manual_seed(0)).double()
    low, high = bootstrap_interval(tuples.expand(400, 2))  # both images of a tuple alike: n is 400, not 800
    mean, error = tuples.mean().item(), 1.96 * tuples.std().item() / math.sqrt(400)
    assert low == pytest.approx(mean - error, abs=0.01) and high == pytest.approx(mean + error, abs=0.01)


def test_scores_in_a_row_are_means_and_intervals_each_in_its_unit():
    truth = round_to_8_bits(torch.rand(9, 2, 1, 16, 16, generator=torch.Generator().manual_seed(0)) * 2 - 1)
    mixture = round_to_8_bits(truth.mean(1))
    recovered = (truth.flip(1) + 0.3 * torch.randn(truth.shape, generator=torch.Generator().manual_seed(1)))
    scores = score(recovered, truth, mixture)
    matched = score_matched(match(round_to_8_bits(recovered), truth), truth, mixture)
    assert set(scores) == set(matched) and all(torch.equal(scores[name], matched[name]) for name in scores)
    assert torch.equal(scores["gain"], scores["psnr"] - scores["average_psnr"])
    assert torch.equal(scores["success"], (scores["ssim"] > scores["average_ssim"]).double())
    itself = score(mixture[:, None].expand_as(truth), truth, mixture)
    for name in ("psnr", "ssim"):
        torch.testing.assert_close(scores[f"average_{name}"], itself[name])
    row = summarise(scores)
    assert set(row) == {f"{name}{end}" for name in scores for end in ("", "_interval")}
    for name, values in scores.items():
        scale, digits = {"success": (100, 2), "ssim": (1, 4), "average_ssim": (1, 4)}.get(name, (1, 3))
        assert row[name] == round(scale * values.mean().item(), digits), name
        assert row[f"{name}_interval"] == [round(scale * end, digits) for end in bootstrap_interval(values)], name
