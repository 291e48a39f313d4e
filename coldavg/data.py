"""Image sets: bundled digits, sets fetched from their public homes, a folder of one's own; the protocol's tuples."""

import hashlib
import json
import math
import os
import sys
import warnings
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import pooch
import torch
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d
from tqdm.auto import tqdm

from .images import decode_all, entries, fingerprint, numbered_copy, read_decoded, read_idx, replacing, writable

BUNDLED = Path(__file__).parent / "digits.npz"
MNIST = {"train": "train-images-idx3-ubyte.gz", "test": "t10k-images-idx3-ubyte.gz"}
SPLITS = ("train", "test", "all")
FOLDER = r"(.+?)/"  # the first sub-folder is the identity


@dataclass(frozen=True)
class NamedSet:
    """What is known of an image set that has a name.

    `hash` is of the public file, as pooch writes it, or there are so many `images` to be counted; `inside`
    is the folder in there, `identity` the person in a file's name (see `images.numbered`), None where images
    are split one by one.  `flips`: mirrored images may be drawn in training.
    """

    name: str
    terms: str
    address: str | None = None
    hash: str | None = None
    inside: str = ""
    images: int = 0
    size: int = 64
    channels: int = 3
    flips: bool = True
    identity: str | None = None

    @property
    def file(self) -> str:
        """The name of the public file."""
        return self.address.rsplit("/", 1)[1]

    @property
    def local(self) -> str:
        """The name of a prepared copy."""
        return self.file if self.size == 28 else f"{self.name}.zip"

    @property
    def cached(self) -> str:
        """The name in the cache: the public file, or a copy without the names of people."""
        return self.file if self.identity is None else self.local


SETS = {row.name: row for row in (
    NamedSet("digits", "MNIST, CC BY-SA 3.0", size=28, channels=1, flips=False),
    # address and MD5: torchvision, datasets/mnist.py
    NamedSet("digits-full", "MNIST, CC BY-SA 3.0",
             "https://ossci-datasets.s3.amazonaws.com/mnist/train-images-idx3-ubyte.gz",
             "md5:f68b3c2dcbeaaa9fbdd348bbdeb94873", size=28, channels=1, flips=False),
    # address and SHA-256: Lux.jl, examples/DDIM/main.jl; address: torchvision, datasets/flowers102.py
    NamedSet("flowers", "Oxford 102 Flowers (Nilsback and Zisserman 2008), for research",
             "https://www.robots.ox.ac.uk/~vgg/data/flowers/102/102flowers.tgz",
             "sha256:2d01ecc807db462958cfe3d92f57a8c252b4abd240eb955770201e45f783b246", inside="jpg/"),
    # address: the page conradsanderson.id.au/lfwcrop, which gives no hash; Name_0001.ppm is the first of a person
    NamedSet("faces", "LFWcrop (Huang et al. 2007, Sanderson 2009), for research; do not name the people",
             "https://conradsanderson.id.au/lfwcrop/lfwcrop_color.zip",
             None, "lfwcrop_color/faces/", 13_233, identity=r"(.+)_\d+\."),
    # address and MD5: MONAI, monai/apps/datasets.py
    NamedSet("xrays", "MedNIST chest X-rays (B. J. Erickson, Mayo Clinic; from TCIA, RSNA, NIH), CC BY-SA 4.0; "
             "patients are not told apart: one may be in both splits",
             "https://github.com/Project-MONAI/MONAI-extra-test-data/releases/download/0.8.1/MedNIST.tar.gz",
             "md5:0bc7306e7427e00ad1c5526a6677552d", inside="MedNIST/CXR/", channels=1),
)}


@dataclass(frozen=True, eq=False)
class ImageSet:
    """One split of an image set, left on disk: `images[index]` reads the images that it names.

    `pixels` (M, H, W, C) uint8 is all that the source holds, a memory map for all but digits; `rows` (N,)
    are those of this split, in order, `identities` (N,) who is in them.  `sha256` is that of the source's
    file, of a folder that of its names and contents: results are compared, and networks known not to have
    seen the test images, only where it is equal.  `broken` names the files that were skipped, `sizes` are
    the smallest and the largest picture (W, H) before they were resized, `flips` says whether training may
    mirror images.

    >>> images = open_images("digits")
    >>> images.shape, images[[[405, 1274]]].shape
    ((2000, 1, 28, 28), torch.Size([1, 2, 1, 28, 28]))
    """

    name: str
    pixels: np.ndarray
    rows: np.ndarray
    identities: np.ndarray
    source: Path
    sha256: str
    broken: tuple[str, ...]
    sizes: tuple[tuple[int, int], tuple[int, int]]
    flips: bool

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """(N, C, H, W)"""
        _, height, width, channels = self.pixels.shape
        return len(self), channels, height, width

    def __getitem__(self, index) -> Tensor:
        """Images (..., C, H, W) float32 in [-1, 1]; `index`: a number, a slice, or whole numbers of any shape (...)."""
        rows = self.rows[index.numpy() if isinstance(index, Tensor) else index]
        pixels = torch.from_numpy(np.array(self.pixels[rows]))  # (..., H, W, C)
        return pixels.movedim(-1, -3).contiguous().float() / 127.5 - 1


def open_images(data: str | Path = "digits", split: str = "test", size: int = 64, channels: int | None = None,
                broken: str = "skip") -> ImageSet:
    """An image set by its name in SETS, or any folder, zip or tar of images, decoded once into the cache.

    `split` is "train", "test" or "all".  Images are cropped to their middle square and resized to `size`;
    digits stay 28 x 28 and grey.  `channels` is 1 or 3 (None: those of the named set; else 1 if every image
    is grey, 3 if not).  `broken` files are skipped ("skip") or refused ("refuse").

    The split is seeded, and by identity for faces and for folders of one's own with sub-folders, each of
    which is one: 15 % of the identities, rounded up, are test; elsewhere 15 % of the images.  A test image
    whose very pixels stand in training too (LFW has a photograph under two people) is left out of test.
    It follows from the names in the source, so a downloaded copy splits otherwise than another copy with
    another `sha256`, and its test images may be among those that the networks of this package have seen.

    A named set is looked for in the folder COLDAVG_DATA, then in the cache (`cache_folder`), then fetched.
    Raises ValueError (unknown, unreadable, too few images), FileNotFoundError (can't be fetched), OSError
    (can't be cached).
    """
    if broken not in ("skip", "refuse"):
        raise ValueError(f"broken must be 'skip' or 'refuse', got {broken!r}")
    if type(size) is not int or not 4 <= size <= 1024 or channels not in (None, 1, 3):
        raise ValueError(f"size must be from 4 to 1024 and channels 1 or 3, got {size} and {channels}")
    known = SETS.get(str(data))
    source = data_file(data, split, fetch=True)
    if known is not None and known.size == 28:
        return open_digits(known, split, source, fingerprint(source))
    channels = known.channels if known and channels is None else channels
    images = open_decoded(str(data), split, source, source_key(source), size, channels)
    if images.broken and broken == "refuse":
        raise ValueError(f"{told(images.broken)} in {str(source)!r} can't be read; repair or remove them, or skip them")
    return images


def load(data: str | Path = "digits", split: str = "test", size: int = 64, channels: int | None = None,
         broken: str = "skip") -> Tensor:
    """All images of a split: (N, C, H, W) float32 in [-1, 1]; see `open_images` for the rest, and for large sets.

    The tensor is kept and handed out again: do not change it in place.

    >>> load("digits").shape
    torch.Size([2000, 1, 28, 28])
    """
    return whole(open_images(data, split, size, channels, broken))


@cache
def whole(images: ImageSet) -> Tensor:
    if images.broken:
        warnings.warn(f"skipped {told(images.broken)} in {str(images.source)!r}: can't be read", stacklevel=3)
    return images[:]


def told(names: tuple[str, ...]) -> str:
    """So many files, and the first names of them."""
    return f"{len(names)} file(s) ({', '.join(ascii(name) for name in names[:5])}{', ...' if len(names) > 5 else ''})"


@cache
def open_digits(known: NamedSet, split: str, source: Path, sha256: str) -> ImageSet:
    """The digits of the package; for "digits-full" the training images of the idx file `source`."""
    with np.load(BUNDLED) as arrays:
        train, test = arrays["train_images"], arrays["test_images"]
    if source != BUNDLED:
        train = read_idx(source)
    pixels, rows = np.concatenate([train, test])[..., None], np.arange(len(train) + len(test))
    rows = {"train": rows[:len(train)], "test": rows[len(train):], "all": rows}[split]
    return ImageSet(known.name, pixels, rows, rows, source, sha256, (), ((28, 28), (28, 28)), known.flips)


@cache
def open_decoded(data: str, split: str, source: Path, key: str, size: int, channels: int | None) -> ImageSet:
    """An image set that `decode_all` has decoded, now or before; `key` tells one content of `source` from another."""
    known = SETS.get(data)
    public = known is not None and source.name == known.file  # a prepared copy has another name
    file = cache_folder() / f"{known.name if known else 'own'}-{key[:32]}-{size}x{channels or 3}-v1.npy"
    try:
        pixels, facts = read_decoded(file)
    except (OSError, EOFError, ValueError, KeyError):  # not yet, or damaged
        if public:
            check_hash(known, source)
        with writable(file.parent):
            decode_all(source, file, size, channels or 3, known.inside if public else "",
                       None if known and known.identity is None else FOLDER)
        pixels, facts = read_decoded(file)
    first, identities = np.array(facts["first"]), np.array(facts["identities"])
    sizes = tuple((wide, tall) for wide, tall in facts["sizes"])
    rows = split_rows(first, identities)[split]
    if split != "all":
        check_enough(source, first, identities, len(rows))
    pixels = pixels[..., :1] if channels is None and facts["grey"] else pixels
    sha256 = facts["sha256"] if source.is_dir() else key
    return ImageSet(data, pixels, rows, identities[rows], source, sha256, tuple(facts["broken"]), sizes,
                    known.flips if known else True)


def check_enough(source: Path, first: np.ndarray, identities: np.ndarray, chosen: int) -> None:
    """ValueError if there are too few images or identities for a split."""
    images, people = (first >= 0).sum(), len(np.unique(identities[first >= 0]))
    if images < 3:
        raise ValueError(f"{str(source)!r} holds {images} image(s) that can be read; a split needs at least 3")
    if len(np.unique(first[first >= 0])) == 1:
        raise ValueError(f"{str(source)!r} holds one picture {images} times over; name images that differ")
    if people < 3:
        raise ValueError(f"{str(source)!r} holds {people} sub-folder(s), each one identity; a split needs at least 3: "
                         "put each person into a sub-folder, or all images into one folder with none")
    if not chosen:
        raise ValueError(f"{str(source)!r} has no test image that does not stand in training too; remove double ones")


def split_rows(first: np.ndarray, identities: np.ndarray) -> dict[str, np.ndarray]:
    """The rows of each split, in order.

    `first` and `identities` (M,) are those of `images.described`.  No identity is in both training and
    test; nor are any two images of the same pixels.  RandomState, as NumPy promises its stream never changes.
    """
    readable = np.flatnonzero(first >= 0)
    people, person = np.unique(identities[readable], return_inverse=True)
    chosen = np.random.RandomState(0).permutation(len(people))[: -(-15 * len(people) // 100)]
    in_test = np.isin(person, chosen)
    train, test = readable[~in_test], readable[in_test]
    return {"train": train, "test": test[~np.isin(first[test], first[train])], "all": readable}


def data_file(data: str | Path, split: str = "test", fetch: bool = False) -> Path:
    """Where an image set lies: a file, or a folder of one's own.  See `open_images` for the places.

    "digits" is part of the package: 12,000 training and 2,000 test images of MNIST.  "digits-full" trains on
    all 60,000; its test images are the bundled 2,000, so that results stay comparable.  Raises ValueError,
    or FileNotFoundError if a named set is not here, and is not fetched (`fetch`) or can't be.
    """
    if split not in SPLITS:
        raise ValueError(f"split must be one of {', '.join(SPLITS)}, got {split!r}")
    known = SETS.get(str(data))
    if known is None:
        if not str(data) or not Path(data).exists():
            raise ValueError(f"data must be one of {', '.join(SETS)}, or a folder or zip that is there, "
                             f"got {str(data)!r}")
        return Path(data)
    if known.name == "digits" or (known.name, split) == ("digits-full", "test"):
        return BUNDLED
    places = [cache_folder() / known.cached]
    if os.environ.get("COLDAVG_DATA"):
        places.insert(0, Path(os.environ["COLDAVG_DATA"]) / known.local)
    for file in places:
        if file.is_file():
            return file
    if fetch:
        return download(known)
    raise FileNotFoundError(f"data {known.name!r} needs the file {known.local}, not found; set COLDAVG_DATA to the "
                            f"folder that holds it, or fetch it with: coldavg data {known.name}")


def cache_folder() -> Path:
    """Where downloads and decoded images are kept: the folder COLDAVG_CACHE, or the user's cache folder."""
    return Path(os.environ.get("COLDAVG_CACHE") or pooch.os_cache("coldavg"))


def download(known: NamedSet) -> Path:
    """Fetch a named set into the cache, unless its public file was put there; errors say how to do that."""
    file = cache_folder() / known.file
    if not file.is_file():
        print(f"{known.name}: {known.terms}\nfetching {known.address}", file=sys.stderr)
        with writable(file.parent), replacing(file) as half:
            fetch_file(known, half, f"fetch {known.address} by hand and put it into {str(file.parent)!r}, or set "
                                    f"COLDAVG_DATA to a folder that holds {known.local}")
    if known.identity is None:
        return file
    copy = file.with_name(known.cached)
    with writable(file.parent), replacing(copy) as half:
        numbered_copy(file, half, known.size, known.images, known.inside, known.identity)
    file.unlink()
    return copy


def fetch_file(known: NamedSet, path: Path, by_hand: str) -> None:
    """Fetch the public file of a named set to `path`; FileNotFoundError, or ValueError if its hash is wrong."""
    try:
        with tqdm(desc=known.file, total=1, unit="B", unit_scale=True, disable=None) as bar:  # pooch sets the total
            pooch.HTTPDownloader(progressbar=bar, chunk_size=2**16)(known.address, str(path), None)
    except OSError as error:
        if error.errno is not None:  # the disk
            raise
        response = getattr(error, "response", None)
        reason = type(error).__name__ if response is None else f"status {response.status_code}"
        raise FileNotFoundError(f"data {known.name!r} can't be fetched ({reason}); {by_hand}") from None
    check_hash(known, path, f"fetch it again, or {by_hand}")


def check_hash(known: NamedSet, file: Path, remedy: str = "delete it") -> None:
    """ValueError if `file` is not the public file of a named set, as far as that is known."""
    kind, _, expected = (known.hash or "").partition(":")
    if expected and pooch.file_hash(file, kind) != expected:
        raise ValueError(f"the file {known.file} for {known.name!r} is not what it was: its hash differs; {remedy}")


def source_key(source: Path) -> str:
    """What tells one content of a source from another: the SHA-256 of a file; of a folder names, sizes, times."""
    if source.is_dir():
        listing = sorted((name, size, (source / name).stat().st_mtime_ns) for name, size, _ in entries(source))
        return hashlib.sha256(json.dumps(listing).encode()).hexdigest()
    return fingerprint(source)


def test_tuples(images: int, k: int = 2, count: int = 1000, seed: int = 0,
                identities: np.ndarray | None = None) -> Tensor:
    """The protocol's tuples: (count, k) indices into `images` test images, no image twice in a tuple.

    `count` seeded images stand once each in first place; their partners are drawn among all others, again
    and again until nobody of `identities` (images,), if given, is in a tuple twice.  Raises ValueError if
    there are too few images or identities.  RandomState, as NumPy promises that its stream never changes.
    """
    if count < 1 or k < 2:
        raise ValueError(f"count must be at least 1 and k at least 2, got {count} and {k}")
    if images < max(count, k):
        raise ValueError(f"images must be at least count = {count} and k = {k}, got {images}")
    identities = np.arange(images) if identities is None else identities
    if len(np.unique(identities)) < k:
        raise ValueError(f"identities must be at least k = {k}, got {len(np.unique(identities))}")
    random = np.random.RandomState(seed)
    rows = []
    for first in random.permutation(images)[:count]:
        row = [first, first]
        while len(set(identities[row])) < k:
            partners = random.choice(images - 1, size=k - 1, replace=False)
            row = [first, *(partners + (partners >= first))]  # skips `first` itself
        rows.append(row)
    return torch.tensor(np.array(rows))


def thumbnails(images: Tensor | ImageSet, rows: np.ndarray) -> Tensor:
    """The images of these rows, reduced to 8 x 8 and flattened (len(rows), C 64): by these the alike are found."""
    several = max(1, 5_000_000 // math.prod(images.shape[1:]))  # at once, to spare memory
    return torch.cat([adaptive_avg_pool2d(images[torch.from_numpy(rows[start : start + several])], 8).flatten(1)
                      for start in range(0, len(rows), several)])


def alike_tuples(features: Tensor, k: int, count: int, identities: np.ndarray, seed: int = 0) -> np.ndarray:
    """Tuples (G, k) of the most alike among `features` (N, D), as k-same anonymisation forms them: G <= count.

    Seeded images stand first, one after another; each takes the k - 1 nearest that are left, no two of one
    identity.  No image is in two tuples.  K-same: Newton, Sweeney and Malin 2005.
    """
    left, rows = torch.ones(len(features), dtype=torch.bool), []
    identities = torch.from_numpy(np.unique(identities, return_inverse=True)[1])
    for first in np.random.RandomState(seed).permutation(len(features)):
        if len(rows) == count:
            break
        if not left[first]:
            continue
        row, distance = [int(first)], (features - features[first]).square().sum(1)
        distance[~left] = torch.inf
        while len(row) < k:
            distance[identities == identities[row[-1]]] = torch.inf
            if distance.min() == torch.inf:
                break
            row.append(int(distance.argmin()))
        if len(row) == k:
            left[row] = False
            rows.append(row)
    return np.array(rows, dtype=int).reshape(-1, k)


test_tuples.__test__ = False  # a name that pytest must not collect


def write_atomically(path: Path, content: bytes) -> None:
    """Write beside `path`, then rename: a reader sees the old file or the new one, never half of one."""
    with replacing(Path(path)) as half:
        half.write_bytes(content)
