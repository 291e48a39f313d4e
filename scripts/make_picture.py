"""Draw what README, the start page and shared links open with: averages of four kinds, and what comes out of them.

Writes book/averages.html, which moves, and from the same pictures book/averages.png, which does not, and
_static/card.png; and book/laboratory.png, a walk of one average.  The pictures are those of scripts/pictures.py.
"""

from pathlib import Path

import numpy as np
import torch
from matplotlib import font_manager
from PIL import Image, ImageDraw, ImageFont

from coldavg import load_network, unmix
from coldavg.support.figures import show
from coldavg.support.pixels import embedded, from_8_bits, png

BOOK = Path(__file__).parent.parent / "book"
SIDE = 128  # pixels of a picture
KINDS = {"digits": "digits", "flowers": "flowers", "xrays": "X-rays", "faces": "faces"}
ALT = {"published": "the average of two {}, as published", "recovered": "two pictures got back from it",
       "true": "the two true pictures"}


def enlarged(levels):
    """A picture (C, H, W), uint8, as (SIDE, SIDE, 3), without blur."""
    array = np.moveaxis(np.broadcast_to(levels, (3, *levels.shape[1:])), 0, -1)
    return np.asarray(Image.fromarray(np.ascontiguousarray(array)).resize((SIDE, SIDE), Image.Resampling.NEAREST))


def column(kind, levels):
    """HTML of one kind: the average, and below it, one over the other, what came back and the true pictures."""
    strips = {"published": levels[:1], "recovered": levels[1:3], "true": levels[3:]}
    images = {name: embedded(png(np.concatenate([np.moveaxis(each, 0, -1) for each in strip]).squeeze()))
              for name, strip in strips.items()}
    tags = {name: f'<img class="{name}" alt="{ALT[name].format(kind)}" src="{source}">'
            for name, source in images.items()}
    return (f'<div><b>{kind}</b>{tags["published"]}<span style="background-image:url({images["published"]})">'
            f'{tags["recovered"]}{tags["true"]}</span></div>')


with np.load(BOOK.parent / "results" / "pictures.npz") as stored:  # of each kind the pair of median PSNR
    pairs = {kind: stored[data] for data, kind in KINDS.items()}
SAYS = "got back from the average alone"
(BOOK / "averages.html").write_text(
    '<figure class="coldavg-opening">\n<div class="kinds">\n'
    + "\n".join(column(*pair) for pair in pairs.items())
    + '\n</div>\n<div class="along"><button type="button" hidden>Pause</button>'
    '<input type="range" min="0" max="200" value="100" aria-label="from the average over what came back to the truth" '
    f'aria-valuetext="{SAYS}"><output>{SAYS}</output></div>\n</figure>\n')
columns = [np.concatenate([enlarged(levels) for levels in pair[:3]]) for pair in pairs.values()]
still = np.concatenate([np.pad(one, ((0, 0), (0, 8), (0, 0)), constant_values=255) for one in columns], 1)[:, :-8]
(BOOK / "averages.png").write_bytes(png(still))
card = Image.new("RGB", (1200, 630), (18, 18, 22))  # what is shown where somebody shares a link
words, small = (ImageFont.truetype(font_manager.findfont("DejaVu Sans"), size) for size in (52, 30))
card.paste(Image.fromarray(still).resize((776, 550), Image.Resampling.LANCZOS), (384, 40))
draw = ImageDraw.Draw(card)
draw.text((40, 60), "Averages\ndo not\nforget", "white", words)
draw.text((40, 330), "Above: what was\npublished. Below:\nwhat came back.", (200, 200, 205), small)
card.save(BOOK.parent / "_static" / "card.png", optimize=True)
# what the laboratory shows, as a still picture
network, one = load_network("digits-original"), from_8_bits(torch.from_numpy(pairs["digits"][:1]))
points = unmix(one, network, "cold", 10, trajectory=True).trajectory
walked = [[getattr(point, name)[0] for point in points] for name in ("x", "original", "remainder")]
figure = show(walked, labels=["where\nit stands", "guess", "guess"], inches=0.8)
figure.savefig(BOOK / "laboratory.png", dpi=120)
