"""One stamped row of results for a network, a sampler and an image set, by the protocol of the book."""

import json
import shlex
import subprocess
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from tqdm.auto import tqdm

from .data import fingerprint, open_images, test_tuples, write_atomically
from .joint import FlipEnsemble
from .metrics import interval, score
from .mixing import brightest_first
from .pretrained import load_network, network_file
from .release import release
from .samplers import Network, Sampler, unmix
from .training import described

NO_NETWORK = {"none": "the average itself", "best-pair": "search"}  # attackers that need no network
CANDIDATES = 5000  # training images among which "best-pair" searches


def protocol(data: str, k: int = 2, count: int = 1000, published: str = "png",
             weights: Sequence[float] | None = None) -> tuple[Tensor, Tensor]:
    """The protocol's test tuples (count, k, C, H, W), brightest first, and their mixtures (count, C, H, W).

    The mixtures are `published` as "png" (8 bits), "float" (as they are), "jpeg-75" (any quality) or in any
    other form of `release`.  With "flowers+faces" for `data`, the images of a tuple come from the two sets in
    turn, by the tuples of the first.
    """
    sets = [open_images(name, "test") for name in data.split("+")]
    people = sets[0].identities if len(sets) == 1 else None
    places = test_tuples(min(len(images) for images in sets), k, count, identities=people)
    tuples = torch.stack([sets[i % len(sets)][places[:, i]] for i in range(k)], 1)
    tuples = brightest_first(tuples)
    return tuples, release(tuples, published, weights)


def recover(mixture: Tensor, network: Network, sampler: str | Sampler = "cold", steps: int = 20, k: int = 2,
            weights: Sequence[float] | None = None, batch: int = 100, progress: bool = False) -> tuple[Tensor, int]:
    """`unmix` over many mixtures (N, C, H, W), a batch at a time: images (N, K, C, H, W) and calls for each.

    Of mixtures with more than 64 x 64 pixels a batch takes fewer, for the memory that they need.
    """
    several = max(1, min(batch, batch * 64 * 64 // mixture[0, 0].numel()))
    parts = [unmix(part, network, sampler, steps, k, weights)
             for part in tqdm(mixture.split(several), unit=" batches", disable=not progress)]
    return torch.cat([part.images for part in parts]), parts[0].calls


def open_attacker(network: str, sampler: str) -> tuple[Network, str]:
    """The network, and what its rows call the sampler: that of a joint one is "joint", or "flips"."""
    loaded = load_network(network)
    if loaded.target != "joint":
        return loaded, sampler
    return (FlipEnsemble(loaded), "flips") if sampler == "flips" else (loaded, "joint")


def best_pairs(mixture: Tensor, images: Tensor) -> Tensor:
    """For each mixture (N, C, H, W) the pair among `images` (M, C, H, W) whose average is nearest: (N, 2, C, H, W).

    All M squared pairs are tried, by inner products: |m - (x + y) / 2|^2, less what all pairs share, is
    |x + y|^2 / 4 - <m, x> - <m, y>.
    """
    flat = images.flatten(1)
    products = flat @ flat.T
    lengths = products.diagonal()
    table = (lengths[:, None] + lengths + 2 * products) / 4
    table.fill_diagonal_(torch.inf)  # two images, not one twice
    pairs, room = [], torch.empty_like(table)
    for one in mixture.flatten(1) @ flat.T:
        best, partner = torch.sub(table, one, out=room).min(1)  # the best partner of each image
        first = (best - one).argmin().item()
        pairs.append([first, partner[first].item()])
    return images[torch.tensor(pairs)]


def evaluate(network: str = "none", data: str = "digits", sampler: str = "cold", steps: int = 20, k: int = 2,
             count: int = 1000, published: str = "png", weights: Sequence[float] | None = None,
             told: Sequence[float] | None = None, progress: bool = False) -> dict:
    """A row of results: mean PSNR (dB), SSIM and success rate (%), each with its 95 % interval, and the stamp.

    `network` is a name or a file (see `load_network`), "none" (the average itself, K times) or "best-pair"
    (the best of all pairs of 5,000 seeded training images).  `sampler` serves path networks; for a joint one
    "flips" averages over mirror images.  `weights` are those of the mixtures (None: equal), `told` those that
    the attacker takes them for (None: the same).  The network sees the mixtures alone.  `seconds` is the time
    per mixture; `command` gives the row again.
    """
    told = weights if told is None else told
    tuples, mixture = protocol(data, k, count, published, weights)
    start, calls = time.perf_counter(), 0
    if network == "none":
        recovered, sampler = mixture[:, None].expand_as(tuples), NO_NETWORK[network]
    elif network == "best-pair":
        if k != 2 or told is not None:
            raise ValueError("best-pair searches pairs of equal weights; leave k and weights out")
        images = open_images(data, "train")
        chosen = np.random.RandomState(0).permutation(len(images))[:CANDIDATES]
        recovered, sampler = best_pairs(mixture, images[chosen]), NO_NETWORK[network]
    else:
        attacker, sampler = open_attacker(network, sampler)
        recovered, calls = recover(mixture, attacker, sampler, steps, k, told, progress=progress)
    seconds = (time.perf_counter() - start) / count
    marks = score(recovered, tuples, mixture)
    row = {"data": data, "k": k, "weights": weights and list(weights), "told": told and list(told),
           "published": published, "network": Path(network).stem, "sampler": sampler, "calls": calls, "tuples": count,
           "seconds": round(seconds, 5)}
    for name, scale, digits in (("psnr", 1, 3), ("ssim", 1, 4), ("success", 100, 2)):
        low, high = interval(marks[name])
        row[name] = round(scale * marks[name].mean().item(), digits)
        row[f"{name}_interval"] = [round(scale * low, digits), round(scale * high, digits)]
    return row | {"command": command(row, network, steps), "stamp": stamp(network, data)}


def command(row: dict, network: str, steps: int) -> str:
    """The command line that gives `row` again."""
    words = ["coldavg evaluate", f"--network {shlex.quote(network)}", f"--data {shlex.quote(row['data'])}"]
    if row["calls"] and row["sampler"] != "joint":
        words += [f"--sampler {row['sampler']}"] + [f"--steps {steps}"] * (row["sampler"] != "flips")
    words += [f"--{name} {','.join(map(str, row[name]))}" for name in ("weights", "told") if row[name]]
    usual = {"k": 2, "tuples": 1000, "published": "png"}
    words += [f"--{'count' if name == 'tuples' else name} {row[name]}" for name in usual if row[name] != usual[name]]
    return " ".join(words)


def stamp(network: str, data: str) -> dict:
    """Where a row comes from: commit, seed, device, date, and the hashes of the network's and the data's files."""
    return stamp_of(0) | {
            "network_sha256": None if network in NO_NETWORK else fingerprint(network_file(network)),
            "data_sha256": [open_images(name, "test").sha256 for name in data.split("+")]}


def stamp_of(seed: int) -> dict:
    """Commit, seed, device, date."""
    changed = run_git("status", "--porcelain", "--", "*.py")
    commit = (run_git("rev-parse", "--short=12", "HEAD") or "none") + ("+" if changed else "")  # +: code not committed
    return {"commit": commit, "seed": seed, "device": described(torch.device("cpu")),
            "date": datetime.now(UTC).date().isoformat()}


def run_git(*words: str) -> str:
    """What git prints, or nothing where there is no git or no repository."""
    try:
        command = ["git", "-C", str(Path(__file__).parent), *words]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return ""


KEY = ("data", "k", "weights", "told", "published", "network", "sampler", "calls", "tuples")  # a row's setting


def setting(row: dict) -> str:
    """The setting of a row, as one string: two rows of one setting are one row, measured twice."""
    return json.dumps([row[key] for key in KEY])


def read_rows(path: str | Path) -> dict[str, dict]:
    """The rows of a JSON file by their setting, none if there is no file; ValueError if it holds anything else."""
    path = Path(path)
    if not path.parent.is_dir():
        raise ValueError(f"--out {str(path)!r} lies in a folder that does not exist; make it, or choose another")
    try:
        rows = json.loads(path.read_text()) if path.exists() else ()
        return {setting(row): row for row in rows}
    except (ValueError, TypeError, KeyError):
        raise ValueError(f"--out {str(path)!r} is no file of rows; choose another") from None


def merge_rows(rows: list[dict], path: str | Path) -> None:
    """Add rows to a JSON file, in place of those of the same setting; one row a line, so that a diff can be read."""
    kept = read_rows(path)
    kept |= {setting(row): row for row in rows}
    rows = [kept[key] for key in sorted(kept)]
    lines = ",\n".join(json.dumps(row) for row in rows)
    write_atomically(Path(path), f"[\n{lines}\n]\n".encode())
