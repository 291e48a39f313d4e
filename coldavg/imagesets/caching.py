"""The cache folder: what is written there appears whole or not at all, and what was left half-written is removed."""

import time
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .finding import find_files, list_files
from .identities import Identities
from .pictures import Fit
from .reading import read_pictures

STALE = 3600  # seconds after which a temporary file that nobody writes to belongs to nobody


def numbered_copy(source: Path, file: Path, size: int, count: int, inside: str, people: Identities) -> None:
    """Copy the pictures of `source` into a zip, `file`, as person/picture.ppm: numbers in place of names.

    Raises ValueError, with no name in it, if they are not `count` pictures of `size` x `size`.
    """
    names = list_files(source, inside).pictures
    if len(names) != count:
        raise ValueError(f"{str(source)!r} holds {len(names)} pictures, not {count}; delete it, and fetch it again")
    copies = {name: f"{person:04d}/{i:05d}.ppm" for i, (name, person) in enumerate(zip(names, people.numbers))}
    with zipfile.ZipFile(file, "w") as archive:
        for found in find_files(source, inside):
            if found.name not in copies:
                continue
            try:
                picture = next(read_pictures(found.read(), found.name, Fit(size, 3)))
                original = picture.size
            except Exception:  # a hostile file can raise anything; its words may hold a name
                original = None
            if original != (size, size):
                raise ValueError(f"{str(source)!r} holds a picture that is broken or not {size} x {size}; "
                                 "delete it, and fetch it again")
            archive.writestr(zipfile.ZipInfo(copies[found.name]), b"P6 %d %d 255\n" % original
                             + picture.values.tobytes())


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
