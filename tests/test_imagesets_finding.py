"""What is there: every file of a source has its fate, whatever hospitals, disks and phones write beside pictures."""

import json
import os
import stat
import zipfile

import pytest

from coldavg.cli import main
from coldavg.imagesets import open_images
from coldavg.imagesets.finding import list_files

from .pictures import FILES, PACKERS, fill, noise, packed, tarred, zipped


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("COLDAVG_CACHE", str(tmp_path / "cache"))


def fates(source):
    """By reason, the names of what is passed over."""
    return {why: set(names) for why, names in list_files(source).passed}


@pytest.mark.parametrize("packer", PACKERS)
def test_what_systems_make_is_passed_over_and_counted(packer, tmp_path):
    system = {"__MACOSX/a/1.png", "@eaDir/01.png/SYNOPHOTO_THUMB_M.jpg", "#recycle/01.png", "DCIM/.thumbnails/1.jpg",
              "Thumbs.db", "desktop.ini", "$RECYCLE.BIN/x.png", "DCIM/IMG_1.THM", "thumbnails/1.png"}
    hidden = {".DS_Store", "._01.png", ".trash/1.png"}
    unknown = {"notes.txt", "film.mov", "IMG_1.AAE", "README"}
    files = FILES | dict.fromkeys(system | hidden | unknown, packed(noise(1))[:8] + b"no picture at all")
    files |= dict.fromkeys(unknown, b"hello")
    own = PACKERS[packer](tmp_path / "own", files)
    found, listing = fates(own), list_files(own)
    assert found["made by a system (thumbnails, recycled files)"] | found["hidden"] == system | hidden
    assert {name for why, names in found.items() if why.startswith("of no known kind") for name in names} == unknown
    assert listing.files == len(files) and listing.pictures == tuple(FILES)
    inspection = open_images(own, "all").inspection
    assert inspection.files == len(files) and inspection.images == 10
    assert sum(each["count"] for each in inspection.passed.values()) == len(files) - 10
    assert inspection.passed["of no known kind (.mov)"] == {"count": 1, "examples": ["film.mov"]}


def test_a_picture_is_known_by_its_first_bytes_too(tmp_path):
    files = {f"subject{i // 4:02d}.{word}": packed(noise(i), "GIF")  # as the Yale faces are called
             for i, word in enumerate(["happy", "sad", "sleepy", "wink"] * 3)}
    opened = open_images(fill(tmp_path / "own", files | {"Readme": b"GIF files"}), "all")
    assert len(opened) == 12 and opened.inspection.formats == {"GIF": 12}
    assert opened.inspection.passed == {"of no known kind (no ending)": {"count": 1, "examples": ["Readme"]}}
    assert len(open_images(zipped(tmp_path / "own.zip", files), "all")) == 12
    assert len(open_images(tarred(tmp_path / "own.tar", files), "all")) == 12


def test_raw_data_of_cameras_are_named_and_their_thumbnails_not_read(tmp_path):
    """They begin as TIFF files do, and the first picture in them is a thumbnail."""
    files = FILES | {"IMG_1.DNG": packed(noise(1), "TIFF"), "a/DSC_2.nef": packed(noise(2), "TIFF")}
    assert fates(fill(tmp_path / "own", files)) == {"raw data of a camera (.dng)": {"IMG_1.DNG"},
                                                    "raw data of a camera (.nef)": {"a/DSC_2.nef"}}


def test_masks_are_no_pictures(tmp_path):
    beside = FILES | {f"{i:02d}_mask.png": packed(noise(99)) for i in range(10)}
    assert fates(fill(tmp_path / "own", beside)) == {"a mask of a picture": set(beside) - set(FILES)}
    folders = {f"images/{name}": each for name, each in FILES.items()} | {
        f"masks/{name[:-4]}_seg.png": each for name, each in FILES.items()}
    assert len(list_files(fill(tmp_path / "other", folders)).pictures) == 10
    alone = {"carnival_mask.png": packed(noise(0)), "mask/1.png": packed(noise(1)), "face/2.png": packed(noise(2))}
    assert fates(fill(tmp_path / "third", alone)) == {}, "a picture of a mask is a picture"


def test_links_are_followed_and_circles_are_not(tmp_path):
    elsewhere = fill(tmp_path / "disk", {f"p2/{name}": each for name, each in FILES.items()})
    own = fill(tmp_path / "own", {f"p1/{i}.png": packed(noise(50 + i)) for i in range(5)})
    (own / "more").symlink_to(elsewhere)
    (own / "p1" / "circle").symlink_to(own)
    (own / "p1" / "gone.png").symlink_to(tmp_path / "nowhere.png")
    os.mkfifo(own / "pipe.png")
    opened = open_images(own, "all")
    assert len(opened) == 15 and opened.inspection.files == 18
    assert fates(own) == {"a link to a folder that is read already": {"p1/circle"}, "a link to nothing":
                          {"p1/gone.png"}, "no file, but a pipe or device": {"pipe.png"}}


def test_what_may_not_be_read_is_named(tmp_path, monkeypatch):
    own = fill(tmp_path / "own", FILES | {"locked/1.png": packed(noise(77)), "secret.png": packed(noise(78))})
    scandir, read = os.scandir, type(own).read_bytes

    def locked(path):
        if os.fspath(path).endswith("locked"):
            raise PermissionError(13, "Permission denied", os.fspath(path))
        return scandir(path)

    def closed(self):
        if self.name == "secret.png":
            raise PermissionError(13, "Permission denied", str(self))
        return read(self)

    monkeypatch.setattr(os, "scandir", locked)  # a test may run as root, who may read all
    monkeypatch.setattr(type(own), "read_bytes", closed)
    found = open_images(own, "all").inspection
    assert found.passed == {"a folder that may not be read": {"count": 1, "examples": ["locked"]}}
    assert found.broken == {"no right to read it": {"count": 1, "examples": ["secret.png"]}} and found.images == 10


def test_what_an_archive_hides_is_said(tmp_path):
    own = zipped(tmp_path / "own.zip", FILES | {"../../out.png": packed(noise(5))})
    with zipfile.ZipFile(own, "a") as archive:
        link = zipfile.ZipInfo("link.png")
        link.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(link, "/etc/passwd")
        with pytest.warns(UserWarning, match="Duplicate"):
            archive.writestr("03.png", FILES["03.png"])
    content = bytearray(own.read_bytes())
    at = content.rindex(b"PK\x01\x02", 0, content.rindex(b"04.png"))
    content[at + 8] |= 1  # as if it were encrypted
    own.write_bytes(content)
    assert fates(own) == {"a link in an archive": {"link.png"}, "encrypted": {"04.png"},
                          "a name that leads out of the archive": {"../../out.png"},
                          "a name that stands there twice": {"03.png"}}
    assert open_images(own, "all").inspection.images == 9


def test_reasons_are_few_and_in_plain_words(tmp_path):
    broken = {f"cut-{i}.png": each[: 200 + i] for i, each in enumerate(FILES.values())}
    broken |= {"empty.jpg": b"", "text.png": b"hello", "cut.jpg": packed(noise(3), "JPEG")[:700]}
    found = open_images(fill(tmp_path / "own", FILES | broken), "all").inspection
    assert {why: each["count"] for why, each in found.broken.items()} == {
        "cut short or damaged": 11, "empty": 1, "not the picture that its name says": 1}
    assert "13 files that ought to be pictures are not read" in found.warnings[0]


def test_the_list_is_shown_even_where_no_split_can_be_made(tmp_path, capsys):
    own = fill(tmp_path / "own", {f"{'DCIM' if i % 2 else 'WhatsApp'}/{name}": each
                                  for i, (name, each) in enumerate(FILES.items())})
    assert main(["data", str(own)]) == 2
    said = capsys.readouterr()
    assert "identities   2: each sub-folder is one; such as 'DCIM', 'WhatsApp'" in said.out
    assert "say --identity" in said.err and said.err.count("\n") == 1
    assert main(["data", str(own), "--identity", "none"]) == 0


def test_the_list_is_one_in_words_and_as_data(tmp_path, capsys):
    own = fill(tmp_path / "own", {f"p{i % 3}/{name}": each for i, (name, each) in enumerate(FILES.items())}
               | {"p0/cut.png": FILES["00.png"][:300], "p1/film.mov": b"x"})
    assert main(["data", str(own)]) == 0
    said = capsys.readouterr().out
    assert "files        12 seen, 10 images read from them" in said
    assert "identities   3: each sub-folder is one; such as 'p0', 'p1', 'p2'" in said
    assert "passed over  1 of no known kind (.mov) ('p1/film.mov')" in said
    assert "broken       1 cut short or damaged ('p0/cut.png')" in said
    assert main(["data", str(own), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["inspection"]["images"] == 10 and found["inspection"]["identities"] == 3
    assert found["inspection"]["broken"]["cut short or damaged"]["examples"] == ["p0/cut.png"]
    assert found["training"] + int(found["test"]) == 10
