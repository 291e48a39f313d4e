"""Named image sets, how they are fetched and split, the fixed tuples; and that no test image is ever trained on."""

import gzip
import hashlib
import os
import shutil
import struct
import threading
from collections import Counter
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from coldavg import data, load, test_tuples
from coldavg.cli import main
from coldavg.data import (
    MNIST,
    SETS,
    cache_folder,
    data_file,
    fingerprint,
    open_images,
    read_idx,
    split_rows,
    write_atomically,
)

from .test_images import disk_of, noise, packed, tarred, zipped


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("COLDAVG_CACHE", str(tmp_path / "cache"))


def hashes(images):
    return {image.numpy().tobytes() for image in images}


def test_the_bundled_digits():
    train, test = load("digits", "train"), load("digits", "test")
    assert train.shape == (12_000, 1, 28, 28) and test.shape == (2_000, 1, 28, 28)
    assert train.min() == -1 and train.max() == 1
    assert data_file("digits").stat().st_size < 4e6
    assert not hashes(train) & hashes(test)
    assert test.mean() == pytest.approx(-0.7372, abs=0.01)  # dark ground, bright strokes
    opened, everything = open_images("digits"), open_images("digits", "all")
    assert torch.equal(opened[[[405, 1274]]][0], test[[405, 1274]]) and opened.shape == test.shape
    assert len(everything) == 14_000 and torch.equal(everything[-2000:], test)
    assert opened.sha256 == fingerprint(data_file("digits")) and not opened.flips


def test_full_digits_train_on_no_test_image(tmp_path, monkeypatch):
    """With the real files where there are some; else with small ones of the same form."""
    folder = os.environ.get("COLDAVG_DATA", "")
    if not os.path.isfile(os.path.join(folder, MNIST["train"])):
        pixels = ((load("digits", "train")[:50] + 1) * 127.5).round().byte().numpy()
        (tmp_path / MNIST["train"]).write_bytes(idx(pixels[:, 0]))
        monkeypatch.setenv("COLDAVG_DATA", str(tmp_path))
    train = load("digits-full", "train")
    assert not hashes(train) & hashes(load("digits-full", "test"))
    assert torch.equal(load("digits-full", "test"), load("digits", "test"))
    data.open_digits.cache_clear(), data.whole.cache_clear()  # 250 MB


def idx(array):
    header = struct.pack(f">HBB{array.ndim}i", 0, 8, array.ndim, *array.shape)
    return gzip.compress(header + array.tobytes())


def test_an_idx_file_comes_back_as_it_was(tmp_path):
    array = np.arange(24, dtype=np.uint8).reshape(2, 3, 4)
    (tmp_path / "a.gz").write_bytes(idx(array))
    assert (read_idx(tmp_path / "a.gz") == array).all()


@pytest.mark.parametrize("content", [b"", b"no gzip", gzip.compress(b"ab"), idx(np.zeros((2, 3, 4), np.uint8))[:-9],
                                     gzip.compress(struct.pack(">HBB3i", 0, 8, 3, 9, 9, 9) + b"short")])
def test_a_broken_idx_file_is_named(tmp_path, content):
    (tmp_path / "a.gz").write_bytes(content)
    with pytest.raises(ValueError, match="a.gz is no readable idx file"):
        read_idx(tmp_path / "a.gz")


def test_absent_data_say_what_to_do(monkeypatch, tmp_path):
    monkeypatch.setenv("COLDAVG_DATA", str(tmp_path))
    with pytest.raises(FileNotFoundError, match="set COLDAVG_DATA to the folder"):
        data_file("digits-full", "train")
    with pytest.raises(FileNotFoundError, match="flowers.zip.*coldavg data flowers"):
        data_file("flowers")
    for wrong in ("cats", "", "no/such/folder"):
        with pytest.raises(ValueError, match="one of digits, digits-full, flowers, faces, xrays, or a folder or zip"):
            load(wrong)
    with pytest.raises(ValueError, match="one of train, test, all"):
        load("digits", "both")
    with pytest.raises(ValueError, match="'skip' or 'refuse'"):
        load("digits", broken="hide")
    for wrong in ({"size": 2}, {"size": 64.0}, {"channels": 2}):
        with pytest.raises(ValueError, match="size must be from 4 to 1024 and channels 1 or 3"):
            load(zipped(tmp_path / "own.zip", {"1.png": packed(noise(0))}), **wrong)


@pytest.mark.parametrize("k", [2, 3, 4])
def test_the_tuples_of_the_protocol(k):
    rows = test_tuples(2000, k)
    assert rows.shape == (1000, k) and torch.equal(rows, test_tuples(2000, k))
    assert len(set(rows[:, 0].tolist())) == 1000, "each first image once"
    assert all(len(set(row)) == k for row in rows.tolist())
    assert rows.min() >= 0 and rows.max() < 2000
    counts = rows[:, 1:].flatten().bincount(minlength=2000).float()
    assert counts.mean() == pytest.approx((k - 1) / 2) and counts.max() <= 8  # partners are spread over all
    assert not torch.equal(rows, test_tuples(2000, k, seed=1))
    with pytest.raises(ValueError, match="at least count"):
        test_tuples(10, k)


def test_the_tuples_never_change():
    """Every stored result rests on them."""
    assert test_tuples(2000)[:3].tolist() == [[405, 1274], [1190, 1647], [1132, 1951]]


def test_writing_is_all_or_nothing(tmp_path):
    path = tmp_path / "a"
    write_atomically(path, b"old")
    with pytest.raises(TypeError):
        write_atomically(path, "no bytes")
    assert path.read_bytes() == b"old" and list(tmp_path.iterdir()) == [path]


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
FILES = {"flowers": "608189d5733ecb006fdab5a15ea0d1f64cbfc160cc255f5dc590b927a6acc53d",
         "faces": "9a70d5cc8f3676d39a121bda4d6b47d05970eec4edf02d010949835ce8dc662d",
         "xrays": "b33a3873c9f4498fd4a1902428b56e8d005c5ef247e04a31860aabf5ba8b05bd"}
PIXELS = {
    ("flowers", "train"): (6261, "409c3e4d47bc373bf896577ce45e1a632ffd45c20828a31ff3cd3e6f6f35eb41"),
    ("flowers", "test"): (1105, "6dda0190f04adee6dde6c8d0b680b0b69a168749034e1b18e078babd68075ef6"),
    ("faces", "train"): (11238, "29398ed89e5397640df1eae8193d16cf5459e8038375f3928095852b3a83dc8f"),
    ("faces", "test"): (1994, "d17282b80cf0139a92002a61ab552f70e7bea542a008a04b633f5b888b1d413b"),
    ("xrays", "train"): (8499, "c04800c688f4e9bbeee6e2d91df9ef6e719e54ff8e7ec4136b0edc77326bf410"),
    ("xrays", "test"): (1500, "5b0b10ed70bf0f71da97a246598639691a759cea9e835342afe84d1b875e5feb"),
}


@pytest.mark.parametrize("name", FILES)
def test_the_prepared_copies(name):
    """The splits are those that the networks of the package were trained on, and do not leak."""
    file = Path(os.environ.get("COLDAVG_DATA", "")) / f"{name}.zip"
    if not file.is_file() or fingerprint(file) != FILES[name]:
        pytest.skip(f"no prepared copy of {name}")
    opened = {split: open_images(name, split) for split in ("train", "test")}
    looks = {}
    for split, images in opened.items():
        assert isinstance(images.pixels, np.memmap) and images.flips and images.sha256 == FILES[name]
        pixels = images.pixels[images.rows]
        assert (len(images), hashlib.sha256(pixels.tobytes()).hexdigest()) == PIXELS[name, split]
        looks[split] = {hashlib.sha256(each.tobytes()).digest() for each in pixels}
    assert not looks["train"] & looks["test"], "no test image is trained on"
    people = {split: set(images.identities.tolist()) for split, images in opened.items()}
    assert not people["train"] & people["test"], "and no test person"
    assert (max(Counter(opened["train"].identities.tolist()).values()) > 1) == (name == "faces")
    data.open_decoded.cache_clear()
    shutil.rmtree(cache_folder())  # up to 160 MB


class Home(BaseHTTPRequestHandler):
    """A public home of image sets: `files` by path; of /cut... only the first half arrives."""

    files: dict[str, bytes] = {}
    asked: list[str] = []

    def do_GET(self):
        self.asked.append(self.path)
        content = self.files.get(self.path)
        if content is None:
            return self.send_error(404)
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content[: len(content) // 2] if self.path.startswith("/cut") else content)

    def log_message(self, *words):
        pass


@pytest.fixture
def home(monkeypatch):
    """Its address; all else of the network is not to be had."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Home)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.delenv("COLDAVG_DATA", raising=False)
    monkeypatch.setattr(Home, "files", {})
    monkeypatch.setattr(Home, "asked", [])
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def publish(monkeypatch, home, name, path, content, **known):
    """Put `content` at the home, as the public file of the set `name`."""
    Home.files[path] = content
    known = {"hash": f"md5:{hashlib.md5(content).hexdigest()}", "address": home + path} | known
    monkeypatch.setitem(SETS, name, replace(SETS[name], **known))


def flowers(tmp_path):
    """A tar as that of the flowers, of larger images, not sorted, with others beside them."""
    files = {f"jpg/image_{i:05d}.jpg": packed(noise(i, (80, 120, 3)), "JPEG") for i in (5, 3, 9, 1, 7, 2, 8)}
    return tarred(tmp_path / "made.tgz", files | {"other/x.jpg": packed(noise(0), "JPEG")}).read_bytes()


def test_flowers_are_fetched_once(home, monkeypatch, tmp_path, capsys):
    publish(monkeypatch, home, "flowers", "/102flowers.tgz", flowers(tmp_path))
    opened = open_images("flowers", "all")
    assert SETS["flowers"].terms in capsys.readouterr().err
    assert opened.shape == (7, 3, 64, 64) and opened.sizes == ((120, 80),) * 2 and opened.flips
    assert len(open_images("flowers", "train")) == 5 and len(open_images("flowers")) == 2, "image by image"
    assert Home.asked == ["/102flowers.tgz"] and capsys.readouterr().err == "", "terms are shown once"
    assert opened.sha256 == fingerprint(cache_folder() / "102flowers.tgz") and data_file("flowers") == opened.source
    assert not [path for path in cache_folder().rglob("*") if path.suffix == ".jpg"], "nothing is extracted"
    assert main(["data", "flowers"]) == 0 and opened.sha256 in capsys.readouterr().out
    monkeypatch.setenv("COLDAVG_DATA", str(tmp_path))
    zipped(tmp_path / "flowers.zip", {f"flowers/{i}/{i}.png": packed(noise(i)) for i in range(4)})
    assert len(open_images("flowers", "all")) == 4, "a prepared copy comes first"


def test_xrays_are_the_grey_images_of_their_folder(home, monkeypatch, tmp_path):
    files = {f"MedNIST/{kind}/{i:06d}.jpeg": packed(noise(i, (64, 64)), "JPEG")
             for i in range(4) for kind in ("CXR", "Hand")}
    publish(monkeypatch, home, "xrays", "/MedNIST.tar.gz", tarred(tmp_path / "made", files).read_bytes())
    assert open_images("xrays", "all").shape == (4, 1, 64, 64) and not open_images("xrays").broken


def test_the_whole_of_mnist_is_fetched(home, monkeypatch):
    pixels = noise(0, (30, 28, 28))
    publish(monkeypatch, home, "digits-full", f"/{MNIST['train']}", idx(pixels))
    assert load("digits-full").shape == (2000, 1, 28, 28) and not Home.asked, "its test images are in the package"
    assert (open_images("digits-full", "train").pixels[:30, ..., 0] == pixels).all()
    assert Home.asked == [f"/{MNIST['train']}"]


NAMES = ["Ann_Bo_0001", "Ann_Bo_0002", "Ann_Boe_0001", "Cy_0001", "Cy_0002", "Cy_0003", "Di_0001"]


def faces(tmp_path, names=NAMES, size=64):
    files = {f"lfwcrop_color/faces/{name}.ppm": packed(noise(i, (size, size, 3)), "PPM")
             for i, name in enumerate(names)}
    return zipped(tmp_path / "made.zip", files | {"lfwcrop_color/README": b"Ann Bo"}).read_bytes()


@pytest.mark.parametrize("by_hand", [False, True])
def test_faces_are_numbered_and_no_name_is_kept(home, monkeypatch, tmp_path, capsys, by_hand):
    publish(monkeypatch, home, "faces", "/lfwcrop_color.zip", faces(tmp_path), hash=None, images=len(NAMES))
    if by_hand:
        cache_folder().mkdir()
        shutil.copy(tmp_path / "made.zip", cache_folder() / "lfwcrop_color.zip")
    opened = open_images("faces", "all")
    assert len(Home.asked) == (not by_hand)
    assert opened.identities.tolist() == [0, 0, 1, 2, 2, 2, 3]
    assert all((opened.pixels[i] == noise(i)).all() for i in range(7)), "bit for bit"
    train, test = open_images("faces", "train"), open_images("faces")
    assert not set(train.identities) & set(test.identities) and len(train) + len(test) == 7
    assert main(["data", "faces"]) == 0
    said = "".join(capsys.readouterr()).encode()
    for kept in [said, *(path.read_bytes() for path in cache_folder().iterdir())]:
        assert not any(name.encode() in kept for name in ("Ann_", "Cy_0", "Di_0"))


@pytest.mark.parametrize("content, words", [
    (lambda path: faces(path, NAMES[1:]), "holds 6 pictures, not 7"),
    (lambda path: faces(path, size=60), "broken or not 64 x 64"),
    (lambda path: faces(path).replace(b"P6", b"P9", 1), "broken or not 64 x 64"),
    (lambda path: faces(path)[:-30], "no whole zip or tar"),
])
def test_foreign_faces_are_refused_without_a_name(home, monkeypatch, tmp_path, capsys, content, words):
    publish(monkeypatch, home, "faces", "/lfwcrop_color.zip", content(tmp_path), hash=None, images=7)
    assert main(["data", "faces"]) == 2
    error = capsys.readouterr().err
    assert words in error and "Ann" not in error and not (cache_folder() / "faces.zip").exists()


TROUBLE = {
    "cut connection": ({"address": "/cut"}, "can't be fetched (ChunkedEncodingError)"),
    "wrong hash": ({"hash": "md5:" + "0" * 32}, "its hash differs"),
    "not there": ({"address": "/absent"}, "can't be fetched (status 404)"),
    "no network": ({"address": "http://127.0.0.1:9"}, "can't be fetched (ConnectionError)"),
}


@pytest.mark.parametrize("case", TROUBLE)
def test_what_can_not_be_fetched_says_how_to_place_it_by_hand(home, monkeypatch, tmp_path, capsys, case):
    known, words = TROUBLE[case]
    content = flowers(tmp_path)
    Home.files["/cut/102flowers.tgz"] = content
    if "address" in known:
        known = {"address": (known["address"] if "http" in known["address"] else home + known["address"])
                 + "/102flowers.tgz"}
    publish(monkeypatch, home, "flowers", "/102flowers.tgz", content, **known)
    assert main(["data", "flowers"]) == 2
    terms, fetching, error = capsys.readouterr().err.splitlines()
    assert words in error and SETS["flowers"].address in error
    assert f"by hand and put it into {str(cache_folder())!r}, or set COLDAVG_DATA" in error and "flowers.zip" in error
    assert not list(cache_folder().iterdir())
    with pytest.raises(FileNotFoundError if case != "wrong hash" else ValueError):
        load("flowers")
    (cache_folder() / "102flowers.tgz").write_bytes(content)  # as it says
    if case != "wrong hash":
        assert len(open_images("flowers", "all")) == 7
    else:
        with pytest.raises(ValueError, match="its hash differs; delete it"):
            load("flowers")


def test_a_disk_that_is_full_while_fetching(home, monkeypatch, tmp_path, capsys):
    publish(monkeypatch, home, "flowers", "/102flowers.tgz", flowers(tmp_path))
    with disk_of(10_000):
        assert main(["data", "flowers"]) == 2
    assert "set COLDAVG_CACHE to another folder" in capsys.readouterr().err.splitlines()[-1]
    assert not list(cache_folder().iterdir())
    assert len(open_images("flowers", "all")) == 7


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(0, 9), min_size=12, max_size=60), st.integers(2, 4), st.integers(0, 99))
def test_nobody_is_in_a_tuple_twice(people, k, seed):
    people = np.array(people)
    if len(set(people)) < k:
        with pytest.raises(ValueError, match=f"identities must be at least k = {k}"):
            test_tuples(len(people), k, 10, seed, people)
    else:
        rows = test_tuples(len(people), k, 10, seed, people)
        assert all(len(set(people[row])) == k for row in rows.numpy()) and len(set(rows[:, 0].tolist())) == 10
