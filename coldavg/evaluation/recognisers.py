"""Recognisers: pictures to numbers that are near where two pictures show the same identity."""

from collections.abc import Callable
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d, interpolate, pad
from tqdm import tqdm

from ..imagesets.opening import ImageSet
from ..support.pixels import to_8_bits


def recogniser_file() -> Path:
    """The file of the recogniser, from the package face-recognition-models; FileNotFoundError without the extra.

    dlib's network of 29 convolutions, 128 numbers a face, trained on 7,485 people, none of them in LFW, the
    origin of `faces`: https://github.com/davisking/dlib-models
    """
    package = find_spec("face_recognition_models")  # only found: importing it would need the old pkg_resources
    if package is None or find_spec("dlib") is None:
        raise FileNotFoundError("the face recogniser is not installed; run: pip install 'coldavg[faces]'")
    return Path(package.origin).parent / "models" / "dlib_face_recognition_resnet_model_v1.dat"


@cache
def face_recogniser():
    """The recogniser, loaded once."""
    return import_module("dlib").face_recognition_model_v1(str(recogniser_file()))


def face_chips(images: Tensor) -> np.ndarray:
    """Faces as the recogniser wants them: (N, C, H, W) in [-1, 1], C 1 or 3, to (N, 150, 150, 3) uint8.

    It wants a face in the middle of 150 pixels, with a quarter of the face's side as a margin all round
    (dlib's get_face_chip).  So a face cropped as tightly as LFWcrop's is resized to 100 pixels, and its
    outermost ones are repeated 25 times.
    """
    faces = interpolate(images.float(), (100, 100), mode="bicubic", antialias=True).expand(-1, 3, -1, -1)
    levels = to_8_bits(pad(faces, (25, 25, 25, 25), mode="replicate"))
    return levels.permute(0, 2, 3, 1).contiguous().numpy()


def embed_faces(images: Tensor, batch: int = 20, progress: bool = False) -> Tensor:
    """The recogniser's 128 numbers for each face: (..., C, H, W) in [-1, 1] to (..., 128), float64.

    Near in Euclidean distance means alike.  Nothing is drawn at random, and the batches change no bit.
    """
    parts = tqdm(images.flatten(0, -4).split(batch), "recognise", unit=" batches", disable=not progress)
    describe = face_recogniser().compute_face_descriptor
    numbers = [np.array(face) for part in parts for face in describe(list(face_chips(part)))]
    return torch.from_numpy(np.stack(numbers)).unflatten(0, images.shape[:-3])


def reduce_pixels(images: Tensor) -> Tensor:
    """Images (..., C, H, W) as the values of 16 x 16 pixels (..., C 256), float64, of mean 0 and length 1.

    So brightness and contrast count for nothing: what stands in an average is paler than it was.
    """
    values = adaptive_avg_pool2d(images.flatten(0, -4), 16).flatten(1).double()
    values = values - values.mean(1, keepdim=True)
    return (values / values.norm(dim=1, keepdim=True).clamp_min(1e-6)).unflatten(0, images.shape[:-3])


def learn_discriminants(images: ImageSet, chosen: np.ndarray) -> Callable[[Tensor], Tensor]:
    """Axes along which the images of one identity lie close together, learned from the `chosen` identities."""
    rows = np.flatnonzero(np.isin(images.identities, chosen))[:4000]
    values = reduce_pixels(images[torch.from_numpy(rows)])
    of = torch.from_numpy(np.unique(images.identities[rows], return_inverse=True)[1])
    centre = values.mean(0)
    axes = torch.linalg.svd(values - centre, full_matrices=False).Vh[: max(2, min(64, len(rows) // 4))]
    inside = (values - centre) @ axes.T
    means = torch.zeros(int(of.max()) + 1, inside.shape[1], dtype=inside.dtype).index_add(0, of, inside)
    within = torch.cov((inside - (means / of.bincount()[:, None])[of]).T)
    factor = torch.linalg.cholesky(within + torch.diag(0.1 * within.diagonal() + 1e-9))  # few images know it badly

    def embed(shown: Tensor) -> Tensor:
        inside = ((reduce_pixels(shown) - centre) @ axes.T).flatten(0, -2)
        return torch.linalg.solve_triangular(factor, inside.T, upper=False).T.unflatten(0, shown.shape[:-3])

    return embed
