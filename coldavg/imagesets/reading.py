"""Reading pictures: those in a folder, zip or tar file, one after another, and each as 8-bit pixels."""

import gzip
import io
import os
import tarfile
import warnings
import zipfile
import zlib
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path, PurePosixPath

import numpy as np
from PIL import Image, ImageOps

FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "PPM", "AVIF")  # none of Pillow's that starts programs
ENDINGS = {ending for ending, kind in Image.registered_extensions().items() if kind in FORMATS}


def entries(source: Path, inside: str = "") -> Iterator[tuple[str, int, Callable[[], bytes]]]:
    """Every picture in a folder, zip or tar file: its name in there, its size in bytes, a function that reads it.

    With `inside`, "folder/": those with that folder in their names, without what stands before its end.  A
    picture is known by its ending; hidden names, those that lead out of the archive, and links in a tar are
    passed over.  Nothing is extracted.  Of a tar, read each one before the next is asked for.  Raises
    ValueError if the file can't be read as any of these.
    """
    for name, size, read in everything(source):
        path = PurePosixPath(name)
        hidden = any(part.startswith(".") or part == "__MACOSX" for part in path.parts)
        chosen = f"/{path}".partition(f"/{inside}")[2]
        if chosen and path.suffix.lower() in ENDINGS and not hidden:
            yield chosen, size, read


def everything(source: Path) -> Iterator[tuple[str, int, Callable[[], bytes]]]:
    """All files in a folder, zip or tar file, as `entries` gives them."""
    if source.is_dir():
        for folder, _, files in os.walk(source):
            for path in (Path(folder, file) for file in files):
                if path.is_file():  # no pipe, no link to nowhere
                    yield path.relative_to(source).as_posix(), path.stat().st_size, path.read_bytes
        return
    try:
        if zipfile.is_zipfile(source):
            with zipfile.ZipFile(source) as archive:
                for info in archive.infolist():
                    yield info.filename, info.file_size, partial(archive.read, info)
        else:
            with tarfile.open(source, "r|*") as archive:  # a stream, as one can't seek in a gzipped file
                for member in archive:
                    if member.isfile():
                        yield member.name, member.size, archive.extractfile(member).read
    except (zipfile.BadZipFile, tarfile.TarError, zlib.error, EOFError, NotImplementedError) as error:
        raise ValueError(f"{str(source)!r} is no whole zip or tar ({error}); name a folder or zip") from None


def decode(content: bytes, size: int, channels: int) -> tuple[np.ndarray, tuple[int, int]]:
    """The middle square of a picture, (size, size, channels) uint8, and how large the picture was, (W, H).

    It is turned as its EXIF data say and resized by Lanczos' filter, which averages what it drops.  16-bit
    grey becomes 8-bit, what is transparent shows white, palettes and CMYK become RGB; of many frames it is
    the first.  With one channel: luminance (ITU-R 601-2).  Raises whatever Pillow does.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        with Image.open(io.BytesIO(content), formats=FORMATS) as picture:
            original = picture.size
            picture.draft(None, (3 * size, 3 * size))  # a huge JPEG is decoded at a fraction of its size
            plain = in_8_bits(ImageOps.exif_transpose(picture))
    plain = plain.convert("L") if channels == 1 else plain
    fitted = ImageOps.fit(plain, (size, size), Image.Resampling.LANCZOS)
    return np.asarray(fitted).reshape(size, size, channels), original


def in_8_bits(picture: Image.Image) -> Image.Image:
    """Any picture as RGB."""
    if picture.mode.startswith("I"):
        deep = np.asarray(picture).astype(np.int64)
        if deep.min() < 0 or deep.max() > 65535:
            raise ValueError("its grey levels do not fit into 16 bits")
        picture = Image.fromarray(((deep + 128) // 257).astype(np.uint8))  # to the nearest, 65535 to 255
    if picture.mode == "F":
        raise ValueError("its grey levels are floating-point numbers, of no known range")
    if picture.has_transparency_data:
        picture = picture.convert("RGBA")
        picture = Image.alpha_composite(Image.new("RGBA", picture.size, "white"), picture)
    return picture.convert("RGB")


def read_idx(file: Path) -> np.ndarray:
    """The array (uint8) in a gzipped idx file, the format of MNIST: http://yann.lecun.com/exdb/mnist/."""
    try:
        raw = gzip.decompress(Path(file).read_bytes())
        sides = np.frombuffer(raw, ">i4", count=raw[3], offset=4)
        return np.frombuffer(raw, np.uint8, offset=4 + 4 * raw[3]).reshape(sides).copy()
    except (OSError, EOFError, ValueError, IndexError) as error:
        raise ValueError(f"{file} is no readable idx file ({error}); fetch it again") from None
