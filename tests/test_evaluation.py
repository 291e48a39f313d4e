"""The protocol does not leak, and its stored rows are what the code gives."""

import hashlib
import json
import re
import shlex
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from coldavg import SAMPLERS, load, load_network, score, unmix
from coldavg.cli import main
from coldavg.evaluation import Averaging, attackers, evaluate, measuring, protocol, recover
from coldavg.evaluation.rows import KEY, merge_rows, strongest
from coldavg.metrics import summarise
from scripts.defences import choose_candidates

from .pictures import in_memory

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
        patch.setattr(measuring, "protocol", mixed)
        patch.setattr(measuring, "score", scored)
        if leak:  # as public code does: the sampler is handed the true partner
            patch.setattr(attackers, "recover", lambda mixture, *_, **__: (truths[-1], 1))
        row = evaluate(count=5, **arguments)
    return seen[0], row


def brighter_half(published):
    """An attack of one's own: one image has all that is bright in the average."""
    first = torch.where(published > published.mean((2, 3), keepdim=True), 2 * published + 1, -1).clamp(-1, 1)
    return torch.stack([first, 2 * published - first], 1)


@pytest.mark.parametrize("name, sampler", [("digits-joint", "cold"), (brighter_half, "")]
                         + [("digits-original", each) for each in SAMPLERS])
def test_no_sampler_sees_a_source_image(monkeypatch, name, sampler):
    """Replace the truths by noise once they are mixed: what is recovered must not change by a bit."""
    arguments = {"network": name, "sampler": sampler, "steps": 3}
    honest, honest_row = attack(monkeypatch, False, **arguments)
    blind, blind_row = attack(monkeypatch, True, **arguments)
    assert torch.equal(honest, blind)
    assert blind_row["psnr"] < honest_row["psnr"] - 3, "the scores did look at the truths"
    assert honest_row["network"] == (name if isinstance(name, str) else "brighter_half")


def test_a_planted_leak_is_seen(monkeypatch):
    leaks = [attack(monkeypatch, blind, leak=True, network="digits-original")[0] for blind in (False, True)]
    assert not torch.equal(*leaks)


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


def test_an_attack_of_ones_own_is_measured_by_the_same_protocol(tmp_path, capsys):
    """The example of the page "Adding your own", as it stands there."""
    page = (Path(__file__).parent.parent / "book" / "add_your_own.md").read_text()
    code, = (block for block in re.findall(r"```python\n(.*?)```", page, re.S) if block.startswith("# my_attack.py"))
    (tmp_path / "my_attack.py").write_text(code)
    network, rows = f"{tmp_path / 'my_attack.py'}:halves", tmp_path / "rows.json"
    for name in (network, "none"):
        assert main(["evaluate", "--network", name, "--count", "50", "--out", str(rows)]) == 0
    capsys.readouterr()
    itself, mine = sorted(json.loads(rows.read_text()), key=lambda row: row["network"], reverse=True)
    assert (mine["network"], mine["sampler"], mine["calls"]) == ("my_attack:halves", "its own", 0)
    assert mine["psnr"] != itself["psnr"] and mine["data"] == itself["data"] and mine["tuples"] == 50
    assert mine["stamp"]["network_sha256"] == hashlib.sha256(code.encode()).hexdigest()
    tuples, mixture = protocol("digits", 2, 50)
    space = {}
    exec(code, space)
    assert mine["psnr"] == summarise(score(space["halves"](mixture), tuples, mixture))["psnr"]
    assert main(shlex.split(mine["command"])[1:]) == 0
    again = json.loads(capsys.readouterr().out)
    assert again | {"seconds": 0} == mine | {"seconds": 0}
    assert evaluate(space["halves"], count=50)["psnr"] == mine["psnr"]


@pytest.mark.parametrize("network, words", [
    ("gone.py:attack", "there is no file 'gone.py'"), ("mine.py:other", "has no function 'other'"),
    ("mine.py:attack", r"must return finite images \(4, 2, 1, 28, 28\), got \(4, 1, 28, 28\)"),
    ("mine.py:nan", "with NaN or infinity"), ("mine.py:nothing", "got NoneType"), ("mine.py:number", "no function")])
def test_an_attack_that_is_none_is_named_in_one_line(network, words, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Path("mine.py").write_text("def attack(p):\n    return p\n"
                               "def nan(p):\n    return p[:, None].repeat(1, 2, 1, 1, 1) / 0\n"
                               "def nothing(p):\n    pass\nnumber = 3\n")
    assert main(["evaluate", "--network", network, "--count", "4"]) == 2
    line = capsys.readouterr().err.strip()
    assert re.search(words, line) and "\n" not in line, line


def test_an_attack_of_ones_own_is_told_nothing():
    with pytest.raises(ValueError, match="told is for networks"):
        evaluate(brighter_half, count=2, told=(0.5, 0.5))


def test_closed_eyes_give_every_average_the_same_half_difference():
    _, mixtures = protocol("digits", count=40)
    recovered = measuring.without_network("closed-eyes", mixtures, "digits", 2, None)
    half = (recovered[:, 0] - recovered[:, 1]) / 2
    assert torch.allclose(half, half[:1].expand_as(half), atol=1e-6) and half.abs().max() > 0.1
    assert torch.allclose(recovered.mean(1), mixtures, atol=1e-6)
    again = measuring.without_network("closed-eyes", mixtures, "digits", 2, None)
    assert torch.equal(recovered, again), "nothing random"
    row, itself = (evaluate(name, count=200) for name in ("closed-eyes", "none"))
    assert itself["psnr"] < row["psnr"] < itself["psnr"] + 1 and row["sampler"] == "closed eyes"
    for wrong in ({"k": 3}, {"weights": (0.6, 0.4)}):
        with pytest.raises(ValueError, match="closed-eyes answers for pairs of equal weights"):
            evaluate("closed-eyes", averaging=Averaging(**wrong), count=10)


def test_many_mixtures_are_recovered_as_they_are_one_by_one():
    _, mixture = protocol("digits", 2, 5)
    network = load_network("digits-original")
    together, calls = recover(mixture, network, "naive", 2, batch=2)
    alone = torch.stack([unmix(one, network, "naive", 2).images for one in mixture])
    assert calls == 2
    torch.testing.assert_close(together, alone, rtol=0, atol=1e-4)


def test_the_average_itself_scores_by_hand():
    row = evaluate("none", averaging=Averaging(published="float"), count=200)
    tuples, _ = protocol("digits", 2, 200)
    half = (tuples[:, 0] - tuples[:, 1]).double() / 4  # on [0, 1], each image departs from the mean by this
    assert row["psnr"] == pytest.approx((-10 * half.square().flatten(1).mean(1).log10()).mean().item(), abs=0.02)
    assert row["calls"] == 0
    assert evaluate("none", count=50)["success"] == 0, "the average is no nearer than itself"


def test_a_row_holds_the_scores_of_what_was_recovered():
    row, (tuples, mixture) = evaluate("digits-joint", count=6), protocol("digits", count=6)
    recovered, _ = recover(mixture, load_network("digits-joint"))
    scores = summarise(score(recovered, tuples, mixture))
    for name in ("psnr", "ssim", "success"):
        assert row[name] == scores[name] and row[f"{name}_interval"] == scores[f"{name}_interval"], name


def find(network, sampler, calls, **more):
    wanted = {"network": network, "sampler": sampler, "calls": calls, "published": "png", "weights": None, **more}
    return [row for row in STORED if all(row[key] == value for key, value in wanted.items())]


@pytest.mark.parametrize("name, sampler, calls", [("digits-joint", "joint", 2), ("digits-original", "cold", 5)])
def test_a_stored_row_is_what_the_code_gives(name, sampler, calls):
    """Twenty tuples anew: their mean lies within what twenty can differ from a thousand; hashes agree."""
    stored, = find(name, sampler, calls, tuples=1000)
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
            assert find("digits-original", sampler, calls, tuples=20), "the long walk, on one and the same pairs"
    assert len({row["stamp"]["data_sha256"][0] for row in STORED}) == 1


def test_merging_replaces_rows_of_the_same_setting(tmp_path):
    row = dict.fromkeys(KEY, "x") | {"calls": 1, "psnr": 1.0}
    path = tmp_path / "rows.json"
    merge_rows([row, row | {"calls": 5}], path)
    merge_rows([row | {"psnr": 2.0}], path)
    assert sorted((each["calls"], each["psnr"]) for each in json.loads(path.read_text())) == [(1, 2.0), (5, 1.0)]


def test_the_strongest_attacker_is_not_the_one_that_hedges():
    hedges, sharp = {"psnr": 14.3, "ssim": 0.52}, {"psnr": 14.1, "ssim": 0.67}
    assert strongest(iter([hedges, sharp])) is sharp and strongest([]) is None


def test_every_page_that_reads_the_rows_of_defences_picks_the_same_attacker():
    pages = [text for path in (Path(__file__).parent.parent / "notebooks").glob("*.ipynb")
             if "defences" in (text := "".join("".join(cell["source"]) for cell in json.loads(path.read_text())["cells"]
                                               if cell["cell_type"] == "code"))]
    assert len(pages) == 2 and all("return strongest(" in text for text in pages)


def test_the_candidates_of_defences_are_grouped_also_where_a_set_holds_copies():
    images = in_memory(np.arange(2000))
    pool = choose_candidates(replace(images, joined=np.arange(2000) // 2))
    assert len(pool) == 1000
    for averaging in Averaging(2), Averaging(2, groups="nearest"):
        first, second = averaging.draw(pool, 20).T
        assert max(first.max(), second.max()) < 1000 and (first // 2 != second // 2).all()


def test_tuples_hold_nobody_twice():
    people = in_memory(np.arange(40) % 10)
    for averaging in Averaging(3), Averaging(3, groups="nearest"):
        indices = averaging.draw(people, 20)
        assert all(len(set(people.identities[row])) == 3 for row in indices)
    assert len(set(indices.flatten().tolist())) == indices.numel(), "nearest: no image in two averages"
    with pytest.raises(ValueError, match="got 10 identities"):
        Averaging(11).draw(people, 5)


def test_the_noise_of_the_publisher_is_not_that_of_training():
    tuples = load("digits")[:4].unflatten(0, (2, 2))
    averaging = Averaging(published="noise-0.5")
    one, two = averaging.publish(tuples, 0), averaging.publish(tuples, 1)
    assert not torch.equal(one, two) and torch.equal(one, averaging.publish(tuples, 0))
