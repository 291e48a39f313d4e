"""Kinds of pictures: more than 8 bits at one scale, odd bands, shapes, arrays, phones' and medical files."""

import importlib.util
import io
import logging
import re
import struct
import sys
import warnings
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from coldavg.audit import Plan, run_audit
from coldavg.cli import main
from coldavg.imagesets import open_images
from coldavg.imagesets.pictures import Fit, NotRead
from coldavg.imagesets.reading import explain, read_pictures
from coldavg.imagesets.scales import settle_scale

from .pictures import fill, noise, packed


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("COLDAVG_CACHE", str(tmp_path / "cache"))


def opened(tmp_path, files, **taking):
    return open_images(fill(tmp_path / "own", files), "all", **taking)


def levels(images):
    return images.pixels[images.rows]


def twelve_bits(seed):
    return np.random.RandomState(seed).randint(0, 4096, (64, 64)).astype(np.uint16)


def test_data_of_12_bits_in_files_of_16_have_one_scale_for_the_whole_set(tmp_path):
    dark = twelve_bits(1) // 4  # a darker picture stays darker
    files = {"a.png": packed(twelve_bits(0)), "b.png": packed(dark), "c.png": packed(noise(2, (64, 64)))}
    images = opened(tmp_path, files)
    a, b, c = levels(images)[..., 0]
    assert (a == (twelve_bits(0) / 4095 * 255).round()).all() and (b == (dark / 4095 * 255).round()).all()
    assert (c == noise(2, (64, 64))).all(), "pictures of 8 bits stay as they are"
    assert images.inspection.scales["whole numbers"].endswith("to 4095, taken for 12 bits, one scale for the whole set")
    assert images.inspection.bits == {"16": 2, "8": 1}


@pytest.mark.parametrize("kind, low, high, black, white", [
    ("whole numbers", 0, 65535, 0, 65535), ("whole numbers", 9, 200, 0, 255), ("whole numbers", 0, 300, 0, 511),
    ("signed or broken numbers", 0, 1, 0, 1), ("signed or broken numbers", -0.9, 1, -1, 1),
    ("signed or broken numbers", 0, 200.5, 0, 255), ("signed or broken numbers", 0, 3.7, 0, 3.7),
    ("signed or broken numbers", -1024, 3071, -1024, 3071), ("NIfTI", 5, 900, 5, 900),
    ("DICOM through its window", 0, 1, 0, 1)])
def test_the_scale_follows_from_kind_and_range(kind, low, high, black, white):
    scale = settle_scale(kind, low, high)
    assert (scale.low, scale.high) == (black, white)
    assert scale.apply(np.array([black, white, 2.0 * white + 1])).tolist() == [0, 255, 255]


def test_near_black_pictures_get_no_verdict(tmp_path):
    own = fill(tmp_path / "own", {f"{i:02d}.png": packed((noise(i) // 16).astype(np.uint8)) for i in range(40)})
    assert "near-black" in open_images(own, "all").inspection.warnings[0]
    with pytest.raises(ValueError, match="near-black or blank, perhaps data of 10 or 12 bits"):
        run_audit(Plan(str(own)), tmp_path / "out")


def test_bands_that_are_no_opacity_are_left_out_and_said(tmp_path):
    infrared = np.concatenate([noise(0), noise(9, (64, 64, 1))], 2)
    nothing = np.concatenate([noise(1), np.zeros((64, 64, 1), np.uint8)], 2)
    images = opened(tmp_path, {"a.png": packed(infrared), "b.tif": packed(nothing, "TIFF"), "c.png": packed(noise(2))})
    assert all((levels(images)[i] == noise(i)).all() for i in range(3))
    assert images.inspection.notes == {"a band that is marked as opacity, but is none, left out": 2}


def tiff(bands, dtype=np.uint8):
    """A TIFF of so many bands, 8 x 8, as instruments write it: Pillow can't."""
    pixels = np.random.RandomState(0).randint(0, 255, (8, 8, bands)).astype(dtype)
    bits = 8 * pixels.itemsize
    tags = [(256, 4, 1, 8), (257, 4, 1, 8), (258, 3, 1, bits), (259, 3, 1, 1), (262, 3, 1, 1), (273, 4, 1, 122),
            (277, 3, 1, bands), (278, 4, 1, 8), (279, 4, 1, pixels.nbytes)]
    packed_tags = b"".join(b"".join((tag.to_bytes(2, "little"), kind.to_bytes(2, "little"), count.to_bytes(4, "little"),
                                     value.to_bytes(4, "little"))) for tag, kind, count, value in tags)
    return b"II*\0\x08\0\0\0" + len(tags).to_bytes(2, "little") + packed_tags + bytes(4) + pixels.tobytes()


def test_nothing_is_logged_while_a_file_is_read_and_all_is_afterwards(caplog):
    with pytest.raises(NotRead, match="7 bands"):
        list(read_pictures(tiff(7), "a.tif", Fit(16, 3)))
    assert caplog.records == [], "Pillow has its own words for such a file"
    for name in ("PIL", "pydicom", "nibabel"):
        logging.getLogger(name).warning("of a program that uses these too")
    assert len(caplog.records) == 3, "nothing is silenced for the whole process"


def test_what_is_not_read_says_why(tmp_path):
    broken = {"seven.tif": tiff(7), "nan.tif": packed(np.full((9, 9), np.nan, np.float32), "TIFF")}
    found = opened(tmp_path, broken | {"a.png": packed(noise(0))}).inspection
    assert set(found.broken) == {"a TIFF of 7 bands, of which it is not known what they show",
                                 "values that are no numbers (NaN or infinite)"}


def test_stacks_and_floats(tmp_path):
    frames = [Image.fromarray(noise(i, (32, 32))) for i in range(5)]
    ramp = np.linspace(0, 1, 64 * 64, dtype=np.float32).reshape(64, 64)
    files = {"stack.tif": packed(frames[0], "TIFF", save_all=True, append_images=frames[1:]),
             "unit.tif": packed(ramp, "TIFF"), "film.gif": packed(frames[1], "GIF", save_all=True,
                                                                  append_images=frames[2:4])}
    images = opened(tmp_path, files)
    assert images.inspection.frames == (2, 8) and "2 files hold 8 frames" in images.inspection.lines()["frames"]
    assert (levels(images)[2, ..., 0] == (ramp * 255).round()).all()


def test_colour_of_16_bits_is_said(tmp_path):
    def chunk(kind, body):
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    rows = np.random.RandomState(0).randint(0, 65536, (16, 16, 3)).astype(">u2")
    body = b"".join(b"\0" + row.tobytes() for row in rows)
    content = (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", 16, 16, 16, 2, 0, 0, 0))
               + chunk(b"IDAT", zlib.compress(body)) + chunk(b"IEND", b""))
    found = opened(tmp_path, {"a.png": content}).inspection
    assert found.notes == {"colour of 16 bits, of which the upper 8 are used": 1} and found.bits == {"16": 1}


def signature(seed):
    """A wide picture: a dark square at its left end, another one at its right end, on light paper."""
    page = np.full((140, 600), 240, np.uint8)
    page[20:120, 20:120], page[20:120, 480:580] = 10, 90
    page[0, 0] = seed
    return packed(page)


def test_wide_pictures_are_cropped_padded_or_stretched(tmp_path):
    files = {f"{i}.png": signature(i) for i in range(3)}
    cropped = opened(tmp_path, files)
    assert (levels(cropped)[0, 8:-8, 8:-8] == 240).all(), "both squares are cut off"
    assert "cropping keeps only 23 % of a picture" in cropped.inspection.warnings[0]
    assert "keeps 23 %" in cropped.inspection.lines()["sizes"]
    padded = opened(tmp_path, files, fit="pad")
    middle = levels(padded)[0, :, :, 0]
    assert not padded.inspection.warnings and middle[32, 7] == 10 and middle[32, -8] == 90
    assert (middle[:20] == 240).all() and (middle[-20:] == 240).all(), "on the ground of the page"
    stretched = levels(opened(tmp_path, files, fit="stretch"))[0, :, :, 0]
    assert stretched[32, 7] == 10 and stretched[32, -8] == 90 and stretched[3, 7] == 240
    with pytest.raises(ValueError, match="crop, pad, stretch"):
        open_images(tmp_path / "own", fit="squeeze")


def saved(array=None, **arrays):
    content = io.BytesIO()
    np.save(content, array) if array is not None else np.savez(content, **arrays)
    return content.getvalue()


def test_arrays_are_sets_of_pictures_with_labels(tmp_path):
    faces, who = noise(0, (12, 20, 20)), np.arange(12) // 3
    own = fill(tmp_path / "own", {"faces.npz": saved(x_train=faces, y_train=who)})
    images = open_images(own, "all", size=20)
    assert (images.pixels[images.rows][..., 0] == faces).all() and images.inspection.identities == 4
    assert images.inspection.identities_how == "by the labels in the arrays"
    assert open_images(own, "all", identity="none").inspection.identities == 12
    train, test = open_images(own, "train"), open_images(own, "test")
    assert len(test) == 3 and not set(train.identities) & set(test.identities)


@pytest.mark.parametrize("array, count, channels", [
    (noise(0, (16, 16)), 1, 1), (noise(0, (5, 16, 16)), 5, 1), (noise(0, (5, 16, 16, 3)), 5, 3),
    (noise(0, (5, 3, 16, 16)), 5, 3), (noise(0, (16, 16, 3)), 1, 3), (noise(0, (5, 16, 16)) / 255, 5, 1),
    (noise(0, (5, 16, 16)).astype(np.int16) - 99, 5, 1), (noise(0, (5, 16, 16)) > 99, 5, 1)])
def test_arrays_of_every_shape(array, count, channels, tmp_path):
    pictures = list(read_pictures(saved(array), "a.npy", Fit(16, 3)))
    assert len(pictures) == count and pictures[0].colour == (channels == 3)
    if array.dtype == np.uint8:
        flat = np.stack([each.values for each in pictures])
        wanted = array.reshape(count, 3, 16, 16).transpose(0, 2, 3, 1) if array.shape == (5, 3, 16, 16) else array
        assert (flat == wanted.reshape(count, 16, 16, channels)).all()


@pytest.mark.parametrize("content, said", [
    (saved(np.array([{"a": 1}], dtype=object)), "array of objects, which is never opened"),
    (saved(np.arange(9.0)), "arrays that are no pictures, of shape .9,."), (saved(noise(0))[:500], "cut short"),
    (b"\x93NUMPY\x01\0v\0{'descr': '|u1', 'fortran_order': False, 'shape': (99999999999, 9, 9), }".ljust(128) + b"\n",
     "cut short"), (packed(noise(0), "TIFF")[:40], "not the picture|cut short|values")])
def test_arrays_that_are_none_are_refused(content, said):
    with pytest.raises(Exception) as caught:
        list(read_pictures(content, "a.npy", Fit(16, 3)))

    assert re.search(said, str(explain(caught.value)))


def test_phones_write_heic_and_avif(tmp_path):
    pillow_heif = pytest.importorskip("pillow_heif")
    photo = Image.fromarray(noise(3, (6, 6, 3))).resize((64, 64), Image.Resampling.BICUBIC)
    content = io.BytesIO()
    pillow_heif.from_pillow(photo).save(content, quality=95)
    turned, exif = io.BytesIO(), Image.Exif()
    exif[0x0112] = 6  # to be seen turned by 90 degrees to the right
    pillow_heif.register_heif_opener(thumbnails=False)
    photo.transpose(Image.Transpose.ROTATE_90).save(turned, "HEIF", quality=95, exif=exif.tobytes())
    images = opened(tmp_path, {"IMG_1.HEIC": content.getvalue(), "IMG_4.HEIC": turned.getvalue(),
                               "IMG_2.avif": packed(photo, "AVIF", quality=95),
                               "IMG_3.JPG": packed(photo, "JPEG", quality=95)})
    assert images.inspection.formats == {"HEIF": 2, "AVIF": 1, "JPEG": 1} and images.inspection.near_copies == 3
    assert all(np.abs(each.astype(int) - np.asarray(photo)).mean() < 10 for each in levels(images))


@pytest.mark.parametrize("name, content, extra", [
    ("a.heic", b"\0\0\0\x18ftypheic" + bytes(200), "heic"), ("a.dcm", bytes(128) + b"DICM" + bytes(99), "medical"),
    ("a.nii", bytes(400), "medical")])
def test_what_needs_an_extra_is_counted_and_names_it(name, content, extra, tmp_path, monkeypatch):
    for module in ("pillow_heif", "pydicom", "nibabel"):
        monkeypatch.setitem(sys.modules, module, None)  # as if it were not installed
    found = opened(tmp_path, {name: content, "b.png": packed(noise(0))}).inspection
    reason, = found.passed
    assert f"which needs: pip install 'coldavg[{extra}]'" in reason and found.passed[reason]["count"] == 1


def shipped(package, *parts):
    """The folder of files that a package ships."""
    spec = importlib.util.find_spec(package)
    return Path(spec.origin).parent.joinpath(*parts) if spec else pytest.skip(f"{package} is not installed")


def one(path, size=64):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return list(read_pictures(path.read_bytes(), path.name, Fit(size, 1)))


def test_real_dicom_files(tmp_path):
    folder = shipped("pydicom", "data", "test_files")
    scan, = one(folder / "CT_small.dcm", 128)
    assert scan.kind == "DICOM" and scan.size == (128, 128) and scan.label[0] == "patient" and scan.levels[0] < 0
    import pydicom

    held = pydicom.dcmread(folder / "CT_small.dcm")
    wanted = held.pixel_array * float(held.RescaleSlope) + float(held.RescaleIntercept)
    assert np.abs(scan.values[..., 0] - wanted).max() < 0.01 and scan.scale == "DICOM (CT) without a window"
    frames = one(folder / "SC_rgb_rle_2frame.dcm")
    assert len(frames) == 2 and all(frame.colour for frame in frames)
    assert all(len(one(folder / name)) == 1 for name in ("MR_small_RLE.dcm", "examples_palette.dcm", "image_dfl.dcm"))
    for name in ("rtplan.dcm", "test-SR.dcm"):
        with pytest.raises(NotRead, match="DICOM without a picture"):
            one(folder / name)


def test_monochrome1_is_turned_and_a_window_is_looked_through():
    pydicom = pytest.importorskip("pydicom")
    folder = shipped("pydicom", "data", "test_files")
    held = pydicom.dcmread(folder / "MR_small.dcm")
    for word in ("WindowCenter", "WindowWidth"):
        held.pop(word, None)

    def read(**words):
        for word, value in words.items():
            setattr(held, word, value)
        content = io.BytesIO()
        held.save_as(content)
        picture, = read_pictures(content.getvalue(), "x", Fit(64, 1))
        return settle_scale(picture.scale, *picture.levels).apply(picture.values).astype(int), picture.scale

    plain, scale = read()
    assert "without a window" in scale
    turned, _ = read(PhotometricInterpretation="MONOCHROME1")
    assert np.abs(plain + turned - 255).max() <= 1
    held.PhotometricInterpretation = "MONOCHROME2"
    middle, width = float(np.median(held.pixel_array)), 200.0
    shown, scale = read(WindowCenter=middle, WindowWidth=width)
    wanted = ((held.pixel_array - (middle - 0.5)) / (width - 1) + 0.5).clip(0, 1) * 255  # DICOM PS3.3, C.11.2.1.2.1
    assert scale == "DICOM through its window" and np.abs(shown[..., 0] - wanted).max() <= 1.01


def test_patients_are_identities_and_are_never_named(tmp_path, capsys):
    pydicom = pytest.importorskip("pydicom")
    held = pydicom.dcmread(shipped("pydicom", "data", "test_files") / "MR_small.dcm")
    pixels, files = held.pixel_array, {}
    for i in range(12):
        held.PatientID, held.PatientName = f"MRN-{i // 2}77", f"Miller^Ann{i // 2}"
        held.PixelData = np.roll(pixels, 5 * i, i % 2).tobytes()
        content = io.BytesIO()
        held.save_as(content)
        files[f"Miller{i // 2}/IM{i:05d}"] = content.getvalue()  # without an ending, as scanners write them
        files[f"Miller{i // 2}/photo{i}.jpg"] = packed(noise(i), "JPEG")  # of the patient whose folder it is
        files[f"Miller{i // 2}/report{i}.pdf"] = b"%PDF"
    own = fill(tmp_path / "own", files)
    assert main(["data", str(own)]) == 0
    said = capsys.readouterr().out
    assert "identities   6: by patient, as the DICOM files say\n" in said and "24 images" in said
    assert "12 of no known kind (.pdf) ('report0.pdf', " in said
    kept = "".join(path.read_text() for path in (tmp_path / "cache").glob("*.json"))
    assert not any(word in said + kept for word in ("MRN", "Miller", "Ann"))
    assert len(set(open_images(own, "all").identities.tolist())) == 6
    assert open_images(own, "all", identity="none").inspection.identities == 24


def test_what_has_units_of_its_own_has_a_scale_for_each_series(tmp_path):
    pydicom = pytest.importorskip("pydicom")
    held = pydicom.dcmread(shipped("pydicom", "data", "test_files") / "MR_small.dcm")
    for word in ("WindowCenter", "WindowWidth"):
        held.pop(word, None)
    pixels, files = held.pixel_array // 8, {}
    for modality in ("MR", "CT"):
        for series, factor in (("1.2.1", 1), ("1.2.2", 8)):
            held.Modality, held.SeriesInstanceUID, held.PixelData = modality, series, (pixels * factor).tobytes()
            content = io.BytesIO()
            held.save_as(content)
            files[f"{modality}{factor}.dcm"] = content.getvalue()
    images = opened(tmp_path, files)
    ct, bright_ct, mr, bright_mr = levels(images).astype(int)[..., 0]
    assert np.abs(mr - bright_mr).max() <= 1 and mr.max() == 255, "MR has no units"
    assert ct.max() < 255 / 7 and bright_ct.max() == 255, "CT has"
    said = images.inspection.scales
    assert said["DICOM (MR) without a window"].startswith("2 volumes or series, each at a scale of its own")
    assert said["DICOM (CT) without a window"].endswith("one scale for the whole set")


def test_volumes_have_a_scale_each_and_the_files_may_say_it(tmp_path):
    nibabel = pytest.importorskip("nibabel")
    volume = np.random.RandomState(0).randint(0, 100, (16, 16, 2)).astype(np.int16)
    files = {}
    for name, factor, shown in (("a", 1, (0, 0)), ("b", 300, (0, 0)), ("c", 1, (0, 198))):
        image = nibabel.Nifti1Image(volume * factor, np.eye(4))
        image.header["cal_min"], image.header["cal_max"] = shown
        files[f"{name}.nii"] = image.to_bytes()
    images = opened(tmp_path, files, size=16)
    by_name = {name: levels(images)[images.rows[np.array(images.names) == f"{name}.nii"]].astype(int) for name in "abc"}
    assert np.abs(by_name["a"] - by_name["b"]).max() <= 1 and by_name["b"].max() == 255
    assert np.abs(by_name["a"] - 2 * by_name["c"]).max() <= 2, "from 0 to 198, as its file says"
    assert images.inspection.contrast > 50


def test_some_pictures_that_are_near_black_are_counted(tmp_path):
    files = {f"{i}.png": packed(noise(i) // (1 if i < 8 else 60)) for i in range(10)}
    assert "2 of 10 images have hardly any contrast" in opened(tmp_path, files).inspection.warnings[0]


def test_real_nifti_files(tmp_path):
    folder = shipped("nibabel", "tests", "data")
    import nibabel

    slices = one(folder / "anatomical.nii")
    shape = nibabel.load(folder / "anatomical.nii").shape
    assert 1 < len(slices) <= shape[2] and slices[0].size == (shape[0], shape[1]) and slices[0].kind == "NIfTI"
    series = one(folder / "example4d.nii.gz")
    assert series[0].frames == nibabel.load(folder / "example4d.nii.gz").shape[3] > 1
    files = {f"s{i}.nii": (folder / "anatomical.nii").read_bytes() for i in range(2)}
    found = open_images(fill(tmp_path / "own", files), "all").inspection
    assert found.identities == 2 and found.images == 2 * len(slices), "all slices of a volume are of one identity"


def test_what_other_packages_ship_is_read_or_named():
    folder = shipped("skimage", "data")
    found = open_images(folder, "all").inspection
    assert found.images > 100 and found.formats["NumPy"] == 200 and found.files >= 40
    assert sum(each["count"] for each in (found.passed | found.broken).values()) <= found.files


def test_files_changed_at_random_end_in_a_picture_or_in_one_plain_reason():
    seeds = {"a.png": packed(noise(0)), "a.jpg": packed(noise(1), "JPEG"), "a.tif": packed(twelve_bits(0), "TIFF"),
             "a.npy": saved(noise(2, (3, 9, 9))), "a.npz": saved(x=noise(3, (3, 9, 9)), y=np.arange(3)),
             "a.nii": bytes(400), "a.dcm": bytes(128) + b"DICM" + bytes(300), "a.webp": packed(noise(4), "WEBP")}
    rng, reasons = np.random.RandomState(0), set()
    for name, content in seeds.items():
        for _ in range(25):
            harmed = np.frombuffer(content, np.uint8).copy()
            harmed[rng.randint(len(harmed), size=rng.choice([1, 5, 50]))] = rng.randint(256)
            try:
                for picture in read_pictures(harmed[: rng.randint(1, 2 * len(harmed))].tobytes(), name, Fit(16, 1)):
                    assert picture.values.shape == (16, 16, 1) and np.isfinite(picture.values).all()
            except Exception as error:  # what `Decoding` catches
                reasons.add(str(explain(error)))
    assert 2 < len(reasons) < 25 and not any("\n" in reason or "Error" in reason for reason in reasons), reasons
