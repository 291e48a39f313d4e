"""Opening image sets: folders, zips and tars, digits, prepared copies; and that no test image is ever trained on."""

import hashlib
import os
import shutil
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from coldavg import load
from coldavg.cli import main
from coldavg.imagesets import SETS, open_images, opening
from coldavg.imagesets.named import DECLARED, cache_folder, find_source
from coldavg.imagesets.opening import split_rows
from coldavg.support.files import fingerprint

from .pictures import BROKEN, FILES, PACKERS, fill, idx, noise, packed, tarred, zipped


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("COLDAVG_CACHE", str(tmp_path / "cache"))


@pytest.mark.parametrize("packer", PACKERS)
def test_pictures_come_back_as_they_were_sorted_by_name(packer, tmp_path):
    backwards = dict(reversed(FILES.items()))
    opened = open_images(PACKERS[packer](tmp_path / "own", backwards), "all")
    assert isinstance(opened.pixels, np.memmap) and opened.shape == (10, 3, 64, 64) and opened.broken == ()
    assert all((opened.pixels[i] == noise(i)).all() for i in range(10))
    torch.testing.assert_close((opened[3].permute(1, 2, 0) + 1) * 127.5, torch.from_numpy(noise(3)).float())


def test_indices_of_every_kind(tmp_path):
    opened = open_images(fill(tmp_path / "own", FILES), "train")
    everything = opened[:]
    assert everything.shape == opened.shape == (len(opened), 3, 64, 64) and everything.dtype == torch.float32
    assert everything.min() >= -1 and everything.max() <= 1 and everything.is_contiguous()
    for index in (0, -1, slice(1, 5, 2), np.array([3, 0]), torch.tensor([[0, 1], [2, 0]])):
        assert torch.equal(opened[index], everything[index])
    with pytest.raises(IndexError):
        opened[len(opened)]
    assert torch.equal(load(tmp_path / "own", "train"), everything)


def test_a_hundred_mixed_pictures(tmp_path):
    kinds = ["PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "PPM"]
    files = {}
    for i in range(100):
        kind, mode = kinds[i % 7], ["RGB", "L"][i % 2]
        picture = Image.fromarray(noise(i, (20 + i, 119 - i, 3))).convert(mode)
        files[f"{i:03d}.{kind.lower().replace('jpeg', 'JPG')}"] = packed(picture, kind)
    files |= {"notes.txt": b"no picture", ".hidden.png": b"", "__MACOSX/x.png": b""}
    opened = open_images(fill(tmp_path / "own", files), "all", size=16)
    assert opened.shape == (100, 3, 16, 16) and not opened.broken
    assert [sorted(size) for size in opened.sizes] == [[20, 119], [69, 70]]
    assert len(open_images(tmp_path / "own", size=16)) == 15
    assert open_images(tmp_path / "own", size=16, channels=1).shape == (15, 1, 16, 16)


def test_grey_sets_have_one_channel(tmp_path):
    files = {f"{i}.png": packed(noise(i, (8, 8, 1)).repeat(3, 2)) for i in range(4)}  # grey, saved in colour
    opened = open_images(fill(tmp_path / "own", files), "all", size=8)
    assert opened.shape == (4, 1, 8, 8) and (opened.pixels[2] == noise(2, (8, 8, 1))).all()
    assert isinstance(opened.pixels, np.memmap)
    assert open_images(tmp_path / "own", "all", size=8, channels=3).shape == (4, 3, 8, 8)
    fill(tmp_path / "own", {"4.png": packed(noise(4, (8, 8, 3)))})
    assert open_images(tmp_path / "own", "all", size=8).shape == (5, 3, 8, 8), "a changed folder is read anew"


REFUSED = {
    "empty folder": (lambda path: path.mkdir(), "holds no picture"),
    "no picture": (lambda path: fill(path, {"a.txt": b"a"}), "holds no picture"),
    "nothing but broken": (lambda path: fill(path, BROKEN), "none of the 6 pictures"),
    "two images": (lambda path: fill(path, dict(list(FILES.items())[:2])), "holds 2 image(s) that can be read"),
    "two and broken": (lambda path: fill(path, dict(list(FILES.items())[:2]) | BROKEN), "holds 2 image(s)"),
    "two identities": (lambda path: fill(path, {f"{'ab'[i % 2]}/{name}": each for i, (name, each) in
                                                enumerate(FILES.items())}), "holds 2 identities (each sub-folder"),
    "no zip": (lambda path: path.write_bytes(b"hello"), "is no whole zip or tar"),
    "nothing": (lambda path: path.write_bytes(b""), "is no whole zip or tar"),
    "a cut zip": (lambda path: path.write_bytes(zipped(path, FILES).read_bytes()[:-50]), "is no whole zip or tar"),
    "a cut tar": (lambda path: path.write_bytes(tarred(path, FILES).read_bytes()[:-9000]), "is no whole zip or tar"),
    "absent": (lambda path: None, "or a folder or zip that is there"),
    "all alike": (lambda path: fill(path, {f"{i}.png": FILES["00.png"] for i in range(5)}), "one picture"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_can_not_be_split_is_refused_in_one_line(case, tmp_path, capsys):
    make, words = REFUSED[case]
    make(tmp_path / "own")
    assert main(["data", str(tmp_path / "own")]) == 2
    error = capsys.readouterr().err
    assert words in error and error.count("\n") == 1 and "Traceback" not in error
    assert not list(cache_folder().glob(".*"))


def hashes(images):
    return {image.numpy().tobytes() for image in images}


def test_the_bundled_digits():
    train, test = load("digits", "train"), load("digits", "test")
    assert train.shape == (12_000, 1, 28, 28) and test.shape == (2_000, 1, 28, 28)
    assert train.min() == -1 and train.max() == 1
    assert find_source("digits").stat().st_size < 4e6
    assert not hashes(train) & hashes(test)
    assert test.mean() == pytest.approx(-0.7372, abs=0.01)  # dark ground, bright strokes
    opened, everything = open_images("digits"), open_images("digits", "all")
    assert torch.equal(opened[[[405, 1274]]][0], test[[405, 1274]]) and opened.shape == test.shape
    assert len(everything) == 14_000 and torch.equal(everything[-2000:], test)
    assert opened.sha256 == fingerprint(find_source("digits")) and not opened.flips


def test_full_digits_train_on_no_test_image(tmp_path, monkeypatch):
    """With the real files where there are some; else with small ones of the same form."""
    folder, file = os.environ.get("COLDAVG_DATA", ""), SETS["digits-full"].file
    monkeypatch.setenv(DECLARED, "digits-full")
    if not os.path.isfile(os.path.join(folder, file)):
        pixels = ((load("digits", "train")[:50] + 1) * 127.5).round().byte().numpy()
        (tmp_path / file).write_bytes(idx(pixels[:, 0]))
        monkeypatch.setenv("COLDAVG_DATA", str(tmp_path))
    train = load("digits-full", "train")
    assert not hashes(train) & hashes(load("digits-full", "test"))
    assert torch.equal(load("digits-full", "test"), load("digits", "test"))
    opening.open_digits.cache_clear(), opening.whole.cache_clear()  # 250 MB


def test_absent_data_say_what_to_do(monkeypatch, tmp_path):
    monkeypatch.setenv("COLDAVG_DATA", str(tmp_path))
    monkeypatch.delenv(DECLARED, raising=False)
    with pytest.raises(FileNotFoundError, match="set COLDAVG_DATA to the folder"):
        find_source("digits-full", "train")
    with pytest.raises(FileNotFoundError, match="flowers.zip.*coldavg data flowers"):
        find_source("flowers")
    for wrong in ("cats", "", "no/such/folder"):
        with pytest.raises(ValueError, match="one of digits, digits-full, flowers, faces, portraits, xrays, or"):
            load(wrong)
    with pytest.raises(ValueError, match="one of train, test, all"):
        load("digits", "both")
    with pytest.raises(ValueError, match="'skip' or 'refuse'"):
        load("digits", broken="hide")
    for wrong in ({"size": 2}, {"size": 64.0}, {"channels": 2}):
        with pytest.raises(ValueError, match="size must be from 4 to 1024 and channels 1 or 3"):
            load(zipped(tmp_path / "own.zip", {"1.png": packed(noise(0))}), **wrong)


@given(st.lists(st.tuples(st.integers(0, 30), st.integers(-3, 60)), min_size=3, max_size=80))
def test_a_split_never_leaks(pictures):
    """Any identities, any pictures the same (second number) or broken (it is negative)."""
    seen = {}
    identities = np.array([person for person, _ in pictures])
    first = np.array([seen.setdefault(look, row) if look >= 0 else -1 for row, (_, look) in enumerate(pictures)])
    if not (first >= 0).any():
        return
    rows = split_rows(first, identities)
    again = split_rows(first, identities * 7 + 3)  # only the order of the identities counts
    assert all((rows[split] == again[split]).all() for split in rows)
    train, test, both = (set(rows[split].tolist()) for split in ("train", "test", "all"))
    assert not train & test and both == set(np.flatnonzero(first >= 0).tolist())
    left_out = both - train - test
    assert all(first[row] in first[list(train)] for row in left_out), "only for the same pixels in training"
    assert not set(identities[list(train)]) & set(identities[list(test | left_out)])
    assert not set(first[list(train)]) & set(first[list(test)])
    people = len(set(identities[list(both)]))
    assert len(set(identities[list(test | left_out)])) == -(-15 * people // 100)
    assert all((np.diff(rows[split]) > 0).all() for split in rows), "in order"


def test_a_split_never_changes():
    """Networks have been trained on it."""
    rows = split_rows(np.arange(20), np.arange(20))
    assert rows["test"].tolist() == [1, 18, 19]
    by_person = split_rows(np.arange(20), np.arange(20) // 4)
    assert by_person["test"].tolist() == [8, 9, 10, 11] and by_person["train"].tolist() == [*range(8), *range(12, 20)]


# The prepared copies: SHA-256 of the files and of the pixels of their splits
PREPARED = {"flowers": "608189d5733ecb006fdab5a15ea0d1f64cbfc160cc255f5dc590b927a6acc53d",
            "faces": "9a70d5cc8f3676d39a121bda4d6b47d05970eec4edf02d010949835ce8dc662d",
            "portraits": "c00743af29ab30dd0784d87e9c5d75ab411e01f3f19b9f361374f581f47193c8",
            "xrays": "b33a3873c9f4498fd4a1902428b56e8d005c5ef247e04a31860aabf5ba8b05bd"}
PIXELS = {
    ("flowers", "train"): (6261, "409c3e4d47bc373bf896577ce45e1a632ffd45c20828a31ff3cd3e6f6f35eb41"),
    ("flowers", "test"): (1105, "6dda0190f04adee6dde6c8d0b680b0b69a168749034e1b18e078babd68075ef6"),
    ("faces", "train"): (11238, "29398ed89e5397640df1eae8193d16cf5459e8038375f3928095852b3a83dc8f"),
    ("faces", "test"): (1994, "d17282b80cf0139a92002a61ab552f70e7bea542a008a04b633f5b888b1d413b"),
    ("portraits", "train"): (8425, "64369c946cd17104b05411ea3fd6ee8ee42f294e90b439036e098e7a3e61e235"),
    ("portraits", "test"): (1487, "848c0c9c9c0e010081d5d741c74455dba42e3655bec6e59fc6b3c6a9e1aa353d"),
    ("xrays", "train"): (8499, "c04800c688f4e9bbeee6e2d91df9ef6e719e54ff8e7ec4136b0edc77326bf410"),
    ("xrays", "test"): (1500, "5b0b10ed70bf0f71da97a246598639691a759cea9e835342afe84d1b875e5feb"),
}


@pytest.mark.parametrize("name", [pytest.param(name, marks=pytest.mark.needs(name)) for name in PREPARED])
def test_the_prepared_copies(name):
    """The splits are those that the networks of the package were trained on, and do not leak."""
    file = Path(os.environ.get("COLDAVG_DATA", "")) / f"{name}.zip"
    if not file.is_file() or fingerprint(file) != PREPARED[name]:
        pytest.skip(f"no prepared copy of {name}")
    opened = {split: open_images(name, split) for split in ("train", "test")}
    looks = {}
    for split, images in opened.items():
        assert isinstance(images.pixels, np.memmap) and images.flips and images.sha256 == PREPARED[name]
        pixels = images.pixels[images.rows]
        assert (len(images), hashlib.sha256(pixels.tobytes()).hexdigest()) == PIXELS[name, split]
        looks[split] = {hashlib.sha256(each.tobytes()).digest() for each in pixels}
    assert not looks["train"] & looks["test"], "no test image is trained on"
    people = {split: set(images.identities.tolist()) for split, images in opened.items()}
    assert not people["train"] & people["test"], "and no test person"
    assert (max(Counter(opened["train"].identities.tolist()).values()) > 1) == (name == "faces")
    opening.open_decoded.cache_clear()
    shutil.rmtree(cache_folder())  # up to 160 MB
