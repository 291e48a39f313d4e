"""What a network is trained for, and for which weights, at equal everything: python scripts/targets.py

Two studies of digits, each row a training from nothing or from a network of the package, with one thing changed:

targets: a path network (original, remainder, difference) and a joint one, of the same layers, loss, mixtures of two
and learning rate, three seeds each.  A path network is asked by each sampler in each number of STEPS; pairs of
training images that `fit` leaves out choose the best way, so that no test image does.
weights: the joint network of the package, trained on for mixtures of weights that the attacker knows; equal weights
are trained on just as long.

All are scored by the protocol (1,000 test pairs, 8 bits).  Rows go to results/targets.json.
"""

import argparse
from pathlib import Path

import torch

from coldavg import Settings, fit, load_network, mix, round_to_8_bits, score
from coldavg.batches import draw_held_out
from coldavg.evaluation.attackers import recover
from coldavg.evaluation.measuring import protocol
from coldavg.evaluation.rows import merge_rows, stamp_of
from coldavg.imagesets import open_images
from coldavg.metrics import summarise
from coldavg.mixing import brightest_first
from coldavg.samplers import SAMPLERS

DATA, FILE = "digits-full", Path("results/targets.json")
KEY = ("study", "target", "loss", "weights", "seed")
SEEDS, STEPS, PAIRS = (0, 1, 2), (2, 5, 20), 200
MIXTURES = {"targets": 50_000, "weights": 30_000}
LAYERS = dict(data=DATA, widths=(48, 72, 120), learning_rate=4e-3, flips=False)
TARGETS = [("original", "squared"), ("remainder", "squared"), ("difference", "squared"), ("joint", "squared"),
           ("joint", "log")]
WEIGHTS = [None, (0.55, 0.45), (0.6, 0.4), (0.7, 0.3), (0.8, 0.2)]


def main() -> None:
    """Train and measure each row of a study, and keep it at once."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("study", choices=MIXTURES)
    study, images = parser.parse_args().study, open_images(DATA, "train")
    torch.set_num_threads(1)
    if study == "targets":
        for seed in SEEDS:
            for target, loss in TARGETS:
                order = "random" if target == "joint" else "brightest"
                keep(study, Settings(**LAYERS, target=target, loss=loss, order=order, seed=seed,
                                     mixtures=MIXTURES[study]), images)
    else:
        start = load_network("digits-joint")
        for weights in WEIGHTS:
            keep(study, Settings(data=DATA, target="joint", order="random", loss="log", looks=3, weights=weights,
                                 mixtures=MIXTURES[study]), images, start)


def keep(study: str, settings: Settings, images, start=None) -> None:
    """Train by the settings, ask the network as suits it best on held-out pairs, and keep its row on test pairs."""
    state = fit(settings, images, progress=False, start=start)
    pairs = images[draw_held_out(len(images), 2, PAIRS)]
    averages = round_to_8_bits(mix(pairs, settings.weights))
    if settings.target == "joint":
        ways = [("joint", steps) for steps in range(1, 7 if settings.looks else 2)]
    else:
        pairs = brightest_first(pairs)
        ways = [(name, steps) for name in SAMPLERS for steps in STEPS]
    psnr = {way: measure(state.network, averages, pairs, way, settings.weights)["psnr"] for way in ways}
    way = max(psnr, key=psnr.get)
    tuples, published = protocol("digits", weights=settings.weights)
    row = {"study": study, "target": settings.target, "loss": settings.loss, "weights": settings.weights,
           "seed": settings.seed, "mixtures_seen": settings.mixtures, "seconds_of_training": round(state.losses[-1][1]),
           "asked": way[0], "steps": way[1]} | measure(state.network, published, tuples, way, settings.weights)
    row["stamp"] = stamp_of(settings.seed)
    print({word: row[word] for word in (*KEY, "asked", "steps", "psnr")}, flush=True)
    merge_rows([row], FILE, KEY)


def measure(network, averages, tuples, way, weights) -> dict:
    """PSNR and SSIM with intervals of what a network gets from averages (N, C, H, W), asked in this way."""
    sampler, steps = way
    images, calls = recover(averages, network, "cold" if sampler == "joint" else sampler, steps, 2, weights)
    scores = score(images, tuples, averages)
    return summarise({name: scores[name] for name in ("psnr", "ssim")}) | {"calls": calls}


if __name__ == "__main__":
    main()
