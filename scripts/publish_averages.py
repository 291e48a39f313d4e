"""Averages of two training images of a set, each image in one, as PNG files: python scripts/publish_averages.py SET OUT

What an attacker has who owns averages alone: `coldavg train --from-averages OUT` learns from them.
"""

import argparse
from pathlib import Path

import numpy as np

from coldavg import mix
from coldavg.imagesets.opening import open_images
from coldavg.support.pixels import png


def main(words: list[str] | None = None) -> None:
    """Draw the pairs, and write their averages."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data")
    parser.add_argument("out", type=Path)
    parser.add_argument("--count", type=int, help="at most so many averages")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(words)
    images = open_images(options.data, "train")
    order = np.random.default_rng(options.seed).permutation(len(images))
    pairs = order[: len(order) // 2 * 2].reshape(-1, 2)[: options.count]
    options.out.mkdir(parents=True, exist_ok=True)
    for number, pair in enumerate(pairs):
        (options.out / f"{number:05d}.png").write_bytes(png(mix(images[pair])))
    print(f"{len(pairs)} averages of two in {options.out}")


if __name__ == "__main__":
    main()
