"""Folders, zips and tars of pictures: what is decoded, what is refused, and that nothing half-done is left."""

import io
import json
import os
import resource
import struct
import subprocess
import sys
import tarfile
import zipfile
import zlib
from contextlib import contextmanager

import numpy as np
import pytest
import torch
from PIL import Image

from coldavg import data, images
from coldavg.cli import main
from coldavg.data import cache_folder, load, open_images
from coldavg.images import decode, numbered, without_top


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("COLDAVG_CACHE", str(tmp_path / "cache"))


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


FILES = {f"{i:02d}.png": packed(noise(i)) for i in range(10)}
PACKERS = {"folder": lambda path, files: fill(path, files), "zip": zipped, "tar": tarred}


@pytest.mark.parametrize("packer", PACKERS)
def test_pictures_come_back_as_they_were_sorted_by_name(packer, tmp_path):
    backwards = dict(reversed(FILES.items()))
    opened = open_images(PACKERS[packer](tmp_path / "own", backwards), "all")
    assert isinstance(opened.pixels, np.memmap) and opened.shape == (10, 3, 64, 64) and opened.broken == ()
    assert all((opened.pixels[i] == noise(i)).all() for i in range(10))
    torch.testing.assert_close((opened[3].permute(1, 2, 0) + 1) * 127.5, torch.from_numpy(noise(3)).float())


def test_indices_of_every_kind(tmp_path):
    opened = open_images(fill(tmp_path / "own", FILES), "train")
    everything = opened[:]
    assert everything.shape == opened.shape == (len(opened), 3, 64, 64) and everything.dtype == torch.float32
    assert everything.min() >= -1 and everything.max() <= 1 and everything.is_contiguous()
    for index in (0, -1, slice(1, 5, 2), np.array([3, 0]), torch.tensor([[0, 1], [2, 0]])):
        assert torch.equal(opened[index], everything[index])
    with pytest.raises(IndexError):
        opened[len(opened)]
    assert torch.equal(load(tmp_path / "own", "train"), everything)


GRADIENT = np.linspace(0, 65535, 64 * 64).reshape(64, 64)


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
    pixels, size = decode(content, 64, 3)
    assert pixels.shape == (64, 64, 3) and pixels.dtype == np.uint8 and size == (64, 64)
    wanted = np.asarray(Image.open(io.BytesIO(content)).convert("L")) if wanted is None else wanted
    assert (pixels == wanted[..., None]).all()
    assert (decode(content, 64, 1)[0] == pixels[..., :1]).all()


def test_exif_rotation_crop_and_resizing():
    wide = np.zeros((40, 80, 3), np.uint8)
    wide[:20] = 255  # bright on top
    exif = Image.Exif()
    exif[0x0112] = 6  # to be seen turned by 90 degrees: the top goes to the right
    turned, size = decode(packed(wide, exif=exif), 40, 1)
    assert size == (80, 40) and (turned[:, 20:] == 255).all() and (turned[:, :20] == 0).all()
    halves = np.zeros((30, 90), np.uint8)
    halves[:, 30:60] = 200  # the middle square
    assert (decode(packed(halves), 30, 1)[0] == 200).all()
    stripes = np.zeros((512, 512), np.uint8)
    stripes[:, ::2] = 200  # finer than 32 pixels can show: antialiased to their mean
    assert np.abs(decode(packed(stripes), 32, 1)[0].astype(int) - 100).max() <= 3
    ramp = np.linspace(0, 255, 2000)
    small, _ = decode(packed(ramp.astype(np.uint8)[None].repeat(1600, 0), "JPEG", quality=95), 16, 1)
    means = ramp[200:1800].reshape(16, 100).mean(1)  # a JPEG so large is decoded at a fraction of its size
    assert np.abs(small[..., 0] - means).max() < 4


def test_a_hundred_mixed_pictures(tmp_path):
    kinds = ["PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "PPM"]
    files = {}
    for i in range(100):
        kind, mode = kinds[i % 7], ["RGB", "L"][i % 2]
        picture = Image.fromarray(noise(i, (20 + i, 119 - i, 3))).convert(mode)
        files[f"{i:03d}.{kind.lower().replace('jpeg', 'JPG')}"] = packed(picture, kind)
    files |= {"notes.txt": b"no picture", ".hidden.png": b"", "__MACOSX/x.png": b""}
    opened = open_images(fill(tmp_path / "own", files), "all", size=16)
    assert opened.shape == (100, 3, 16, 16) and not opened.broken
    assert opened.sizes == ((119, 20), (70, 69))
    assert len(open_images(tmp_path / "own", size=16)) == 15
    assert open_images(tmp_path / "own", size=16, channels=1).shape == (15, 1, 16, 16)


def test_grey_sets_have_one_channel(tmp_path):
    files = {f"{i}.png": packed(noise(i, (8, 8, 1)).repeat(3, 2)) for i in range(4)}  # grey, saved in colour
    opened = open_images(fill(tmp_path / "own", files), "all", size=8)
    assert opened.shape == (4, 1, 8, 8) and (opened.pixels[2] == noise(2, (8, 8, 1))).all()
    assert isinstance(opened.pixels, np.memmap)
    assert open_images(tmp_path / "own", "all", size=8, channels=3).shape == (4, 3, 8, 8)
    fill(tmp_path / "own", {"4.png": packed(noise(4, (8, 8, 3)))})
    assert open_images(tmp_path / "own", "all", size=8).shape == (5, 3, 8, 8), "a changed folder is read anew"


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
    "float.tif": packed(GRADIENT.astype(np.float32), "TIFF"),
    "page.png": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n",  # PostScript, by its content
    "text\n\x1b.png": b"hello",
}


@pytest.mark.parametrize("packer", PACKERS)
def test_broken_files_are_counted_named_and_skipped_or_refused(packer, tmp_path, capsys):
    own = PACKERS[packer](tmp_path / "own", FILES | BROKEN)
    opened = open_images(own, "all")
    assert len(opened) == 10 and list(opened.broken) == sorted(BROKEN)
    assert all((opened.pixels[row] == noise(i)).all() for i, row in enumerate(opened.rows))
    with pytest.warns(UserWarning, match="skipped 6 file"):
        assert len(load(own)) == 2
    with pytest.raises(ValueError, match=r"6 file\(s\) \('bomb.png', 'cut.jpg', .*, \.\.\.\) in .* can't be read"):
        open_images(own, broken="refuse")
    assert main(["data", str(own)]) == 0
    said = capsys.readouterr().out
    assert "6 file(s) ('bomb.png'" in said and "\x1b" not in said and said.count("\n") == 8


def test_a_file_too_long_is_never_read(tmp_path, monkeypatch):
    monkeypatch.setattr(images, "LARGEST", len(FILES["03.png"]) - 1)
    with pytest.raises(ValueError, match="none of the 10 pictures"):
        open_images(zipped(tmp_path / "own.zip", FILES))


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


REFUSED = {
    "empty folder": (lambda path: path.mkdir(), "holds no picture"),
    "no picture": (lambda path: fill(path, {"a.txt": b"a"}), "holds no picture"),
    "nothing but broken": (lambda path: fill(path, BROKEN), "none of the 6 pictures"),
    "two images": (lambda path: fill(path, dict(list(FILES.items())[:2])), "holds 2 image(s) that can be read"),
    "two and broken": (lambda path: fill(path, dict(list(FILES.items())[:2]) | BROKEN), "holds 2 image(s)"),
    "one identity": (lambda path: fill(path, {f"ann/{name}": each for name, each in FILES.items()}),
                     "holds 1 sub-folder(s), each one identity"),
    "no zip": (lambda path: path.write_bytes(b"hello"), "is no whole zip or tar"),
    "nothing": (lambda path: path.write_bytes(b""), "is no whole zip or tar"),
    "a cut zip": (lambda path: path.write_bytes(zipped(path, FILES).read_bytes()[:-50]), "is no whole zip or tar"),
    "a cut tar": (lambda path: path.write_bytes(tarred(path, FILES).read_bytes()[:-9000]), "is no whole zip or tar"),
    "absent": (lambda path: None, "or a folder or zip that is there"),
    "all alike": (lambda path: fill(path, {f"{i}.png": FILES["00.png"] for i in range(5)}), "one picture"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_can_not_be_split_is_refused_in_one_line(case, tmp_path, capsys):
    make, words = REFUSED[case]
    make(tmp_path / "own")
    assert main(["data", str(tmp_path / "own")]) == 2
    error = capsys.readouterr().err
    assert words in error and error.count("\n") == 1 and "Traceback" not in error
    assert not list(cache_folder().glob(".*"))


def test_identities_are_the_first_sub_folders():
    names = ["set/b/1.png", "set/a/x/2.png", "set/b/3.png", "set/4.png"]
    assert without_top(names) == ["b/1.png", "a/x/2.png", "b/3.png", "4.png"]
    assert numbered(without_top(names), data.FOLDER) == [2, 1, 2, 0]
    assert numbered(names, None) == [2, 1, 3, 0]
    assert without_top(["a/1.png", "b/1.png"]) == ["a/1.png", "b/1.png"]
    assert without_top(["1.png"]) == ["1.png"]


@contextmanager
def disk_of(size):
    """No file may grow beyond `size` bytes: the system refuses the write, as it does on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_full_disk_is_one_line_and_leaves_nothing(tmp_path, capsys):
    own = fill(tmp_path / "own", FILES)
    with disk_of(50_000):
        assert main(["data", str(own)]) == 2
    error = capsys.readouterr().err
    assert "set COLDAVG_CACHE to another folder" in error and error.count("\n") == 1 and "--out" not in error
    assert not list(cache_folder().iterdir())
    assert main(["data", str(own)]) == 0, "with room it works"


def test_a_cache_that_can_not_be_made(tmp_path, monkeypatch, capsys):
    (tmp_path / "file").write_bytes(b"")
    monkeypatch.setenv("COLDAVG_CACHE", str(tmp_path / "file" / "cache"))
    assert main(["data", str(fill(tmp_path / "own", FILES))]) == 2
    assert "set COLDAVG_CACHE to another folder" in capsys.readouterr().err


KILLED = """
import os, sys
from coldavg import images
from coldavg.data import open_images
decode, count = images.decode, []
def dies(*words):
    count.append(words)
    if len(count) == 6:
        os.kill(os.getpid(), 9)
    return decode(*words)
images.decode = dies
open_images(sys.argv[1])
"""


def test_killed_while_decoding(tmp_path):
    own = fill(tmp_path / "own", FILES)
    run = subprocess.run([sys.executable, "-c", KILLED, str(own)], capture_output=True)
    assert run.returncode == -9
    left, = cache_folder().iterdir()
    assert left.name.endswith(".part"), "nothing stands under the final name"
    assert len(open_images(own, "all")) == 10 and left.exists(), "it could be a living process's"
    os.utime(left, (0, 0))
    open_images(own, "all", size=32)
    assert not left.exists() and len(list(cache_folder().iterdir())) == 4, "pixels and facts at two sizes"


def test_an_interrupted_decoding_leaves_nothing(tmp_path, monkeypatch):
    def stop(*words):
        raise KeyboardInterrupt

    monkeypatch.setattr(images, "decode", stop)
    with pytest.raises(KeyboardInterrupt):
        open_images(fill(tmp_path / "own", FILES))
    assert not list(cache_folder().iterdir())


def test_decoded_once_and_again_only_if_damaged(tmp_path, monkeypatch):
    own = fill(tmp_path / "own", FILES)
    first = open_images(own, "all")
    pixels = np.array(first.pixels)
    data.open_decoded.cache_clear()  # as another process would
    with monkeypatch.context() as patch:
        patch.setattr(images, "decode", None)
        again = open_images(own, "all")
    assert (again.pixels == pixels).all() and again.sha256 == first.sha256
    for path in cache_folder().iterdir():
        path.write_bytes(path.read_bytes()[:-20])
        data.open_decoded.cache_clear()
        assert (open_images(own, "all").pixels == pixels).all()


def test_the_hash_of_a_folder_is_that_of_its_contents(tmp_path):
    one, two = fill(tmp_path / "one", FILES), fill(tmp_path / "two", FILES)
    os.utime(two / "03.png", (0, 0))
    assert open_images(one).sha256 == open_images(two).sha256
    renamed, other = FILES | {"x.png": FILES["03.png"]}, FILES | {"03.png": packed(noise(33))}
    del renamed["03.png"]
    hashes = {open_images(fill(tmp_path / str(i), files)).sha256 for i, files in enumerate((FILES, renamed, other))}
    assert len(hashes) == 3
    assert open_images(zipped(tmp_path / "own.zip", FILES)).sha256 == images.fingerprint(tmp_path / "own.zip")


def test_nothing_names_pictures_in_the_cache(tmp_path):
    files = {f"ann-{i}/secret-{i}.png": content for i, content in enumerate(FILES.values())}
    open_images(fill(tmp_path / "own", files))
    kept, = cache_folder().glob("*.json")
    assert "ann" not in kept.read_text() and "secret" not in kept.read_text()
    assert json.loads(kept.read_text())["identities"] == list(range(10))
