"""Draw what README and the start page open with: averages of unseen digits, and what comes out of them.

Writes book/averages.png, a still picture, and book/averages.html, the same under a slider; and book/laboratory.png, a
walk of one of these averages.
"""

from pathlib import Path

import torch
from torch.nn.functional import pad

from coldavg import load_network, score, unmix
from coldavg.evaluation.measuring import protocol
from coldavg.metrics import match
from coldavg.support.figures import show
from coldavg.teach import Player

BOOK = Path(__file__).parent.parent / "book"
count, stops = 5, 20
tuples, mixture = protocol("digits", 2, 100)
recovered = unmix(mixture, load_network("digits-joint")).images
decibels = score(recovered, tuples, mixture)["psnr"].mean(1)
typical = len(decibels) // 2 - count // 2  # around the median of the first 100
middle = decibels.argsort()[typical:][:count]
mixture, truth = mixture[middle], tuples[middle]
recovered = match(recovered[middle], truth)
rows = [mixture, recovered[:, 0], recovered[:, 1]]
figure = show(rows, labels=["published:\nthe average", "recovered\nfrom it", "recovered\nfrom it"], inches=1.0)
figure.savefig(BOOK / "averages.png", dpi=160)


def framed(two):
    """The averages above, the two rows of pictures (5, 2, 1, 28, 28) below, with grey lines between."""
    rows = [mixture, two[:, 0], two[:, 1]]
    return torch.cat([torch.cat([pad(one, (1, 1, 1, 1), value=-0.6) for one in row], 2) for row in rows], 1)


frames, labels = [], []
for stop in range(stops + 1):
    share = stop / stops  # of the way from the average to what was recovered; the mean of the two stays the average
    frames.append(framed((1 - share) * mixture[:, None] + share * recovered))
    labels.append(f"{share:.0%} of the way: the two still average to the one above")
labels[0], labels[-1] = "only the average is known", "recovered from the average alone"
alt = ("Top row, five averages of two handwritten digits each, hard to read. Below each, two pictures: the average "
       "itself at the left end of the slider, two readable digits near the right end, the true digits at its very end")
frames.append(framed(truth))
labels.append("the true digits, which the network was not shown")
player = Player(torch.stack(frames), labels, alt, scale=5, start=stops)
(BOOK / "averages.html").write_text(player._repr_html_() + "\n")
print("PSNR of the five:", [round(psnr, 1) for psnr in decibels[middle].tolist()], "dB")

network, one = load_network("digits-original"), mixture[:1]  # what the laboratory shows, as a still picture
points = unmix(one, network, "cold", 10, trajectory=True).trajectory
walked = [[getattr(point, name)[0] for point in points] for name in ("x", "original", "remainder")]
figure = show(walked, labels=["where\nit stands", "guess", "guess"], inches=0.8)
figure.savefig(BOOK / "laboratory.png", dpi=120)
