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
                   help="who is in a picture: folder; none (each is one of its own); a file.csv of file,identity; or a "
                        "regular expression whose group 1 in the name says it (default: as DICOM or labels say, else "
                        "by folder)")
    p.add_argument("--fit", default="crop", help=f"how pictures become square: {', '.join(FITS)}")


def run(options: argparse.Namespace) -> None:
    """coldavg data: the fate of every file, and the split."""
    images, train, test = (open_images(options.data, split, identity=options.identity, fit=options.fit)
                           for split in ("all", "train", "test"))
    facts = describe(options.data, images, train, test)
    if options.json:
        print(json.dumps(facts | {"inspection": images.inspection.as_json()}, indent=2))
        return
    for name, fact in (facts | images.inspection.lines()).items():
        print(f"{name:<12} {fact}")


def describe(data: str, images: ImageSet, train: ImageSet, test: ImageSet) -> dict:
    """Where the set lies, and how it is split."""
    doubles = len(images) - len(train) - len(test)
    more = f"; {doubles} more left out, whose very pixels are in training" if doubles else ""
    return {"source": str(images.source), "sha256": images.sha256, "training": len(train), "test": f"{len(test)}{more}",
            "terms": SETS[data].terms if data in SETS else "yours"}
