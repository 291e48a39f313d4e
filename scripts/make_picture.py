"""Draw book/averages.png, for README and start page: averages of unseen digits, and what came out of them."""

from pathlib import Path

from coldavg import load_network, protocol, score, unmix
from coldavg.figures import show

count = 5
tuples, mixture = protocol("digits", 2, 100)
recovered = unmix(mixture, load_network("digits-joint")).images
marks = score(recovered, tuples, mixture)["psnr"].mean(1)
middle = marks.argsort()[len(marks) // 2 - count // 2 :][:count]  # typical ones: around the median of the first 100
rows = [mixture[middle], recovered[middle, 0], recovered[middle, 1]]
figure = show(rows, labels=["published:\nthe average", "recovered\nfrom it", "recovered\nfrom it"], inches=1.0)
figure.savefig(Path(__file__).parent.parent / "book" / "averages.png", dpi=160)
print("PSNR of the five:", [round(mark, 1) for mark in marks[middle].tolist()], "dB")
