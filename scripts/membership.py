"""Who is in a crowd? The linear test of membership on every set: python scripts/membership.py

Averages of K test images, rounded to 8 bits; the attacker knows one image, and other images of the kind (the training
split).  Rows go to results/membership.json.
"""

import json
from pathlib import Path

import torch

from coldavg.evaluation.membership import measure_membership
from coldavg.evaluation.rows import merge_rows, stamp
from coldavg.imagesets import open_images

FILE, KEY = Path("results/membership.json"), ("data", "k")
SETS, CROWDS, KNOWN = ("digits", "flowers", "faces", "xrays", "portraits"), (2, 4, 10, 30, 100, 300, 500), 5000


def main() -> None:
    """Measure each set at each size of the crowd, and keep its row at once."""
    for data in SETS:
        images, training = open_images(data), open_images(data, "train")
        chosen = torch.randperm(len(training), generator=torch.Generator().manual_seed(0))[:KNOWN]
        for k in CROWDS:
            row = {"data": data, **measure_membership(images[:], training[chosen], k), "stamp": stamp("none", data)}
            print(json.dumps(row), flush=True)
            merge_rows([row], FILE, KEY)


if __name__ == "__main__":
    main()
