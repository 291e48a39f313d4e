"""Averages that exist are audited: an attacker learns from pairs how they were made, and sees nobody twice."""

import csv
import json

import numpy as np
import pytest
import torch
from PIL import Image

from coldavg import load
from coldavg.audit import Plan
from coldavg.audit.existing import FromPairs, fit_to_pairs, open_pairs, read_members, split_pairs
from coldavg.cli import main
from coldavg.settings import Settings
from coldavg.support.pixels import picture

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("COLDAVG_CACHE", str(tmp_path_factory.mktemp("cache")))


def publish(folder, count=60, size=16):
    """Originals of two images each, and averages of two that are turned upside down: a warp that no form describes."""
    images = load("digits")[: 4 * count, :, 6:22, 6:22]
    for name in ("people", "averages"):
        (folder / name).mkdir(parents=True)
    rows = []
    for i, image in enumerate(images):
        (folder / "people" / f"p{i // 2:03d}").mkdir(exist_ok=True)
        Image.fromarray(picture(image)).save(folder / "people" / f"p{i // 2:03d}" / f"{i:03d}.png")
    for i in range(count):
        one, other = 4 * i, 4 * i + 2
        average = ((images[one] + images[other]) / 2).flip(-2)
        Image.fromarray(picture(average)).save(folder / "averages" / f"a{i:03d}.png")
        rows.append([f"a{i:03d}.png", f"{one:03d}.png", f"p{other // 2:03d}/{other:03d}.png"])
    with (folder / "members.csv").open("w", newline="") as table:
        csv.writer(table).writerows([["average", "first", "second"], *rows])
    return Plan(str(folder / "people"), size=size, averages=str(folder / "averages"),
                members=str(folder / "members.csv"), steps=2, count=10)


def test_averages_that_exist_are_audited_end_to_end(tmp_path, capsys):
    plan = publish(tmp_path)
    words = ["audit", plan.data, "--averages", plan.averages, "--members", plan.members, "--size", "16", "--steps", "2",
             "--count", "10", "--out", str(tmp_path / "out")]
    assert main(words) == 0
    found = json.loads((tmp_path / "out" / "report.json").read_text())
    row, = found["results"]
    assert row["k"] == 2 and row["averages"] == 9
    assert "9 averages are audited, 51 learned from" in capsys.readouterr().err
    assert "other averages that exist" in found["attacker"]["kind"] and row["people"]["gallery"] >= 3
    assert "averages that exist, of 2 members" in (tmp_path / "out" / "report.html").read_text()
    assert f"--averages {plan.averages}" in found["command"]


def test_what_is_learned_from_shows_the_warp_and_nobody_who_is_audited(tmp_path):
    plan = publish(tmp_path)
    audited, learnt, remark = open_pairs(plan)
    assert not remark and len(audited.rows) == 9 and len(learnt.rows) == 51
    assert not set(audited.originals.identities) & set(learnt.originals.identities)
    assert not set(audited.rows) & set(learnt.rows)
    truth = audited.originals[audited.indices]
    assert (truth.mean(1).flip(-2) - audited.published).abs().max() < 2 / 255, "the table is read right"
    settings = Settings(target="joint", order="random", published="unknown", widths=(8,), batch=4, looks=1, flips=True)
    run = FromPairs(settings, learnt, 1, None, None)
    batch = run.draw(3)
    assert torch.equal(batch.tuples, run.draw(3).tuples) and not torch.equal(batch.tuples, run.draw(4).tuples)
    assert (batch.tuples.mean(1).flip(-2) - batch.given).abs().max() < 2 / 255
    assert not settings.exact, "answers need not average to what was published"


def test_a_network_learns_the_warp_from_pairs(tmp_path):
    _, learnt, _ = open_pairs(publish(tmp_path))
    settings = Settings(target="joint", order="random", loss="log", published="unknown", widths=(16,), batch=32,
                        mixtures=32 * 60, learning_rate=5e-3)
    losses = [loss for *_, loss in fit_to_pairs(settings, learnt, progress=False).losses]
    assert np.mean(losses[-5:]) < np.mean(losses[:5]) - 0.15


NAMES = ["p1/a.png", "p1/b.png", "p2/a.png", "p2/c.png"]


def test_tables_of_members_are_read_in_both_shapes(tmp_path):
    table = tmp_path / "members.csv"
    table.write_text("average;one;two\nm1.png;p1/a.png;c.png\nm2;b;p2/a.png\n")
    members, rows = read_members(table, NAMES, ["x/m1.png", "x/m2.png"])
    assert members.tolist() == [[0, 3], [1, 2]] and rows.tolist() == [0, 1]
    table.write_text("m1,p1/a.png\nm1,p2/a.png\nm2,b.png\nm2,c.png\n")
    assert read_members(table, NAMES, ["m1.png", "m2.png"])[0].tolist() == [[0, 2], [1, 3]]


@pytest.mark.parametrize("text, said", [
    ("m1,a.png,c.png\n", "names 1 file.s. that are not there, stand there more than once, .*, such as 'a.png'"),
    ("m1,b.png,c.png\nm9,b.png,c.png\n", "such as 'm9'"), ("m1,b.png\n", "same number of different members, 2 or more"),
    ("m1,b.png,c.png\nm2,b.png,c.png,p1/a.png\n", "got .2, 3."), ("m1,b.png,b.png\n", "different members"),
    ("", "got ..")])
def test_tables_that_are_wrong_are_named(text, said, tmp_path):
    (tmp_path / "members.csv").write_text(text)
    with pytest.raises(ValueError, match=said):
        read_members(tmp_path / "members.csv", NAMES, ["m1.png", "m2.png"])


def test_where_all_hang_together_half_of_the_people_are_put_aside():
    rng = np.random.RandomState(0)
    members = np.stack([rng.permutation(30)[:2] for _ in range(300)])

    class Held:
        images = type("Images", (), {"apart": np.arange(30)})

    Held.members = members
    audited, learnt = split_pairs(Held, 0)
    assert not set(members[audited].ravel()) & set(members[learnt].ravel()) and len(audited) > 40 < len(learnt)


@pytest.mark.parametrize("wrong", [{"averages": "x"}, {"members": "x"},
                                   {"averages": "x", "members": "y", "published": "jpeg-75"},
                                   {"averages": "x", "members": "y", "attacker": "digits-joint"}])
def test_averages_that_exist_need_a_table_and_no_recipe(wrong):
    with pytest.raises(ValueError, match="go together|leave out weights"):
        Plan("people", **wrong)
