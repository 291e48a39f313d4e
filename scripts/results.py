"""Renew the stored rows of results: python scripts/results.py [digits flowers faces xrays portraits ...]

Every line below is a `coldavg evaluate`; its rows go to results/NAME.json, each with its own command and stamp.
"""

import shlex
import sys

from coldavg.cli import main

JOINT = [f"--network {{data}}-joint {form}" for form in ("", "--published float", "--published jpeg-90",
                                                        "--published jpeg-50")]
PATH = "--network {data}-original --sampler all --steps 1 5 20 --count 100"
ONE_CALL = "--network {data}-original --sampler one_step cold"  # and the twenty of cold: on all tuples
BARE = ["--network none", "--network closed-eyes", "--network best-pair"]
SET = [*BARE, *JOINT, "--network {data}-joint --steps 1", "--network {data}-joint --sampler flips"]
WEIGHTS = [f"--network {network} --weights {weights} {told}" for weights in ("0.6,0.4", "0.7,0.3")
           for network, told in (("digits-original", ""), ("digits-original", "--told 0.5,0.5"),
                                 ("digits-joint", "--told 0.5,0.5"))]
ROWS = {
    "digits": [*BARE, *JOINT, *WEIGHTS, "--network digits-joint --steps 1 2 3 5 8", "--network digits-averages",
               "--network digits-original --sampler all --steps 1 5 20",
               *(f"--network digits-{target} --sampler all --steps 1 5 20" for target in ("remainder", "difference")),
               "--network digits-original --sampler all --steps 100 --count 100",
               "--network digits-original --sampler all --steps 1 5 20 100 625 --count 20",
               *(f"--k {k} --network {network}" for k in (3, 4)
                 for network in ("none", f"digits-joint-{k}", "digits-joint",
                                 "digits-original --sampler cold resolve --steps 1 20 --count 300"))],
    "flowers": [*SET, PATH, ONE_CALL,
                "--network flowers-original --steps 20 625 --count 25",
                *(f"--k {k} --network {network} --count 100" for k in (3, 4)
                  for network in ("none", "flowers-joint", "flowers-original"))],
    "faces": [*SET, PATH, ONE_CALL,
              *(f"--k 3 --network {network}" for network in ("none", "faces-joint", "faces-joint-3"))],
    "xrays": [*SET, PATH, ONE_CALL],
    "portraits": SET,
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
