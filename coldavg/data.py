"""Image sets: bundled digits, the whole of MNIST, and the fixed test tuples of the protocol."""

import gzip
import hashlib
import os
from functools import cache
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

BUNDLED = Path(__file__).parent / "digits.npz"
MNIST = {"train": "train-images-idx3-ubyte.gz", "test": "t10k-images-idx3-ubyte.gz"}
SPLITS = ("train", "test")


def data_file(name: str, split: str = "test") -> Path:
    """The file that holds image set `name` ("digits" or "digits-full"); `split` is "train" or "test".

    "digits" is part of the package: 12,000 training and 2,000 test images of MNIST.  "digits-full"
    trains on all 60,000, from the idx files in the folder that COLDAVG_DATA names; its test images
    are the bundled 2,000, so that results stay comparable.  Raises ValueError or FileNotFoundError.
    """
    if split not in SPLITS:
        raise ValueError(f"split must be one of {', '.join(SPLITS)}, got {split!r}")
    if name == "digits" or (name, split) == ("digits-full", "test"):
        return BUNDLED
    if name != "digits-full":
        raise ValueError(f"data must be one of digits, digits-full, got {name!r}")
    file = Path(os.environ.get("COLDAVG_DATA", ".")) / MNIST[split]
    if not file.is_file():
        raise FileNotFoundError(
            f"data 'digits-full' needs the file {file.name}, not found in {str(file.parent)!r}; "
            "set COLDAVG_DATA to the folder that holds it, or use the bundled 'digits'"
        )
    return file


def fingerprint(file: Path) -> str:
    """The SHA-256 of a file, in hexadecimal: rows of results are compared only where it is equal."""
    return hashlib.sha256(Path(file).read_bytes()).hexdigest()


@cache
def load(name: str, split: str = "test") -> Tensor:
    """All images of a split: (N, C, H, W) float32 in [-1, 1]; see `data_file` for names and errors.

    The tensor is kept and handed out again: do not change it in place.

    >>> load("digits").shape
    torch.Size([2000, 1, 28, 28])
    """
    file = data_file(name, split)
    if file == BUNDLED:
        with np.load(file) as arrays:
            images = arrays[f"{split}_images"]
    else:
        images = read_idx(file)
    return torch.from_numpy(images)[:, None].float() / 127.5 - 1


def read_idx(file: Path) -> np.ndarray:
    """The array (uint8) in a gzipped idx file, the format of MNIST: http://yann.lecun.com/exdb/mnist/."""
    try:
        raw = gzip.decompress(Path(file).read_bytes())
        sides = np.frombuffer(raw, ">i4", count=raw[3], offset=4)
        return np.frombuffer(raw, np.uint8, offset=4 + 4 * raw[3]).reshape(sides).copy()
    except (OSError, EOFError, ValueError, IndexError) as error:
        raise ValueError(f"{file} is no readable idx file ({error}); fetch it again") from None


def test_tuples(images: int, k: int = 2, count: int = 1000, seed: int = 0) -> Tensor:
    """The protocol's tuples: (count, k) indices into `images` test images, no image twice in a tuple.

    `count` seeded images stand once each in first place; their partners are drawn among all others.
    RandomState is used because NumPy promises that its stream never changes.
    """
    if count < 1 or k < 2:
        raise ValueError(f"count must be at least 1 and k at least 2, got {count} and {k}")
    if images < max(count, k):
        raise ValueError(f"images must be at least count = {count} and k = {k}, got {images}")
    random = np.random.RandomState(seed)
    rows = []
    for first in random.permutation(images)[:count]:
        partners = random.choice(images - 1, size=k - 1, replace=False)
        rows.append([first, *(partners + (partners >= first))])  # skips `first` itself
    return torch.tensor(np.array(rows))


test_tuples.__test__ = False  # a name that pytest must not collect


def write_atomically(path: Path, content: bytes) -> None:
    """Write beside `path`, then rename: a reader sees the old file or the new one, never half of one."""
    path = Path(path)
    half = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        half.write_bytes(content)
        os.replace(half, path)
    finally:
        half.unlink(missing_ok=True)
