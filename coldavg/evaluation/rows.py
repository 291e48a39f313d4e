"""Rows of results: stamped, told apart by their setting, kept one a line in a JSON file."""

import json
import subprocess
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path

import torch

from ..imagesets.opening import open_images
from ..support.device import describe_device
from ..support.files import fingerprint, write_atomically
from .attackers import Attack, file_of

KEY = ("data", "k", "weights", "told", "published", "network", "sampler", "calls", "tuples")  # a row's setting


def stamp(network: str | Attack, data: str) -> dict:
    """Where a row comes from: commit, seed, device, date, and the hashes of the network's and the data's files."""
    file = file_of(network)
    return stamp_of(0) | {
            "network_sha256": file and fingerprint(file),
            "data_sha256": [open_images(name, "test").sha256 for name in data.split("+")]}


def stamp_of(seed: int) -> dict:
    """Commit, seed, device, date."""
    changed = run_git("status", "--porcelain", "--", "*.py")
    commit = (run_git("rev-parse", "--short=12", "HEAD") or "none") + ("+" if changed else "")  # +: code not committed
    return {"commit": commit, "seed": seed, "device": describe_device(torch.device("cpu")),
            "date": datetime.now(UTC).date().isoformat()}


def run_git(*words: str) -> str:
    """What git prints, or nothing where there is no git or no repository."""
    try:
        command = ["git", "-C", str(Path(__file__).parent), *words]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return ""


def setting(row: dict, key: Sequence[str] = KEY) -> str:
    """The setting of a row, as one string: two rows of one setting are one row, measured twice."""
    return json.dumps([row[word] for word in key])


def read_rows(path: str | Path, key: Sequence[str] = KEY) -> dict[str, dict]:
    """The rows of a JSON file by their setting, none if there is no file; ValueError if it holds anything else."""
    path = Path(path)
    if not path.parent.is_dir():
        raise ValueError(f"--out {str(path)!r} lies in a folder that does not exist; make it, or choose another")
    try:
        rows = json.loads(path.read_text()) if path.exists() else ()
        return {setting(row, key): row for row in rows}
    except (ValueError, TypeError, KeyError):
        raise ValueError(f"--out {str(path)!r} is no file of rows; choose another") from None


def merge_rows(rows: list[dict], path: str | Path, key: Sequence[str] = KEY) -> None:
    """Add rows to a JSON file, in place of those of the same setting; one row a line, so that a diff can be read."""
    kept = read_rows(path, key)
    kept |= {setting(row, key): row for row in rows}
    lines = ",\n".join(json.dumps(kept[each]) for each in sorted(kept))
    write_atomically(path, f"[\n{lines}\n]\n".encode())


def strongest(rows: Iterable[dict]) -> dict | None:
    """Of rows about one averaging, that of the attacker to fear most: the highest SSIM.  None if there is no row.

    Not the highest PSNR: an answer that hedges, a blur of all that may have been, has a high one, and shows nobody.
    """
    return max(rows, key=lambda row: row["ssim"], default=None)
