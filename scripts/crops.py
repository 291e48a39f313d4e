"""How much of a face there is to read, crop by crop: python scripts/crops.py

Heads with hair and background (`portraits`) are cropped tighter and tighter about their middle and reduced to one
size, and a network for each crop is trained for as many mixtures as the others, from the same start.  Each meets the
protocol's test pairs, cropped alike, beside closed eyes.  So do *Gaussian twins*: images drawn from one Gaussian that
is like the training images, where nobody can do better than closed eyes, so that what the network falls short of them
is its own.  `faces`, which are cropped tight by others, stand beside.  Rows go to
results/crops.json.
"""

import argparse
import json
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import interpolate

from coldavg import Settings, fit, load_network, mix, round_to_8_bits, score
from coldavg.evaluation import recover
from coldavg.evaluation.measuring import close_eyes
from coldavg.evaluation.rows import merge_rows, stamp_of
from coldavg.imagesets import draw_tuples, open_images
from coldavg.metrics import bootstrap_interval
from coldavg.mixing import brightest_first

FILE, KEY = Path("results/crops.json"), ("data", "kept", "twins")
SIDE, PAIRS = 32, 1000  # of the reduced images; test pairs
POINTS = [("portraits", kept, False) for kept in (64, 56, 48, 40, 32)] + [
    ("faces", 64, False), ("portraits", 64, True), ("faces", 64, True)]  # the set, the side that is kept, twins


def main() -> None:
    """Train and measure at each point, and keep its row at once."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--mixtures", type=int, default=60_000, help="that each network sees")
    parser.add_argument("--twins", action="store_true", help="only the Gaussian twins")
    options = parser.parse_args()
    torch.set_num_threads(1)
    for data, kept, twins in POINTS:
        if options.twins and not twins:
            continue
        sets = [open_images(data, split) for split in ("train", "test")]
        train, test = (crop(images[:], kept) for images in sets)
        pairs = test[draw_tuples(len(test), 2, PAIRS, identities=sets[1].identities)]
        if twins:
            drawn = draw_twins(train, len(train) + 2 * PAIRS)
            train, pairs = drawn[2 * PAIRS:], drawn[:2 * PAIRS].unflatten(0, (PAIRS, 2))
        settings = Settings(data=data, target="joint", order="random", loss="log", looks=3, channels=3, flips=not twins,
                            learning_rate=2e-3, mixtures=options.mixtures)
        done = fit(settings, train, progress=False, start=load_network("flowers-joint"))
        row = {"data": data, "kept": kept, "twins": twins, "mixtures_seen": options.mixtures,
               **measure(done.network, train, brightest_first(pairs)), "seconds": round(done.losses[-1][1]),
               "stamp": stamp_of(0)}
        print(json.dumps(row), flush=True)
        merge_rows([row], FILE, KEY)


def crop(images: Tensor, kept: int) -> Tensor:
    """The middle `kept` x `kept` pixels of images (N, C, 64, 64), reduced to SIDE x SIDE, in 8 bits."""
    edge = (images.shape[-1] - kept) // 2
    inner = images[..., edge : edge + kept, edge : edge + kept]
    return round_to_8_bits(interpolate(inner, size=(SIDE, SIDE), mode="bilinear", antialias=True))


def draw_twins(images: Tensor, count: int) -> Tensor:
    """So many draws (count, C, H, W) from a Gaussian of the mean of images (N, C, H, W) and a fourth of the covariance.

    Half of the contrast, so that hardly a value leaves [-1, 1]: cut off there, they would be Gaussian no longer, and
    the average would say something of the difference.  All gains in dB stay as they were.
    """
    centred = images.flatten(1) - images.flatten(1).mean(0)
    numbers = torch.randn(count, len(images), generator=torch.Generator().manual_seed(0)) / len(images) ** 0.5
    return round_to_8_bits((numbers @ centred / 2 + images.flatten(1).mean(0)).unflatten(1, images.shape[1:]))


def measure(network: torch.nn.Module, train: Tensor, pairs: Tensor) -> dict:
    """Mean PSNR of the average itself, of closed eyes and of the network, with its interval; and error removed."""
    averages = round_to_8_bits(mix(pairs))
    chosen = train[np.random.RandomState(0).permutation(len(train))[:3000]]
    shut, (seen, looks) = close_eyes(averages, chosen), recover(averages, network)
    scores = {name: score(images, pairs, averages) for name, images in (("closed_eyes", shut), ("psnr", seen))}
    low, high = bootstrap_interval(scores["psnr"]["psnr"])
    return {"tuples": len(pairs), "looks": looks, "interval": [round(low, 3), round(high, 3)],
            "average": round(scores["psnr"]["average_psnr"].mean().item(), 3),
            **{name: round(each["psnr"].mean().item(), 3) for name, each in scores.items()}}


if __name__ == "__main__":
    main()
