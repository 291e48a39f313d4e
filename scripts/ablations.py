"""Settings of a joint network for two, compared at equal seconds: python scripts/ablations.py SET [--seconds 150]

Each trial changes one setting and trains from the shipped network of the set, or, where the layers change, from
nothing.  What comes of it is measured, look by look, on pairs of the training images that `fit` leaves out: no test
image decides a setting.  Rows go to results/ablations.json.
"""

import argparse
import json
from pathlib import Path

import numpy as np
import torch

from coldavg import Settings, fit, load_network, mix, round_to_8_bits, score
from coldavg.batches import draw_different, held_out
from coldavg.evaluation.rows import stamp_of
from coldavg.imagesets.opening import open_images
from coldavg.joint import split
from coldavg.mixing import check_weights
from coldavg.support.files import write_atomically

FILE = Path("results/ablations.json")
FROM_SHIPPED = ({}, {"looks": 0}, {"looks": 1}, {"looks": 2}, {"looks": 5}, {"learning_rate": 1e-3},
                {"learning_rate": 4e-3}, {"batch": 32}, {"batch": 128}, {"ema": 0.999}, {"order": "brightest"})
FROM_NOTHING = ({}, {"widths": (48, 72, 120)}, {"widths": (80, 120, 200)}, {"patch": 1}, {"patch": 4})
LOOKS, PAIRS = 6, 400


def main() -> None:
    """Train and measure each trial, and keep its row at once."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data")
    parser.add_argument("--seconds", type=float, default=150)
    options = parser.parse_args()
    images = open_images(options.data, "train")
    _, checked = held_out(len(images))
    pairs = images[torch.from_numpy(checked[draw_different(len(checked), 2, PAIRS, np.random.default_rng(0))])]
    shipped = load_network(f"{options.data.removesuffix('-full')}-joint")
    for start, changes in [(shipped, change) for change in FROM_SHIPPED] + [(None, change) for change in FROM_NOTHING]:
        usual = dict(data=options.data, target="joint", order="random", loss="log", looks=3, channels=images.shape[1],
                     flips=images.flips, learning_rate=2e-3 if start else 4e-3, mixtures=10**9)
        done = fit(Settings(**usual | changes), images, seconds=options.seconds, progress=False, start=start)
        row = {"data": options.data, "start": "shipped" if start else None, "changed": changes,
               "seconds": options.seconds, "mixtures_seen": done.losses[-1][0], "precision": done.precision,
               "psnr_by_look": look_by_look(done.network, pairs)} | {"stamp": stamp_of(0)}
        print(json.dumps(row), flush=True)
        keep(row)


@torch.no_grad()
def look_by_look(network: torch.nn.Module, pairs: torch.Tensor) -> list[float]:
    """Mean PSNR over the pairs (N, 2, C, H, W) after each look."""
    averages = round_to_8_bits(mix(pairs))
    looks = split(network, averages, check_weights(None, 2), LOOKS if network.looks else 1)
    return [round(score(images, pairs, averages)["psnr"].mean().item(), 2) for images in looks]


def keep(row: dict) -> None:
    """Add a row to the file, in place of an earlier one of the same trial."""
    def trial(row: dict) -> str:
        return json.dumps([row[key] for key in ("data", "start", "changed", "seconds")])

    rows = {trial(each): each for each in [*(json.loads(FILE.read_text()) if FILE.exists() else ()), row]}
    write_atomically(FILE, ("[\n" + ",\n".join(json.dumps(each) for each in rows.values()) + "\n]\n").encode())


if __name__ == "__main__":
    main()
