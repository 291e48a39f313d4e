"""What an attacker gets who owns averages alone: python scripts/averages.py SET [--count 3000] [--mixtures 80000]

The training split of a set is published as averages of two, each image in one; `coldavg train --from-averages` makes
of them a network for four, from that one for two, and from that one for two that looks again.  They meet the
protocol's test pairs; the row goes to results/averages.json, the networks stay in the folder --runs.
"""

import argparse
import json
from pathlib import Path

import torch
from torch import Tensor

from coldavg.cli import main as coldavg
from coldavg.evaluation import protocol
from coldavg.evaluation.rows import merge_rows, stamp_of
from coldavg.metrics import bootstrap_interval, score
from coldavg.networks import read_network
from coldavg.remixing import ask_teacher
from coldavg.unet import UNet
from scripts.publish_averages import main as publish

FILE, KEY = Path("results/averages.json"), ("data", "averages", "mixtures")
SIDE = {"digits": 28, "digits-full": 28}  # of the images, where it is not 64
STAGES = {"four": "--k 4", "first": "--start {four}", "two": "--looks 3 --start {first}"}


def main() -> None:
    """Publish, train, measure, keep the row."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data")
    parser.add_argument("--count", type=int, help="at most so many averages")
    parser.add_argument("--mixtures", type=int, default=80_000, help="that each of the three networks sees")
    parser.add_argument("--runs", type=Path, default=Path("runs"))
    options = parser.parse_args()
    name = options.data.removesuffix("-full")
    published = options.runs / f"{name}-{options.count or 'all'}"
    publish([options.data, str(published), *(["--count", str(options.count)] if options.count else [])])
    files = {stage: f"{published}-{stage}.safetensors" for stage in STAGES}
    for stage, words in STAGES.items():
        line = (f"train --from-averages {published} --size {SIDE.get(options.data, 64)} --target joint --order random "
                f"--loss log --learning-rate 4e-3 --mixtures {options.mixtures} {words} --out {{{stage}}}")
        if not Path(files[stage]).exists() and coldavg(line.format(**files).split()):
            raise SystemExit(2)
    row = measure(name, len(list(published.glob("*.png"))), files)
    merge_rows([row], FILE, KEY)
    print(json.dumps(row))


def measure(data: str, averages: int, files: dict[str, str]) -> dict:
    """The row: mean PSNR of the average itself, and of what each network gets, on the protocol's pairs."""
    pairs, mixtures = protocol(data)
    row = {"data": data, "averages": averages, "tuples": len(pairs), "mixtures_seen": {}, "trained_on": {}}
    for stage, file in files.items():
        network, notes = read_network(Path(file).read_bytes(), file)
        scores = score(ask_several(network.eval(), mixtures), pairs, mixtures)
        row["mixtures_seen"][stage] = notes["record"]["mixtures_seen"]
        row["trained_on"][stage] = notes["record"]["device"]
        row |= {"average": mean(scores["average_psnr"]), stage: mean(scores["psnr"])}
    row["mixtures"] = sum(row["mixtures_seen"].values())
    low, high = bootstrap_interval(scores["psnr"])
    return row | {"interval": [round(low, 3), round(high, 3)], "stamp": stamp_of(0)}  # that of the last stage


def mean(values: Tensor) -> float:
    """The mean as a row keeps it."""
    return round(values.mean().item(), 3)


def ask_several(network: UNet, mixtures: Tensor) -> Tensor:
    """What the network sees in mixtures (N, C, H, W), a hundred at a time."""
    return torch.cat([ask_teacher(network, part) for part in mixtures.split(100)])


if __name__ == "__main__":
    main()
