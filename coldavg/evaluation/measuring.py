"""One stamped row of results for a network, a sampler and an image set, by the protocol of the book."""

import math
import shlex
import time
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from ..imagesets.opening import open_images
from ..imagesets.tuples import draw_tuples
from ..metrics import match, score, summarise
from ..mixing import brightest_first
from ..publishing import release
from ..support.pixels import round_to_8_bits
from .archive import search
from .attackers import NO_NETWORK, Attack, is_code, name_of, take_apart
from .averaging import PAIRS, Averaging
from .perceptual import lpips, why_no_lpips
from .rows import stamp

CANDIDATES = 5000  # training images among which "best-pair" searches


def protocol(data: str, k: int = 2, count: int = 1000, published: str = "png",
             weights: Sequence[float] | None = None) -> tuple[Tensor, Tensor]:
    """The protocol's test tuples (count, k, C, H, W), brightest first, and their mixtures (count, C, H, W).

    The mixtures are `published` as "png" (8 bits), "float" (as they are), "jpeg-75" (any quality) or in any
    other form of `release`.  With "flowers+faces" for `data`, the images of a tuple come from the two sets in
    turn, by the tuples of the first.

    >>> tuples, mixtures = protocol("digits", k=3, count=10)
    >>> tuples.shape, mixtures.shape
    (torch.Size([10, 3, 1, 28, 28]), torch.Size([10, 1, 28, 28]))
    """
    sets = [open_images(name, "test") for name in data.split("+")]
    people = sets[0].identities if len(sets) == 1 else None
    indices = draw_tuples(min(len(images) for images in sets), k, count, identities=people)
    tuples = brightest_first(torch.stack([sets[i % len(sets)][indices[:, i]] for i in range(k)], 1))
    return tuples, release(tuples, published, weights)


def evaluate(network: str | Attack = "none", data: str = "digits", averaging: Averaging = PAIRS, sampler: str = "cold",
             steps: int | None = None, count: int = 1000, told: Sequence[float] | None = None,
             progress: bool = False) -> dict:
    """A row of results: mean PSNR (dB), SSIM and success rate (%), each with its 95 % interval, and the stamp.

    LPIPS too, where `why_no_lpips` names no reason against it.

    `network` is a name or a file (see `load_network`), "none" (the average itself, K times), "closed-eyes" (one
    half-difference for all averages), "best-pair" (the best of all pairs of 5,000 seeded training images), or an
    attack of one's own: a function from what was published (N, C, H, W) to images (N, K, C, H, W), or the text
    "file.py:function".  `sampler` serves path networks; for a joint one "flips" averages over mirror images.
    `steps` as in `unmix`.  `told` are the weights that a network takes those of the `averaging` for (None: the
    true ones).  The attacker sees the mixtures alone.  `seconds` is the time per mixture; `command` gives the row
    again.  Raises ValueError for what can't be attacked so.
    """
    if averaging.groups != "random":
        raise ValueError(f"groups must be random, as the protocol draws them, got {averaging.groups!r}")
    if told is not None and is_code(network):
        raise ValueError(f"told is for networks, an attack of one's own is told nothing, got {told}; leave it out")
    k, weights = averaging.k, averaging.weights
    told = weights if told is None else told
    tuples, mixture = protocol(data, k, count, averaging.published, weights)
    start, calls = time.perf_counter(), 0
    if network in NO_NETWORK:
        recovered, sampler = without_network(network, mixture, data, k, told), NO_NETWORK[network]
    else:
        recovered, sampler, calls, steps = take_apart(network, mixture, sampler, steps, k, told, progress)
    seconds = (time.perf_counter() - start) / count
    row = {"data": data, "k": k, "weights": weights and list(weights), "told": told and list(told),
           "published": averaging.published, "network": name_of(network), "sampler": sampler, "calls": calls,
           "tuples": count, "seconds": round(seconds, 5)}
    scores = score(recovered, tuples, mixture)
    row |= summarise({name: scores[name] for name in ("psnr", "ssim", "success")})
    if not why_no_lpips(min(mixture.shape[2:])):
        matched = match(round_to_8_bits(recovered), tuples)
        row |= summarise({"lpips": lpips(matched.flatten(0, 1), tuples.flatten(0, 1)).reshape(tuples.shape[:2])})
    return row | {"command": command(row, network, steps), "stamp": stamp(network, data)}


def without_network(attacker: str, mixture: Tensor, data: str, k: int, told: Sequence[float] | None) -> Tensor:
    """The images (N, K, C, H, W) of an attacker without a network: of NO_NETWORK; two of them know training images.

    "closed-eyes": see `close_eyes`, and chapter 5.
    """
    if attacker == "none":
        return mixture[:, None].expand(-1, k, -1, -1, -1)
    if k != 2 or told is not None:
        raise ValueError(f"{attacker} answers for pairs of equal weights; leave k and weights out")
    images = open_images(data, "train")
    chosen = images[np.random.RandomState(0).permutation(len(images))[:CANDIDATES]]
    return chosen[search(mixture, chosen, 2)] if attacker == "best-pair" else close_eyes(mixture, chosen[:1000])


def close_eyes(mixture: Tensor, images: Tensor) -> Tensor:
    """The same half-difference for every mixture (N, C, H, W): m + d and m - d, (N, 2, C, H, W).

    The best one for pairs of Gaussian images, along the first principal direction of `images` (M, C, H, W).
    """
    images = images.double().flatten(1)
    centred = images - images.mean(0)
    values, vectors = torch.linalg.eigh(centred @ centred.T / (len(images) - 1))
    direction = torch.nn.functional.normalize(vectors[:, -1] @ centred, dim=0)
    half = (values[-1] / math.pi).sqrt() * direction  # sqrt(2 / pi) SDs of a half-difference, whose variance is half
    half = half.to(mixture).unflatten(0, mixture.shape[1:])
    return torch.stack([mixture + half, mixture - half], 1)


def command(row: dict, network: str | Attack, steps: int | None) -> str:
    """The command line that gives `row` again; of a function that is in no file, its name stands there."""
    network = network if isinstance(network, str) else name_of(network)
    words = ["coldavg evaluate", f"--network {shlex.quote(network)}", f"--data {shlex.quote(row['data'])}"]
    words += [f"--sampler {row['sampler']}"] * (row["calls"] > 0 and row["sampler"] != "joint")
    words += [f"--steps {steps}"] * (row["calls"] > 0 and steps is not None)
    words += [f"--{name} {','.join(map(str, row[name]))}" for name in ("weights", "told") if row[name]]
    usual = {"k": 2, "tuples": 1000, "published": "png"}
    words += [f"--{'count' if name == 'tuples' else name} {row[name]}" for name in usual if row[name] != usual[name]]
    return " ".join(words)
