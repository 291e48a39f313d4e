"""Training learns, of every kind; the settings say what they can not be."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest
import torch

from coldavg import Settings, fit, load, mix, round_to_8_bits, unmix
from coldavg.checkpoint import CHECKPOINT
from coldavg.optimiser import Optimiser
from coldavg.training import draw, held_out, loss_of

small = {"widths": (16, 32), "batch": 16, "rate": 5e-3, "ema": 0.9}


@pytest.mark.parametrize("target", ["original", "added", "difference", "joint"])
def test_training_overfits_four_pairs(target):
    """Eight images, 14 x 14, always in the same four pairs: the loss must fall to a small part of the first."""
    images = load("digits", "train")[:8, :, ::2, ::2]
    settings = Settings(target=target, images=16 * 250, **small)
    state = fit(settings, images, progress=False)
    losses = torch.tensor([loss for _, _, loss in state.losses])
    assert losses[-20:].mean() < 0.25 * losses[:5].mean(), (losses[:5].mean(), losses[-20:].mean())
    assert state.losses[-1][0] == settings.images and state.done == 1
    assert not any(parameter.requires_grad for parameter in state.network.parameters()), "no graph is kept"


def test_the_trained_network_takes_a_mixture_apart():
    images = load("digits", "train")[:2, :, ::2, ::2]
    images = images if images[0].mean() > images[1].mean() else images.flip(0)
    state = fit(Settings(images=16 * 300, **small), images, progress=False)
    recovered = unmix(images.mean(0), state.network, "one_step").images
    before, after = ((answer - images).square().mean() for answer in (images.mean(0), recovered))
    assert after < 0.1 * before


def test_the_same_seed_trains_the_same_network():
    images = load("digits", "train")[:8, :, ::4, ::4]
    settings = Settings(images=64, **small)
    first, second = (fit(settings, images, progress=False) for _ in range(2))
    if first.precision == second.precision:  # chosen by trial, on this machine, at this moment
        assert [loss for *_, loss in first.losses] == [loss for *_, loss in second.losses]
    other = fit(Settings(images=64, seed=1, **small), images, progress=False)
    assert [loss for *_, loss in first.losses] != [loss for *_, loss in other.losses]


def test_training_ends_after_the_seconds_given():
    settings = Settings(images=10**9, **small)
    state = fit(settings, load("digits", "train")[:8, :, ::4, ::4], seconds=0.5, progress=False)
    assert state.done >= 1 and state.losses[-1][0] < 10**6


@pytest.mark.parametrize("k, target", [(2, "original"), (4, "original"), (3, "joint")])
def test_tuples_hold_different_images_in_their_order(k, target):
    images = (torch.arange(40.0) / 20 - 1).reshape(40, 1, 1, 1)
    sizes = set()
    for order in ("brightest", "random"):
        for step in range(20):
            tuples = draw(images, Settings(k=k, target=target, order=order), step)[0].flatten(1)
            sizes.add(tuples.shape[1])
            assert all(len(set(row)) == len(row) for row in tuples.tolist())
            brightest = (tuples[:, :1] >= tuples).all()
            assert brightest == (order == "brightest")
    assert sizes == ({k} if target == "joint" else set(range(2, k + 1)))


def test_the_smallest_set_of_images_can_be_trained_on():
    tuples, *_ = draw(torch.arange(4.0).reshape(4, 1, 1, 1) / 4, Settings(k=4, target="joint"), 0)
    assert {tuple(sorted(row)) for row in tuples.flatten(1).tolist()} == {(0, 0.25, 0.5, 0.75)}


WRONG = {
    "target": ({"target": "both"}, "original, added, difference, joint"),
    "order": ({"order": "darkest"}, "brightest, random"),
    "k": ({"k": 5}, "from 2 to 4"),
    "joint k": ({"k": 17, "target": "joint"}, "from 2 to 4, of a joint network to 16"),
    "published": ({"published": "gif", "target": "joint"}, "png, float, or one or more of"),
    "path": ({"published": "noise-1"}, "must be 'joint'"),
    "weights": ({"weights": (0.5, 0.6), "target": "joint"}, "sum to 1"),
    "pool": ({"pool": 2, "k": 3, "target": "joint"}, "at least k = 3"),
    "at_start": ({"at_start": 1.5}, r"at_start must be in \[0, 1\]"),
    "alpha_max": ({"alpha_max": 1.0}, r"alpha_max must be in"),
    "alpha_max below the mixture": ({"k": 4, "alpha_max": 0.7}, "for k = 4"),
    "images": ({"images": 0}, "at least 1"),
    "rate": ({"rate": float("nan")}, "rate must be above 0"),
    "infinite rate": ({"rate": float("inf")}, "rate must be above 0"),
    "batch": ({"batch": 2.5}, "batch must be a whole number"),
    "ema": ({"ema": 1.0}, r"\[0, 1\)"),
    "loss": ({"loss": "absolute"}, "squared, log"),
    "patch": ({"patch": 0}, "at least 1"),
    "widths": ({"widths": (10,)}, "multiple of 4"),
}


@pytest.mark.parametrize("case", WRONG)
def test_settings_that_can_not_be(case):
    arguments, words = WRONG[case]
    with pytest.raises((ValueError, TypeError), match=words):
        Settings(**arguments)


def test_training_that_runs_away_or_has_no_time_says_so():
    images = load("digits", "train")[:8, :, ::4, ::4]
    with pytest.raises(ValueError, match="choose a smaller"):
        fit(Settings(images=10**6, **small | {"rate": 1e30}), images, progress=False)
    with pytest.raises(ValueError, match="seconds must be above 0"):
        fit(Settings(**small), images, seconds=0)


def test_the_random_numbers_of_the_caller_stay():
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    Settings(**small).network()
    assert torch.equal(torch.rand(3), expected)


@pytest.mark.parametrize("images, words", [
    (torch.zeros(1, 1, 8, 8), "at least k = 2"), (torch.zeros(4, 3, 8, 8), "1 channel"),
    (torch.zeros(4, 8, 8), "shape"), (torch.zeros(4, 1, 8, 8) / 0, "NaN"),
])
def test_images_that_can_not_be_trained_on(images, words):
    with pytest.raises(ValueError, match=words):
        fit(Settings(**small), images, progress=False)


def test_a_batch_is_a_function_of_the_seed_and_the_step_and_processes_share_it():
    images, settings = load("digits", "train")[:50], Settings(batch=12, k=3, flips=True)
    tuples, given, alpha = draw(images, settings, 7)
    draw(images, settings, 8)
    for rank in range(3):
        parts = draw(images, settings, 7, slice(rank, None, 3))
        assert all(torch.equal(part, whole[rank::3]) for part, whole in zip(parts, (tuples, given, alpha)))
    assert not torch.equal(draw(images, settings, 8)[2], alpha)
    assert not torch.equal(draw(images, Settings(batch=12, seed=1), 7)[2], alpha)
    assert 0 < alpha.min() and alpha.max() <= settings.alpha_max


@pytest.mark.parametrize("k", [2, 4])
def test_a_share_of_the_points_lies_where_samplers_start(k):
    images = torch.rand(40, 1, 4, 4) * 2 - 1
    for share, count in (0, 0), (0.5, 6), (1, 12):
        for step in range(5):
            tuples, _, alpha = draw(images, Settings(k=k, batch=12, at_start=share), step)
            start = 1 - 1 / tuples.shape[1]
            assert torch.isclose(alpha, torch.tensor(start)).sum() == count


def test_held_out_images_are_never_drawn():
    images = (torch.arange(40.0) / 20 - 1).reshape(40, 1, 1, 1)
    drawn, checked = held_out(40)
    assert len(checked) == 4 and sorted([*drawn, *checked]) == list(range(40))
    seen = torch.cat([draw(images, Settings(), step)[0].flatten() for step in range(20)])
    assert set(seen.tolist()) == set(images[torch.from_numpy(drawn)].flatten().tolist())
    assert len(held_out(8)[1]) == 0 and len(held_out(10**5)[1]) == 64


def test_flips_draw_mirror_images_half_of_the_time():
    image = torch.zeros(2, 1, 4, 4)
    image[..., 0] = 1
    tuples = torch.cat([draw(image, Settings(flips=True), step)[0] for step in range(10)])
    share = (tuples[..., 0, -1] == 1).float().mean()
    assert 0.4 < share < 0.6 and torch.equal(tuples + tuples.flip(-1), torch.tensor([1.0, 0, 0, 1]).expand_as(tuples))
    assert torch.equal(draw(image, Settings(), 0)[0], image[0].expand(64, 2, 1, 4, 4))


def test_the_losses_are_what_they_are_called():
    """A network that says nought of two images of -1/2 and 1/2: it says m = 0 for both, an error of 1/4."""
    class Silent(torch.nn.Module):
        def forward(self, x, alpha):
            return torch.zeros(len(x), 2, *x.shape[1:])

    tuples = torch.stack([torch.full((3, 1, 4, 4), value) for value in (-0.5, 0.5)], 1)
    given = round_to_8_bits(mix(tuples))
    values = [loss_of(Silent(), tuples, given, torch.ones(3), Settings(target="joint", loss=loss))
              for loss in ("squared", "log")]
    assert values[0].item() == pytest.approx(0.25, abs=1e-4)  # 0 is no 8-bit level
    assert values[1].item() == pytest.approx(torch.tensor(0.2501).log().item(), abs=1e-3)


def test_muon_moves_the_weights_of_the_network_themselves():
    network = Settings(**small_widths).network().to(memory_format=torch.channels_last)
    optimiser = Optimiser(network, 0.01)
    before = {name: parameter.detach().clone() for name, parameter in network.named_parameters()}
    for parameter in network.parameters():
        parameter.grad = torch.randn_like(parameter)
    optimiser.step(0.01)
    for name, parameter in network.named_parameters():
        change = parameter.detach() - before[name]
        assert 0 < change.abs().max() < 0.1, name
        if name == "middle.0.conv1.weight":  # near-orthogonal rows, whatever the gradient's scale
            rows = torch.linalg.svdvals(change.flatten(1))
            assert rows.max() < 2.5 * rows.min()


small_widths = {"widths": (16, 32)}
float32 = "coldavg.training.faster_in_bfloat16"


def parameters(state):
    return torch.cat([parameter.flatten() for parameter in state.network.parameters()])


def test_a_stopped_run_goes_on_as_if_it_had_not_stopped(tmp_path, monkeypatch):
    monkeypatch.setattr(float32, lambda *_: False)
    images, settings = load("digits", "train")[:30, :, ::2, ::2], Settings(images=16 * 12, **small)
    whole = fit(settings, images, progress=False)
    part = fit(settings, images, progress=False, folder=tmp_path, callback=lambda state: len(state.losses) == 5)
    assert part.done < 1 and (tmp_path / CHECKPOINT).exists()
    rest = fit(settings, images, progress=False, folder=tmp_path)
    assert len(rest.losses) == 7 and rest.losses[-1][0] == settings.images
    torch.testing.assert_close(parameters(rest), parameters(whole))
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert [line["images"] for line in lines] == [16 * 5, 16 * 12] and all("psnr" in line for line in lines)


SCRIPT = """
import sys, torch, coldavg.training as training
from pathlib import Path
from coldavg import Settings, fit, load
training.faster_in_bfloat16 = lambda *_: False
torch.set_num_threads(1)
settings = Settings(images=16 * 60, widths=(16, 32), batch=16, rate=5e-3, ema=0.9)
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
    images = [json.loads(line)["images"] for line in log.read_text().splitlines()]
    assert images == [16 * step for step in range(1, 61)]


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
    fit(Settings(images=64, **small), images, progress=False, folder=tmp_path, callback=lambda state: True)
    with pytest.raises(ValueError, match="seed was 0, now 1"):
        fit(Settings(images=64, seed=1, **small), images, progress=False, folder=tmp_path)
    with pytest.raises(ValueError, match="training_images was 30, now 29"):
        fit(Settings(images=64, **small), images[1:], progress=False, folder=tmp_path)
    for cut in (0, 5, 5000):
        content = (tmp_path / CHECKPOINT).read_bytes()
        (tmp_path / CHECKPOINT).write_bytes(content[:cut])
        with pytest.raises(ValueError, match="cut short or foreign.*delete it to start anew"):
            fit(Settings(images=64, **small), images, progress=False, folder=tmp_path)
        (tmp_path / CHECKPOINT).write_bytes(content)


def test_a_full_disk_leaves_the_last_checkpoint(tmp_path, monkeypatch):
    images, settings = load("digits", "train")[:30, :, ::4, ::4], Settings(images=96, **small)
    fit(settings, images, progress=False, folder=tmp_path, callback=lambda state: True)
    before = (tmp_path / CHECKPOINT).read_bytes()

    def full(*_):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch, pytest.raises(OSError, match="No space left"):
        patch.setattr("pathlib.Path.write_bytes", full)
        fit(settings, images, progress=False, folder=tmp_path)
    assert (tmp_path / CHECKPOINT).read_bytes() == before
    assert fit(settings, images, progress=False, folder=tmp_path).done == 1


def test_a_start_network_gives_what_fits():
    images = load("digits", "train")[:8, :, ::4, ::4]
    given = Settings(target="joint", **small_widths).network()
    state = fit(Settings(images=16, **small | {"rate": 1e-12, "ema": 0.0}), images, progress=False, start=given)
    own = state.network.state_dict()
    for name, tensor in given.state_dict().items():
        assert name.startswith("last") or torch.allclose(own[name], tensor, atol=1e-6), name
