"""What looking again is worth, network by network, and what there is to mend: python scripts/looks.py [NETWORK ...]

Every joint network for two that looks again meets the first of its test pairs, look by look.  Of the first answer it
is asked how much of its squared error would go if each block of the picture could be put into the better order: that
much is *misplaced*.  The answers of other pairs, which can't have read anything, are the control.  Rows go to
results/looks.json.
"""

import json
import sys
from pathlib import Path

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d

from coldavg import load_network, score, unmix
from coldavg.evaluation import protocol
from coldavg.evaluation.rows import merge_rows, stamp
from coldavg.metrics import bootstrap_interval
from coldavg.networks import manifest
from coldavg.teach import half_difference

FILE, KEY = Path("results/looks.json"), ("network",)
PAIRS, LOOKS, BLOCK = 300, 6, {28: 4, 64: 8}  # the side of a block, by that of the picture


def main() -> None:
    """Measure each network, and keep its row at once."""
    for name in sys.argv[1:] or list(manifest()):
        settings = manifest()[name]["settings"]
        if settings["target"] == "joint" and settings.get("looks") and settings["k"] == 2:
            data = name.partition("-")[0]
            row = {"network": name, "data": data, **measure(name, data), "stamp": stamp(name, data)}
            print(json.dumps(row), flush=True)
            merge_rows([row], FILE, KEY)


def measure(name: str, data: str) -> dict:
    """Mean PSNR look by look, what the looks gain, how often they make a pair worse, and what was misplaced."""
    pairs, averages = protocol(data, count=PAIRS)
    seen = look_by_look(name, averages)  # (LOOKS, PAIRS, 2, C, H, W)
    psnrs = torch.stack([score(each, pairs, averages)["psnr"].mean(1) for each in seen])
    gain = psnrs[-1] - psnrs[0]
    truth, found = half_difference(pairs), half_difference(seen[0])
    return {"pairs": PAIRS, "psnr_by_look": [round(each.mean().item(), 3) for each in psnrs],
            "gain_interval": [round(end, 3) for end in bootstrap_interval(gain[:, None])],
            "worse": round(100 * (gain < 0).double().mean().item(), 1),
            "misplaced": misplaced(found, truth), "misplaced_control": misplaced(found.roll(1, 0), truth),
            "boldness": round((found.square().sum() / truth.square().sum()).item(), 3)}


def look_by_look(name: str, averages: Tensor) -> Tensor:
    """What a network sees in averages (N, C, H, W) at each look: (LOOKS, N, 2, C, H, W)."""
    parts = [unmix(part, load_network(name), steps=LOOKS, trajectory=True).trajectory for part in averages.split(50)]
    return torch.cat([torch.stack([torch.stack([point.original, point.remainder], 1) for point in points])
                      for points in parts], 1)


def misplaced(found: Tensor, truth: Tensor) -> float:
    """The share (%) of the squared error of half-differences `found` that goes if each block may change its sign.

    Both (N, C, H, W).  A block whose sign is wrong costs |d + d*|^2 in place of |d - d*|^2: four times <d, d*> more.
    """
    side = BLOCK[truth.shape[-1]]
    agreement = avg_pool2d((found * truth).sum(1, keepdim=True), side) * side**2
    agreement = agreement * agreement.sum((1, 2, 3), keepdim=True).sign()  # the better order of the whole picture
    errors = torch.minimum((found - truth).square().sum((1, 2, 3)), (found + truth).square().sum((1, 2, 3)))
    return round(100 * (4 * agreement.clamp(max=0).abs().sum() / errors.sum()).item(), 1)


if __name__ == "__main__":
    main()
