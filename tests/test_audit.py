"""The audit: its verdicts agree with hand checks, it can be stopped and repeated, and it names what is wrong."""

import json
import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw

from coldavg import load, load_network
from coldavg.audit import Plan, run_audit
from coldavg.audit.run import open_both
from coldavg.cli import main
from coldavg.support.pixels import picture

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("COLDAVG_CACHE", str(tmp_path_factory.mktemp("cache")))


def write(folder, images, name="{i}.png"):
    """Images (N, C, H, W) as PNG files of the folder."""
    for i, image in enumerate(images):
        path = folder / name.format(i=i)
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture(image)).save(path)
    return str(folder)


def noise(count, side=16, seed=0):
    return torch.rand(count, 1, side, side, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def test_two_digits_are_at_high_risk(tmp_path):
    found = run_audit(Plan("digits", k=(2, 3), attacker="digits-joint", count=40), tmp_path)
    assert found["verdict"]["level"] == "high" and found["verdict"]["sentence"].startswith("High risk")
    two, three = found["results"]
    assert two["psnr"] > three["psnr"] > 17 and two["found"] == 100 and two["gain_interval"][0] > 9
    assert two["psnr"] - two["average_psnr"] == pytest.approx(two["gain"], abs=1e-3)
    text = (tmp_path / "report.html").read_text()
    assert text == text.replace("http", "") and text.count("<img") == 2, "it needs nothing from anywhere"
    assert json.loads((tmp_path / "report.json").read_text())["verdict"] == found["verdict"]
    assert all(re.search(r'alt="[^"]{20,}"', tag) for tag in re.findall("<img[^>]*>", text))


def test_of_pure_noise_nothing_comes_back(tmp_path):
    found = run_audit(Plan(write(tmp_path / "noise", noise(150)), size=16, steps=20, count=60), tmp_path / "out")
    assert found["verdict"]["level"] == "none" and "got nothing back" in found["verdict"]["sentence"]
    assert found["results"][0]["gain"] < 0.1 and found["results"][0]["averages"] == 23
    assert "20 steps of training" in found["verdict"]["sentence"]


def test_an_image_that_is_there_twice_is_never_averaged_with_itself(tmp_path):
    images = load("digits")[:30]
    write(tmp_path / "double", images), write(tmp_path / "double", images, "{i}-again.png")
    plan = Plan(str(tmp_path / "double"), groups="nearest", size=28, attacker="digits-joint", count=30)
    found = run_audit(plan, tmp_path / "out")
    assert found["images"]["inspection"]["copies"] == 30
    assert found["verdict"]["level"] != "same", "else the average would be the image"
    assert found["results"][0]["averages"] == 30


def test_the_headline_says_what_matters_and_the_report_what_was_read(tmp_path):
    found = run_audit(Plan("digits", attacker="digits-joint", count=30), tmp_path)
    pictures, people, archive = found["verdict"]["headline"]
    assert pictures.startswith("Pictures got back: ") and people.startswith("People found: not asked, for each image")
    assert archive.startswith("Images found by whoever holds an archive with them in it: 100 %")
    text = (tmp_path / "report.html").read_text()
    assert archive in text and text.index("What was read") < text.index("What came back")
    assert "1 seen, 14000 images read from them" in text


def test_too_few_identities_are_told_before_training(tmp_path, monkeypatch):
    monkeypatch.setattr("coldavg.audit.run.find_attackers", lambda *words: pytest.fail("it trains"))
    data = write(tmp_path / "own", load("digits")[:60], "p{i}.png")
    for i in range(60):
        (tmp_path / "own" / f"p{i}.png").rename(tmp_path / "own" / f"Ann{i % 6}_{i}.png")
    with pytest.raises(ValueError, match="leave 1 identities to audit, of 6 .by the pattern .*; averages of 2 need as"):
        run_audit(Plan(data, size=16, identity=r"(Ann\d)_"), tmp_path / "out")


def test_an_average_that_is_nearly_one_of_its_images_hides_nothing(tmp_path):
    plan = Plan("digits", weights=(0.97, 0.03), steps=2, count=20)
    found = run_audit(plan, tmp_path)
    assert found["verdict"]["level"] == "same", "one of the two stands there in plain sight"


def signature(seed, kind="L"):
    """A scribble on wide white paper."""
    drawn, rng = Image.new(kind, (300, 70), "white"), np.random.RandomState(seed)
    heights = rng.uniform(15, 55, 14).cumsum() / np.arange(1, 15) + rng.uniform(-12, 12, 14)
    ImageDraw.Draw(drawn).line([*zip(np.linspace(30, 270, 14), heights)], "black", 2)
    return drawn


def test_paper_that_all_share_is_no_picture_in_plain_sight(tmp_path):
    """Padded signatures are mostly paper: an average is as like a stranger's signature as its own."""
    (tmp_path / "scans").mkdir()
    for i in range(60):
        signature(i).save(tmp_path / "scans" / f"{i}.png")
    plan = Plan(str(tmp_path / "scans"), size=28, fit="pad", attacker="digits-joint", count=20)
    found = run_audit(plan, tmp_path / "out")
    one = found["results"][0]
    assert min(one["median_average_ssim"], one["median_stranger_ssim"]) > 0.8, "else this test tries nothing"
    assert found["verdict"]["level"] != "same"
    assert "ground that all share" in (tmp_path / "out" / "report.html").read_text()


def test_the_worst_k_decides(tmp_path):
    found = run_audit(Plan("digits", k=(6, 2), attacker="digits-joint", count=8), tmp_path)
    assert found["verdict"]["level"] == "high" and "averages of 2" in found["verdict"]["sentence"]


def test_under_noise_that_drowns_all_the_mean_image_beats_the_attack(tmp_path):
    found = run_audit(Plan("digits", published="noise-100", attacker="digits-joint", count=20), tmp_path)
    one = found["results"][0]
    assert one["blind_gain"] > one["gain"] and found["verdict"]["level"] in ("none", "unclear")


def test_what_was_damaged_in_the_folder_is_named(tmp_path, capsys):
    data = write(tmp_path / "own", load("digits")[:160])
    words = ["audit", data, "--size", "16", "--steps", "1", "--count", "20", "--out", str(tmp_path / "out")]
    assert main(words) == 0
    file = tmp_path / "out" / "attacker-2.safetensors"
    file.write_bytes(file.read_bytes()[:999])
    assert main(words) == 2 and "delete it, and start the audit again" in capsys.readouterr().err
    for damaged in ("", "[]", '{"asked"', '{"asked": 3}', "null"):
        (tmp_path / "out" / "plan.json").write_text(damaged)
        code = main(words)
        assert code == 2 and "plan.json' is damaged; delete it" in capsys.readouterr().err, damaged


def test_the_same_plan_gives_the_same_numbers_stopped_or_not(tmp_path, monkeypatch):
    monkeypatch.setattr("coldavg.audit.attacker.BLURS", (0, 1))  # fewer to try: seconds
    data = write(tmp_path / "faces", load("digits")[:160], "p{i}.png")
    plan = Plan(data, size=16, steps=6, count=20, published="noise-0.2", k=(2, 3))
    whole = run_audit(plan, tmp_path / "whole")
    stops = [True]
    assert run_audit(plan, tmp_path / "cut", stops) is None and not (tmp_path / "cut" / "report.json").exists()
    assert list((tmp_path / "cut").glob("attacker-2/checkpoint*"))
    cut = run_audit(plan, tmp_path / "cut")

    def bare(found):
        return [{key: value for key, value in one.items() if key != "seconds"} for one in found["results"]]

    assert bare(cut) == bare(whole) and cut["verdict"] == whole["verdict"]
    assert bare(run_audit(plan, tmp_path / "cut")) == bare(whole), "once more, with the networks that are there"
    with pytest.raises(ValueError, match="another audit .seed was 0, now 1.; choose another folder"):
        run_audit(Plan(data, size=16, steps=6, count=20, published="noise-0.2", k=(2, 3), seed=1), tmp_path / "cut")


def test_minutes_become_steps_that_the_report_names(tmp_path, capsys):
    data = write(tmp_path / "own", load("digits")[:160])
    words = ["audit", data, "--size", "16", "--minutes", "0.02", "--count", "20", "--out", str(tmp_path / "a")]
    assert main(words) == 0
    found = json.loads((tmp_path / "a" / "report.json").read_text())
    steps = found["attacker"]["steps"]
    assert steps >= 1 and f"--steps {steps}" in found["command"] and f"{steps} steps" in capsys.readouterr().out
    words = found["command"].replace("--out again", f"--out {tmp_path / 'b'}").split()[1:]
    assert main(words) == 0
    again = json.loads((tmp_path / "b" / "report.json").read_text())
    assert {**again["results"][0], "seconds": 0} == {**found["results"][0], "seconds": 0}


def test_no_audited_image_is_learned_from(tmp_path):
    first, second = load("digits")[:60], load("digits")[40:100]
    own, other = write(tmp_path / "own", first), write(tmp_path / "other", second)
    audited, learnt = open_both(Plan(own, size=28, attacker=other))
    assert len(audited) == 40 and len(learnt) == 60, "twenty stand in both"
    seen = {image.numpy().tobytes() for image in learnt[:]}
    assert not [1 for image in audited[:] if image.numpy().tobytes() in seen]
    audited, learnt = open_both(Plan(own, size=28))
    assert not set(audited.rows) & set(learnt.rows) and len(audited) == 9
    assert len(open_both(Plan("digits", attacker="digits-joint"))[0]) == 2000, "the network knows the training digits"


def test_a_zip_with_broken_files_is_audited_and_they_are_named(tmp_path, capsys):
    write(tmp_path / "own", load("digits")[:160])
    with zipfile.ZipFile(tmp_path / "own.zip", "w") as archive:
        for path in (tmp_path / "own").iterdir():
            archive.write(path, path.name)
        archive.writestr("cut.png", (tmp_path / "own" / "3.png").read_bytes()[:50])
        archive.writestr("<b>.jpg", b"no picture")
    words = ["--size", "28", "--attacker", "digits-joint", "--count", "20", "--out", str(tmp_path / "out")]
    assert main(["audit", str(tmp_path / "own.zip"), *words]) == 0
    text = (tmp_path / "out" / "report.html").read_text()
    assert "cut.png" in text and "&lt;b&gt;.jpg" in text and "<b>.jpg" not in text


BAD = {
    "an empty folder": ({}, [], "holds no picture"),
    "too few": ({"": 20}, ["--k", "2"], "at least 20 images to learn from, got 17; add images, or name a network"),
    "too few to audit": ({"": 3}, ["--attacker", "digits-joint"], "averages of 4 need at least 5"),
    "one identity": ({"a/": 30}, ["--steps", "1", "--identity", "folder"], "holds 1 identities .each sub-folder"),
    "one identity for a network": ({"a/": 30}, ["--attacker", "digits-joint", "--identity", "folder"],
                                   "leave 1 identities to audit, of 1"),
    "all alike": ({"same": 30}, ["--steps", "1"], "one picture 30 times"),
    "k": ({"": 30}, ["--k", "1"], "from 2 to 16, got 1"),
    "one average": ({"": 30}, ["--count", "1"], "count at least 2"),
    "k twice": ({"": 30}, ["--k", "2,2"], "different numbers"),
    "weights": ({"": 30}, ["--weights", "0.5,0.6", "--k", "2"], "sum to 1"),
    "weights of two": ({"": 30}, ["--weights", "0.5,0.5"], "weights must be 4 numbers"),
    "groups": ({"": 30}, ["--groups", "alike"], "random, nearest"),
    "published": ({"": 30}, ["--published", "gif"], "png, float, or one or more of"),
    "minutes": ({"": 30}, ["--minutes", "0"], "minutes must be above 0"),
    "attacker": ({"": 30}, ["--attacker", "nobody"], "or a folder or zip that is there, got 'nobody'"),
    "other weights": ({"": 30}, ["--attacker", "digits-joint", "--weights", "0.4,0.6", "--k", "2"], "trained on"),
    "a foreign network": ({"": 30}, ["--attacker", "foreign.safetensors"], "cut short, altered or foreign"),
}


@pytest.mark.parametrize("case", BAD)
def test_what_can_not_be_audited_is_told_in_one_line(case, tmp_path, capsys, monkeypatch):
    parts, words, said = BAD[case]
    monkeypatch.chdir(tmp_path)
    (tmp_path / "own").mkdir()
    (tmp_path / "foreign.safetensors").write_bytes(b"12345678 no network")
    for name, count in parts.items():
        images = load("digits")[:count] if name != "same" else load("digits")[:1].expand(count, -1, -1, -1)
        write(tmp_path / "own", images, f"{name}{{i}}.png")
    assert main(["audit", "own", "--size", "28", "--k", "4", *words, "--out", "out"]) == 2
    line, = capsys.readouterr().err.strip().splitlines()[-1:]
    assert re.search(said, line) and line.startswith("coldavg: ")
    assert not (tmp_path / "out" / "report.html").exists()


def test_two_processes_audit_together(tmp_path):
    data = write(tmp_path / "own", load("digits")[:160])
    launch = ["-m", "accelerate.commands.launch", "--cpu", "--num_processes", "2", "--num_machines", "1",
              "--mixed_precision", "no", "--dynamo_backend", "no", "--main_process_port", "0", "-m", "coldavg.cli"]
    words = ["audit", data, "--size", "16", "--published", "blur-1", "--k", "2,3", "--steps", "6", "--count", "20",
             "--out", str(tmp_path / "out")]
    run = subprocess.run([sys.executable, *launch, *words], capture_output=True, text=True,
                         env=os.environ | {"OMP_NUM_THREADS": "1"})
    assert run.returncode == 0, run.stderr[-2000:]
    found = json.loads((tmp_path / "out" / "report.json").read_text())
    assert [one["k"] for one in found["results"]] == [2, 3] and run.stdout.count("The report") == 1


def test_a_path_network_can_audit_too(tmp_path):
    found = run_audit(Plan("digits", attacker="digits-original", count=6), tmp_path)
    assert found["results"][0]["gain"] > 3 and load_network("digits-original").target == "original"


def test_chapter_14_runs_on_a_folder_of_ones_own(tmp_path):
    """With the reader's pictures in place of its own; here few, and two steps of training."""
    root = Path(__file__).parent.parent
    chapter, = (root / "notebooks").glob("14-*.ipynb")
    own = write(tmp_path / "own", load("digits")[:120])
    words = [str(root / "scripts" / "run_notebooks.py"), str(tmp_path / "out"), str(chapter),
             "-p", "folder", json.dumps(own), "-p", "size", "16", "-p", "steps", "2",
             "-p", "count", "8"]
    run = subprocess.run([sys.executable, *words], capture_output=True, text=True, cwd=root,
                         env=os.environ | {"PYTHONPATH": str(root)})
    assert run.returncode == 0, run.stderr[-3000:]
    done = json.loads((tmp_path / "out" / chapter.name).read_text())
    printed = "".join("".join(o.get("text", "")) for cell in done["cells"] for o in cell.get("outputs", []))
    assert "2 steps of training" in printed and printed.count("Right.") == 3


def test_an_attacker_who_owns_averages_alone_never_sees_an_image_and_goes_on_when_stopped(tmp_path, monkeypatch):
    from coldavg.audit import attacker

    given = []

    def watched(settings, averages, **rest):
        given.append((settings.k, settings.looks, averages))
        return fit_to_averages(settings, averages, **rest)

    fit_to_averages = attacker.fit_to_averages
    monkeypatch.setattr(attacker, "fit_to_averages", watched)
    folder = write(tmp_path / "own", load("digits", "test")[:200, :, 6:22, 6:22])
    plan = Plan(folder, size=16, attacker="averages", steps=6, count=10)
    found = run_audit(plan, tmp_path / "out")
    assert [each[:2] for each in given] == [(4, 0), (2, 0), (2, 3)]
    audited, learnt = open_both(plan)
    owned, images = given[0][2], learnt[:]
    assert len(owned) == len(images) // 2 == found["attacker"]["averages"]
    assert (owned[:, None] - images).abs().flatten(2).amax(2).min() > 0.1, "none of them is an image"
    assert torch.allclose(owned.mean(0), images[: 2 * len(owned)].mean(0), atol=0.1)
    assert "owned no image" in found["attacker"]["kind"] and not any(
        "images of the same kind" in item for item in found["attacker"]["knew"])
    (tmp_path / "out" / "attacker-3.safetensors").unlink()
    again = run_audit(plan, tmp_path / "out")
    assert len(given) == 4 and again["results"][0]["gain"] == found["results"][0]["gain"]


@pytest.mark.parametrize("wrong", [{"k": (3,)}, {"weights": (0.6, 0.4)}, {"groups": "nearest"},
                                   {"published": "noise-0.1"}])
def test_averages_alone_serve_only_where_that_attack_is_known(wrong):
    with pytest.raises(ValueError, match="attacker 'averages' learns from plain averages of two"):
        Plan("digits", attacker="averages", **wrong)
