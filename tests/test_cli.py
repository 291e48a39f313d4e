"""The command line as a user meets it: what it writes, and the one line and exit code 2 for wrong input."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from coldavg import Settings, UNet, load_network, mix, psnr, round_to_8_bits
from coldavg.cli import main
from coldavg.cli.unmix import read_image
from coldavg.evaluation import protocol
from coldavg.metrics import match
from coldavg.networks import read_network, save_network
from coldavg.support.pixels import png

from .pictures import fill, noise, packed


def average(path, tuples=1):
    """An 8-bit average of two unseen digits, as a PNG; returns the two."""
    pairs, mixtures = protocol("digits", 2, tuples)
    path.write_bytes(png(mixtures[-1]))
    return pairs[-1]


def test_unmix_writes_two_readable_digits(tmp_path, capsys):
    pair = average(tmp_path / "average.png")
    out = tmp_path / "out"
    assert main(["unmix", str(tmp_path / "average.png"), "--network", "digits-joint", "--out", str(out)]) == 0
    files = sorted(path.name for path in out.iterdir())
    assert files == ["average-1.png", "average-2.png", "average-comparison.png", "average.json"]
    recovered = [read_image(out / f"average-{i}.png", 1, (28, 28)) for i in (1, 2)]
    recovered = torch.stack(recovered)
    before = psnr(round_to_8_bits(mix(pair)).expand(2, 1, 28, 28), pair).mean()
    assert psnr(match(recovered[None], pair[None])[0], pair).mean() > before + 4
    done = json.loads((out / "average.json").read_text())
    assert done["calls"] == load_network("digits-joint").looks
    assert done["sampler"] == "joint" and done["weights"] == [0.5, 0.5]
    assert len(done["network_sha256"]) == 64
    assert "average-comparison.png" in capsys.readouterr().out


def test_unmix_notes_the_weights_that_it_used(tmp_path):
    average(tmp_path / "average.png")
    network = UNet(Settings(target="joint", weights=(0.7, 0.3), widths=(8,)), (28, 28))
    save_network(network, tmp_path / "own.safetensors")
    words = ["--network", str(tmp_path / "own.safetensors"), "--out", str(tmp_path / "out")]
    assert main(["unmix", str(tmp_path / "average.png"), *words]) == 0
    assert json.loads((tmp_path / "out" / "average.json").read_text())["weights"] == [0.7, 0.3]


def test_unmix_by_a_path_network_with_weights(tmp_path):
    average(tmp_path / "a.png"), average(tmp_path / "b.png", 2)
    out = tmp_path / "new" / "out"
    words = ["unmix", *(str(tmp_path / f"{n}.png") for n in "ab"), "--network", "digits-original", "--sampler", "naive",
             "--steps", "3", "--weights", "0.6,0.4", "--out", str(out)]
    assert main(words) == 0
    assert len(list(out.iterdir())) == 12, "which image has the larger weight can't be seen: both orders are written"
    done = json.loads((out / "b.json").read_text())
    assert (done["calls"], done["sampler"], done["weights"]) == (3, "naive", [0.6, 0.4])
    assert done["other_weights"] == [0.4, 0.6] and (out / done["other_recovered"][1]).exists()
    assert (out / "b-1.png").read_bytes() != (out / "b-other-1.png").read_bytes()


def picture(path, mode="L", size=(28, 28), kind="PNG"):
    Image.new(mode, size).save(path, kind)
    return path


def broken(path):
    noise = np.random.RandomState(0).randint(0, 255, (28, 28), np.uint8)
    Image.fromarray(noise).save(path, "PNG")
    path.write_bytes(path.read_bytes()[:-300])


def sixteen_bits(path, level):
    Image.fromarray(np.full((28, 28), level, np.uint16)).save(path)


def colourful(path):
    Image.fromarray(np.random.RandomState(0).randint(0, 255, (28, 28, 3), np.uint8)).save(path)


PICTURES = {
    "absent": (lambda path: None, "is no file"),
    "a folder": (lambda path: path.mkdir(), "is no file"),
    "broken": (broken, "is broken"),
    "not a picture": (lambda path: path.write_text("hello"), "is not a picture"),
    "empty": (lambda path: path.write_bytes(b""), "is not a picture"),
    "very wide": (lambda path: picture(path, size=(50_000, 2)), "50000 x 2 pixels, at most 9000"),
    "of another size": (lambda path: picture(path, size=(64, 64)), "pass --resize"),
    "12 bits": (lambda path: sixteen_bits(path, 4095), "are not those of 16 bits"),
    "transparent": (lambda path: picture(path, "RGBA"), "is partly transparent"),
    "grey and transparent": (lambda path: picture(path, "LA"), "is partly transparent"),
    "CMYK": (lambda path: picture(path, "CMYK", kind="TIFF"), "mode CMYK"),
    "two frames": (lambda path: Image.new("L", (28, 28)).save(path, "GIF", save_all=True,
                                                              append_images=[Image.new("L", (28, 28), 9)]), "2 frames"),
    "in colour": (colourful, "is in colour"),
}


@pytest.mark.parametrize("case", PICTURES)
def test_wrong_pictures(case, tmp_path, capsys):
    make, words = PICTURES[case]
    average(tmp_path / "good.png")
    make(tmp_path / "bad.png")
    arguments = ["unmix", str(tmp_path / "good.png"), str(tmp_path / "bad.png"), "--network", "digits-joint"]
    check_refusal(arguments + ["--out", str(tmp_path / "out")], words, capsys)
    assert not (tmp_path / "out").exists(), "nothing is written for the good one either"


def check_refusal(arguments, words, capsys):
    try:
        code = main(arguments)
    except SystemExit as stop:
        code = stop.code
    error = capsys.readouterr().err
    assert code == 2 and words in error and error.count("\n") == 1 and "Traceback" not in error, error


OPTIONS = {
    "no command": ([], "see coldavg --help"),
    "no network": (["unmix", "GOOD", "--out", "OUT"], "--network"),
    "unknown network": (["unmix", "GOOD", "--network", "cats", "--out", "OUT"], "digits-joint, digits-original"),
    "absent network file": (["unmix", "GOOD", "--network", "no.safetensors", "--out", "OUT"], "does not exist"),
    "unknown sampler": (["unmix", "GOOD", "--network", "digits-original", "--sampler", "x", "--out", "OUT"],
                        "one_step, naive, cold"),
    "no steps": (["unmix", "GOOD", "--network", "digits-original", "--steps", "0", "--out", "OUT"], "at least 1"),
    "steps in words": (["unmix", "GOOD", "--network", "digits-original", "--steps", "x", "--out", "OUT"], "--steps"),
    "k": (["unmix", "GOOD", "--network", "digits-original", "--k", "1", "--out", "OUT"], "at least 2"),
    "k of the network": (["unmix", "GOOD", "--network", "digits-joint-3", "--k", "2", "--out", "OUT"], "k must be 3"),
    "weights": (["unmix", "GOOD", "--network", "digits-original", "--weights", "0.5,0.6", "--out", "OUT"], "sum to 1"),
    "unequal weights for a joint network": (["unmix", "GOOD", "--network", "digits-joint", "--weights", "0.6,0.4",
                                             "--out", "OUT"], "use a path network"),
    "over a picture given": (["unmix", "GOOD", "GOOD-1.png", "--network", "digits-joint", "--out", ""],
                             "a picture given"),
    "evaluate: foreign rows": (["evaluate", "--count", "3", "--out", "GOOD"], "no file of rows"),
    "evaluate: absent folder": (["evaluate", "--count", "3", "--out", "no/rows.json"], "does not exist"),
    "evaluate: no tuples": (["evaluate", "--count", "0"], "count must be at least 1"),
    "train: no time": (["train", "--seconds", "0", "--out", "N.safetensors"], "seconds must be above 0"),
    "weights in words": (["unmix", "GOOD", "--network", "digits-joint", "--weights", "a,b", "--out", "OUT"],
                         "--weights"),
    "alpha0 above alpha_max": (["unmix", "GOOD", "--network", "digits-original", "--weights", "0.1,0.9", "--out",
                                "OUT"], "alpha_max"),
    "out is a file": (["unmix", "GOOD", "--network", "digits-joint", "--out", "GOOD"], "is a file, not a folder"),
    "same name twice": (["unmix", "GOOD", "GOOD", "--network", "digits-joint", "--out", "OUT"], "rename one"),
    "train: suffix": (["train", "--out", "OUT"], "end in .safetensors"),
    "train: in use": (["train", "--out", "USED.safetensors"], "exists"),
    "train: target": (["train", "--target", "x", "--out", "N.safetensors"], "original, remainder, difference, joint"),
    "train: data": (["train", "--data", "x", "--out", "N.safetensors"], "digits-full"),
    "evaluate: sampler": (["evaluate", "--network", "digits-original", "--sampler", "x", "--count", "3"], "one_step"),
    "evaluate: count": (["evaluate", "--count", "9999"], "at least count"),
}


@pytest.mark.parametrize("case", OPTIONS)
def test_wrong_options(case, tmp_path, capsys, monkeypatch):
    arguments, words = OPTIONS[case]
    monkeypatch.chdir(tmp_path)
    average(tmp_path / "GOOD"), average(tmp_path / "GOOD-1.png", 2)
    (tmp_path / "USED.safetensors").write_bytes(b"dear")
    check_refusal(arguments, words, capsys)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["GOOD", "GOOD-1.png", "USED.safetensors"], \
        "nothing half-written"


def test_a_folder_that_can_not_be_written(tmp_path, capsys):
    average(tmp_path / "a.png")
    arguments = ["unmix", str(tmp_path / "a.png"), "--network", "digits-joint", "--out", "/proc/results"]
    check_refusal(arguments, "choose another --out", capsys)


def test_a_file_that_can_not_be_read_is_named(tmp_path, capsys, monkeypatch):
    average(tmp_path / "a.png")
    read = Path.read_bytes

    def locked(self):
        if self.name == "secret.safetensors":
            raise PermissionError(13, "Permission denied", str(self))
        return read(self)

    (tmp_path / "secret.safetensors").write_bytes(b"")
    monkeypatch.setattr(Path, "read_bytes", locked)
    words = ["unmix", str(tmp_path / "a.png"), "--network", str(tmp_path / "secret.safetensors"), "--out"]
    check_refusal([*words, str(tmp_path / "deep" / "out")], "secret.safetensors; check that it is there", capsys)


def test_a_full_disk_leaves_nothing_half_written(tmp_path, capsys, monkeypatch):
    average(tmp_path / "a.png")
    out = tmp_path / "out"
    out.mkdir()
    (out / "a-1.png").write_bytes(b"older")
    write, count = Path.write_bytes, []

    def fills_up(self, content):
        count.append(self)
        if len(count) == 3:
            raise OSError(28, "No space left on device", str(self))
        return write(self, content)

    monkeypatch.setattr(Path, "write_bytes", fills_up)
    arguments = ["unmix", str(tmp_path / "a.png"), "--network", "digits-joint", "--out", str(out)]
    check_refusal(arguments, "No space left on device", capsys)
    assert [path.name for path in out.iterdir()] == ["a-1.png"] and (out / "a-1.png").read_bytes() == b"older"


def test_grey_in_colour_files_and_resizing(tmp_path):
    grey = np.random.RandomState(0).randint(0, 255, (28, 28), np.uint8)
    Image.fromarray(np.stack([grey] * 3, -1)).save(tmp_path / "rgb.png")
    assert ((read_image(tmp_path / "rgb.png", 1, (28, 28))[0] + 1) * 127.5).round().byte().numpy().tolist() == \
        grey.tolist()
    assert read_image(tmp_path / "rgb.png", 3, (28, 28)).shape == (3, 28, 28)
    picture(tmp_path / "wide.png", size=(90, 56))
    assert read_image(tmp_path / "wide.png", 1, (28, 28), resize=True).shape == (1, 28, 28)


def test_what_is_harmless_is_converted_and_turned(tmp_path):
    grey = np.random.RandomState(0).randint(0, 255, (28, 28), np.uint8)
    colours, levels = np.stack([grey, grey.T, 255 - grey], -1), np.random.RandomState(1).randint(0, 65536, (28, 28))
    exif = Image.Exif()
    exif[0x0112] = 6  # to be seen turned by 90 degrees to the right
    saved = {"opaque": (Image.fromarray(np.dstack([colours, np.full_like(grey, 255)])), colours),
             "la": (Image.merge("LA", [Image.fromarray(grey), Image.new("L", (28, 28), 255)]), grey),
             "palette": (Image.fromarray(grey // 8).convert("P"), grey // 8),
             "bits16": (Image.fromarray(levels.astype(np.uint16)), levels / 257),
             "bilevel": (Image.fromarray(grey > 99), (grey > 99) * 255)}
    for name, (picture, wanted) in saved.items():
        picture.save(tmp_path / f"{name}.png")
        read = (read_image(tmp_path / f"{name}.png", 3 if name == "opaque" else 1, (28, 28)) + 1) * 127.5
        wanted = wanted.transpose(2, 0, 1) if name == "opaque" else wanted[None]
        torch.testing.assert_close(read, torch.from_numpy(wanted.astype(np.float32)), atol=1e-3, rtol=0, msg=name)
    Image.fromarray(np.rot90(grey)).save(tmp_path / "turned.png", exif=exif)  # stored turned to the left
    upright = (read_image(tmp_path / "turned.png", 1, (28, 28)) + 1) * 127.5
    torch.testing.assert_close(upright[0], torch.from_numpy(grey.astype(np.float32)), atol=1e-3, rtol=0)


def test_what_a_network_was_not_trained_for_is_said(tmp_path, capsys):
    for i in range(20):
        Image.fromarray(np.random.RandomState(i).randint(0, 255, (40, 40), np.uint8)).save(tmp_path / f"{i}.png")
    words = ["evaluate", "--network", "digits-joint", "--count", "2"]
    assert main([*words, "--data", str(tmp_path)]) == 0
    said = capsys.readouterr().err
    assert "trained for images of 28 x 28 pixels, not 64 x 64 and for digits, not" in said
    assert main(words) == 0 and "caution" not in capsys.readouterr().err


TINY = ["--widths", "8,16", "--batch", "4", "--learning-rate", "1e-3"]


def test_train_evaluate_unmix_end_to_end(tmp_path, capsys):
    file = tmp_path / "deep" / "own.safetensors"
    assert main(["train", "--target", "joint", "--mixtures", "40", *TINY, "--out", str(file)]) == 0
    assert "40 mixtures" in capsys.readouterr().out
    rows = tmp_path / "rows.json"
    assert main(["evaluate", "--network", str(file), "--count", "5", "--out", str(rows)]) == 0
    row, = json.loads(rows.read_text())
    assert row["network"] == "own" and row["sampler"] == "joint" and row["tuples"] == 5
    assert json.loads(capsys.readouterr().out) == row
    average(tmp_path / "a.png")
    assert main(["unmix", str(tmp_path / "a.png"), "--network", str(file), "--out", str(tmp_path / "out")]) == 0


def test_training_says_what_it_skipped_and_guessed(tmp_path, capsys):
    files = {f"Person_{i // 4:02d}_{i:04d}.png": packed(noise(i, (20, 60))) for i in range(24)} | {"a.txt": b"hello"}
    words = ["train", "--data", str(fill(tmp_path / "own", files)), "--size", "16", "--mixtures", "4", *TINY, "--out"]
    assert main([*words, str(tmp_path / "a.safetensors")]) == 0
    said = capsys.readouterr().err
    assert "identities: 24: " in said and "1 of no known kind (.txt) ('a.txt')" in said
    assert "cropping keeps only 33 %" in said and "names share 6 beginnings" in said
    more = ["--identity", "^(Person_..)", "--fit", "pad"]
    assert main([*words, str(tmp_path / "b.safetensors"), *more]) == 0
    said = capsys.readouterr().err
    assert "identities: 6: by the pattern" in said and "cropping" not in said and "beginnings" not in said


def test_training_starts_from_the_network_named(tmp_path):
    first, second = (tmp_path / f"{name}.safetensors" for name in ("first", "second"))
    assert main(["train", *TINY, "--mixtures", "40", "--out", str(first)]) == 0
    words = ["--mixtures", "4", "--seed", "5", "--learning-rate", "1e-12", "--ema", "0", f"--start={first}"]
    assert main(["train", *TINY, *words, "--out", str(second)]) == 0
    given, taken = (load_network(file).state_dict() for file in (first, second))
    assert all(torch.allclose(taken[name], given[name], atol=1e-3) for name in given)


def test_a_network_keeps_names_but_no_paths_of_this_machine(tmp_path):
    first, second = (tmp_path / f"{name}.safetensors" for name in ("first", "second"))
    data = fill(tmp_path / "own", {f"a{i}.png": packed(noise(i, (20, 20))) for i in range(24)})
    (tmp_path / "who.csv").write_text("".join(f"a{i}.png,{i // 2}\n" for i in range(24)))
    words = ["--data", str(data), "--size", "16", "--mixtures", "4", "--identity", str(tmp_path / "who.csv")]
    assert main(["train", *TINY, *words, "--out", str(first)]) == 0
    assert main(["train", *TINY, *words, f"--start={first}", "--out", str(second)]) == 0
    content = second.read_bytes()
    assert str(tmp_path).encode() not in content
    _, notes = read_network(content, "second")
    assert notes["settings"]["data"] == "own" and notes["record"]["command"].endswith(
        "--data own --size 16 --mixtures 4 --identity who.csv --start=first.safetensors --out second.safetensors")


def test_training_goes_on_only_with_what_it_began_with(tmp_path, capsys, monkeypatch):
    """Else a person whom it learned from would be among those put aside."""
    files = {f"p{i // 4}_{i}.png": packed(noise(i, (20, 60))) for i in range(60)}
    out = tmp_path / "n.safetensors"
    begun = ["train", "--data", str(fill(tmp_path / "own", files)), "--size", "16", "--mixtures", "4000000", *TINY,
             "--out", str(out)]
    with monkeypatch.context() as stopped:
        stopped.setattr("coldavg.cli.train.after_the_step", lambda: nullcontext([signal.SIGINT]))
        assert main(begun) == 130
    before = out.read_bytes()
    for more, said in ((["--identity", r"^(p\d+)_"], "identity was 'each file is one of its own.*', now 'by the pat"),
                       (["--fit", "pad"], "fit was 'crop', now 'pad'"),
                       (["--size", "20"], "size was .16, 16., now .20")):
        assert main([*begun, *more]) == 2
        error = capsys.readouterr().err.strip().splitlines()[-1]
        assert re.search(f"is of other settings .*{said}.*use those, choose another place, or delete it", error), error
    assert out.read_bytes() == before


def test_ctrl_c_keeps_the_network_so_far_and_kill_leaves_no_half_file(tmp_path, capsys):
    for number, wanted in ((signal.SIGINT, ["n.run", "n.safetensors"]), (signal.SIGKILL, ["n.run"])):
        folder = tmp_path / number.name
        folder.mkdir()
        words = ["train", *TINY, "--mixtures", "100000000", "--out", str(folder / "n.safetensors")]
        command = [sys.executable, "-m", "coldavg.cli", *words]
        process = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                                   env={**os.environ, "OMP_NUM_THREADS": "1"})
        while "mixtures/s" not in process.stderr.read(200):  # until the bar moves
            assert process.poll() is None
        time.sleep(1)
        process.send_signal(number)
        out, error = process.communicate(timeout=60)
        assert sorted(path.name for path in folder.iterdir()) == wanted, error
        if number is signal.SIGINT:
            assert process.returncode == 130 and "Traceback" not in error and "to go on" in out
            assert main(["evaluate", "--network", str(folder / "n.safetensors"), "--count", "2"]) == 0
            seen = int(out.split(": ")[1].split()[0])
            capsys.readouterr()
            assert main([*words, "--seconds", "0.01"]) == 0  # the same command goes on, and here soon ends
            assert int(capsys.readouterr().out.split(": ")[1].split()[0]) == seen + 4
            assert not (folder / "n.run" / "checkpoint.safetensors").exists()
            assert main(words) == 2, "a network that is done is not overwritten"
