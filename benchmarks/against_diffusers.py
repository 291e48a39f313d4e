"""Our U-Net against UNet2DModel of the library diffusers, about as many parameters, in the same training loop.

    pip install diffusers==0.42.1
    python benchmarks/against_diffusers.py [--minutes 5] [--out benchmarks/against_diffusers.json]

One run on one machine, each network in a process of its own: seconds and memory per call at batch 1 and 64 on 28 x 28
grey and 64 x 64 colour, training mixtures per second, and PSNR on 300 test pairs of digits after equal minutes.
"""

import argparse
import json
import resource
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

import torch
from torch import nn

from coldavg import Settings, UNet, fit, score, training
from coldavg.evaluation.attackers import recover
from coldavg.evaluation.measuring import protocol
from coldavg.evaluation.rows import run_git
from coldavg.support.device import describe_device
from coldavg.support.files import write_atomically


class Theirs(nn.Module):
    """UNet2DModel under our interface: a mixture and its alpha in, K images out, as departures from the mixture."""

    ends = ("unet.conv_in", "unet.conv_out", "unet.time_embedding")
    target, k, alpha_max, calls, weights, exact = "joint", 2, 0.8, 1, None, True

    def __init__(self, settings: Settings, size: tuple[int, int]):
        super().__init__()
        from diffusers import UNet2DModel

        torch.manual_seed(settings.seed)
        self.channels, self.size = settings.channels, size
        self.unet = UNet2DModel(
            size, self.channels, 2 * self.channels, layers_per_block=1, block_out_channels=(48, 80, 112),
            norm_num_groups=8,
            down_block_types=("DownBlock2D", "DownBlock2D", "AttnDownBlock2D"),
            up_block_types=("AttnUpBlock2D", "UpBlock2D", "UpBlock2D"))

    def forward(self, x, alpha):
        answer = self.unet(x, 1000 * alpha).sample
        return x[:, None] + answer.unflatten(1, (2, self.channels))


KINDS = {"coldavg": UNet, "diffusers": Theirs}


def measure(name: str, minutes: float) -> dict:
    """All that is measured of one network, in this process."""
    kind = training.UNet = KINDS[name]  # what fit() makes of its settings
    row = {"network": name, "torch": torch.__version__, "minutes": minutes}
    for channels, side in ((1, 28), (3, 64)):
        network = kind(Settings(target="joint", order="random", channels=channels), (side, side))
        network = network.to(memory_format=torch.channels_last).eval()
        row[f"parameters_{side}"] = sum(parameter.numel() for parameter in network.parameters())
        for batch in (1, 64):
            x, alpha = torch.randn(batch, channels, side, side), torch.full((batch,), 0.5)
            spent = []
            with torch.no_grad():
                for _ in range(12):
                    start = time.perf_counter()
                    network(x, alpha)
                    spent.append(time.perf_counter() - start)
            row[f"ms_per_mixture_{side}_batch_{batch}"] = round(1000 * sorted(spent)[5] / batch, 3)
    row["peak_mb_calling"] = round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
    settings = Settings(target="joint", order="random", loss="log", learning_rate=4e-3, mixtures=10**9)
    state = fit(settings, seconds=60 * minutes, progress=False)
    seen, seconds, _ = state.losses[-1]
    tuples, mixture = protocol("digits", 2, 300)
    psnr = score(recover(mixture, state.network)[0], tuples, mixture)["psnr"]
    row |= {"mixtures_seen": seen, "training_per_second": round(seen / seconds, 1), "precision": state.precision,
            "psnr": round(psnr.mean().item(), 2),
            "peak_mb_training": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)}
    return row | {"stamp": {"commit": run_git("rev-parse", "--short=12", "HEAD"), "seed": 0,
                            "device": describe_device(torch.device("cpu")),
                            "date": datetime.now(UTC).date().isoformat()}}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=5)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/against_diffusers.json"))
    parser.add_argument("--only", choices=KINDS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.only:
        print(json.dumps(measure(options.only, options.minutes)))
        return
    rows = []
    for name in KINDS:
        words = [sys.executable, __file__, "--minutes", str(options.minutes), "--only", name]
        rows.append(json.loads(subprocess.run(words, check=True, stdout=subprocess.PIPE, text=True).stdout))
        print(json.dumps(rows[-1], indent=2))
    write_atomically(options.out, (json.dumps(rows, indent=2) + "\n").encode())


if __name__ == "__main__":
    main()
