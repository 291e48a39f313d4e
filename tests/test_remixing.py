"""Learning from averages alone: what the losses are by hand, and that nothing but averages is learned from."""

import json
from itertools import permutations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from coldavg import Settings, UNet, load, load_network, mix, round_to_8_bits
from coldavg.cli import main
from coldavg.matching import align
from coldavg.remixing import Remixing, ask_teacher, fit_to_averages, invariant_loss, pair_off
from coldavg.support.checkpoint import CHECKPOINT
from scripts import publish_averages

small = {"widths": (16, 32), "batch": 8, "learning_rate": 5e-3, "ema": 0.9, "target": "joint", "loss": "log"}


def four_images(seed, count=3):
    return torch.rand(count, 4, 1, 6, 6, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) * 2 - 1


def averages_of(images):
    return torch.stack([images[:, :2].mean(1), images[:, 2:].mean(1)], 1)


@given(st.integers(0, 1000))
def test_the_true_four_explain_two_averages_in_any_order(seed):
    images = four_images(seed)
    averages, least = averages_of(images), torch.tensor(1e-4, dtype=torch.float64).log()
    for order in permutations(range(4)):
        torch.testing.assert_close(invariant_loss(images[:, order], averages, True), least)
    torch.testing.assert_close(invariant_loss(images, averages.flip(1), True), least)


@given(st.integers(0, 1000))
def test_the_loss_of_any_four_is_that_of_the_best_of_six_deals(seed):
    four, averages = four_images(seed), averages_of(four_images(seed + 1))
    deals = [((four[:, [a, b]].mean(1) - averages[:, 0]).square().flatten(1).mean(1)
              + (four[:, [c, d]].mean(1) - averages[:, 1]).square().flatten(1).mean(1)) / 2
             for a, b, c, d in permutations(range(4))]
    torch.testing.assert_close(invariant_loss(four, averages), torch.stack(deals).amin(0).mean())


def test_images_that_leave_the_range_cost_what_they_leave_it_by():
    images = torch.zeros(1, 4, 1, 2, 2)
    images[:, 0], images[:, 1] = 1.5, -1.5  # their mean is nought, as that of the others
    assert invariant_loss(images, torch.zeros(1, 2, 1, 2, 2)).item() == pytest.approx(0.25 / 2)


@given(st.integers(0, 1000), st.permutations(range(4)))
def test_like_is_paired_with_like(seed, order):
    images = four_images(seed)[:, :2]
    near = images.repeat_interleave(2, 1) + torch.tensor([1e-3, -1e-3] * 2, dtype=torch.float64)[:, None, None, None]
    torch.testing.assert_close(align(pair_off(near[:, order]), images), images, rtol=0, atol=1e-12)


def test_a_teacher_for_two_and_one_for_four_give_pairs_that_average_to_what_they_saw():
    averages = round_to_8_bits(mix(load("digits")[:6].unflatten(0, (3, 2))))
    for k in (2, 4):
        teacher = UNet(Settings(widths=(8, 16), target="joint", k=k)).eval()
        pairs = ask_teacher(teacher, averages)
        assert pairs.shape == (3, 2, 1, 28, 28) and pairs.abs().max() <= 1
        torch.testing.assert_close(pairs.mean(1), averages, atol=0.02, rtol=0)


def published(count=60, seed=0):
    """Averages of two digits, of 14 x 14 pixels, each digit in one."""
    return round_to_8_bits(mix(load("digits", "train")[: 2 * count, :, ::2, ::2].unflatten(0, (count, 2))))


def test_from_averages_alone_a_network_for_four_and_then_one_for_two_learn():
    averages, k4 = published(), Settings(k=4, mixtures=8 * 60, **small)
    four = fit_to_averages(k4, averages, progress=False)
    losses = torch.tensor([loss for *_, loss in four.losses])
    assert losses[-10:].mean() < losses[:10].mean() - 0.1 and "psnr" not in four.log[-1]
    settings = Settings(mixtures=8 * 60, **small)
    two = fit_to_averages(settings, averages, progress=False, start=four.network)
    losses = torch.tensor([loss for *_, loss in two.losses])
    assert losses[-10:].mean() < losses[:10].mean() and (two.network.k, two.network.target) == (2, "joint")


def test_the_teacher_is_renewed_and_comes_back_from_a_checkpoint(tmp_path, monkeypatch):
    monkeypatch.setattr("coldavg.training.has_bfloat16", lambda *_: False)
    monkeypatch.setattr("coldavg.remixing.RENEWAL", 3)
    averages, start = published(), UNet(Settings(**small), (14, 14))
    settings = Settings(mixtures=8 * 8, looks=2, **small)
    seen = []

    learn = Remixing.learn

    def watched(run, batch):
        seen.append(run.teacher.last.weight.clone())
        return learn(run, batch)

    with monkeypatch.context() as patch:
        patch.setattr(Remixing, "learn", watched)
        whole = fit_to_averages(settings, averages, progress=False, start=start)
    renewed = [not torch.equal(a, b) for a, b in zip(seen, seen[1:])]
    assert renewed == [step % 3 == 0 for step in range(1, 8)]
    fit_to_averages(settings, averages, progress=False, folder=tmp_path, start=start,
                    callback=lambda state: len(state.losses) == 5)
    assert (tmp_path / CHECKPOINT).exists()
    rest = fit_to_averages(settings, averages, progress=False, folder=tmp_path, start=start)
    for (name, one), other in zip(whole.network.named_parameters(), rest.network.parameters()):
        torch.testing.assert_close(one, other, msg=name)


def test_what_can_not_learn_from_averages_is_told(tmp_path):
    for wrong in ({"target": "original"}, {"target": "joint", "k": 3}, {"target": "joint", "weights": (0.6, 0.4)},
                  {"target": "joint", "pool": 9},
                  {"target": "joint", "published": "noise-0.1"}):
        with pytest.raises(ValueError, match="from averages alone a joint network for four"):
            fit_to_averages(Settings(**wrong), published())
    for start in (None, load_network("digits-original"), load_network("digits-joint-3")):
        with pytest.raises(ValueError, match="start must be a joint network for four or two"):
            fit_to_averages(Settings(mixtures=8, **small), published(), progress=False, start=start)


def test_published_averages_hold_two_images_and_each_image_once(tmp_path, monkeypatch):
    """Twenty black images, each with one white pixel of its own: grey in the average that holds it."""
    alone = (torch.eye(20) * 2 - 1).reshape(20, 1, 4, 5)
    monkeypatch.setattr(publish_averages, "open_images", lambda *_: alone)
    publish_averages.main(["twenty", str(tmp_path)])
    shown = torch.stack([torch.from_numpy(np.array(Image.open(file))) for file in sorted(tmp_path.iterdir())])
    lit = (shown > 0).flatten(1)
    assert lit.shape == (10, 20) and (lit.sum(1) == 2).all() and (lit.sum(0) == 1).all()
    assert set(shown.unique().tolist()) <= {0, 127, 128}


def test_the_command_line_learns_from_a_folder_of_averages(tmp_path, capsys):
    publish_averages.main(["digits", str(tmp_path / "averages"), "--count", "30"])
    words = ["train", "--from-averages", str(tmp_path / "averages"), "--size", "14", "--target", "joint", "--loss",
             "log", "--widths", "8,16", "--batch", "4", "--mixtures", "8"]
    assert main([*words, "--k", "4", "--out", str(tmp_path / "four.safetensors")]) == 0
    again = [*words, "--start", str(tmp_path / "four.safetensors"), "--out", str(tmp_path / "two.safetensors")]
    assert main(again) == 0
    network = load_network(tmp_path / "two.safetensors")
    assert (network.k, network.size, network.settings.data) == (2, (14, 14), "averages")
    assert json.loads((tmp_path / "two.run" / "log.jsonl").read_text().splitlines()[-1])["mixtures_seen"] == 8
    assert main([*words, "--k", "3", "--out", str(tmp_path / "three.safetensors")]) == 2
    assert "k 3" in capsys.readouterr().err
