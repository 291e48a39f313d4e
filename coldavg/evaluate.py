"""One stamped row of results for a network, a sampler and an image set, by the protocol of the book."""

import json
import subprocess
import time
from datetime import UTC, datetime
from pathlib import Path

import torch
from torch import Tensor
from tqdm.auto import tqdm

from .data import data_file, fingerprint, load, test_tuples, write_atomically
from .metrics import interval, score
from .mixing import brightest_first, mix, round_to_8_bits
from .pretrained import load_network, network_file
from .samplers import unmix
from .training import described


def protocol(data: str, k: int = 2, count: int = 1000, rounded: bool = True) -> tuple[Tensor, Tensor]:
    """The protocol's test tuples (count, k, C, H, W), brightest first, and their mixtures (count, C, H, W).

    The mixtures are rounded to 8 bits, as a published average is, unless `rounded` is False.
    """
    images = load(data, "test")
    tuples = brightest_first(images[test_tuples(len(images), k, count)])
    mixture = mix(tuples)
    return tuples, round_to_8_bits(mixture) if rounded else mixture


def recover(mixture: Tensor, network, sampler: str = "cold", steps: int = 20, k: int = 2, batch: int = 100,
            progress: bool = False) -> tuple[Tensor, int]:
    """`unmix` over many mixtures (N, C, H, W), a batch at a time: images (N, K, C, H, W) and calls for each."""
    parts = [unmix(part, network, sampler, steps, k)
             for part in tqdm(mixture.split(batch), unit=" batches", disable=not progress)]
    return torch.cat([part.images for part in parts]), parts[0].calls


def evaluate(network: str | None, data: str = "digits", sampler: str = "cold", steps: int = 20, k: int = 2,
             count: int = 1000, rounded: bool = True, progress: bool = False) -> dict:
    """A row of results: mean PSNR (dB), SSIM and success rate (%), each with its 95 % interval, and the stamp.

    `network` is a name or a file (see `load_network`); None scores the average itself, K times.  The
    network sees the mixtures alone.  `seconds` is the time per mixture.
    """
    tuples, mixture = protocol(data, k, count, rounded)
    start = time.perf_counter()
    if network is None:
        recovered, calls, sampler = mixture[:, None].expand_as(tuples), 0, "the average itself"
    else:
        loaded = load_network(network)
        sampler = "joint" if loaded.target == "joint" else sampler
        recovered, calls = recover(mixture, loaded, sampler, steps, k, progress=progress)
    seconds = (time.perf_counter() - start) / count
    marks = score(recovered, tuples, mixture)
    row = {"data": data, "k": k, "network": network and Path(network).stem, "sampler": sampler, "calls": calls,
           "tuples": count, "rounded": rounded, "seconds": round(seconds, 5)}
    for name, scale, digits in (("psnr", 1, 3), ("ssim", 1, 4), ("success", 100, 2)):
        low, high = interval(marks[name])
        row[name] = round(scale * marks[name].mean().item(), digits)
        row[f"{name}_interval"] = [round(scale * low, digits), round(scale * high, digits)]
    return row | {"stamp": stamp(network, data)}


def stamp(network: str | None, data: str) -> dict:
    """Where a row comes from: commit, seed, device, date, and the hashes of the network's and the data's files."""
    changed = run_git("status", "--porcelain", "--", "*.py")
    commit = (run_git("rev-parse", "--short=12", "HEAD") or "none") + ("+" if changed else "")  # +: code not committed
    return {"commit": commit, "seed": 0, "device": described(torch.device("cpu")),
            "date": datetime.now(UTC).date().isoformat(),
            "network_sha256": network and fingerprint(network_file(network)),
            "data_sha256": fingerprint(data_file(data, "test"))}


def run_git(*words: str) -> str:
    """What git prints, or nothing where there is no git or no repository."""
    try:
        command = ["git", "-C", str(Path(__file__).parent), *words]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return ""


KEY = ("data", "k", "network", "sampler", "calls", "tuples", "rounded")  # what makes a row another row


def read_rows(path: str | Path) -> dict[tuple, dict]:
    """The rows of a JSON file by their setting, none if there is no file; ValueError if it holds anything else."""
    path = Path(path)
    if not path.parent.is_dir():
        raise ValueError(f"--out {str(path)!r} lies in a folder that does not exist; make it, or choose another")
    try:
        return {tuple(row[key] for key in KEY): row for row in (json.loads(path.read_text()) if path.exists() else ())}
    except (ValueError, TypeError, KeyError):
        raise ValueError(f"--out {str(path)!r} is no file of rows; choose another") from None


def merge_rows(rows: list[dict], path: str | Path) -> None:
    """Add rows to a JSON file, in place of those of the same setting; one row a line, so that a diff can be read."""
    kept = read_rows(path)
    kept |= {tuple(row[key] for key in KEY): row for row in rows}
    rows = [kept[key] for key in sorted(kept, key=str)]
    lines = ",\n".join(json.dumps(row) for row in rows)
    write_atomically(Path(path), f"[\n{lines}\n]\n".encode())
