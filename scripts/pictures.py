"""Keep what chapter 15 shows of image sets that are not in the repository: python scripts/pictures.py

Of each kind the first test pairs are averaged and taken apart.  The pair of median PSNR goes to results/pictures.npz:
the average, the two pictures that came back, the two true ones.  A row of results/pictures.json says how large the
set is, and of X-rays how like an answer is to its own picture and to the other one.  The sets must be in COLDAVG_DATA
or in the cache, or they are fetched.
"""

import io
import json
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from coldavg import load_network, psnr, round_to_8_bits
from coldavg.evaluation import protocol, recover
from coldavg.evaluation.rows import stamp
from coldavg.imagesets import open_images
from coldavg.metrics import bootstrap_interval, match
from coldavg.support.files import write_atomically
from coldavg.support.pixels import to_8_bits

OUT = Path(__file__).parent.parent / "results" / "pictures.json"
PAIRS = 31  # test pairs of each kind, of which the median is kept


def blurred(images: Tensor) -> Tensor:
    """The mean over 5 by 5 pixels around each."""
    return F.avg_pool2d(F.pad(images, (2, 2, 2, 2), mode="reflect"), 5, 1)


def likeness(seen: Tensor, truth: Tensor) -> list[float]:
    """The mean correlation of pictures (N, C, H, W) with others, and its 95 % interval over pairs."""
    both = [images.flatten(1) - images.flatten(1).mean(1, keepdim=True) for images in (seen, truth)]
    values = F.cosine_similarity(*both)[:, None]
    return [round(value, 4) for value in (values.mean().item(), *bootstrap_interval(values))]


def likenesses(pairs: Tensor, published: Tensor, answers: Tensor) -> dict:
    """By scale, of the first answer and of the average: how like to its own true picture, how like to the other."""
    scales = {"large shapes": blurred, "fine detail": lambda images: images - blurred(images)}
    seen = {"answer": answers[:, 0], "published": published}
    return {name: {what: [likeness(scale(images), scale(pairs[:, whose])) for whose in (0, 1)]
                   for what, images in seen.items()} for name, scale in scales.items()}


rows, kept = [], {}
for data in ("digits", "flowers", "faces", "xrays", "portraits"):
    pairs, published = protocol(data, count=PAIRS)  # (PAIRS, 2, C, H, W), (PAIRS, C, H, W)
    answers = match(round_to_8_bits(recover(published, load_network(f"{data}-joint"), batch=16)[0]), pairs)
    decibels = psnr(answers.flatten(0, 1), pairs.flatten(0, 1)).reshape(PAIRS, 2).mean(1)
    middle = decibels.argsort()[PAIRS // 2]
    shown = torch.cat([published[middle][None], answers[middle], pairs[middle]])  # (5, C, H, W)
    kept[data] = to_8_bits(shown).numpy()
    splits = [open_images(data, split) for split in ("train", "test")]
    row = {"data": data, "network": f"{data}-joint", "pairs": PAIRS, "worst": round(decibels.min().item(), 2),
           "images": sum(map(len, splits)),
           "identities": sum(len(np.unique(images.identities)) for images in splits)}
    if data == "xrays":
        row["likeness"] = likenesses(pairs, published, answers)
    rows.append(row | {"command": "python scripts/pictures.py", "stamp": stamp(row["network"], data)})
    print(f"{data}: the median of {PAIRS} pairs has {decibels[middle]:.1f} dB", flush=True)
packed = io.BytesIO()
np.savez_compressed(packed, **kept)
write_atomically(OUT.with_suffix(".npz"), packed.getvalue())
write_atomically(OUT, ("[\n" + ",\n".join(map(json.dumps, rows)) + "\n]\n").encode())
