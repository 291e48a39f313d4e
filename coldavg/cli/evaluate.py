"""coldavg evaluate: score a network by the protocol; one row for each sampler and number of steps."""

import argparse
import json
import sys
from pathlib import Path

from ..evaluation.attackers import NO_NETWORK, is_code
from ..evaluation.averaging import Averaging
from ..evaluation.measuring import evaluate
from ..evaluation.perceptual import find_alexnet, why_no_lpips
from ..evaluation.reidentification import reidentify
from ..evaluation.rows import merge_rows, read_rows
from ..imagesets.opening import open_images
from ..networks import load_network, unfit
from ..samplers import SAME_AS, SAMPLERS
from ..unmixing import STEPS, find_sampler
from . import numbers


def add_options(p: argparse.ArgumentParser) -> None:
    """The options of this command."""
    p.add_argument("--network", default="none", help="a name, a file, none, best-pair, or an attack of your "
                                                          "own: my_attack.py:function")
    p.add_argument("--data", default="digits", help="the image set; its test split is used")
    p.add_argument("--sampler", nargs="+", default=["cold"], help="one or more; all; flips, for joint networks")
    p.add_argument("--steps", nargs="+", type=int, help="one or more numbers of steps (default: 20), or of looks "
                                                      "(default: the network's own)")
    p.add_argument("--k", type=int, default=2, help="images in a mixture")
    p.add_argument("--count", type=int, default=1000, help="test tuples")
    p.add_argument("--published", default="png", help="in what form: png, float, jpeg-75, noise-0.1, ...")
    p.add_argument("--weights", type=numbers(float), help="mixing weights, as 0.6,0.4 (default: equal)")
    p.add_argument("--told", type=numbers(float), help="the weights that the attacker believes in (default: the true)")
    p.add_argument("--reidentify", action="store_true", help="ask a face recogniser, with other photographs")
    p.add_argument("--out", type=Path, help="a JSON file of rows; a row of the same setting is replaced")
    p.set_defaults(run=run)


def run(options: argparse.Namespace) -> None:
    """coldavg evaluate: one row for each sampler and number of steps."""
    names = [name for name in SAMPLERS if name not in SAME_AS] if options.sampler == ["all"] else options.sampler
    averaging = Averaging(options.k, options.weights, published=options.published)
    if options.out is not None:
        read_rows(options.out)  # what can't be added to shows now, not at the end
    network = None if options.network in NO_NETWORK or is_code(options.network) else load_network(options.network)
    if network is None:
        settings = [("cold", None)]  # no sampler
    elif network.target == "joint":
        kinds = dict.fromkeys("flips" if name == "flips" else "joint" for name in names)
        settings = [(kind, looks) for kind in kinds for looks in (options.steps if network.looks else None) or [None]]
    else:
        pairs = ((find_sampler(name), steps) for name in names for steps in options.steps or [STEPS])
        settings = list(dict.fromkeys((sampler.name, sampler.steps or steps) for sampler, steps in pairs))
    if network is not None and "+" not in options.data:
        strange = unfit(network, options.data, open_images(options.data, "test").shape[2:])
        if strange:
            print(f"caution: {strange}", file=sys.stderr)
    if find_alexnet().exists() and not options.reidentify:
        why = why_no_lpips(min(open_images(options.data.split("+")[0], "test").shape[2:]))
        if why:
            print(why, file=sys.stderr)
    for name, steps in settings:
        if options.reidentify:
            rows = reidentify(options.network, options.data, name, steps, options.count, sys.stderr.isatty())
        else:
            rows = [evaluate(options.network, options.data, averaging, name, steps, options.count, options.told,
                             sys.stderr.isatty())]
        for row in rows:
            print(json.dumps(row))
        if options.out is not None:
            merge_rows(rows, options.out)
