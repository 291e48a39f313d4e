"""What a larger network, more mixtures or more pictures bring on tight faces: python scripts/scaling.py

Joint networks of three widths, from nothing, each for two lengths of training; and one of them on a quarter of the
training faces.  All else is equal: rate, batch, seed, no looks.  Each is measured on the protocol's test pairs and on
pairs of training faces, beside closed eyes.  Rows go to results/scaling.json.
"""

import json
from pathlib import Path

import torch

from coldavg import Settings, fit
from coldavg.evaluation.rows import merge_rows, stamp_of
from coldavg.imagesets import draw_tuples, open_images
from coldavg.mixing import brightest_first
from scripts.crops import measure

DATA, FILE, KEY = "faces", Path("results/scaling.json"), ("data", "widths", "mixtures_seen", "pictures")
WIDTHS, MIXTURES = ((32, 48, 80), (64, 96, 160), (128, 192, 320)), (20_000, 80_000)
POINTS = [(widths, mixtures, 1) for mixtures in MIXTURES for widths in WIDTHS] + [
    (WIDTHS[1], MIXTURES[-1], 4)]  # the last: one picture of so many
PAIRS = 1000


def main() -> None:
    """Train and measure at each point, and keep its row at once."""
    torch.set_num_threads(1)
    for point in POINTS:
        row = study(*point)
        print(json.dumps(row), flush=True)
        merge_rows([row], FILE, KEY)


def study(widths: tuple[int, ...], mixtures: int, part: int) -> dict:
    """The row of a network of these widths that saw so many mixtures of every `part`-th training face."""
    train, test = (open_images(DATA, split) for split in ("train", "test"))
    images = train[::part]
    settings = Settings(data=DATA, target="joint", order="random", loss="log", channels=3, flips=True, widths=widths,
                        mixtures=mixtures)
    done = fit(settings, images, progress=False)
    pairs = {"": test[draw_tuples(len(test), 2, PAIRS, identities=test.identities)],
             "trained_on_": images[draw_tuples(len(images), 2, PAIRS)]}
    scores = {prefix + name: value for prefix, several in pairs.items()
              for name, value in measure(done.network, train[:], brightest_first(several)).items()}
    return {"data": DATA, "widths": widths, "parameters": sum(each.numel() for each in done.network.parameters()),
            "mixtures_seen": mixtures, "pictures": len(images), **scores, "seconds": round(done.losses[-1][1]),
            "trained_on": done.device, "stamp": stamp_of(0)}


if __name__ == "__main__":
    main()
