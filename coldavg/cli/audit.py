"""coldavg audit: attack averages of one's own images, and report."""

import argparse
from dataclasses import fields
from pathlib import Path

from ..audit import Plan, run_audit
from ..imagesets.named import SETS
from ..publishing import TREATMENTS
from . import numbers
from .data import add_reading_options
from .stopping import after_the_step


def add_options(p: argparse.ArgumentParser) -> None:
    """The options of this command."""
    p.add_argument("data", help=f"a folder or zip of images (a sub-folder is an identity), or {', '.join(SETS)}")
    p.add_argument("--k", type=numbers(int), default=(2,), help="images in an average; several numbers, as 2,3,4")
    p.add_argument("--weights", type=numbers(float), help="mixing weights, as 0.6,0.4 (default: equal)")
    p.add_argument("--groups", default="random", help="random, or nearest: the most alike images")
    words = ", ".join(each.word for each in TREATMENTS.values() if each.name != "png")
    p.add_argument("--published", default="png", help=f"png, float, {words}; several with + between them")
    p.add_argument("--size", type=int, help="the side to which images are reduced (default: 64, or the network's)")
    add_reading_options(p)
    p.add_argument("--attacker", default="", help="a network by name or file; or another folder of similar images to "
                                                  "train on; or averages: trained on averages of a part of the "
                                                  "images, and on no image (default: trained on a part of the images)")
    p.add_argument("--averages", default="", metavar="FOLDER", help="averages that were published already: these are "
                                                                    "attacked, in place of averages made here")
    p.add_argument("--members", default="", metavar="FILE.csv", help="who is in them: rows of an average and its "
                                                                     "members, files of the data")
    p.add_argument("--minutes", type=float, default=10, help="of training; the report names the --steps that they were")
    p.add_argument("--steps", type=int, help="steps of training, in place of minutes")
    p.add_argument("--count", type=int, default=200, help="averages to attack")
    p.add_argument("--seed", type=int, default=0, help="of all random numbers")
    p.add_argument("--out", type=Path, required=True, help="folder for report.html and report.json")
    p.set_defaults(run=run)


def run(options: argparse.Namespace) -> None:
    """coldavg audit: started again, it goes on where it was."""
    plan = Plan(**{field.name: getattr(options, field.name) for field in fields(Plan)})
    if options.out.exists() and not options.out.is_dir():
        raise ValueError(f"--out {str(options.out)!r} is a file, not a folder; choose another")
    with after_the_step() as stops:
        found = run_audit(plan, options.out, stops)
    if stops:
        print(f"{options.out}: stopped; start the same command again to go on")
        raise KeyboardInterrupt
    if found is not None:
        print(found["verdict"]["sentence"], *found["verdict"]["headline"], f"The report: {options.out / 'report.html'}",
              sep="\n")
