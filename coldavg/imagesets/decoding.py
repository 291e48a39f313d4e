"""A folder, zip or tar file of pictures, decoded once into one array of bytes in the cache."""

import json
import math
import re
import time
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

import numpy as np
from tqdm import tqdm

from ..support.files import replacing
from .reading import ENDINGS, decode, entries

LARGEST = 2**28  # bytes of one file; with Pillow's limit of 89 million pixels it bounds the memory
STALE = 3600  # seconds after which a temporary file that nobody writes to belongs to nobody


def decode_all(source: Path, file: Path, size: int, channels: int, inside: str = "",
               identity: str | None = None) -> None:
    """Decode the pictures of `source` into `file`, an .npy of (N, size, size, channels) uint8, sorted by name.

    `inside` as in `entries`, `identity` as in `number_identities`.  Beside `file`, ending in .json, lies what
    `describe` says.  Both appear when all is done, or not at all.  The memory needed does not grow with
    the pixels.  Raises ValueError if no picture can be read, OSError if `file` can't be written.
    """
    names = sorted({name for name, _, _ in entries(source, inside)})
    if not names:
        raise ValueError(f"{str(source)!r} holds no picture, that is no file that ends in {', '.join(sorted(ENDINGS))}")
    rows = {name: row for row, name in enumerate(names)}
    facts: list[Facts | None] = [None] * len(names)
    with replacing(file) as part, part.open("wb") as out:  # a full disk raises here; it would kill a mapped write
        shape = (len(names), size, size, channels)
        np.lib.format.write_array_header_1_0(out, {"descr": "|u1", "fortran_order": False, "shape": shape})
        start, length = out.tell(), math.prod(shape[1:])
        bar = tqdm(entries(source, inside), "decoding", len(names), unit=" pictures", delay=2, disable=None)
        for name, weight, read in bar:
            row = rows.get(name)
            if row is None:  # new in the folder since it was listed
                continue
            try:
                if weight > LARGEST:
                    raise ValueError(f"it has {weight} bytes, at most {LARGEST}")
                content = read()
                pixels, original = decode(content, size, channels)
            except Exception:  # a hostile file can raise anything in a decoder; `describe` counts it
                continue
            grey = bool((pixels == pixels[..., :1]).all())
            facts[row] = Facts(sha256(content).digest(), sha256(pixels).digest(), original, grey)
            out.seek(start + row * length)
            out.write(pixels)
        out.truncate(start + len(names) * length)
        if not any(facts):
            raise ValueError(f"none of the {len(names)} pictures in {str(source)!r} can be read; name another")
        known = describe(names, number_identities(names if source.is_dir() else without_top(names), identity), facts)
        with replacing(file.with_suffix(".json")) as half:
            half.write_text(json.dumps(known))


class Facts(NamedTuple):
    """What is kept of a decoded picture: hashes of its file and its pixels, how large it was, whether it is grey."""

    content: bytes
    pixels: bytes
    size: tuple[int, int]
    grey: bool


def describe(names: list[str], identities: list[int], facts: list[Facts | None]) -> dict:
    """What is known of decoded pictures, to be kept beside them; the names only of those that can't be read.

    "identities" (`number_identities`); "first": for each row the first row of the same pixels, -1 if it can't be
    read; "broken": the names of these; "sizes": the smallest and the largest picture, (W, H); "grey": whether
    all are; "sha256" of all names and contents.
    """
    seen: dict[bytes, int] = {}
    readable = [each for each in facts if each]
    sizes = sorted({each.size for each in readable}, key=math.prod)
    whole = sha256()
    for name, each in zip(names, facts):
        whole.update(sha256(name.encode(errors="surrogateescape")).digest() + (each.content if each else b""))
    return {
        "identities": identities,
        "first": [seen.setdefault(each.pixels, row) if each else -1 for row, each in enumerate(facts)],
        "broken": [name for name, each in zip(names, facts) if not each],
        "sizes": [sizes[0], sizes[-1]], "grey": all(each.grey for each in readable), "sha256": whole.hexdigest(),
    }


def numbered_copy(source: Path, file: Path, size: int, count: int, inside: str, identity: str) -> None:
    """Copy the pictures of `source` into a zip, `file`, as person/picture.ppm: numbers in place of names.

    Raises ValueError, with no name in it, if they are not `count` pictures of `size` x `size`.
    """
    names = sorted({name for name, _, _ in entries(source, inside)})
    if len(names) != count:
        raise ValueError(f"{str(source)!r} holds {len(names)} pictures, not {count}; delete it, and fetch it again")
    people = number_identities(names, identity)
    copies = {name: f"{person:04d}/{i:05d}.ppm" for i, (name, person) in enumerate(zip(names, people))}
    with zipfile.ZipFile(file, "w") as archive:
        for name, _, read in entries(source, inside):
            try:
                pixels, original = decode(read(), size, 3)
            except Exception:  # as above; its words may hold a name
                original = None
            if original != (size, size):
                raise ValueError(f"{str(source)!r} holds a picture that is broken or not {size} x {size}; "
                                 "delete it, and fetch it again")
            archive.writestr(zipfile.ZipInfo(copies[name]), b"P6 %d %d 255\n" % original + pixels.tobytes())


def read_decoded(file: Path) -> tuple[np.memmap, dict]:
    """What `decode_all` wrote; OSError, EOFError, ValueError or KeyError if it is damaged or not there."""
    facts = json.loads(file.with_suffix(".json").read_text())
    pixels = np.load(file, mmap_mode="r")
    if len(facts["first"]) != len(pixels):
        raise ValueError("the two files do not belong together")
    return pixels, facts


def number_identities(names: list[str], identity: str | None) -> list[int]:
    """The identity of each name: a number from 0, in the order of the sorted identities.

    `identity` is a regular expression; matched at the start of a name, its group 1 is the identity.  A name
    that does not match, and every one if it is None, is an identity of its own.
    """
    found = [re.match(identity, name) if identity else None for name in names]
    labels = [match[1] if match else name for match, name in zip(found, names)]
    number = {label: i for i, label in enumerate(sorted(set(labels)))}
    return [number[label] for label in labels]


def without_top(names: list[str]) -> list[str]:
    """The names without the folder that all of them lie in, if there is one."""
    top = names[0].partition("/")[0] + "/"
    return [name[len(top):] for name in names] if all(name.startswith(top) for name in names) else names


def remove_stale(folder: Path) -> None:
    """Remove what killed processes left half-written in `folder`."""
    for half in folder.glob(".*.part"):
        try:
            if time.time() - half.stat().st_mtime > STALE:
                half.unlink()
        except OSError:  # another process was faster
            continue


@contextmanager
def writable(folder: Path) -> Iterator[None]:
    """Make the cache `folder`, tidy it, and say in one line if it can't be written or is full."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        remove_stale(folder)
        yield
    except OSError as error:
        if error.errno is None:  # told already
            raise
        raise OSError(f"the cache folder {str(folder)!r} can't be written ({error.strerror}); make room there, or set "
                      "COLDAVG_CACHE to another folder") from None
