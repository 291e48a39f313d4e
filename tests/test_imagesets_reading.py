"""Reading pictures: all kinds become 8 bits, upright and square; nothing leads out of an archive."""

import gzip
import io
import os
import struct
import tarfile

import numpy as np
import pytest
from PIL import Image

from coldavg.imagesets import open_images
from coldavg.imagesets.named import cache_folder
from coldavg.imagesets.pictures import Fit
from coldavg.imagesets.reading import decode, read_idx
from coldavg.imagesets.scales import settle_scale

from .pictures import FILES, GRADIENT, PACKERS, idx, noise, packed


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("COLDAVG_CACHE", str(tmp_path / "cache"))


def decoded(content, size, channels, how="crop"):
    """A picture at its own scale, and how large it was."""
    picture = decode(content, Fit(size, channels, how))
    values = settle_scale(picture.scale, *picture.levels).apply(picture.values) if picture.scale else picture.values
    return values, picture.size


@pytest.mark.parametrize("content, wanted", [
    (packed(GRADIENT.astype(np.uint16)), (GRADIENT.astype(np.uint16) / 257).round()),  # 16-bit PNG
    (packed(GRADIENT.astype(np.int32), "TIFF"), (GRADIENT.astype(np.int32) / 257).round()),
    (packed(noise(0, (64, 64))), noise(0, (64, 64))),
    (packed(Image.fromarray(noise(0, (64, 64))).convert("1")), None),
    (packed(Image.new("RGBA", (64, 64), (0, 0, 0, 0))), np.full((64, 64), 255)),  # transparent: white shows
    (packed(Image.new("LA", (64, 64), (0, 128))), np.full((64, 64), 127)),
    (packed(Image.new("P", (64, 64), 0), transparency=0), np.full((64, 64), 255)),
    (packed(Image.new("CMYK", (64, 64), (0, 0, 0, 255)), "JPEG"), np.zeros((64, 64))),
    (packed(Image.new("L", (64, 64), 7), "GIF", save_all=True, append_images=[Image.new("L", (64, 64), 99)]),
     np.full((64, 64), 7)),
], ids=["16 bits", "32 bits", "grey", "1 bit", "RGBA", "LA", "palette", "CMYK", "frames"])
def test_all_kinds_become_8_bits(content, wanted):
    pixels, size = decoded(content, 64, 3)
    assert pixels.shape == (64, 64, 3) and pixels.dtype == np.uint8 and size == (64, 64)
    wanted = np.asarray(Image.open(io.BytesIO(content)).convert("L")) if wanted is None else wanted
    assert (pixels == wanted[..., None]).all()
    assert (decoded(content, 64, 1)[0] == pixels[..., :1]).all()


def test_exif_rotation_crop_and_resizing():
    wide = np.zeros((40, 80, 3), np.uint8)
    wide[:20] = 255  # bright on top
    exif = Image.Exif()
    exif[0x0112] = 6  # to be seen turned by 90 degrees: the top goes to the right
    turned, size = decoded(packed(wide, exif=exif), 40, 1)
    assert size == (80, 40) and (turned[:, 20:] == 255).all() and (turned[:, :20] == 0).all()
    halves = np.zeros((30, 90), np.uint8)
    halves[:, 30:60] = 200  # the middle square
    assert (decoded(packed(halves), 30, 1)[0] == 200).all()
    stripes = np.zeros((512, 512), np.uint8)
    stripes[:, ::2] = 200  # finer than 32 pixels can show: antialiased to their mean
    assert np.abs(decoded(packed(stripes), 32, 1)[0].astype(int) - 100).max() <= 3
    ramp = np.linspace(0, 255, 2000)
    small, _ = decoded(packed(ramp.astype(np.uint8)[None].repeat(1600, 0), "JPEG", quality=95), 16, 1)
    means = ramp[200:1800].reshape(16, 100).mean(1)  # a JPEG so large is decoded at a fraction of its size
    assert np.abs(small[..., 0] - means).max() < 4


@pytest.mark.parametrize("packer", ["zip", "tar"])
def test_no_entry_is_written_outside(packer, tmp_path):
    evil = {"../../evil.png": packed(noise(1)), "a/../../evil.png": packed(noise(2)), "/evil.png": packed(noise(3))}
    (tmp_path / "deep" / "er").mkdir(parents=True)
    own = PACKERS[packer](tmp_path / "deep" / "er" / "own", FILES | evil)
    before = set(tmp_path.rglob("*"))
    assert len(open_images(own, "all")) in (10, 11), "the absolute name is a name like another"
    new = {path for path in set(tmp_path.rglob("*")) - before if cache_folder() not in path.parents}
    assert new == {cache_folder()} and not os.path.exists("/evil.png")


def test_links_in_a_tar_are_not_followed(tmp_path):
    (tmp_path / "secret.png").write_bytes(packed(noise(99)))
    with tarfile.open(tmp_path / "own.tar", "w") as archive:
        for name, content in FILES.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
        link = tarfile.TarInfo("link.png")
        link.type, link.linkname = tarfile.SYMTYPE, str(tmp_path / "secret.png")
        archive.addfile(link)
    assert len(open_images(tmp_path / "own.tar", "all")) == 10


def test_an_idx_file_comes_back_as_it_was(tmp_path):
    array = np.arange(24, dtype=np.uint8).reshape(2, 3, 4)
    (tmp_path / "a.gz").write_bytes(idx(array))
    assert (read_idx(tmp_path / "a.gz") == array).all()


@pytest.mark.parametrize("content", [b"", b"no gzip", gzip.compress(b"ab"), idx(np.zeros((2, 3, 4), np.uint8))[:-9],
                                     gzip.compress(struct.pack(">HBB3i", 0, 8, 3, 9, 9, 9) + b"short")],
                         ids=["empty", "no gzip", "no idx", "cut", "short"])
def test_a_broken_idx_file_is_named(tmp_path, content):
    (tmp_path / "a.gz").write_bytes(content)
    with pytest.raises(ValueError, match="a.gz is no readable idx file"):
        read_idx(tmp_path / "a.gz")
