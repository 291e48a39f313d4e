"""Opening image sets: bundled digits, sets that have a name, a folder or archive of one's own; their splits."""

import warnings
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ..support.files import fingerprint, list_names
from ..support.pixels import from_8_bits
from .caching import writable
from .copies import join
from .decoding import decode_all, read_decoded
from .finding import ENDINGS, Listing, list_files
from .identities import Identities, read_identities
from .inspection import Inspection, some_of, warnings_of
from .named import BUNDLED, SETS, NamedSet, cache_folder, check_hash, find_source, source_key
from .pictures import FITS, Fit
from .reading import read_idx

FEW = 5  # identities in the test split: fewer are warned about


@dataclass(frozen=True)
class Taking:
    """What is taken of a source, and how: the side, 1 or 3 `channels` (None: as the images are), `fit` as in FITS,
    and how `identity` is read (see `read_identities`)."""

    size: int = 64
    channels: int | None = None
    fit: str = "crop"
    identity: str = ""


@dataclass(frozen=True, eq=False)
class ImageSet:
    """One split of an image set, left on disk: `images[index]` reads the images that it names.

    `pixels` (M, H, W, C) uint8 is all that the source holds, a memory map for all but digits; `rows` (N,)
    are those of this split, in order, `identities` (N,) who is in them.  `sha256` is that of the source's
    file, of a folder that of its names and contents: results are compared, and networks known not to have
    seen the test images, only where it is equal.  `broken` names the files that were skipped, `sizes` are
    the smallest and the largest picture (W, H) before they were resized, `flips` says whether training may
    mirror images.  `inspection` says all that was found in the source; `joined` (N,) as `apart`, None where that
    is `identities`; `names` are those of the files, of one's own sets.

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
    inspection: Inspection | None = None
    joined: np.ndarray | None = None
    names: tuple[str, ...] = ()

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

    @property
    def apart(self) -> np.ndarray:
        """(N,): images of one number are never in one average: they show one identity, or near-copies of its images."""
        return self.identities if self.joined is None else self.joined

    def only(self, chosen: np.ndarray) -> "ImageSet":
        """Of these images those `chosen`: indices, or a mask (N,)."""
        joined = None if self.joined is None else self.joined[chosen]
        names = tuple(np.array(self.names, object)[chosen]) if self.names else ()
        return replace(self, rows=self.rows[chosen], identities=self.identities[chosen], joined=joined, names=names)


def open_images(data: str | Path = "digits", split: str = "test", size: int = 64, channels: int | None = None,
                broken: str = "skip", identity: str = "", fit: str = "crop") -> ImageSet:
    """An image set by its name in SETS, or any folder, zip or tar of images, decoded once into the cache.

    `split` is "train", "test" or "all".  Images are made square by `fit`, cropped to their middle ("crop"), padded
    ("pad") or stretched ("stretch"), and resized to `size`; digits stay 28 x 28 and grey.  `channels` is 1 or 3
    (None: those of the named set; else 1 if every image is grey, 3 if not).  `broken` files are skipped ("skip") or
    refused ("refuse").  `identity` says how it is read who is in the pictures of one's own set: see
    `read_identities`.

    The split is seeded, and by identity for faces and for sets of one's own: 15 % of the identities, rounded up,
    are test; elsewhere 15 % of the images.  In one's own sets identities that share a near-copy are split as one.
    A test image of a named set whose very pixels stand in training too (LFW has a photograph under two people) is
    left out of test.  The split follows from the names in the source, so a downloaded copy splits otherwise than
    another copy with another `sha256`, and its test images may be among those that the networks of this package
    have seen.

    A named set is looked for in the folder COLDAVG_DATA, then in the cache (`cache_folder`), then fetched.
    Raises ValueError (unknown, unreadable, too few images), FileNotFoundError (can't be fetched), OSError
    (can't be cached).
    """
    if broken not in ("skip", "refuse"):
        raise ValueError(f"broken must be 'skip' or 'refuse', got {broken!r}")
    if type(size) is not int or not 4 <= size <= 1024 or channels not in (None, 1, 3):
        raise ValueError(f"size must be from 4 to 1024 and channels 1 or 3, got {size} and {channels}")
    if fit not in FITS:
        raise ValueError(f"fit must be one of {', '.join(FITS)}, got {fit!r}")
    known = SETS.get(str(data))
    if known is not None and identity:
        raise ValueError(f"identity is for images of your own, got {identity!r} for {known.name}; leave it out")
    source = find_source(data, split, fetch=True)
    if known is not None and known.size == 28:
        return open_digits(known, split, source, fingerprint(source))
    taking = Taking(size, known.channels if known and channels is None else channels, fit, identity)
    listing = Listing(source) if is_public(known, source) else list_files(source)  # a public tar takes long to list
    images = open_decoded(str(data), split, source_key(source, listing), taking, listing)
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


def is_public(known: NamedSet | None, source: Path) -> bool:
    """Whether a source is the public file of a named set; a prepared copy has another name."""
    return known is not None and source.name == known.file


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
    kind, sizes = "NumPy" if source == BUNDLED else "idx", ((28, 28), (28, 28))
    count = len(pixels)
    found = Inspection(1, count, {kind: count}, {"grey": count}, {"8": count}, sizes, (28, 28, 1), "crop", (1.0, 1.0),
                       (0, 255), {}, round(float(pixels.std()), 2), (0, 0), count, "each image is one of its own", (),
                       0, None)
    return ImageSet(known.name, pixels, rows, rows, source, sha256, (), sizes, known.flips, found)


@cache
def open_decoded(data: str, split: str, key: str, taking: Taking, listing: Listing) -> ImageSet:
    """An image set that `decode_all` has decoded, now or before; `key` tells one content of its source from another."""
    known, source, size, channels = SETS.get(data), listing.source, taking.size, taking.channels
    fit = Fit(size, channels or 3, taking.fit)
    file = cache_folder() / f"{known.name if known else 'own'}-{key[:32]}-{size}x{fit.channels}-{fit.how}-v3.npy"
    try:
        pixels, facts = read_decoded(file)
    except (OSError, EOFError, ValueError, KeyError):  # not yet, or damaged
        inside = known.inside if is_public(known, source) else ""
        if is_public(known, source):
            check_hash(known, source)
            listing = list_files(source, inside)
        if not listing.pictures:
            raise ValueError(f"{str(source)!r} holds no picture, that is no file that ends in "
                             f"{', '.join(sorted(ENDINGS))}, or begins as one{say_passed(listing)}") from None
        with writable(file.parent):
            decode_all(listing, file, fit, inside, near=known is None)
        pixels, facts = read_decoded(file)
    first, people = np.array(facts["first"]), find_people(known, listing, facts, taking.identity)
    joined = people.numbers if known else join_identities(people.numbers, np.array(facts["near"]))
    rows = split_rows(first, joined)
    if split != "all":
        check_enough(source, first, people, joined, len(rows[split]))
    pixels = pixels[..., :1] if channels is None and facts["grey"] else pixels
    chosen, tested = rows[split], people.numbers[rows["test"]]
    return ImageSet(data, pixels, chosen, people.numbers[chosen], source, facts["sha256"] if source.is_dir() else key,
                    tuple(sorted(name for _, broken, names in facts["unread"] if broken for name in names)),
                    tuple((wide, tall) for wide, tall in facts["sizes"]), known.flips if known else True,
                    inspect(facts, listing, people, pixels.shape[1:], taking, known is None, len(np.unique(tested))),
                    joined[chosen], () if known else tuple(listing.pictures[facts["files"][row]] for row in chosen))


def say_passed(listing: Listing) -> str:
    """What was passed over, in words for an error."""
    return "".join(f"; {len(names)} {why}" for why, names in listing.passed[:5])


def find_people(known: NamedSet | None, listing: Listing, facts: dict, asked: str) -> Identities:
    """Who is in each row: of a named set as it is known, else by names, or as the files say it."""
    if known is not None and known.identity is None:
        return Identities(np.arange(len(facts["first"])), "each image is one of its own", ())
    readable = np.flatnonzero(np.array(facts["first"]) >= 0)
    names = [listing.pictures[facts["files"][row]] for row in readable]
    labels = [label and tuple(label) for label in map(facts["labels"].__getitem__, readable)]
    people = read_identities(names, labels, "folder" if known else asked)
    numbers = np.full(len(facts["first"]), people.numbers.max() + 1)
    numbers[readable] = people.numbers
    return people._replace(numbers=numbers)


def join_identities(identities: np.ndarray, near: np.ndarray) -> np.ndarray:
    """For each row the lowest identity among all that hold a near-copy of one of its images; `near` of `describe`."""
    readable = np.flatnonzero(near >= 0)
    _, row, person = np.unique(identities, return_index=True, return_inverse=True)
    valid = near >= 0
    group = join(len(near), np.concatenate([np.arange(len(near)), readable]),
                 np.concatenate([row[person], near[readable]]), np.ones(len(near), bool))
    lowest = np.full(len(near), identities.max(initial=0))
    np.minimum.at(lowest, group, identities)
    return np.where(valid, lowest[group], identities)


def inspect(facts: dict, listing: Listing, people: Identities, used: tuple[int, int, int], taking: Taking, own: bool,
            tested: int) -> Inspection:
    """All that was found, from what was decoded and listed; `tested`: identities in the test split."""
    first, near = np.array(facts["first"]), np.array(facts["near"])
    readable, rows = first >= 0, np.arange(len(first))
    passed, broken = dict(listing.passed), {}
    for why, ought, names in facts["unread"]:
        (broken if ought else passed).setdefault(why, tuple(names))
    patients = any(label and label[0] == "patient" for label in facts["labels"])
    count, whom = int(readable.sum()), len(np.unique(people.numbers[readable]))
    said = warnings_of(facts, taking.fit, count, sum(map(len, broken.values())))
    if whom < count and tested < FEW:
        said.append(f"only {tested} of {whom} identities are in the test split: what is found of them says little")
    return Inspection(
        files=listing.files or len(first), images=count, **facts["counts"], sizes=facts["sizes"],
        used=(used[1], used[0], used[2]), fit=taking.fit, shape=tuple(facts["kept"]), levels=facts["levels"],
        scales=facts["scales"], contrast=facts["contrast"], frames=(len(facts["frames"]), sum(facts["frames"])),
        identities=whom, identities_how=people.how, identities_examples=people.examples,
        copies=int((readable & (first < rows)).sum()),
        near_copies=int(((first == rows) & (near < rows)).sum()) if own else None,
        passed={why: some_of(names, patients) for why, names in passed.items()},
        broken={why: some_of(names, patients) for why, names in broken.items()}, warnings=(*said, *people.warnings))


def check_enough(source: Path, first: np.ndarray, people: Identities, joined: np.ndarray, chosen: int) -> None:
    """ValueError if there are too few images or identities for a split."""
    readable = first >= 0
    images, several = readable.sum(), len(np.unique(people.numbers[readable]))
    if images < 3:
        raise ValueError(f"{str(source)!r} holds {images} image(s) that can be read; a split needs at least 3")
    if len(np.unique(first[readable])) == 1:
        raise ValueError(f"{str(source)!r} holds one picture {images} times over; name images that differ")
    if len(np.unique(joined[readable])) < 3:
        apart = "" if several < 3 else f", of which {len(np.unique(joined[readable]))} share no near-copy"
        raise ValueError(f"{str(source)!r} holds {several} identities{apart} ({people.how}); a split needs at least 3: "
                         "put each person into a sub-folder, or all images into one folder, or say --identity")
    if not chosen:
        raise ValueError(f"{str(source)!r} has no test image that does not stand in training too; remove double ones")


def split_rows(first: np.ndarray, identities: np.ndarray) -> dict[str, np.ndarray]:
    """The rows of each split, in order.

    `first` and `identities` (M,) are those of `Decoding.describe` and `join_identities`.  No identity is in both
    training and test; nor are any two images of the same pixels.  RandomState, as NumPy promises its stream never
    changes.
    """
    readable = np.flatnonzero(first >= 0)
    people, person = np.unique(identities[readable], return_inverse=True)
    chosen = np.random.RandomState(0).permutation(len(people))[: -(-15 * len(people) // 100)]
    in_test = np.isin(person, chosen)
    train, test = readable[~in_test], readable[in_test]
    return {"train": train, "test": test[~np.isin(first[test], first[train])], "all": readable}
