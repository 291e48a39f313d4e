"""Pictures for tests of image sets: in folders, zips and tars, whole or broken; a set in memory; a full disk."""

import gzip
import io
import resource
import struct
import tarfile
import zipfile
import zlib
from contextlib import contextmanager

import numpy as np
from PIL import Image

from coldavg.imagesets import ImageSet


def noise(seed, shape=(64, 64, 3)):
    return np.random.RandomState(seed).randint(0, 256, shape, np.uint8)


def packed(array, kind="PNG", **options):
    """The bytes of a file; `array` may be a picture."""
    content = io.BytesIO()
    (array if isinstance(array, Image.Image) else Image.fromarray(array)).save(content, kind, **options)
    return content.getvalue()


def fill(folder, files):
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder


def zipped(path, files):
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path


def tarred(path, files):
    with tarfile.open(path, "w:gz") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return path


def idx(array):
    header = struct.pack(f">HBB{array.ndim}i", 0, 8, array.ndim, *array.shape)
    return gzip.compress(header + array.tobytes())


FILES = {f"{i:02d}.png": packed(noise(i)) for i in range(10)}
PACKERS = {"folder": lambda path, files: fill(path, files), "zip": zipped, "tar": tarred}
GRADIENT = np.linspace(0, 65535, 64 * 64).reshape(64, 64)


def bomb(side=30_000):
    """A PNG of 900 million pixels in about 110 KB."""
    def chunk(kind, body):
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)
    body = zlib.compress(bytes(side // 8 + 1) * side, 9)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", body) + chunk(b"IEND", b"")


BROKEN = {
    "bomb.png": bomb(),
    "cut.jpg": packed(noise(0), "JPEG")[:-500],
    "empty.png": b"",
    "float.tif": packed(np.full((64, 64), np.nan, np.float32), "TIFF"),
    "page.png": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n",  # PostScript, by its content
    "text\n\x1b.png": b"hello",
}


@contextmanager
def disk_of(size):
    """No file may grow beyond `size` bytes: the system refuses the write, as it does on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def in_memory(identities, images=None):
    """An image set in memory, of the given identities."""
    values = np.random.RandomState(0).randint(0, 256, (len(identities), 16, 16, 1)).astype(np.uint8)
    values = values if images is None else images
    return ImageSet("own", values, np.arange(len(identities)), np.asarray(identities), None, "", (),
                    ((16, 16), (16, 16)), False)
