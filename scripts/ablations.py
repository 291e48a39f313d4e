"""Settings of a joint network for two, compared at equal seconds: python scripts/ablations.py digits-full|faces

Each trial changes one setting and trains from a network, or, where the layers change, from nothing, for as many
mixtures as so many seconds of one core allow: a few steps say how long one takes, by the processor's clock, so
that what else the machine does plays no part.  What comes of it is measured, look by look, on pairs of the training
images that `fit` leaves out: no test image decides a setting.  Rows go to results/ablations.json.
"""

import argparse
import json
import time
from dataclasses import replace
from pathlib import Path

import torch

from coldavg import Settings, fit, load_network, mix, round_to_8_bits, score
from coldavg.batches import draw_held_out
from coldavg.evaluation.rows import merge_rows, stamp_of
from coldavg.imagesets.opening import ImageSet, open_images
from coldavg.joint import split
from coldavg.mixing import check_weights
from coldavg.unet import UNet

FILE, KEY = Path("results/ablations.json"), ("data", "start", "changed", "seconds")
FROM_A_NETWORK = ({}, {"looks": 0}, {"looks": 1}, {"looks": 2}, {"looks": 5}, {"learning_rate": 1e-3},
                  {"learning_rate": 4e-3}, {"batch": 32}, {"batch": 128}, {"ema": 0.999})
FROM_NOTHING = ({}, {"widths": (48, 72, 120)}, {"widths": (80, 120, 200)}, {"patch": 1}, {"patch": 4})
TRIALS = {  # (the network that is begun from, the setting that is changed)
    "digits-full": [("digits-joint", each) for each in FROM_A_NETWORK] + [(None, each) for each in FROM_NOTHING],
    # tight crops, where looks gain little: other images first, more levels, colours apart from layout
    "faces": [("faces-joint", {}), ("faces-joint", {"looks": 0}), ("portraits-joint", {}), ("flowers-joint", {}),
              ("faces-joint", {"widths": (64, 96, 160, 256)}), ("faces-joint", {"batch": 256}),
              ("faces-joint", {"loss": "squared"})],
}
SECONDS = {"digits-full": 60, "faces": 120}
LOOKS, PAIRS, STEPS = 6, 400, 30  # the steps by whose time mixtures are counted; the first 4 warm up


def main() -> None:
    """Train and measure each trial, and keep its row at once."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", choices=TRIALS)
    parser.add_argument("--start", action="append", default=[], metavar="NAME=FILE",
                        help="the file that stands for a network to begin from")
    options = parser.parse_args()
    torch.set_num_threads(1)
    images, seconds = open_images(options.data, "train"), SECONDS[options.data]
    files = dict(each.split("=", 1) for each in options.start)
    pairs = images[draw_held_out(len(images), 2, PAIRS)]
    for name, changes in TRIALS[options.data]:
        start = load_network(files.get(name, name)) if name else None
        usual = dict(data=options.data, target="joint", order="random", loss="log", looks=3, channels=images.shape[1],
                     flips=images.flips, learning_rate=2e-3 if name else 4e-3)
        settings = Settings(**usual | changes)
        mixtures = settings.batch * max(1, round(seconds / step_time(settings, images, start)))
        done = fit(replace(settings, mixtures=mixtures), images, progress=False, start=start)
        row = {"data": options.data, "start": name, "changed": changes, "seconds": seconds,
               "mixtures_seen": mixtures, "precision": done.precision,
               "psnr_by_look": look_by_look(done.network, pairs)} | {"stamp": stamp_of(0)}
        print(json.dumps(row), flush=True)
        merge_rows([row], FILE, KEY)


def step_time(settings: Settings, images: ImageSet, start: UNet | None) -> float:
    """Seconds of the processor that a step of training takes."""
    at: list[float] = []
    fit(replace(settings, mixtures=STEPS * settings.batch), images, progress=False, start=start,
        callback=lambda state: at.append(time.process_time()))
    return (at[-2] - at[3]) / (STEPS - 5)  # without the last step, which also checks


@torch.no_grad()
def look_by_look(network: torch.nn.Module, pairs: torch.Tensor) -> list[float]:
    """Mean PSNR over the pairs (N, 2, C, H, W) after each look."""
    averages = round_to_8_bits(mix(pairs))
    looks = split(network, averages, check_weights(None, 2), LOOKS if network.looks else 1)
    return [round(score(images, pairs, averages)["psnr"].mean().item(), 2) for images in looks]


if __name__ == "__main__":
    main()
