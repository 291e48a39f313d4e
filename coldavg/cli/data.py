"""coldavg data: what an image set holds, what is taken of it, and how it is split."""

import argparse
import json

from ..imagesets.named import SETS
from ..imagesets.opening import ImageSet, open_images
from ..imagesets.pictures import FITS


def add_options(p: argparse.ArgumentParser) -> None:
    """The options of this command."""
    p.add_argument("data", help=f"{', '.join(SETS)}, or a folder or zip of images")
    add_reading_options(p)
    p.add_argument("--json", action="store_true", help="print the same as JSON")
    p.set_defaults(run=run)


def add_reading_options(p: argparse.ArgumentParser) -> None:
    """The options that say how images of one's own are read."""
    p.add_argument("--identity", default="",
                   help="who is in a picture: folder; none (each is one of its own); a file.csv, .tsv or .txt of file "
                        "and identity; or a regular expression whose group 1 in the name says it (default: as DICOM "
                        "or labels say, else by folder)")
    p.add_argument("--fit", default="crop", help=f"how pictures become square: {', '.join(FITS)}")


def run(options: argparse.Namespace) -> None:
    """coldavg data: the fate of every file, and the split."""
    reading = {"identity": options.identity, "fit": options.fit}
    images = open_images(options.data, "all", **reading)
    facts, why = {"source": str(images.source), "sha256": images.sha256}, None
    try:
        facts |= describe_split(images, *(open_images(options.data, split, **reading) for split in ("train", "test")))
    except ValueError as error:  # it is said, but after all that was found
        why = error
    facts["terms"] = SETS[options.data].terms if options.data in SETS else "yours"
    if options.json:
        print(json.dumps(facts | {"inspection": images.inspection.as_json()}, indent=2))
    else:
        for name, fact in (facts | images.inspection.lines()).items():
            print(f"{name:<12} {fact}")
    if why:
        raise why


def describe_split(images: ImageSet, train: ImageSet, test: ImageSet) -> dict:
    """How many images are trained on, and how many are there to be asked about."""
    doubles = len(images) - len(train) - len(test)
    more = f"; {doubles} more left out, whose very pixels are in training" if doubles else ""
    return {"training": len(train), "test": f"{len(test)}{more}"}
