"""Who is who: split folders and wrappers are no people, names and tables can say it, and copies stay together."""

import io

import numpy as np
import pytest
from PIL import Image

from coldavg.cli import main
from coldavg.evaluation import Averaging
from coldavg.imagesets import open_images
from coldavg.imagesets.copies import stand_in
from coldavg.imagesets.identities import read_identities

from .pictures import PACKERS, fill, noise, packed


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("COLDAVG_CACHE", str(tmp_path / "cache"))


def people(names, asked=""):
    found = read_identities(names, [None] * len(names), asked)
    return len(set(found.numbers.tolist())), found


SPLIT = [f"{split}/p{i:02d}/{split}.jpg" for split in ("train", "valid", "test") for i in range(18)]
LAYOUTS = {
    "split folders above people": (SPLIT, 18, "below test, train, valid"),
    "in a wrapper": ([f"set/{name}" for name in SPLIT], 18, "below set / test"),
    "people above split folders": ([f"p{i:02d}/{split}/1.png" for split in ("train", "test") for i in range(5)], 5,
                                   "each sub-folder is one"),
    "one wrapper": ([f"top/p{i:02d}/{j}.png" for i in range(6) for j in range(2)], 6, "below top"),
    "several wrappers": ([f"a/b/c/p{i}/{j}.png" for i in range(6) for j in range(2)], 6, "below a / b / c"),
    "a wrapper beside a loose file": ([f"top/p{i}/{j}.png" for i in range(6) for j in range(2)] + ["cover.png"], 7,
                                      "1 files in no sub-folder"),
    "one folder of pictures": ([f"DCIM/100APPLE/IMG_{i:04d}.jpg" for i in range(9)], 9, "below DCIM / 100APPLE"),
    "a phone": ([f"DCIM/{folder}/{i}.jpg" for folder in ("100APPLE", "101APPLE", "Camera", "Screenshots")
                 for i in range(3)], 12, "below DCIM / 100APPLE, 101APPLE, Camera, Screenshots"),
    "people called by numbers": ([f"{folder}/{i}.png" for folder in ("10012345", "001smith", "10012347")
                                  for i in range(2)], 3, "each sub-folder is one"),
    "people": (["ann/1.png", "ann/2.png", "bob/3.png"], 2, "each sub-folder is one"),
    "flat": ([f"{i}.png" for i in range(5)], 5, "there are no sub-folders"),
    "a split folder of pictures": ([f"{split}/{i}.png" for split in ("train", "test") for i in range(4)], 8,
                                   "no sub-folders"),
}


@pytest.mark.parametrize("case", LAYOUTS)
def test_folders_that_tell_nobody_apart_are_no_identities(case):
    names, wanted, said = LAYOUTS[case]
    several, found = people(names)
    assert several == wanted and said in found.how, found.how
    assert (not found.warnings) or case == "flat"


@pytest.mark.parametrize("packer", PACKERS)
def test_archives_and_folders_are_read_alike(packer, tmp_path):
    files = {f"top/inner/p{i // 2}/{i}.png": packed(noise(i)) for i in range(10)}
    found = open_images(PACKERS[packer](tmp_path / "own", files), "all")
    assert len(set(found.identities.tolist())) == 5 and found.inspection.identities_examples == ("p0", "p1", "p2")


def test_split_names_among_people_are_pointed_out():
    several, found = people(["train/1.png", "ann/2.png", "bob/3.png"])
    assert several == 3 and found.warnings == ("folders named 'train' are taken for identities",)


NAMES = [f"Person_{i:02d}_{j:04d}.jpg" for i in range(4) for j in range(3)]


def test_names_that_share_beginnings_are_pointed_out():
    several, found = people(NAMES)
    assert several == 12 and "12 names share 4 beginnings: " in found.warnings[0]
    assert "--identity" in found.warnings[0]
    assert people([f"IMG_{i:04d}.jpg" for i in range(20)])[1].warnings == (), "one camera is no person"
    assert "subject01 (4)" in people([f"subject{i:02d}.{word}" for i in (1, 2, 3) for word in
                                      ("happy", "sad", "wink", "normal")])[1].warnings[0]


def test_identities_from_names_tables_or_nowhere(tmp_path):
    several, found = people(NAMES, r"^(Person_\d+)_")
    assert several == 4 and found.examples == ("Person_00", "Person_01", "Person_02") and not found.warnings
    assert people(NAMES, r"Person_\d+")[0] == 4, "without a group all that fits"
    assert people(SPLIT, "none")[0] == 54 and people([f"a/{i}.png" for i in range(3)], "folder")[0] == 1
    several, found = people([*NAMES, "other.png"], r"^(Person_\d+)_")
    assert several == 5 and found.warnings[0].startswith("1 of 13 pictures get no identity")
    table = tmp_path / "who.csv"
    for between in ",;\t ":
        table.write_text(f"file{between}person\n" + "".join(f"{name}{between}{i // 6}\n"
                                                            for i, name in enumerate(NAMES)))
        assert people([f"in/{name}" for name in NAMES], str(table))[0] == 2
    assert people(NAMES, str(table.rename(tmp_path / "identity.txt")))[0] == 2, "as databases of faces write them"
    table = tmp_path / "identity.txt"
    for asked, said in (("(", "no regular expression"), ("(x+)y", "fits no name"), ("absent.csv", "can't be read"),
                        (str(table), "names no picture")):
        with pytest.raises(ValueError, match=said):
            people(["1.png", "2.png"], asked)


def test_the_command_takes_them(tmp_path, capsys):
    own = fill(tmp_path / "own", {name: packed(noise(i)) for i, name in enumerate(NAMES)})
    assert main(["data", str(own)]) == 0 and "names share 4 beginnings" in capsys.readouterr().out
    assert main(["data", str(own), "--identity", "^(Person_..)"]) == 0
    assert "identities   4: by the pattern" in capsys.readouterr().out
    train, test = (open_images(own, split, identity="^(Person_..)") for split in ("train", "test"))
    assert not set(train.identities) & set(test.identities) and len(test) == 3
    assert main(["data", "digits", "--identity", "none"]) == 2


def smooth(seed, side=96):
    """A picture with something to see in it, as photographs have."""
    rough = Image.fromarray(np.random.RandomState(seed).randint(0, 256, (6, 6, 3), np.uint8))
    return rough.resize((side, side), Image.Resampling.BICUBIC)


def as_jpeg(picture, quality):
    content = io.BytesIO()
    picture.save(content, "JPEG", quality=quality)
    return content.getvalue()


def copies(count=12):
    """Pictures, of which the first four are there as a JPEG of quality 60, a thumbnail and a PNG again."""
    files = {f"p{i:02d}.png": packed(smooth(i)) for i in range(count)}
    for i in range(4):
        files |= {f"web{i}.jpg": as_jpeg(smooth(i), 60), f"small{i}.png": packed(smooth(i).resize((48, 48))),
                  f"again{i}.png": packed(smooth(i))}
    return files


def test_copies_and_near_copies_stay_on_one_side_and_out_of_one_average(tmp_path):
    own = fill(tmp_path / "own", copies())
    train, test, both = (open_images(own, split) for split in ("train", "test", "all"))
    assert len(train) + len(test) == len(both) == 24
    assert both.inspection.copies == 4 and both.inspection.near_copies == 8
    assert not set(train.apart) & set(test.apart) and len(set(both.apart)) == 12
    assert len(set(both.identities)) == 24, "they are still called by their own names"
    drawn = Averaging(3).draw(both, 24)
    assert all(len(set(both.apart[row])) == 3 for row in drawn.numpy())


def test_pictures_that_are_merely_alike_are_no_copies(tmp_path):
    files = {f"{i}.png": packed(Image.blend(smooth(0), smooth(100 + i), 0.4)) for i in range(20)}
    found = open_images(fill(tmp_path / "own", files), "all").inspection
    assert (found.copies, found.near_copies) == (0, 0)


def test_copies_are_found_between_two_sets(tmp_path):
    one = open_images(fill(tmp_path / "one", {f"{i}.png": packed(smooth(i)) for i in range(8)}), "all")
    two = open_images(fill(tmp_path / "two", {f"{i}.jpg": as_jpeg(smooth(i), 70) for i in range(5, 12)}), "all")
    found = stand_in(one.pixels, one.rows, two.pixels, two.rows)
    assert found.tolist() == [False] * 5 + [True] * 3
