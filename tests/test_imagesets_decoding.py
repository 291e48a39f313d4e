"""Decoding a set into the cache: what is broken is named, and nothing half-done is left, whatever happens."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest

from coldavg import load
from coldavg.cli import main
from coldavg.imagesets import decoding, open_images, opening
from coldavg.imagesets.named import cache_folder
from coldavg.support.files import fingerprint

from .pictures import BROKEN, FILES, PACKERS, disk_of, fill, noise, packed, zipped


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("COLDAVG_CACHE", str(tmp_path / "cache"))


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
    assert "warning 1    6 files that ought to be pictures" in said and "1 empty ('empty.png')" in said
    assert "\x1b" not in said and "16 seen, 10 images" in said


def test_a_file_too_long_is_never_read(tmp_path, monkeypatch):
    monkeypatch.setattr(decoding, "LARGEST", len(FILES["03.png"]) - 1)
    with pytest.raises(ValueError, match="none of the 10 pictures"):
        open_images(zipped(tmp_path / "own.zip", FILES))


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
from coldavg.imagesets import decoding, open_images
decode, count = decoding.read_pictures, []
def dies(*words):
    count.append(words)
    if len(count) == 6:
        os.kill(os.getpid(), 9)
    return decode(*words)
decoding.read_pictures = dies
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

    monkeypatch.setattr(decoding, "read_pictures", stop)
    with pytest.raises(KeyboardInterrupt):
        open_images(fill(tmp_path / "own", FILES))
    assert not list(cache_folder().iterdir())


def test_decoded_once_and_again_only_if_damaged(tmp_path, monkeypatch):
    own = fill(tmp_path / "own", FILES)
    first = open_images(own, "all")
    pixels = np.array(first.pixels)
    opening.open_decoded.cache_clear()  # as another process would
    with monkeypatch.context() as patch:
        patch.setattr(decoding, "read_pictures", None)
        again = open_images(own, "all")
    assert (again.pixels == pixels).all() and again.sha256 == first.sha256
    for path in cache_folder().iterdir():
        path.write_bytes(path.read_bytes()[:-20])
        opening.open_decoded.cache_clear()
        assert (open_images(own, "all").pixels == pixels).all()


def test_the_hash_of_a_folder_is_that_of_its_contents(tmp_path):
    one, two = fill(tmp_path / "one", FILES), fill(tmp_path / "two", FILES)
    os.utime(two / "03.png", (0, 0))
    assert open_images(one).sha256 == open_images(two).sha256
    renamed, other = FILES | {"x.png": FILES["03.png"]}, FILES | {"03.png": packed(noise(33))}
    del renamed["03.png"]
    hashes = {open_images(fill(tmp_path / str(i), files)).sha256 for i, files in enumerate((FILES, renamed, other))}
    assert len(hashes) == 3
    assert open_images(zipped(tmp_path / "own.zip", FILES)).sha256 == fingerprint(tmp_path / "own.zip")


def test_nothing_names_pictures_in_the_cache(tmp_path):
    files = {f"mary-{i}/secret-{i}.png": content for i, content in enumerate(FILES.values())}
    open_images(fill(tmp_path / "own", files))
    kept, = cache_folder().glob("*.json")
    assert "mary" not in kept.read_text() and "secret" not in kept.read_text()
    assert json.loads(kept.read_text())["near"] == list(range(10))
