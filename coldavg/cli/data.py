"""coldavg data: what an image set holds, and how it is split."""

import argparse

from ..imagesets.named import SETS
from ..imagesets.opening import open_images
from ..support.files import list_names


def add_options(p: argparse.ArgumentParser) -> None:
    """The options of this command."""
    p.add_argument("data", help=f"{', '.join(SETS)}, or a folder or zip of images")
    p.set_defaults(run=run)


def run(options: argparse.Namespace) -> None:
    """coldavg data: what an image set holds, and how it is split."""
    images, train, test = (open_images(options.data, split) for split in ("all", "train", "test"))
    _, channels, height, width = images.shape
    smallest, largest = (f"{wide} x {tall}" for wide, tall in images.sizes)
    doubles = len(images) - len(train) - len(test)
    facts = {
        "source": images.source,
        "sha256": images.sha256,
        "images": f"{len(images)} of {len(set(images.identities.tolist()))} identities",
        "sizes": f"{smallest} to {largest}, used at {width} x {height} in {channels} channel(s)",
        "training": len(train),
        "test": f"{len(test)}" + (f"; {doubles} more left out, whose very pixels are in training" if doubles else ""),
        "broken": list_names(images.broken) if images.broken else "none",
        "terms": SETS[options.data].terms if options.data in SETS else "yours",
    }
    for name, fact in facts.items():
        print(f"{name:<9} {fact}")
