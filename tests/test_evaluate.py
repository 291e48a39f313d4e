"""The protocol does not leak, and its stored rows are what the code gives."""

import json
import shlex
import sys
from pathlib import Path

import pytest
import torch

from coldavg import SAMPLERS, evaluate, load, load_network, mix, protocol, score, unmix
from coldavg.cli import main
from coldavg.evaluate import KEY, best_pairs, merge_rows, recover

module = sys.modules["coldavg.evaluate"]  # the package's name for it is the function
STORED = json.loads((Path(__file__).parent.parent / "results" / "digits.json").read_text())


def test_the_protocol_is_fixed():
    tuples, mixture = protocol("digits")
    assert tuples.shape == (1000, 2, 1, 28, 28) and mixture.shape == (1000, 1, 28, 28)
    assert (tuples[:, 0].mean((1, 2, 3)) >= tuples[:, 1].mean((1, 2, 3))).all()
    levels = (mixture + 1) * 127.5
    torch.testing.assert_close(levels, levels.round(), rtol=0, atol=1e-4)
    exact = protocol("digits", published="float")[1]
    assert 0 < (exact - mixture).abs().max() <= 0.5 / 127.5 + 1e-6


def attack(monkeypatch, blind, leak=False, **arguments):
    """What `evaluate` recovers, and its row; `blind`: the truths turn to noise once mixed; `leak`: one is planted."""
    truths, seen = [], []

    def mixed(*words):
        tuples, mixture = protocol(*words)
        if blind:
            tuples.copy_(torch.rand(tuples.shape, generator=torch.Generator().manual_seed(1)) * 2 - 1)
        truths.append(tuples)
        return tuples, mixture

    def scored(recovered, truth, mixture):
        seen.append(recovered.clone())
        return score(recovered, truth, mixture)

    with monkeypatch.context() as patch:
        patch.setattr(module, "protocol", mixed)
        patch.setattr(module, "score", scored)
        if leak:  # as public code does: the sampler is handed the true partner
            patch.setattr(module, "recover", lambda mixture, *_, **__: (truths[-1], 1))
        row = evaluate(count=5, **arguments)
    return seen[0], row


@pytest.mark.parametrize("name, sampler", [("digits-joint", "cold")] + [("digits-original", each) for each in SAMPLERS])
def test_no_sampler_sees_a_source_image(monkeypatch, name, sampler):
    """Replace the truths by noise once they are mixed: what is recovered must not change by a bit."""
    arguments = {"network": name, "sampler": sampler, "steps": 3}
    honest, honest_row = attack(monkeypatch, False, **arguments)
    blind, blind_row = attack(monkeypatch, True, **arguments)
    assert torch.equal(honest, blind)
    assert blind_row["psnr"] < honest_row["psnr"] - 3, "the marks did look at the truths"


def test_a_planted_leak_is_seen(monkeypatch):
    leaks = [attack(monkeypatch, blind, leak=True, network="digits-original")[0] for blind in (False, True)]
    assert not torch.equal(*leaks)


def test_the_best_pair_is_the_best_of_all_pairs():
    """Against every pair tried one by one; and an average of two candidates is found for what it is."""
    candidates = load("digits", "train")[:12]
    mixture = torch.cat([mix(load("digits")[:6].unflatten(0, (3, 2))), mix(candidates[[3, 8]])[None]])
    found = best_pairs(mixture, candidates)
    pairs = torch.tensor([[i, j] for i in range(12) for j in range(i)])
    errors = (mixture[:, None] - mix(candidates[pairs])).square().flatten(2).mean(2)
    torch.testing.assert_close((mixture - mix(found)).square().flatten(1).mean(1), errors.min(1).values)
    assert {image.numpy().tobytes() for image in found[-1]} == {image.numpy().tobytes() for image in candidates[[3, 8]]}


def test_the_command_of_a_row_gives_the_row_again(tmp_path, capsys):
    file = tmp_path / "rows.json"
    words = ["--network", "digits-original", "--sampler", "naive", "--steps", "3", "--weights", "0.6,0.4", "--told",
             "0.5,0.5", "--count", "4", "--published", "jpeg-75"]
    assert main(["evaluate", *words, "--out", str(file)]) == 0
    row, = json.loads(file.read_text())
    assert main(shlex.split(row["command"])[1:]) == 0
    again = json.loads(capsys.readouterr().out.splitlines()[-1])
    changes = {"seconds": 0}
    assert again | changes == row | changes


def test_many_mixtures_are_recovered_as_they_are_one_by_one():
    _, mixture = protocol("digits", 2, 5)
    network = load_network("digits-original")
    together, calls = recover(mixture, network, "naive", 2, batch=2)
    alone = torch.stack([unmix(one, network, "naive", 2).images for one in mixture])
    assert calls == 2
    torch.testing.assert_close(together, alone, rtol=0, atol=1e-4)


def test_the_average_itself_scores_by_hand():
    row = evaluate("none", count=200, published="float")
    tuples, _ = protocol("digits", 2, 200)
    half = (tuples[:, 0] - tuples[:, 1]).double() / 4  # on [0, 1], each image departs from the mean by this
    assert row["psnr"] == pytest.approx((-10 * half.square().flatten(1).mean(1).log10()).mean().item(), abs=0.02)
    assert row["calls"] == 0
    assert evaluate("none", count=50)["success"] == 0, "the average is no nearer than itself"


def find(network, sampler, calls, **more):
    wanted = {"network": network, "sampler": sampler, "calls": calls, "published": "png", "weights": None, **more}
    return [row for row in STORED if all(row[key] == value for key, value in wanted.items())]


@pytest.mark.parametrize("name, sampler, calls", [("digits-joint", "joint", 1), ("digits-original", "cold", 5)])
def test_a_stored_row_is_what_the_code_gives(name, sampler, calls):
    """Twenty tuples anew: their mean lies within what twenty can differ from a thousand; hashes agree."""
    stored, = find(name, sampler, calls)
    row = evaluate(name, sampler=sampler, steps=calls, count=20)
    for key in ("network_sha256", "data_sha256"):
        assert row["stamp"][key] == stored["stamp"][key], key
    low, high = stored["psnr_interval"]
    margin = (high - low) * (stored["tuples"] / 20) ** 0.5
    assert abs(row["psnr"] - stored["psnr"]) < margin


def test_the_stored_digits_are_complete():
    assert find("none", "the average itself", 0)
    joint, = find("digits-joint", "joint", 1)
    assert joint["tuples"] == 1000 and joint["psnr"] >= 26
    for sampler in ("naive", "cold", "without_error_removal", "resolve"):
        for calls in (1, 5, 20, 100, 625):
            assert find("digits-original", sampler, calls), (sampler, calls)
    assert len({row["stamp"]["data_sha256"][0] for row in STORED}) == 1


def test_merging_replaces_rows_of_the_same_setting(tmp_path):
    row = dict.fromkeys(KEY, "x") | {"calls": 1, "psnr": 1.0}
    path = tmp_path / "rows.json"
    merge_rows([row, row | {"calls": 5}], path)
    merge_rows([row | {"psnr": 2.0}], path)
    assert sorted((each["calls"], each["psnr"]) for each in json.loads(path.read_text())) == [(1, 2.0), (5, 1.0)]
