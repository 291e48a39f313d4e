"""Opening image sets: bundled digits, sets that have a name, a folder or archive of one's own; their splits."""

import warnings
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ..support.files import fingerprint, list_names
from ..support.pixels import from_8_bits
from .decoding import decode_all, read_decoded, writable
from .named import BUNDLED, SETS, NamedSet, cache_folder, check_hash, find_source, source_key
from .reading import read_idx

FOLDER = r"(.+?)/"  # the first sub-folder is the identity


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
        return from_8_bits(pixels.movedim(-1, -3).contiguous())


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
    source = find_source(data, split, fetch=True)
    if known is not None and known.size == 28:
        return open_digits(known, split, source, fingerprint(source))
    channels = known.channels if known and channels is None else channels
    images = open_decoded(str(data), split, source, source_key(source), size, channels)
    if images.broken and broken == "refuse":
        raise ValueError(f"{list_names(images.broken)} in {str(source)!r} can't be read; repair or remove them, "
                         "or skip them")
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
    """All images of a set, kept; a warning names the files that were skipped."""
    if images.broken:
        warnings.warn(f"skipped {list_names(images.broken)} in {str(images.source)!r}: can't be read", stacklevel=3)
    return images[:]


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

    `first` and `identities` (M,) are those of `decoding.describe`.  No identity is in both training and
    test; nor are any two images of the same pixels.  RandomState, as NumPy promises its stream never changes.
    """
    readable = np.flatnonzero(first >= 0)
    people, person = np.unique(identities[readable], return_inverse=True)
    chosen = np.random.RandomState(0).permutation(len(people))[: -(-15 * len(people) // 100)]
    in_test = np.isin(person, chosen)
    train, test = readable[~in_test], readable[in_test]
    return {"train": train, "test": test[~np.isin(first[test], first[train])], "all": readable}
