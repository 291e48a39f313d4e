"""Measure how well wrong averages are told from right ones: python scripts/plausibility.py [NETWORK ...]

For each network the threshold is set on right averages, so that at most 2 % of all are doubted, and rates are taken on
others.  Should more than 2 % of those be doubted, they join those that set the threshold, and others still are counted.
Both go, under the hash of the network's file, into coldavg/networks/plausibility.json, where `coldavg unmix`
looks.  Run it when a network is renewed.
"""

import json
import sys

import torch
from scipy.stats import binomtest
from torch import Tensor
from torch.nn.functional import interpolate

from coldavg.evaluation.plausibility import DOUBTED, FILE, distance_from, fit_right, measure_figures, settle_threshold
from coldavg.evaluation.rows import stamp
from coldavg.imagesets.opening import ImageSet, open_images
from coldavg.imagesets.tuples import draw_tuples
from coldavg.networks import load_network, manifest, network_file
from coldavg.publishing import release
from coldavg.support.files import fingerprint, write_atomically

FITTED = 500  # averages to learn what is right
COUNT, WRONG = 1000, 100  # averages to set the threshold, as many to count those doubted; and of each wrong kind
OTHERS = {"digits": "xrays", "xrays": "digits", "flowers": "faces", "faces": "flowers", "portraits": "flowers"}
TOLD = 80.0  # % of a wrong kind that must be doubted, or it counts as one that can't be told


def averages_of(images: ImageSet, k: int, seed: int, count: int = WRONG, form: str = "png", weights=None) -> Tensor:
    """So many averages of k different images of a set."""
    return release(images[draw_tuples(len(images), k, count, seed, images.identities)], form, weights)


def wrong_averages(images: ImageSet, other: ImageSet, k: int) -> dict[str, Tensor]:
    """By name, so many each of what is none of the averages that a network for k images of these knows."""
    single = images[draw_tuples(len(images), 2, WRONG, 5, images.identities)[:, 0]]
    rng = torch.Generator().manual_seed(0)
    foreign = interpolate(averages_of(other, k, 6, form="float"), images.shape[2:], mode="area")
    foreign = foreign.mean(1, keepdim=True) if images.shape[1] == 1 else foreign.expand(-1, 3, -1, -1)
    most = [0.75] + [0.25 / (k - 1)] * (k - 1)
    return {"a single picture": single, "noise": torch.rand(single.shape, generator=rng) * 2 - 1,
            f"averages of {other.name}": foreign, f"averages of {k + 1}": averages_of(images, k + 1, 7),
            "averages in linear light": averages_of(images, k, 8, form="linear"),
            "averages of unequal weights (0.75)": averages_of(images, k, 9, weights=most)}


def measure(name: str) -> dict:
    """The row of one network."""
    network, settings = load_network(name), manifest()[name]["settings"]
    data = next(each for each in OTHERS if settings["data"].startswith(each))  # digits-full are digits
    k = settings["k"] if settings["target"] == "joint" else 2
    images, other = open_images(data, "test"), open_images(OTHERS[data], "test")
    right = fit_right(measure_figures(averages_of(images, k, 1, FITTED), network, k))

    def distances(seed: int) -> Tensor:
        return distance_from(measure_figures(averages_of(images, k, seed, COUNT), network, k), right)

    set_by, asked, seed = distances(2), distances(3), 10
    while share(asked > settle_threshold(set_by)) > 100 * DOUBTED:
        set_by, asked, seed = torch.cat([set_by, asked]), distances(seed), seed + 1
    threshold = settle_threshold(set_by)
    doubted = asked > threshold
    interval = binomtest(int(doubted.sum()), COUNT).proportion_ci()
    wrong = {kind: share(distance_from(measure_figures(shown, network, k), right) > threshold)
             for kind, shown in wrong_averages(images, other, k).items()}
    return {"network": name, "k": k, **right, "threshold": round(threshold, 4),
            "right_doubted": share(doubted), "right_doubted_interval": [round(100 * end, 1) for end in interval],
            "wrong_doubted": wrong,
            "not_told": [f"{kind} ({rate:.0f} % doubted)" for kind, rate in wrong.items() if rate < TOLD],
            "averages": COUNT, "set_by": len(set_by), "of_each_wrong_kind": WRONG, "stamp": stamp(name, data)}


def share(of: Tensor) -> float:
    """A share in %."""
    return round(100 * of.double().mean().item(), 1)


if __name__ == "__main__":
    names = sys.argv[1:] or list(manifest())
    held = json.loads(FILE.read_text()) if FILE.exists() else {}
    for name in names:
        row = measure(name)
        print(name, f"right {row['right_doubted']} %", row["right_doubted_interval"], row["wrong_doubted"], flush=True)
        known = [fingerprint(network_file(each)) for each in manifest()]
        held |= {fingerprint(network_file(name)): row}
        lines = ",\n".join(f"{json.dumps(key)}: {json.dumps(held[key])}" for key in known if key in held)
        write_atomically(FILE, f"{{\n{lines}\n}}\n".encode())
