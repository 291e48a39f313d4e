"""Make coldavg/imagesets/digits.npz: 12,000 training and 2,000 test images of MNIST, drawn with seed 0.

    COLDAVG_DATA=folder-with-the-idx-files python scripts/bundle_digits.py
"""

import os
from pathlib import Path

import numpy as np

from coldavg.imagesets.named import BUNDLED
from coldavg.imagesets.reading import read_idx

MNIST = {"train": "train-images-idx3-ubyte.gz", "test": "t10k-images-idx3-ubyte.gz"}

arrays = {}
for split, count in (("train", 12_000), ("test", 2_000)):
    file = Path(os.environ["COLDAVG_DATA"]) / MNIST[split]
    images, labels = read_idx(file), read_idx(file.with_name(file.name.replace("images-idx3", "labels-idx1")))
    kept = np.sort(np.random.RandomState(0).permutation(len(images))[:count])
    arrays |= {f"{split}_images": images[kept], f"{split}_labels": labels[kept]}
np.savez_compressed(BUNDLED, **arrays)
print(BUNDLED, BUNDLED.stat().st_size, "bytes")
