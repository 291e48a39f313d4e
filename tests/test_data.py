"""The bundled digits, the idx files, the fixed tuples; and that no test image is ever trained on."""

import gzip
import os
import struct

import numpy as np
import pytest
import torch

from coldavg import load, test_tuples
from coldavg.data import MNIST, data_file, read_idx, write_atomically


def hashes(images):
    return {image.numpy().tobytes() for image in images}


def test_the_bundled_digits():
    train, test = load("digits", "train"), load("digits", "test")
    assert train.shape == (12_000, 1, 28, 28) and test.shape == (2_000, 1, 28, 28)
    assert train.min() == -1 and train.max() == 1
    assert data_file("digits").stat().st_size < 4e6
    assert not hashes(train) & hashes(test)
    assert test.mean() == pytest.approx(-0.7372, abs=0.01)  # dark ground, bright strokes


def test_full_digits_train_on_no_test_image(tmp_path, monkeypatch):
    """With the real files where there are some; else with small ones of the same form."""
    folder = os.environ.get("COLDAVG_DATA", "")
    if not os.path.isfile(os.path.join(folder, MNIST["train"])):
        pixels = ((load("digits", "train")[:50] + 1) * 127.5).round().byte().numpy()
        (tmp_path / MNIST["train"]).write_bytes(idx(pixels[:, 0]))
        monkeypatch.setenv("COLDAVG_DATA", str(tmp_path))
    load.cache_clear()
    train = load("digits-full", "train")
    assert not hashes(train) & hashes(load("digits-full", "test"))
    assert torch.equal(load("digits-full", "test"), load("digits", "test"))
    load.cache_clear()


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
    with pytest.raises(ValueError, match="one of digits, digits-full, got 'cats'"):
        load("cats")
    with pytest.raises(ValueError, match="one of train, test"):
        load("digits", "all")


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
