"""NumPy's files as pictures: .npy, .npz, and the labels in the latter."""

import io
import math
import zipfile
from collections.abc import Iterator

import numpy as np
from PIL import Image

from .pictures import Fit, NotRead, Picture, from_levels, plain_size, to_square

LARGEST = 2**30  # bytes of an array


def read_arrays(content: bytes, fit: Fit) -> Iterator[Picture]:
    """Every image of the arrays in an .npy or .npz file, each of its own identity, or of that which its label says.

    (H, W), (N, H, W), (N, H, W, C), (N, C, H, W), or (H, W, C), with C 1, 3 or 4.  A label is an entry of the one
    array of N whole numbers or words in the file.  NotRead if there is no such array.
    """
    named = load_arrays(content)
    stacks = {name: stack for name, array in named.items() if (stack := as_stack(array)) is not None}
    if not stacks:
        shapes = ", ".join(str(array.shape) for array in list(named.values())[:3])
        raise NotRead(f"arrays that are no pictures, of shape {shapes}", broken=False)
    for number, (name, stack) in enumerate(stacks.items()):
        labels = find_labels(name, len(stack), named)
        for i, image in enumerate(stack):
            label = ("image", number, i) if labels is None else ("label", str(labels[i]))
            yield as_picture(image, fit, label)


def load_arrays(content: bytes) -> dict[str, np.ndarray]:
    """The arrays by name; NotRead if one would fill the memory, or holds anything but numbers and words."""
    if content[:2] != b"PK":
        return {"": load_one(content)}
    arrays = {}
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        if sum(info.file_size for info in archive.infolist()) > LARGEST:
            raise NotRead("arrays of more than 1 GB")
        for info in archive.infolist():
            if info.filename.endswith(".npy"):
                arrays[info.filename[:-4]] = load_one(archive.read(info))
    if not arrays:
        raise NotRead("no NumPy arrays", broken=False)
    return arrays


def load_one(content: bytes) -> np.ndarray:
    """An array whose header promises no more than there is."""
    file = io.BytesIO(content)
    version = np.lib.format.read_magic(file)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, _, dtype = read(file)
    if dtype.hasobject or dtype.names:
        raise NotRead("an array of objects, which is never opened: it could run programs")
    if math.prod(shape) * dtype.itemsize > min(LARGEST, len(content)):
        raise NotRead("cut short or damaged")
    file.seek(0)
    return np.load(file, allow_pickle=False)


def as_stack(array: np.ndarray) -> np.ndarray | None:
    """An array as images (N, H, W) or (N, H, W, C); None if it holds none."""
    if array.dtype.kind not in "buif" or array.ndim < 2 or array.size == 0:
        return None
    if array.ndim == 2 or (array.ndim == 3 and array.shape[-1] in (1, 3, 4) and min(array.shape[:2]) > 4):
        array = array[None]
    if array.ndim == 4 and array.shape[-1] not in (1, 3, 4) and array.shape[1] in (1, 3, 4):
        array = array.transpose(0, 2, 3, 1)
    if array.ndim not in (3, 4) or (array.ndim == 4 and array.shape[-1] not in (1, 3, 4)):
        return None
    return array if min(array.shape[1:3]) > 1 and plain_size(array.shape[1:3]) else None


def find_labels(name: str, count: int, named: dict[str, np.ndarray]) -> np.ndarray | None:
    """Who is in each of `count` images of the array `name`: of the arrays of labels that whose name is most alike."""
    fitting = [other for other, array in named.items()
               if array.shape in ((count,), (count, 1)) and array.dtype.kind in "iuUSb" and count > 1]
    alike = max(fitting, key=lambda other: len(set(other.lower()) & set(name.lower())), default=None)
    return None if alike is None else named[alike].reshape(-1)


def as_picture(image: np.ndarray, fit: Fit, label: tuple) -> Picture:
    """One image (H, W) or (H, W, C) of an array."""
    image = image[..., 0] if image.ndim == 3 and image.shape[-1] == 1 else image[..., :3] if image.ndim == 3 else image
    if image.dtype == bool:
        image = image * np.uint8(255)
    if image.dtype == np.uint8:
        plain = Image.fromarray(np.ascontiguousarray(image)).convert("L" if fit.channels == 1 else "RGB")
        values = np.asarray(to_square(plain, fit)).reshape(fit.size, fit.size, fit.channels)
        return Picture(values, "NumPy", image.shape[1::-1], image.ndim == 3, 8, (int(image.min()), int(image.max())),
                       label=label)
    if image.ndim == 2:
        return from_levels(image, "NumPy", fit, label=label)
    bands = [from_levels(image[..., band], "NumPy", fit._replace(channels=1)) for band in range(3)]
    values = np.concatenate([band.values for band in bands], 2)
    ends = [band.levels for band in bands]
    if fit.channels == 1:
        values = (values @ np.float32([0.299, 0.587, 0.114]))[..., None]
    scales = sorted({band.scale for band in bands})
    return bands[0]._replace(values=values, colour=True, scale=scales[0], label=label,
                             levels=(min(low for low, _ in ends), max(high for _, high in ends)))
