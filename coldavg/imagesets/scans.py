"""Medical files as pictures: DICOM and NIfTI (`pip install 'coldavg[medical]'`).

A patient's name or number is never printed or kept: it only tells which pictures are of one patient.
"""

import gzip
import io
import math
import os
import sys
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256

import numpy as np
from PIL import Image

from .pictures import Fit, NotRead, Picture, from_levels, plain_size, to_square

MISSING = "{}, which needs: pip install 'coldavg[medical]'"
LARGEST = 2**30  # bytes of a volume
PIXELS = ("PixelData", "FloatPixelData", "DoubleFloatPixelData")


def read_dicom(content: bytes, fit: Fit) -> Iterator[Picture]:
    """Every frame of a DICOM file, as a viewer shows it: rescaled, through its first window if it has one.

    MONOCHROME1 is turned round.  Without a window all CT, whose units are the same everywhere, is shown at one scale,
    and each series of anything else at its own.  The patient is the identity.
    """
    try:
        import pydicom
    except ImportError:
        raise NotRead(MISSING.format("DICOM"), broken=False) from None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        held = pydicom.dcmread(io.BytesIO(content), force=True)
        shape = held.get("Rows") or 0, held.get("Columns") or 0
        if not any(shape) or not any(name in held for name in PIXELS):
            raise NotRead("DICOM without a picture (a directory, a report, a plan)", broken=False)
        if not plain_size(shape) or math.prod(shape) * int(held.get("NumberOfFrames") or 1) > LARGEST:
            raise NotRead("more pixels than are read")
        held.ensure_file_meta()
        if "TransferSyntaxUID" not in held.file_meta:  # a file without its head: the usual one of old
            held.file_meta.TransferSyntaxUID = pydicom.uid.ImplicitVRLittleEndian
        frames = dicom_frames(held)
        patient = str(held.get("PatientID") or held.get("PatientName") or "")
        label = ("patient", patient) if patient else None
        for frame in frames:
            yield as_frame(frame, held, fit, label)


def dicom_frames(held) -> np.ndarray:
    """The frames (F, H, W) or (F, H, W, 3) of a DICOM file; NotRead if their compression needs another library."""
    from pydicom.pixels import pixel_array

    try:
        with quiet():
            frames = pixel_array(held)
    except (RuntimeError, NotImplementedError):
        raise NotRead(f"DICOM compressed in a way that is not read ({held.file_meta.TransferSyntaxUID.name})") from None
    return frames.reshape(-1, held.Rows, held.Columns, *([3] if held.get("SamplesPerPixel", 1) == 3 else []))


def as_frame(frame: np.ndarray, held, fit: Fit, label: tuple | None) -> Picture:
    """One frame as a viewer shows it."""
    from pydicom.pixels import apply_color_lut, apply_modality_lut, apply_windowing

    size, photometric = frame.shape[1::-1], held.get("PhotometricInterpretation", "")
    if photometric == "PALETTE COLOR":
        frame = apply_color_lut(frame, held)
    if frame.ndim == 3:
        if frame.dtype != np.uint8:
            most = 2 ** int(held.get("BitsStored", 16)) - 1
            frame = (frame.astype(float) * 255 / most).clip(0, 255).astype(np.uint8)
        plain = Image.fromarray(frame).convert("L" if fit.channels == 1 else "RGB")
        values = np.asarray(to_square(plain, fit)).reshape(fit.size, fit.size, fit.channels)
        return Picture(values, "DICOM", size, True, 8, (int(frame.min()), int(frame.max())), label=label)
    shown, bits = np.asarray(apply_modality_lut(frame, held)), int(held.get("BitsStored", 16))
    turned, scale = photometric == "MONOCHROME1", f"DICOM ({held.get('Modality') or 'of no modality'}) without a window"
    if "WindowWidth" in held and "WindowCenter" in held:
        ends = apply_windowing(np.array([-1e9, 1e9]), held)
        shown, scale = (apply_windowing(shown, held) - ends[0]) / (ends[1] - ends[0]), "DICOM through its window"
    shown = -shown.astype(np.float32) if turned and scale.endswith("a window") else 1 - shown if turned else shown
    alone = scale.endswith("without a window") and held.get("Modality") != "CT"
    picture = from_levels(np.asarray(shown, np.float32), "DICOM", fit, size, scale=scale, label=label,
                          series=str(held.get("SeriesInstanceUID") or "") if alone else "")
    return picture._replace(bits=bits, levels=(float(frame.min()), float(frame.max())) if scale.endswith("its window")
                            else picture.levels)


@contextmanager
def quiet() -> Iterator[None]:
    """Nothing that libraries in C write to standard error, where they tell what is wrong with a file."""
    sys.stderr.flush()
    kept = os.dup(2)
    try:
        with open(os.devnull, "wb") as nowhere:
            os.dup2(nowhere.fileno(), 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


def read_nifti(content: bytes, fit: Fit) -> Iterator[Picture]:
    """Every slice of a NIfTI volume that shows anything, from the feet to the head; of a series the first volume.

    Each volume has its own scale: the range to be displayed, if its file names one, else all of its values.
    """
    try:
        import nibabel
    except ImportError:
        raise NotRead(MISSING.format("NIfTI"), broken=False) from None
    whose = sha256(content).hexdigest()
    if content[:2] == b"\x1f\x8b":
        content = gunzip(content)
    kind = nibabel.Nifti2Image if content[4:8] == b"n+2\0" else nibabel.Nifti1Image
    image = kind.from_bytes(content)
    if image.get_data_dtype().names or image.get_data_dtype().kind == "c":
        raise NotRead("a volume of colours or complex numbers")
    if not 2 <= len(image.shape) or not 0 < math.prod(image.shape) * 4 <= LARGEST:
        raise NotRead("no volume, or one that is too large")
    further = math.prod(image.shape[3:])
    first = image.slicer[..., *[0] * (image.ndim - 3)] if further > 1 else image
    volume = np.asarray(first.dataobj, np.float32)
    volume = volume.reshape(*image.shape[:3], *[1] * (3 - len(image.shape[:3])))
    low, high = (float(image.header[end]) for end in ("cal_min", "cal_max"))
    for slice_ in np.moveaxis(volume, 2, 0):
        if slice_.min() < slice_.max() and plain_size(slice_.shape):
            picture = from_levels(np.rot90(slice_), "NIfTI", fit, scale="NIfTI", series=whose, frames=further)
            yield picture._replace(bits=8 * image.get_data_dtype().itemsize,
                                   levels=(low, high) if low < high else picture.levels)


def gunzip(content: bytes) -> bytes:
    """What a gzipped file holds; NotRead if that is more than a volume may have."""
    try:
        with gzip.open(io.BytesIO(content)) as packed:
            opened = packed.read(LARGEST + 1)
    except (OSError, EOFError, zlib.error):
        raise NotRead("cut short or damaged") from None
    if len(opened) > LARGEST:
        raise NotRead("more pixels than are read")
    return opened
