"""Training learns, of every kind; it stops, goes on, and is shared."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest
import torch

from coldavg import Settings, UNet, fit, load, mix, round_to_8_bits, unmix
from coldavg.batches import Batch, draw
from coldavg.joint import split
from coldavg.matching import pit_loss
from coldavg.mixing import check_weights
from coldavg.support.checkpoint import CHECKPOINT
from coldavg.training import loss_of

small = {"widths": (16, 32), "batch": 16, "learning_rate": 5e-3, "ema": 0.9}


@pytest.mark.parametrize("target", ["original", "remainder", "difference", "joint"])
def test_training_overfits_four_pairs(target):
    """Eight images, 14 x 14, always in the same four pairs: the loss must fall to a small part of the first."""
    images = load("digits", "train")[:8, :, ::2, ::2]
    settings = Settings(target=target, mixtures=16 * 170, **small)
    state = fit(settings, images, progress=False)
    losses = torch.tensor([loss for _, _, loss in state.losses])
    assert losses[-20:].mean() < 0.25 * losses[:5].mean(), (losses[:5].mean(), losses[-20:].mean())
    assert state.losses[-1][0] == settings.mixtures and state.done == 1
    assert not any(parameter.requires_grad for parameter in state.network.parameters()), "no graph is kept"


def test_the_trained_network_takes_a_mixture_apart():
    images = load("digits", "train")[:2, :, ::2, ::2]
    images = images if images[0].mean() > images[1].mean() else images.flip(0)
    state = fit(Settings(mixtures=16 * 300, **small), images, progress=False)
    recovered = unmix(images.mean(0), state.network, "one_step").images
    before, after = ((answer - images).square().mean() for answer in (images.mean(0), recovered))
    assert after < 0.1 * before


def test_the_same_seed_trains_the_same_network():
    images = load("digits", "train")[:8, :, ::4, ::4]
    settings = Settings(mixtures=64, **small)
    first, second = (fit(settings, images, progress=False) for _ in range(2))
    assert first.precision == second.precision, "it follows from the processor"
    assert [loss for *_, loss in first.losses] == [loss for *_, loss in second.losses]
    other = fit(Settings(mixtures=64, seed=1, **small), images, progress=False)
    assert [loss for *_, loss in first.losses] != [loss for *_, loss in other.losses]


def test_training_ends_after_the_seconds_given():
    settings = Settings(mixtures=10**9, **small)
    state = fit(settings, load("digits", "train")[:8, :, ::4, ::4], seconds=0.5, progress=False)
    assert state.done >= 1 and state.losses[-1][0] < 10**6


def test_training_that_runs_away_or_has_no_time_says_so():
    images = load("digits", "train")[:8, :, ::4, ::4]
    with pytest.raises(ValueError, match="choose a smaller"):
        fit(Settings(mixtures=10**6, **small | {"learning_rate": 1e30}), images, progress=False)
    with pytest.raises(ValueError, match="seconds must be above 0"):
        fit(Settings(**small), images, seconds=0)


@pytest.mark.parametrize("images, words", [
    (torch.zeros(1, 1, 8, 8), "at least k = 2"), (torch.zeros(4, 3, 8, 8), "1 channel"),
    (torch.zeros(4, 8, 8), "shape"), (torch.zeros(4, 1, 8, 8) / 0, "NaN"),
])
def test_images_that_can_not_be_trained_on(images, words):
    with pytest.raises(ValueError, match=words):
        fit(Settings(**small), images, progress=False)


def test_the_tenth_that_is_held_out_must_leave_a_tuple():
    with pytest.raises(ValueError, match="at least k = 10 of 1 channel.s., beside the tenth that is held out"):
        fit(Settings(**small | {"target": "joint", "k": 10}), torch.zeros(10, 1, 8, 8), progress=False)


def test_the_losses_are_what_they_are_called():
    """A network that says nought of two images of -1/2 and 1/2: it says m = 0 for both, an error of 1/4."""
    class Silent(torch.nn.Module):
        def forward(self, x, alpha):
            return torch.zeros(len(x), 2, *x.shape[1:])

    tuples = torch.stack([torch.full((3, 1, 4, 4), value) for value in (-0.5, 0.5)], 1)
    given = round_to_8_bits(mix(tuples))
    batch = Batch(tuples, given, torch.ones(3), 1)
    values = [loss_of(Silent(), batch, Settings(target="joint", loss=loss)) for loss in ("squared", "log")]
    assert values[0].item() == pytest.approx(0.25, abs=1e-4)  # 0 is no 8-bit level
    assert values[1].item() == pytest.approx(torch.tensor(0.2501).log().item(), abs=1e-3)


@pytest.mark.parametrize("more", [{}, {"loss": "log"}, {"k": 3}, {"published": "noise-0.2"}, {"weights": (0.7, 0.3)},
                                  {"looks": 3}, {"looks": 3, "k": 3}, {"looks": 3, "published": "noise-0.2"}])
def test_the_loss_of_a_joint_network_is_that_of_what_it_recovers(more):
    """Training counts the very images that `unmix` gives: those of `split`, in the best order unless weights tell."""
    settings = Settings(target="joint", widths=(8,), patch=1, batch=6, **more)
    network, weights = UNet(settings), check_weights(settings.weights, settings.k)
    batch = draw(load("digits", "train")[:40], settings, 0)._replace(looks=1 + 2 * (settings.looks > 0))
    with torch.no_grad():
        *_, recovered = split(network, batch.given, weights, batch.looks)
        expected = pit_loss(recovered, batch.tuples, settings.loss == "log")
        in_place = (recovered - batch.tuples).square().mean()
        loss = loss_of(network, batch, settings)
    torch.testing.assert_close(loss, in_place if settings.weights else expected)
    assert not torch.isclose(expected, in_place), "the order matters here"


float32 = "coldavg.training.has_bfloat16"


def parameters(state):
    return torch.cat([parameter.flatten() for parameter in state.network.parameters()])


def test_a_stopped_run_goes_on_as_if_it_had_not_stopped(tmp_path, monkeypatch):
    monkeypatch.setattr(float32, lambda *_: False)
    images, settings = load("digits", "train")[:30, :, ::2, ::2], Settings(mixtures=16 * 12, **small)
    whole = fit(settings, images, progress=False)
    part = fit(settings, images, progress=False, folder=tmp_path, callback=lambda state: len(state.losses) == 5)
    assert part.done < 1 and (tmp_path / CHECKPOINT).exists()
    rest = fit(settings, images, progress=False, folder=tmp_path)
    assert len(rest.losses) == 7 and rest.losses[-1][0] == settings.mixtures
    torch.testing.assert_close(parameters(rest), parameters(whole))
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert [line["mixtures_seen"] for line in lines] == [16 * 5, 16 * 12] and all("psnr" in line for line in lines)


SCRIPT = """
import sys, torch, coldavg.training as training
from pathlib import Path
from coldavg import Settings, fit, load
training.has_bfloat16 = lambda *_: False
torch.set_num_threads(1)
settings = Settings(mixtures=16 * 60, widths=(16, 32), batch=16, learning_rate=5e-3, ema=0.9)
state = fit(settings, load("digits", "train")[:30, :, ::2, ::2], progress=False, folder=Path(sys.argv[1]), every=0)
if state.main:
    torch.save([torch.cat([p.flatten() for p in state.network.parameters()]), state.losses], sys.argv[2])
"""


def test_kill_9_and_start_again(tmp_path):
    def start(name):
        return subprocess.Popen([sys.executable, "-c", SCRIPT, str(tmp_path / name), str(tmp_path / f"{name}.pt")])

    assert start("whole").wait() == 0
    killed, log = start("cut"), tmp_path / "cut" / "log.jsonl"
    while not (log.exists() and len(log.read_text().splitlines()) > 4):
        assert killed.poll() is None, "it ended before it could be killed"
        time.sleep(0.02)
    killed.send_signal(signal.SIGKILL)
    assert killed.wait() == -signal.SIGKILL
    assert start("cut").wait() == 0
    (whole, _), (cut, losses) = (torch.load(tmp_path / f"{name}.pt") for name in ("whole", "cut"))
    assert 0 < len(losses) < 60
    torch.testing.assert_close(cut, whole)
    seen = [json.loads(line)["mixtures_seen"] for line in log.read_text().splitlines()]
    assert seen == [16 * step for step in range(1, 61)]


def test_two_processes_train_as_one(tmp_path):
    script = tmp_path / "train.py"
    script.write_text(SCRIPT)
    for processes in (1, 2):
        launch = ["-m", "accelerate.commands.launch", "--cpu", "--num_processes", str(processes), "--num_machines", "1",
                  "--mixed_precision", "no", "--dynamo_backend", "no", "--main_process_port", "0"]
        words = [str(script), str(tmp_path / f"{processes}"), str(tmp_path / f"{processes}.pt")]
        subprocess.run([sys.executable, *launch, *words], check=True, env=os.environ | {"OMP_NUM_THREADS": "1"})
    (one, losses), (two, shared) = (torch.load(tmp_path / f"{processes}.pt") for processes in (1, 2))
    assert [seen for seen, *_ in losses] == [seen for seen, *_ in shared]
    torch.testing.assert_close(torch.tensor([x for *_, x in shared]), torch.tensor([x for *_, x in losses]),
                               rtol=1e-3, atol=1e-4)


def test_a_checkpoint_that_does_not_fit_is_refused(tmp_path):
    images = load("digits", "train")[:30, :, ::4, ::4]
    fit(Settings(mixtures=64, **small), images, progress=False, folder=tmp_path, callback=lambda state: True)
    with pytest.raises(ValueError, match="seed was 0, now 1"):
        fit(Settings(mixtures=64, seed=1, **small), images, progress=False, folder=tmp_path)
    with pytest.raises(ValueError, match="training_images was 30, now 29"):
        fit(Settings(mixtures=64, **small), images[1:], progress=False, folder=tmp_path)
    for cut in (0, 5, 5000):
        content = (tmp_path / CHECKPOINT).read_bytes()
        (tmp_path / CHECKPOINT).write_bytes(content[:cut])
        with pytest.raises(ValueError, match="cut short or foreign.*delete it to start anew"):
            fit(Settings(mixtures=64, **small), images, progress=False, folder=tmp_path)
        (tmp_path / CHECKPOINT).write_bytes(content)


def test_a_full_disk_leaves_the_last_checkpoint(tmp_path, monkeypatch):
    images, settings = load("digits", "train")[:30, :, ::4, ::4], Settings(mixtures=96, **small)
    fit(settings, images, progress=False, folder=tmp_path, callback=lambda state: True)
    before = (tmp_path / CHECKPOINT).read_bytes()

    def full(*_):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch, pytest.raises(OSError, match="No space left"):
        patch.setattr("pathlib.Path.write_bytes", full)
        fit(settings, images, progress=False, folder=tmp_path)
    assert (tmp_path / CHECKPOINT).read_bytes() == before
    assert fit(settings, images, progress=False, folder=tmp_path).done == 1


def test_a_network_that_looks_again_starts_as_the_one_that_does_not():
    images = load("digits", "train")[:8, :, ::4, ::4]
    given = UNet(Settings(target="joint", widths=small["widths"]))
    settings = Settings(mixtures=16, **small | {"target": "joint", "looks": 2, "learning_rate": 1e-12, "ema": 0.0})
    state = fit(settings, images, progress=False, start=given)
    mixture, last = mix(images[:2])[None], torch.randn(1, 2, 1, 7, 7)
    for answer in (state.network(mixture, torch.tensor([0.5])), state.network(mixture, torch.tensor([0.5]), last)):
        torch.testing.assert_close(answer, given(mixture, torch.tensor([0.5])), atol=1e-5, rtol=0)


def test_a_check_says_what_each_look_reaches_and_the_network_keeps_the_best():
    images = load("digits", "train")[:80, :, ::4, ::4]
    settings = Settings(mixtures=16 * 3, **small | {"target": "joint", "looks": 2})
    state = fit(settings, images, progress=False)
    entry = state.log[-1]
    assert len(entry["psnr_by_look"]) == 5 and max(entry["psnr_by_look"]) == entry["psnr"]
    fewest, best = entry["psnr_by_look"][entry["looks"] - 1], entry["psnr"]
    assert best - 0.02 < fewest and all(each <= best - 0.02 for each in entry["psnr_by_look"][:entry["looks"] - 1])
    assert state.network.looks == entry["looks"]
    pairs = unmix(mix(images[:2])[None], state.network)
    assert pairs.calls == entry["looks"]


def test_a_start_network_gives_what_fits():
    images = load("digits", "train")[:8, :, ::4, ::4]
    given = UNet(Settings(target="joint", widths=small["widths"]))
    settings = Settings(mixtures=16, **small | {"learning_rate": 1e-12, "ema": 0.0})
    state = fit(settings, images, progress=False, start=given)
    own = state.network.state_dict()
    for name, tensor in given.state_dict().items():
        assert name.startswith("last") or torch.allclose(own[name], tensor, atol=1e-6), name
