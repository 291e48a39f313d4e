"""Reading pictures: one file as one picture, or as several."""

import gzip
import io
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, TiffImagePlugin, UnidentifiedImageError

from . import scans
from .arrays import read_arrays
from .finding import FORMATS, HEAD, kind_by_content, kind_by_name
from .pictures import Fit, NotRead, Picture, from_levels, to_square


def read_pictures(content: bytes, name: str, fit: Fit) -> Iterator[Picture]:
    """The pictures of a file: one, or of a scan or an array each slice or image.

    Raises NotRead, or whatever a library does.

    A multi-frame GIF, TIFF or PNG gives its first frame.
    """
    if not content:
        raise NotRead("empty")
    kind = kind_by_content(content[:HEAD]) or kind_by_name(name)
    with unlogged():
        if kind == "NumPy" or content[:2] == b"PK":
            yield from read_arrays(content, fit)
        elif kind in ("DICOM", "NIfTI"):
            yield from (scans.read_dicom if kind == "DICOM" else scans.read_nifti)(content, fit)
        else:
            yield decode(content, fit)


@contextmanager
def unlogged() -> Iterator[None]:
    """Nothing is logged while a file is read: what libraries remark may hold what it says of a patient."""
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        yield
    finally:
        logging.disable(before)


def decode(content: bytes, fit: Fit) -> Picture:
    """A picture that Pillow reads, turned as its EXIF data say and resized by Lanczos' filter.

    Grey of more than 8 bits stays as it is, what is transparent shows white, palettes and CMYK become RGB; of many
    frames it is the first.  With one channel: luminance (ITU-R 601-2).  Raises NotRead or whatever Pillow does.
    """
    tiff = kind_by_content(content[:HEAD]) == "TIFF"  # a library in C reads it, and says on its own what is wrong
    with warnings.catch_warnings(), scans.quiet() if tiff else nullcontext():
        warnings.simplefilter("ignore")
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        with open_picture(content) as picture:
            original, kind, frames = picture.size, picture.format, getattr(picture, "n_frames", 1)
            deep = any(";16" in str(tile[3]) for tile in picture.tile)
            picture.draft(None, (3 * fit.size, 3 * fit.size))  # a huge JPEG is decoded at a fraction of its size
            upright = ImageOps.exif_transpose(picture)
    if upright.mode[0] in "IF":
        return from_levels(np.asarray(upright), kind, fit, original, frames=frames)
    plain, note = in_8_bits(upright)
    colour = upright.mode not in ("1", "L", "LA", "La")
    if deep:
        note = "colour of 16 bits, of which the upper 8 are used"
    levels = [end for band in plain.getextrema() for end in band]
    plain = plain.convert("L") if fit.channels == 1 else plain
    values = np.asarray(to_square(plain, fit)).reshape(fit.size, fit.size, fit.channels)
    return Picture(values, kind, original, colour, 1 if upright.mode == "1" else 16 if deep else 8,
                   (min(levels), max(levels)), frames=frames, note=note)


def open_picture(content: bytes) -> Image.Image:
    """A picture, not yet decoded; NotRead if it is none that is known."""
    kind = kind_by_content(content[:HEAD])
    if kind == "HEIF":
        try:
            import pillow_heif
        except ImportError:
            raise NotRead("HEIC, which needs: pip install 'coldavg[heic]'", broken=False) from None
        pillow_heif.register_heif_opener(thumbnails=False)
    try:
        return Image.open(io.BytesIO(content), formats=[name for name in FORMATS if name != "HEIF" or kind == "HEIF"])
    except UnidentifiedImageError:
        bands = count_bands(content) if kind == "TIFF" else 0
        raise NotRead(f"a TIFF of {bands} bands, of which it is not known what they show" if bands > 4 else
                      "a TIFF of values that are not read" if bands else "not the picture that its name says") from None


def count_bands(content: bytes) -> int:
    """The bands of a TIFF file, by its directory; 0 if that can't be read."""
    try:
        tags = TiffImagePlugin.ImageFileDirectory_v2(content[:8])
        file = io.BytesIO(content)
        file.seek(tags.next)
        tags.load(file)
        return int(tags.get(TiffImagePlugin.SAMPLESPERPIXEL, 1))
    except Exception:  # it is not read anyway
        return 0


def in_8_bits(picture: Image.Image) -> tuple[Image.Image, str]:
    """Any picture of 8 bits as RGB, and what was left out: a band that is marked as opacity, but is none."""
    note = ""
    if picture.has_transparency_data:
        picture = picture.convert("RGBA")
        if is_opacity(picture):
            picture = Image.alpha_composite(Image.new("RGBA", picture.size, "white"), picture)
        else:
            note = "a band that is marked as opacity, but is none, left out"
    try:
        return picture.convert("RGB"), note
    except ValueError:
        raise NotRead(f"a colour model that is not known ({picture.mode})") from None


def is_opacity(picture: Image.Image) -> bool:
    """Whether the fourth band of an RGBA picture is opacity: of a further measurement most values lie in between."""
    counts = np.array(picture.getchannel("A").histogram())
    if counts[0] == counts.sum():  # nothing would be left of a picture that shows something
        return all(low == high for low, high in picture.getextrema()[:3])
    between = counts[1:255]
    return not (between.sum() > counts.sum() / 2 and np.count_nonzero(between) > 32)


def explain(error: Exception) -> NotRead:
    """Any error of a library as NotRead: one reason for each kind, and none of its own lines."""
    if isinstance(error, NotRead):
        return error
    if isinstance(error, PermissionError):
        return NotRead("no right to read it")
    if isinstance(error, Image.DecompressionBombError | Image.DecompressionBombWarning | MemoryError):
        return NotRead("more pixels than are read")
    return NotRead("cut short or damaged")


def read_idx(file: Path) -> np.ndarray:
    """The array (uint8) in a gzipped idx file, the format of MNIST: http://yann.lecun.com/exdb/mnist/."""
    try:
        raw = gzip.decompress(Path(file).read_bytes())
        sides = np.frombuffer(raw, ">i4", count=raw[3], offset=4)
        return np.frombuffer(raw, np.uint8, offset=4 + 4 * raw[3]).reshape(sides).copy()
    except (OSError, EOFError, ValueError, IndexError) as error:
        raise ValueError(f"{file} is no readable idx file ({error}); fetch it again") from None
