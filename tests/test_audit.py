"""The audit: its verdicts agree with hand checks, it can be stopped and repeated, and it names what is wrong."""

import json
import os
import re
import subprocess
import sys
import zipfile
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from coldavg import load, load_network, open_images, psnr
from coldavg.attack import Averaging, marks, search, share_found
from coldavg.audit import Attacker, Plan, attack_on, audit, open_both, verdict
from coldavg.cli import main
from coldavg.embedding import fit_autoencoder
from coldavg.figures import pixels
from coldavg.mixing import mix
from coldavg.recognise import discriminants, find_people, recogniser_for, reduced
from coldavg.report import page
from scripts.run_notebooks import why_not

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("COLDAVG_CACHE", str(tmp_path_factory.mktemp("cache")))


def write(folder, images, name="{i}.png"):
    """Images (N, C, H, W) as PNG files of the folder."""
    for i, image in enumerate(images):
        path = folder / name.format(i=i)
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels(image)).save(path)
    return str(folder)


def noise(count, side=16, seed=0):
    return torch.rand(count, 1, side, side, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def test_two_digits_are_at_high_risk(tmp_path):
    found = audit(Plan("digits", k=(2, 3), attacker="digits-joint", count=40), tmp_path)
    assert found["verdict"]["level"] == "high" and found["verdict"]["sentence"].startswith("High risk")
    two, three = found["results"]
    assert two["psnr"] > three["psnr"] > 17 and two["found"] == 100 and two["gain_interval"][0] > 9
    assert two["psnr"] - two["average_psnr"] == pytest.approx(two["gain"], abs=1e-3)
    text = (tmp_path / "report.html").read_text()
    assert text == text.replace("http", "") and text.count("<img") == 2, "it needs nothing from anywhere"
    assert json.loads((tmp_path / "report.json").read_text())["verdict"] == found["verdict"]
    assert all(re.search(r'alt="[^"]{20,}"', tag) for tag in re.findall("<img[^>]*>", text))


def test_of_pure_noise_nothing_comes_back(tmp_path):
    found = audit(Plan(write(tmp_path / "noise", noise(150)), size=16, steps=20, count=60), tmp_path / "out")
    assert found["verdict"]["level"] == "none" and "got nothing back" in found["verdict"]["sentence"]
    assert found["results"][0]["gain"] < 0.1 and found["results"][0]["averages"] == 23
    assert "20 steps of training" in found["verdict"]["sentence"]


def test_where_groups_hold_one_image_twice_the_average_is_the_image(tmp_path):
    images = load("digits")[:30]
    write(tmp_path / "double", images), write(tmp_path / "double", images, "{i}-again.png")
    plan = Plan(str(tmp_path / "double"), groups="nearest", size=28, attacker="digits-joint", count=30)
    found = audit(plan, tmp_path / "out")
    assert found["verdict"]["level"] == "same" and "hide nothing" in found["verdict"]["sentence"]
    mixed = audit(Plan(str(tmp_path / "double"), size=28, attacker="digits-joint", count=30), tmp_path / "mixed")
    assert mixed["verdict"]["level"] == "high", "grouped at random they do hide something, and it comes back"


def row(success=(90, 85, 95), gain=(3, 2.5, 3.5), blind=0.0, same=0.5, people=None):
    return {"k": 2, "averages": 100, "success": success[0], "success_interval": list(success[1:]), "gain": gain[0],
            "gain_interval": list(gain[1:]), "blind_gain": blind, "median_average_ssim": same, "people": people}


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
    (row(same=0.96), "same", "hide nothing"),
    (row(success=(40, 35, 45), people=linked((20, 12, 28), (2, 0, 4))), "high", "averages themselves 20 % .*12 to 28"),
    (row(success=(40, 35, 45), people=linked((2, 0, 4), (20, 12, 28))), "high", "In the recovered images 20 %"),
    (row(success=(40, 35, 45), gain=(0.1, 0.0, 0.2), people=linked((20, 12, 28), (20, 12, 28), 10)), "none",
     "got nothing back"),
])
def test_the_verdict_follows_from_the_low_ends_of_the_intervals(given, level, words):
    said, sentence = verdict(given)
    assert said == level and re.search(words, sentence), sentence


def test_an_average_that_is_nearly_one_of_its_images_hides_nothing(tmp_path):
    plan = Plan("digits", weights=(0.97, 0.03), steps=2, count=20)
    found = audit(plan, tmp_path)
    assert found["verdict"]["level"] == "same", "one of the two stands there in plain sight"


def test_the_worst_k_decides(tmp_path):
    found = audit(Plan("digits", k=(16, 2), attacker="digits-joint", count=8), tmp_path)
    assert found["verdict"]["level"] == "high" and "averages of 2" in found["verdict"]["sentence"]


def test_under_noise_that_drowns_all_the_mean_image_beats_the_attack(tmp_path):
    found = audit(Plan("digits", published="noise-100", attacker="digits-joint", count=20), tmp_path)
    one = found["results"][0]
    assert one["blind_gain"] > one["gain"] and found["verdict"]["level"] in ("none", "unclear")


def test_a_grey_image_stays_grey_whatever_the_network_says(tmp_path):
    attack = attack_on(Averaging(), Attacker(load_network("faces-joint")))
    recovered = attack(noise(2, 64).expand(-1, 3, -1, -1))
    assert (recovered == recovered[:, :, :1]).all() and recovered.std() > 0.1


def test_what_was_damaged_in_the_folder_is_named(tmp_path, capsys):
    data = write(tmp_path / "own", load("digits")[:160])
    words = ["audit", data, "--size", "28", "--steps", "1", "--count", "20", "--out", str(tmp_path / "out")]
    assert main(words) == 0
    file = tmp_path / "out" / "attacker-2.safetensors"
    file.write_bytes(file.read_bytes()[:999])
    assert main(words) == 2 and "delete it, and start the audit again" in capsys.readouterr().err
    for damaged in ("", "[]", '{"asked"', '{"asked": 3}', "null"):
        (tmp_path / "out" / "plan.json").write_text(damaged)
        code = main(words)
        assert code == 2 and "plan.json' is damaged; delete it" in capsys.readouterr().err or damaged == "null"


def test_the_same_plan_gives_the_same_numbers_stopped_or_not(tmp_path, monkeypatch):
    data = write(tmp_path / "faces", load("digits")[:160], "p{i}.png")
    plan = Plan(data, size=28, steps=6, count=20, published="noise-0.2", k=(2, 3))
    whole = audit(plan, tmp_path / "whole")
    stops = [True]
    assert audit(plan, tmp_path / "cut", stops) is None and not (tmp_path / "cut" / "report.json").exists()
    assert list((tmp_path / "cut").glob("attacker-2/checkpoint*"))
    cut = audit(plan, tmp_path / "cut")

    def bare(found):
        return [{key: value for key, value in one.items() if key != "seconds"} for one in found["results"]]

    assert bare(cut) == bare(whole) and cut["verdict"] == whole["verdict"]
    assert bare(audit(plan, tmp_path / "cut")) == bare(whole), "once more, with the networks that are there"
    with pytest.raises(ValueError, match="another audit .seed was 0, now 1.; choose another folder"):
        audit(Plan(data, size=28, steps=6, count=20, published="noise-0.2", k=(2, 3), seed=1), tmp_path / "cut")


def test_minutes_become_steps_that_the_report_names(tmp_path, capsys):
    data = write(tmp_path / "own", load("digits")[:160])
    words = ["audit", data, "--size", "28", "--minutes", "0.02", "--count", "20", "--out", str(tmp_path / "a")]
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
    "one identity": ({"a/": 30}, ["--steps", "1"], "1 sub-folder.s., each one identity"),
    "one identity for a network": ({"a/": 30}, ["--attacker", "digits-joint"], "got 1 identities"),
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
    words = ["audit", data, "--size", "28", "--published", "blur-1", "--k", "2,3", "--steps", "6", "--count", "20",
             "--out", str(tmp_path / "out")]
    run = subprocess.run([sys.executable, *launch, *words], capture_output=True, text=True,
                         env=os.environ | {"OMP_NUM_THREADS": "1"})
    assert run.returncode == 0, run.stderr[-2000:]
    found = json.loads((tmp_path / "out" / "report.json").read_text())
    assert [one["k"] for one in found["results"]] == [2, 3] and run.stdout.count("The report") == 1


@pytest.mark.parametrize("k", [2, 3, 5, 8])
def test_the_search_finds_who_is_in_the_average(k):
    images = open_images("digits")
    averaging = Averaging(k)
    places = averaging.places(images, 30)
    assert torch.equal(share_found(search(averaging.publish(images[places]), images[:400], k), places).mean(1) == 1,
                       (places < 400).all(1)), "all of them, where all are candidates"


def test_the_search_is_the_best_of_all_pairs():
    candidates, shown = noise(30, 8), noise(12, 8, 1)  # averages of none of them
    tuples = list(combinations(range(30), 2))
    apart = torch.stack([(mix(candidates[list(two)]) - shown).square().sum((1, 2, 3)) for two in tuples])
    best = [tuples[i] for i in apart.argmin(0).tolist()]
    found = [tuple(row) for row in search(shown, candidates, 2).tolist()]
    assert np.mean([one == two for one, two in zip(found, best)]) > 0.9
    with pytest.raises(ValueError, match="candidates must be at least k = 3"):
        search(shown, candidates[:2], 3)


def test_tuples_hold_nobody_twice():
    people = write_people(np.arange(40) % 10)
    for averaging in Averaging(3), Averaging(3, groups="nearest"):
        places = averaging.places(people, 20)
        assert all(len(set(people.identities[row])) == 3 for row in places)
    assert len(set(places.flatten().tolist())) == places.numel(), "nearest: no image in two averages"
    with pytest.raises(ValueError, match="got 10 identities"):
        Averaging(11).places(people, 5)


def write_people(identities, images=None):
    """An image set in memory, of the given identities."""
    from coldavg.data import ImageSet

    values = np.random.RandomState(0).randint(0, 256, (len(identities), 16, 16, 1)).astype(np.uint8)
    values = values if images is None else images
    return ImageSet("own", values, np.arange(len(identities)), np.asarray(identities), None, "", (),
                    ((16, 16), (16, 16)), False)


def test_people_are_found_by_other_images_and_by_nothing_else():
    """The upper half of an image says who it is, the lower half is chance."""
    random, identities = np.random.RandomState(0), np.arange(120) // 4
    who = random.randint(0, 256, (30, 8, 16, 1))
    people = write_people(identities, np.concatenate([who[identities], random.randint(0, 256, (120, 8, 16, 1))], 1)
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
        find_people(write_people(np.array([0, 0, 1, 2, 3])), Averaging(2), nothing, upper)


def test_discriminants_find_what_pixels_do_not(monkeypatch):
    """Loud random columns hide a quiet pattern that is the identity's own."""
    monkeypatch.setattr("coldavg.recognise.find_spec", lambda name: None)  # no recogniser of faces here
    random, identities = np.random.RandomState(1), np.arange(400) // 4
    own, loud = random.randn(100, 16, 16, 1), random.randn(400, 1, 16, 1)
    people = write_people(identities, np.clip(128 + 4 * own[identities] + 30 * loud, 0, 255).astype(np.uint8))
    name, chosen = recogniser_for(people, learn=True)
    assert "discriminants" in name
    shown = people[np.arange(200, 400)].unflatten(0, (50, 4))[:, :2]

    def rank1(embedding):
        apart = torch.cdist(embedding(shown[:, :1])[:, 0], embedding(shown[:, 1:])[:, 0])
        return (apart.argmin(1) == torch.arange(50)).double().mean()

    assert rank1(discriminants(people, np.arange(50))) > rank1(reduced) + 0.3
    with pytest.raises(ValueError, match="it takes 6"):
        recogniser_for(write_people(np.arange(20)), learn=True)


def test_marks_of_the_truth_and_of_the_average_itself():
    tuples = load("digits")[:20].unflatten(0, (10, 2))
    shown = Averaging().publish(tuples)
    perfect, matched = marks(tuples.flip(1), tuples, shown)
    assert perfect["psnr"] == 100 and perfect["success"] == 100 and torch.equal(matched, tuples)
    itself, _ = marks(shown[:, None].expand_as(tuples), tuples, shown)
    assert itself["gain"] == 0 and itself["success"] == 0 and itself["psnr"] == itself["average_psnr"]


def test_the_noise_of_the_publisher_is_not_that_of_training():
    tuples = load("digits")[:4].unflatten(0, (2, 2))
    averaging = Averaging(published="noise-0.5")
    one, two = averaging.publish(tuples, 0), averaging.publish(tuples, 1)
    assert not torch.equal(one, two) and torch.equal(one, averaging.publish(tuples, 0))


def test_the_report_says_what_it_can_not(tmp_path):
    found = audit(Plan("digits", attacker="digits-joint", count=10), tmp_path)
    found["images"] |= {"reduced": True, "source": "<script>alert(1)</script>"}
    case = {"truth": load("digits")[:6].unflatten(0, (3, 2)), "published": load("digits")[:3],
            "recovered": load("digits")[:6].unflatten(0, (3, 2)), "psnr": torch.zeros(3, 2)}
    text = page(found, [case])
    assert "<script>" not in text and "Only 10 averages" in text and "Try a larger --size" in text
    assert "no proof of safety" in text and "Not asked: each image is an identity of its own" in text


def test_an_autoencoder_gives_back_what_it_learned():
    images = load("digits", "train")[:400, :, ::4, ::4]
    coder = fit_autoencoder(images, 300)
    codes = coder.encode(images)
    assert codes.shape == (400, 48, 1, 1) and codes.abs().max() <= 1
    assert psnr(coder.decode(codes), images).mean() > psnr(images.mean(0).expand_as(images), images).mean() + 4
    assert torch.equal(fit_autoencoder(images, 2).encode(images), fit_autoencoder(images, 2).encode(images))


def test_a_path_network_can_audit_too(tmp_path):
    found = audit(Plan("digits", attacker="digits-original", count=6), tmp_path)
    assert found["results"][0]["gain"] > 3 and load_network("digits-original").target == "original"


def test_chapter_10_runs_on_a_folder_of_ones_own(tmp_path):
    """It is too long for the gate with its own pictures; here with few, and two steps of training."""
    root = Path(__file__).parent.parent
    chapter, = (root / "notebooks").glob("10-*.ipynb")
    own = write(tmp_path / "own", load("digits")[:120])
    words = [str(root / "scripts" / "run_notebooks.py"), str(tmp_path / "out"), str(chapter),
             "-p", "folder", json.dumps(own), "-p", "steps", "2", "-p", "count", "8"]
    run = subprocess.run([sys.executable, *words], capture_output=True, text=True, cwd=root,
                         env=os.environ | {"PYTHONPATH": str(root)})
    assert run.returncode == 0, run.stderr[-3000:]
    done = json.loads((tmp_path / "out" / chapter.name).read_text())
    printed = "".join("".join(o.get("text", "")) for cell in done["cells"] for o in cell.get("outputs", []))
    assert "2 steps of training" in printed and printed.count("Right.") == 3


def test_all_other_chapters_are_run_together_and_it_is_named(tmp_path):
    chapter, = (Path(__file__).parent.parent / "notebooks").glob("10-*.ipynb")
    assert "run it alone" in why_not(chapter, several=True) and not why_not(chapter, several=False)
