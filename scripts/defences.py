"""Measure what protects an average: python scripts/defences.py [digits faces xrays] [--only POINT ...]

For each defence an attacker is trained against it, who starts from the network of the package for plain averages of
two, smooths what was published if that alone helps, and then sees BUDGET more averages of training images, made as
the publisher makes them.  The rows go to results/defences.json; beside the risk they hold what is left for use, and
what it cost.  Pictures of the first averages, and of what came back, go to results/defences.npz, by the words of
their row.
"""

import argparse
import io
import json
import sys
import time
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional as F

from coldavg import Settings, fit, load_network, psnr, round_to_8_bits, unmix
from coldavg.audit import best_guess, epsilon
from coldavg.audit.attacker import choose_blur, smooth, smoothed_form
from coldavg.audit.embedding import fit_autoencoder
from coldavg.audit.measure import measure_attack, measure_search
from coldavg.audit.people import find_people
from coldavg.evaluation.attackers import recover
from coldavg.evaluation.averaging import Averaging, fidelity
from coldavg.evaluation.recognisers import embed_faces
from coldavg.evaluation.rows import stamp
from coldavg.imagesets.named import BUNDLED
from coldavg.imagesets.opening import ImageSet, open_images
from coldavg.networks import manifest
from coldavg.support.files import write_atomically
from coldavg.support.pixels import to_8_bits

BUDGET = {"digits": 24_000, "faces": 12_000, "xrays": 12_000}  # averages that an attacker is trained on
BATCH = {"digits": 32, "faces": 24, "xrays": 24}  # small, for many steps
AVERAGES = {"digits": 300, "faces": 150, "xrays": 150}  # of test images, attacked and scored
CANDIDATES = 1_000  # test images, the true ones among them, that the search chooses from
PICTURES = 4  # averages whose pictures are kept
OUT = Path("results/defences.json")
MAIN = ["2 random png", "2 random noise-0.3", "4 random png", "2 nearest png", "2 random blur-2", "4 nearest png",
        "8 random png", "2 random jpeg-10"]
POINTS = {
    "digits": [*MAIN, "2 random noise-1", "2 random noise-3", "2 random weights-3", "2 random shift-2",
               "2 random bits-1", "16 random png", "2 random small-4", "8 nearest png", "2 random noise-0.1",
               "2 random blur-4", "4 random noise-0.3", "2 random bits-2", "2 random weights-10", "2 random shift-4",
               "3 random png", "6 random png", "2 random blur-1", "2 random small-2", "2 random jpeg-50",
               "4 random blur-2"],
    "faces": MAIN, "xrays": MAIN,
}


def parse_point(point: str) -> Averaging:
    """A point as it is written above."""
    k, groups, published = point.split()
    return Averaging(int(k), None, groups, published)


def train(data: str, averaging: Averaging):
    """The network of an attacker on this averaging, the blur before it, and the seconds that it took."""
    known = manifest()[f"{data}-joint"]["settings"]
    images, shipped = open_images(data, "train"), load_network(f"{data}-joint")
    blur = choose_blur(shipped, images, averaging)
    settings = Settings(**known | {
        "k": averaging.k, "published": smoothed_form(averaging.published, blur),
        "pool": 1000 * (averaging.groups == "nearest"), "mixtures": BUDGET[data], "batch": BATCH[data],
        "learning_rate": 1e-3, "loss": "log", "order": "random", "seed": 0})
    state = fit(settings, images, progress=sys.stderr.isatty(), start=shipped)
    return state.network, blur, state.losses[-1][1]


def measure_use(data: str, averaging: Averaging, publish=None) -> float | None:
    """Accuracy (%) on clean test digits of a softmax regression that learned from published averages alone.

    The 12,000 training images go into 12,000 / K averages, each with the mean of the labels of its images.
    """
    if data != "digits":
        return None
    images = open_images(data, "train")
    with np.load(BUNDLED) as arrays:
        labels, truth = torch.from_numpy(arrays["train_labels"]).long(), torch.from_numpy(arrays["test_labels"]).long()
    indices = averaging.draw(images, len(images) // averaging.k)
    published = (publish or averaging.publish)(images[indices]).flatten(1)
    wanted = F.one_hot(labels[indices], 10).float().mean(1)
    layer = torch.nn.Linear(published.shape[1], 10)
    torch.nn.init.zeros_(layer.weight), torch.nn.init.zeros_(layer.bias)
    optimiser = torch.optim.LBFGS(layer.parameters(), max_iter=100, line_search_fn="strong_wolfe")

    def closure():
        optimiser.zero_grad()
        loss = F.cross_entropy(layer(published), wanted) + 1e-3 * layer.weight.square().sum()
        loss.backward()
        return loss

    optimiser.step(closure)
    answers = layer(open_images(data)[:].flatten(1)).argmax(1)
    return round(100 * (answers == truth).float().mean().item(), 2)


def choose_candidates(images: ImageSet) -> ImageSet:
    """The test images that are averaged, and that a search chooses from."""
    return images.only(np.arange(min(CANDIDATES, len(images))))


def measure(data: str, averaging: Averaging, attackers: dict, publish=None, view=None) -> list[dict]:
    """A row for each attacker {name: (a function of averages, calls, seconds of training, averages seen)}.

    `publish` stands in for that of `averaging`; `view` for what the search compares, pixels.
    """
    images = open_images(data)
    pool = choose_candidates(images)
    indices = averaging.draw(pool, AVERAGES[data])
    tuples = pool[indices]
    start = time.perf_counter()
    published = (publish or averaging.publish)(tuples)
    spent = time.perf_counter() - start
    shared = {"data": data, "k": averaging.k, "groups": averaging.groups, "published": averaging.published,
              "averages": len(indices), "fidelity": round(fidelity(published, tuples), 2),
              "accuracy": measure_use(data, averaging, publish),
              "publish_ms": round(1000 * spent / len(indices), 3)}
    if averaging.published.startswith("noise-"):
        noise, values = float(averaging.published.removeprefix("noise-")), tuples[0, 0].numel()
        shared |= {"epsilon": round(epsilon(noise, averaging.k, values), 1),
                   "best_guess": round(100 * best_guess(noise, averaging.k, values), 2)}
    shown, candidates = (view(published), view(pool[:])) if view else (published, averaging.as_published(pool[:]))
    start = time.perf_counter()
    shared |= measure_search(shown, candidates, indices)
    shared |= {"candidates": len(candidates),
               "search_ms": round(1000 * (time.perf_counter() - start) / len(indices), 2)}
    rows = []
    for name, (attack, calls, seconds, trained) in attackers.items():
        start = time.perf_counter()
        row, matched = measure_attack(attack(published), tuples, published)
        seen = torch.cat([tuples, published[:, None], matched], 1)[:PICTURES]  # the truth, what was published, found
        row["pictures"] = to_8_bits(seen).numpy()
        row = {**shared, "attacker": name, "trained": trained, "training_seconds": round(seconds), "calls": calls,
               "attack_ms": round(1000 * (time.perf_counter() - start) / len(indices), 2), **row}
        if data == "faces":
            row["people"] = find_people(images, averaging, attack, embed_faces, 400 // averaging.k)
        rows.append(row)
    return rows


def keep(rows: list[dict], point: str) -> None:
    """Put the rows and their pictures into the files, in place of those of the same setting."""
    key = ("data", "k", "groups", "published", "attacker")
    try:
        held, pictures = json.loads(OUT.read_text()), dict(np.load(OUT.with_suffix(".npz")))
    except FileNotFoundError:
        held, pictures = [], {}
    for row in rows:
        pictures[" ".join(str(row[word]) for word in key)] = row.pop("pictures")
        name = f"{row['data']}-joint"
        row |= {"command": f"python scripts/defences.py {row['data']} --only '{point}'",
                "stamp": stamp(name, row["data"])}
        held = [old for old in held if any(old[word] != row[word] for word in key)] + [row]
        print({word: row[word] for word in (*key, "gain", "success", "found", "fidelity")}, flush=True)
    held.sort(key=lambda row: [str(row[word]).rjust(20) for word in key])
    write_atomically(OUT, ("[\n" + ",\n".join(map(json.dumps, held)) + "\n]\n").encode())
    packed = io.BytesIO()
    np.savez_compressed(packed, **pictures)
    write_atomically(OUT.with_suffix(".npz"), packed.getvalue())


def run(data: str, point: str) -> None:
    """Train, attack, score, keep."""
    averaging, shipped, attackers = parse_point(point), load_network(f"{data}-joint"), {}
    if averaging.plain and averaging.k > 2:
        k = averaging.k
        attackers["two at a time"] = (lambda shown: recover(shown, shipped, k=k)[0], 3 * k * (k - 1) // 2, 0, 0)
    network, blur, seconds = train(data, averaging)
    attackers["retrained"] = (lambda shown: recover(smooth(shown, blur), network, k=averaging.k)[0],
                              network.looks or 1, seconds, BUDGET[data])
    keep([row | {"blur": blur if row["attacker"] == "retrained" else 0} for row in measure(data, averaging, attackers)],
         point)


def run_embedding(point: str = "embedding") -> None:
    """Averages of embeddings, decoded, of two digits: attacked in the embedding, and in pixels."""
    images, averaging = open_images("digits", "train"), Averaging(2)
    coder = fit_autoencoder(images[:], 4000)
    encoded = torch.cat([coder.encode(part) for part in images[:].split(500)])

    def publish(tuples):
        codes = coder.encode(tuples.flatten(0, 1)).unflatten(0, tuples.shape[:2]).mean(1)
        return round_to_8_bits(coder.decode(codes))

    shipped = load_network("digits-joint")
    attackers = {"embedding, on pixels": (lambda shown: recover(shown, shipped)[0], shipped.looks, 0, 0)}
    for target, order in (("original", "brightest"), ("joint", "random")):
        settings = Settings(target=target, order=order, channels=48, widths=(128,), patch=1, batch=512,
                            learning_rate=2e-3, mixtures=10 * BUDGET["digits"],
                            loss="log" if target == "joint" else "squared")
        state = fit(settings, encoded, progress=sys.stderr.isatty())

        def attack(shown, network=state.network):
            code = coder.encode(shown)  # the published picture, embedded again
            answers = unmix(code, network, "cold", 20).images
            return coder.decode(answers.clamp(-1, 1).flatten(0, 1)).unflatten(0, answers.shape[:2])

        name = {"original": "embedding, path", "joint": "embedding, joint"}[target]
        attackers[name] = (attack, 20 if target == "original" else 1, state.losses[-1][1], settings.mixtures)
    rows, test = measure("digits", averaging, attackers, publish, coder.encode), open_images("digits")[:]
    ceiling = round(psnr(coder.decode(coder.encode(test)), test).mean().item(), 2)  # of an attack without any error
    keep([row | {"published": "embedding", "ceiling": ceiling} for row in rows], point)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", nargs="*", default=list(POINTS))
    parser.add_argument("--only", nargs="+", metavar="POINT", help="of those above, or embedding (digits)")
    options = parser.parse_args()
    for name in options.data:
        for one in POINTS[name]:
            if not options.only or one in options.only:
                run(name, one)
        if name == "digits" and "embedding" in (options.only or ["embedding"]):
            run_embedding()
