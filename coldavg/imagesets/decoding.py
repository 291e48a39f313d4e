"""A folder, zip or tar file of pictures, decoded once into one array of bytes in the cache."""

import json
import math
import tempfile
from collections import Counter
from hashlib import sha256
from pathlib import Path
from typing import BinaryIO

import numpy as np
from tqdm import tqdm

from ..support.files import replacing
from .copies import join_copies, look_of
from .finding import Found, Listing, find_files
from .inspection import FLAT
from .pictures import Fit, NotRead, Picture
from .reading import explain, read_pictures
from .scales import say_scales, settle_scale

LARGEST = 2**28  # bytes of one file; with Pillow's limit of 89 million pixels it bounds the memory


def decode_all(listing: Listing, file: Path, fit: Fit, inside: str = "", near: bool = True) -> None:
    """Decode the pictures of a listing into `file`, an .npy of (N, size, size, channels) uint8.

    Rows are in the order of the names; the further pictures of a file that holds several come after all of them.
    `inside` as in `find_files`; with `near`, near-copies are looked for.  Beside `file`, ending in .json, lies what
    `Decoding.describe` says.  Both appear when all is done, or not at all.  The memory needed does not grow with
    the pixels.  Raises ValueError if no picture can be read, OSError if `file` can't be written.
    """
    rows = {name: row for row, name in enumerate(listing.pictures)}
    with replacing(file) as part:
        with part.open("wb") as out, tempfile.TemporaryFile(dir=file.parent) as deep:
            done = Decoding(listing.pictures, fit, out, deep)  # a full disk raises here; it would kill a mapped write
            for found in tqdm(find_files(listing.source, inside), "decoding", listing.files, unit=" files", delay=2,
                              disable=None):
                if not found.why and found.name in rows:  # else new in the folder since it was listed
                    done.read(found, rows.pop(found.name))
            done.finish()
        if not any(done.pixels):
            reasons = "; ".join(f"{len(names)} {why}" for (why, _), names in done.unread.items())
            raise ValueError(f"none of the {len(listing.pictures)} pictures in {str(listing.source)!r} can be read "
                             f"({reasons}); name another")
        known = done.describe(np.load(part, mmap_mode="r"), near)
        with replacing(file.with_suffix(".json")) as half:
            half.write_text(json.dumps(known))


class Decoding:
    """The pictures while they are decoded, row by row: their pixels in the file `out`, all else in lists.

    `names` of the files, sorted; `deep` is a file for values whose scale is settled when all are read.
    """

    def __init__(self, names: tuple[str, ...], fit: Fit, out: BinaryIO, deep: BinaryIO):
        self.names, self.fit, self.out, self.deep = names, fit, out, deep
        self.files = list(range(len(names)))  # of each row
        self.contents = [b""] * len(names)  # hashes of the files
        self.pixels: list[bytes] = [b""] * len(names)  # hashes of each row, like all that follows
        self.labels: list[tuple | None] = [None] * len(names)
        self.looks, self.contrasts = [0] * len(names), [0.0] * len(names)
        self.waiting: list[tuple[int, tuple[str, str]]] = []  # rows in `deep`, and the kind and series of their scale
        self.ranges: dict[tuple[str, str], tuple[float, float]] = {}  # of each kind and series
        self.unread: dict[tuple[str, bool], list[str]] = {}  # names by reason, and whether they are broken
        self.counts = {name: Counter() for name in ("formats", "channels", "bits", "notes")}
        self.sizes: dict[tuple[int, int], None] = {}  # in order
        self.kept, self.frames, self.grey = [], [], True
        self.write_header()

    def write_header(self) -> None:
        """The head of the .npy file, of the same length for any number of rows."""
        self.out.seek(0)
        shape = (len(self.files), self.fit.size, self.fit.size, self.fit.channels)
        np.lib.format.write_array_header_1_0(self.out, {"descr": "|u1", "fortran_order": False, "shape": shape})
        self.start = self.out.tell()

    def read(self, found: Found, row: int) -> None:
        """Read the pictures of a file: the first into `row`, further ones into new rows."""
        several = 0
        try:
            if found.size > LARGEST:
                raise NotRead(f"larger than {LARGEST >> 20} MB")
            content = found.read()
        except Exception as error:  # of a network disk, or a hostile archive
            return self.pass_over(found.name, error, several)
        try:
            for picture in read_pictures(content, found.name, self.fit):
                self.enter(picture, row if several == 0 else self.new_row(row))
                several += 1
            if several == 0:
                raise NotRead("nothing but one shade", broken=False)
            self.contents[row] = sha256(content).digest()
        except Exception as error:  # a hostile file can raise anything in a decoder
            if isinstance(error, OSError) and error.errno:
                raise  # the disk
            self.pass_over(found.name, error, several)

    def pass_over(self, name: str, error: Exception, several: int) -> None:
        """Note why a file is not read, or not to its end."""
        why = explain(error)
        key = (f"{why}{' (its first pictures are read)' if several else ''}", why.broken)
        self.unread.setdefault(key, []).append(name)

    def new_row(self, row: int) -> int:
        """One row more, for the file of `row`."""
        for column, empty in ((self.files, self.files[row]), (self.pixels, b""), (self.labels, None), (self.looks, 0),
                              (self.contrasts, 0.0)):
            column.append(empty)
        return len(self.files) - 1

    def enter(self, picture: Picture, row: int) -> None:
        """Keep a picture, and what is known of it."""
        self.labels[row] = picture.label
        self.counts["formats"][picture.kind] += 1
        self.counts["channels"]["colour" if picture.colour else "grey"] += 1
        self.counts["bits"][str(picture.bits)] += 1
        self.counts["notes"].update([picture.note] if picture.note else [])
        self.sizes[picture.size] = None
        self.kept.append(picture.kept())
        self.frames += [picture.frames] if picture.frames > 1 and row < len(self.names) else []
        whose = picture.scale or "8 bits", picture.series
        low, high = self.ranges.get(whose, picture.levels)
        self.ranges[whose] = (min(low, picture.levels[0]), max(high, picture.levels[1]))
        if picture.scale:
            self.waiting.append((row, whose))
            self.deep.write(picture.values.tobytes())
        else:
            self.keep(picture.values, row)

    def keep(self, values: np.ndarray, row: int) -> None:
        """Write the pixels (size, size, channels) uint8 of a row."""
        self.pixels[row], self.looks[row] = sha256(values).digest(), look_of(values)
        self.contrasts[row] = round(float(values.std()), 2)
        self.grey = self.grey and bool((values == values[..., :1]).all())
        self.out.seek(self.start + row * values.size)
        self.out.write(values)

    def finish(self) -> None:
        """Bring what waits onto the scale of the set, or of its series, and end the file."""
        shape = (self.fit.size, self.fit.size, self.fit.channels)
        scales = {whose: settle_scale(whose[0], *self.ranges[whose]) for _, whose in self.waiting}
        self.deep.seek(0)
        for row, whose in self.waiting:
            values = np.frombuffer(self.deep.read(4 * math.prod(shape)), np.float32).reshape(shape)
            self.keep(scales[whose].apply(values), row)
        self.said = {kind: say_scales(kind, [scale for (one, _), scale in scales.items() if one == kind])
                     for kind in sorted({kind for kind, _ in scales})}
        self.write_header()
        self.out.truncate(self.start + len(self.files) * math.prod(shape))

    def describe(self, pixels: np.ndarray, near: bool) -> dict:
        """What is known of the decoded pictures, to be kept beside them; the names only of those that are not read.

        "files": of each row the number of its file; "first": the first row of the same pixels, -1 if it can't be
        read; "near": the first row of the same picture, near-copies too; "labels": what the files say of who it
        is, as kinds and numbers; "unread": [reason, whether broken, names]; "sizes": the smallest and the largest
        picture, (W, H); "grey": whether all are; "sha256" of all names and contents; the rest is for `Inspection`.
        """
        seen: dict[bytes, int] = {}
        first = [seen.setdefault(hashed, row) if hashed else -1 for row, hashed in enumerate(self.pixels)]
        numbers = {label: i for i, label in enumerate(sorted({label for label in self.labels if label}, key=repr))}
        sizes, whole = sorted(self.sizes, key=math.prod), sha256()
        for name, content in zip(self.names, self.contents):
            whole.update(sha256(name.encode(errors="surrogateescape")).digest() + content)
        joined = join_copies(np.array(first), np.array(self.looks, np.uint64), pixels) if near else np.array(first)
        contrasts = [contrast for contrast, hashed in zip(self.contrasts, self.pixels) if hashed]
        return {
            "files": self.files, "first": first, "near": joined.tolist(),
            "labels": [label and [label[0], numbers[label]] for label in self.labels],
            "unread": [[why, broken, names] for (why, broken), names in sorted(self.unread.items())],
            "sizes": [sizes[0], sizes[-1]], "grey": self.grey, "sha256": whole.hexdigest(),
            "counts": {name: dict(count.most_common()) for name, count in self.counts.items()},
            "levels": self.ranges.get(("8 bits", "")), "scales": self.said, "frames": self.frames,
            "kept": [round(float(value), 4) for value in (np.mean(self.kept), np.min(self.kept))],
            "contrast": round(float(np.median(contrasts)), 2), "flat": sum(each < FLAT for each in contrasts),
        }


def read_decoded(file: Path) -> tuple[np.memmap, dict]:
    """What `decode_all` wrote; OSError, EOFError, ValueError or KeyError if it is damaged or not there."""
    facts = json.loads(file.with_suffix(".json").read_text())
    pixels = np.load(file, mmap_mode="r")
    if len(facts["first"]) != len(pixels):
        raise ValueError("the two files do not belong together")
    return pixels, facts
