"""Renew the stored rows of results: python scripts/results.py [digits flowers faces xrays reidentify two-kinds]

Every line below is a `coldavg evaluate`; its rows go to results/NAME.json, each with its own command and stamp.
"""

import shlex
import sys

from coldavg.cli import main

PATH = ["--sampler all --steps 1 5 20", "--sampler all --steps 100 --count 300", "--sampler all --steps 625 --count 50"]
PUBLISHED = ["", "--published float", "--published jpeg-90", "--published jpeg-50"]
COLOUR_OR_GREY = ["--network none", "--network best-pair", *(f"--network {{data}}-joint {form}" for form in PUBLISHED),
                  "--network {data}-joint --sampler flips"]
ROWS = {
    "digits": ["--network none", "--network best-pair", *(f"--network digits-joint {form}" for form in PUBLISHED),
               *(f"--network digits-original {steps}" for steps in PATH)],
    "flowers": COLOUR_OR_GREY,
    "faces": COLOUR_OR_GREY,
    "xrays": COLOUR_OR_GREY,
    "reidentify": ["--data faces --network faces-joint --count 126 --reidentify"],
    "two-kinds": [f"--data flowers+faces --network {network}" for network in ("none", "flowers-joint", "faces-joint")],
}

if __name__ == "__main__":
    for name in sys.argv[1:] or ROWS:
        for line in ROWS[name]:
            data = "" if "--data" in line else f"--data {name} "
            words = f"evaluate {data}{line.format(data=name)} --out results/{name}.json"
            print(f"coldavg {words}", flush=True)
            if main(shlex.split(words)):
                raise SystemExit(2)
