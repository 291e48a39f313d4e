"""Who is in this average? A gallery in the order of likeness: python scripts/gallery.py

A face recogniser that never saw an average orders a gallery of other photographs by how like they are to the average
of two people, for each pair of the protocol of `reidentify`.  The first pair both of whose people stand among the
first TOP goes to results/gallery.npz: the average, and the first TOP of the gallery, so blurred that nobody in it can
be named.  results/gallery.json says at which ranks the two stand, and of how many pairs one or both stand so high.
"""

import io
import json
from pathlib import Path

import numpy as np
import torch
from torch.nn.functional import interpolate

from coldavg import mix, round_to_8_bits
from coldavg.evaluation.recognisers import embed_faces
from coldavg.evaluation.reidentification import draw_people
from coldavg.evaluation.rows import stamp
from coldavg.imagesets import open_images
from coldavg.support.files import write_atomically
from coldavg.support.pixels import to_8_bits

OUT = Path(__file__).parent.parent / "results" / "gallery.json"
PAIRS, TOP, BLOCKS = 126, 10, 8  # nobody is in two of the pairs; blurred: so many blocks to a side


def main() -> None:
    """Order the gallery for each pair, and keep one of them and the counts."""
    images = open_images("faces", "test")
    photographs, pairs, people = draw_people(np.asarray(images.identities), PAIRS)
    average = round_to_8_bits(mix(images[pairs]))
    gallery = images[photographs]
    order = torch.cdist(embed_faces(average), embed_faces(gallery)).argsort(1)  # (PAIRS, G)
    ranks = (order[:, None] == people[:, :, None]).int().argmax(2)  # (PAIRS, 2), from 0
    high = ranks < TOP
    shown = high.all(1).int().argmax().item()
    blurred = interpolate(interpolate(gallery[order[shown, :TOP]], BLOCKS, mode="area"), gallery.shape[-2:],
                          mode="bicubic").clamp(-1, 1)
    packed = io.BytesIO()
    np.savez_compressed(packed, average=to_8_bits(average[shown]).numpy(), gallery=to_8_bits(blurred).numpy())
    write_atomically(OUT.with_suffix(".npz"), packed.getvalue())
    row = {"data": "faces", "pairs": PAIRS, "gallery": len(gallery), "top": TOP, "shown": shown,
           "ranks": sorted((ranks[shown] + 1).tolist()),
           "one": int(high.any(1).sum()), "both": int(high.all(1).sum()),
           "command": "python scripts/gallery.py", "stamp": stamp("none", "faces")}
    write_atomically(OUT, f"[\n{json.dumps(row)}\n]\n".encode())
    print(row)


if __name__ == "__main__":
    main()
