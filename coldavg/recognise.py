"""Re-identification: does a face recogniser find the person of a recovered image by *another* photograph?"""

import time
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d, interpolate, pad
from tqdm.auto import tqdm

from .attack import Averaging
from .data import ImageSet, fingerprint, open_images
from .evaluate import NO_NETWORK, command, open_attacker, recover, stamp
from .metrics import accept_limit, identify, interval, match
from .mixing import mix, round_to_8_bits


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
def recogniser():
    """The recogniser, loaded once."""
    return import_module("dlib").face_recognition_model_v1(str(recogniser_file()))


def chips(images: Tensor) -> np.ndarray:
    """Faces as the recogniser wants them: (N, C, H, W) in [-1, 1], C 1 or 3, to (N, 150, 150, 3) uint8.

    It wants a face in the middle of 150 pixels, with a quarter of the face's side as a margin all round
    (dlib's get_face_chip).  So a face cropped as tightly as LFWcrop's is resized to 100 pixels, and its
    outermost ones are repeated 25 times.
    """
    faces = interpolate(images.float(), (100, 100), mode="bicubic", antialias=True).expand(-1, 3, -1, -1)
    levels = ((pad(faces, (25, 25, 25, 25), mode="replicate").clamp(-1, 1) + 1) * 127.5).round()
    return levels.byte().permute(0, 2, 3, 1).contiguous().numpy()


def embed(images: Tensor, batch: int = 20, progress: bool = False) -> Tensor:
    """The recogniser's 128 numbers for each face: (..., C, H, W) in [-1, 1] to (..., 128), float64.

    Near in Euclidean distance means alike.  Nothing is drawn at random, and the batches change no bit.
    """
    parts = tqdm(images.flatten(0, -4).split(batch), "recognise", unit=" batches", disable=not progress)
    faces = [np.array(face) for part in parts for face in recogniser().compute_face_descriptor(list(chips(part)))]
    return torch.from_numpy(np.stack(faces)).unflatten(0, images.shape[:-3])


def draw_people(identities: np.ndarray, count: int = 100, seed: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    """A gallery and seeded pairs of *other* photographs, from who is in each photograph, `identities` (N,).

    Returns indices of photographs for the gallery (G,), one for each person who has two or more, and for
    the pairs (count, 2), always two people and never a gallery photograph; and the pairs' people as
    positions in the gallery (count, 2).  The people are paired off in rounds, and each round takes their
    next photograph: nobody is in two of the first G // 2 pairs.  ValueError if there are too few people.
    """
    random = np.random.RandomState(seed)
    owned = [random.permutation(np.flatnonzero(identities == person)) for person in np.unique(identities)]
    owned = [photographs for photographs in owned if len(photographs) > 1]
    if len(owned) < 3 or count < 1:
        raise ValueError(f"count must be at least 1, and data hold two photographs each of at least 3 people, "
                         f"got count {count} and {len(owned)} such people; choose faces, or a folder for each person")
    people, pairs = [], []
    while len(pairs) < count:
        turn = len(pairs) // (len(owned) // 2)
        for pair in random.permutation(len(owned))[: len(owned) // 2 * 2].reshape(-1, 2):
            people.append(pair)
            pairs.append([owned[person][1 + turn % (len(owned[person]) - 1)] for person in pair])
    gallery = np.array([photographs[0] for photographs in owned])
    return torch.from_numpy(gallery), torch.tensor(np.array(pairs[:count])), torch.tensor(np.array(people[:count]))


def reidentify(network: str = "none", data: str = "faces", sampler: str = "cold", steps: int = 20, count: int = 100,
               progress: bool = False) -> list[dict]:
    """Rows of results, each mark in % with its 95 % interval over pairs, by the one definition of `identify`.

    One row for the pairs' photographs themselves (the most to be hoped for), one for their 8-bit average,
    and, unless `network` is "none", one for what the network recovers from the average, which is all it sees.
    Each is asked for each person of a pair among the same gallery of other photographs, in one look: the
    photograph of that person; the average; the recovered image that belongs to that person by the protocol's
    matching, which knows pixels and nothing of the gallery.  A pair's own two people are never rivals.
    The limit of acceptance is set once, where 1 % of the gallery's own pairs of people would be accepted;
    `false_accepts` says what it then lets pass, and `chance` what a blind guess scores at rank 1.
    Raises FileNotFoundError without the extra `faces`, ValueError as `draw_people`.
    """
    hashed = {"recogniser_sha256": fingerprint(recogniser_file())}  # first: what is missing shows now, not at the end
    images = open_images(data, "test")
    photographs, pairs, people = draw_people(np.asarray(images.identities), count)
    truth = images[pairs]  # (count, 2, C, H, W)
    average = round_to_8_bits(mix(truth))
    shown = [("none", "the photograph itself", 0, 0.0, truth),
             ("none", NO_NETWORK["none"], 0, 0.0, average[:, None])]
    if network != "none":
        attacker, sampler = open_attacker(network, sampler)
        start = time.perf_counter()
        recovered, calls = recover(average, attacker, sampler, steps, progress=progress)
        seconds = (time.perf_counter() - start) / count
        shown.append((network, sampler, calls, seconds, match(round_to_8_bits(recovered), truth)))
    gallery = embed(images[photographs], progress=progress)
    limit, chance = accept_limit(gallery), 100 / (len(gallery) - 1)
    rows = []
    for source, name, calls, seconds, probes in shown:
        row = {"data": data, "k": 2, "weights": None, "told": None, "published": "png", "network": Path(source).stem,
               "sampler": name, "calls": calls, "tuples": count, "seconds": round(seconds, 5),
               "gallery": len(gallery), "limit": round(limit, 4), "chance": round(chance, 2)}
        marks = identify(embed(probes, progress=progress).expand(-1, 2, -1), people, gallery, limit)
        for mark, values in marks.items():
            row[mark] = round(100 * values.mean().item(), 2)
            row[f"{mark}_interval"] = [round(100 * end, 2) for end in interval(values)]
        again = f"{command(row, source, steps)} --reidentify"
        rows.append(row | {"command": again, "stamp": stamp(source, data) | hashed})
    return rows


def find_people(images: ImageSet, averaging: Averaging, attack: Callable[[Tensor], Tensor],
                recogniser: Callable[[Tensor], Tensor], count: int = 100, seed: int = 0) -> dict:
    """Rank 1 (%) with its interval, for averages of any kind, by *other* photographs of the same people.

    One photograph of each person who has two or more makes the gallery; averages are made of the others.
    `attack` turns averages (N, C, H, W) into images (N, K, C, H, W), `recogniser` images into embeddings.
    Returns "clean", "average" and "recovered" with "_interval" each, "chance", "gallery" (people) and
    "averages".  ValueError if fewer than max(3, K + 1) people have two photographs.
    """
    random = np.random.RandomState(seed)
    owned = [random.permutation(np.flatnonzero(images.identities == person)) for person in np.unique(images.identities)]
    owned = [photographs for photographs in owned if len(photographs) > 1]
    if len(owned) < max(3, averaging.k + 1):
        raise ValueError(f"data hold {len(owned)} identities with two images or more; to find people in averages of "
                         f"{averaging.k} it takes {max(3, averaging.k + 1)}")
    gallery, rest = np.array([photographs[0] for photographs in owned]), np.concatenate([one[1:] for one in owned])
    part = replace(images, rows=images.rows[rest], identities=images.identities[rest])
    places = averaging.places(part, count, seed)
    tuples = part[places]
    published = averaging.publish(tuples, seed)
    people = torch.from_numpy(np.searchsorted(images.identities[gallery], part.identities[places]))
    recovered = match(round_to_8_bits(attack(published)), tuples)
    known = torch.cat([recogniser(images[part]) for part in torch.from_numpy(gallery).split(500)])
    found = {"gallery": len(gallery), "averages": len(places), "chance": 100 / (len(gallery) - averaging.k + 1)}
    for name, probes in ("clean", tuples), ("average", published[:, None]), ("recovered", recovered):
        rank1 = 100 * identify(recogniser(probes).expand(-1, averaging.k, -1), people, known, 0.0)["rank1"]
        found |= {name: rank1.mean().item(), f"{name}_interval": interval(rank1)}
    return {name: [round(end, 2) for end in value] if isinstance(value, tuple) else round(value, 2)
            for name, value in found.items()}


def recogniser_for(images: ImageSet, learn: bool) -> tuple[str, Callable[[Tensor], Tensor]]:
    """The recogniser that tells the identities of `images` apart best, and its name.

    There are: pixels, reduced to 16 x 16; with `learn`, linear discriminants of these (Fisher 1936; Belhumeur and
    others 1997), learned from half of the identities; and, if installed, that of faces.  Tried on the other
    half, one image asked among one other of each.  ValueError if too few identities have two images.
    """
    identities, counts = np.unique(images.identities, return_counts=True)
    several = np.random.RandomState(0).permutation(identities[counts > 1])[:400]
    if len(several) < 6:
        raise ValueError(f"{len(several)} identities have two images to choose a recogniser by; it takes 6")
    half = len(several) // 2 if learn else 0
    known = {"pixels, reduced to 16 x 16": reduced}
    if learn:
        known["linear discriminants, learned from the attacker's images"] = discriminants(images, several[:half])
    try:
        recogniser_file()
        known["dlib's face recogniser"] = embed
    except FileNotFoundError:
        pass
    asked = [np.flatnonzero(images.identities == person)[:2] for person in several[half:][:100]]
    shown = images[torch.from_numpy(np.array(asked))]  # (P, 2, C, H, W)
    people = torch.arange(len(shown))[:, None]
    best = max(known, key=lambda name: identify(known[name](shown[:, :1]), people, known[name](shown[:, 1]), 0.0)
               ["rank1"].mean().item())
    return best, known[best]


def reduced(images: Tensor) -> Tensor:
    """Images (..., C, H, W) as the values of 16 x 16 pixels (..., C 256), float64, of mean 0 and length 1.

    So brightness and contrast count for nothing: what stands in an average is paler than it was.
    """
    values = adaptive_avg_pool2d(images.flatten(0, -4), 16).flatten(1).double()
    values = values - values.mean(1, keepdim=True)
    return (values / values.norm(dim=1, keepdim=True).clamp_min(1e-6)).unflatten(0, images.shape[:-3])


def discriminants(images: ImageSet, chosen: np.ndarray) -> Callable[[Tensor], Tensor]:
    """Axes along which the images of one identity lie close together, learned from the `chosen` identities."""
    rows = np.flatnonzero(np.isin(images.identities, chosen))[:4000]
    values, (_, of) = reduced(images[torch.from_numpy(rows)]), np.unique(images.identities[rows], return_inverse=True)
    centre = values.mean(0)
    axes = torch.linalg.svd(values - centre, full_matrices=False).Vh[: max(2, min(64, len(rows) // 4))]
    inside = (values - centre) @ axes.T
    of = torch.from_numpy(of)
    means = torch.zeros(int(of.max()) + 1, inside.shape[1], dtype=inside.dtype).index_add(0, of, inside)
    within = torch.cov((inside - (means / of.bincount()[:, None])[of]).T)
    factor = torch.linalg.cholesky(within + torch.diag(0.1 * within.diagonal() + 1e-9))  # few images know it badly
    return lambda shown: torch.linalg.solve_triangular(
        factor, ((reduced(shown) - centre) @ axes.T).flatten(0, -2).T, upper=False).T.unflatten(0, shown.shape[:-3])
