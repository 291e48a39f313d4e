"""Look for what breaks a reader or a report: python scripts/fuzz.py [--minutes 60, of the processor's time] [--seed 0]

Hypothesis changes files of every kind that is read, and numbers and names of a report.  A file must end in pictures of
plain numbers, or in one reason in plain words; a report in text that every program can read.  What falls out is printed
in its smallest form, and the exit code is 1.  If nothing does in all that time, a row goes to results/reliability.json.
"""

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import seed as seeded
from hypothesis import strategies as st

from coldavg.imagesets.pictures import FITS, Fit
from coldavg.imagesets.reading import explain, read_pictures
from scripts.reliability import keep, row, strange_files
from tests.reports import check_report, found_by_chance

ROUND = 200  # examples of each kind before the clock is looked at
SEEDS = {name: content for name, content in strange_files().items() if 0 < len(content) < 100_000}
CHANGES = st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), max_size=30)
LONG = settings(max_examples=ROUND, deadline=None, database=None, phases=(Phase.generate, Phase.shrink),
                suppress_health_check=list(HealthCheck))


@LONG
@given(st.sampled_from(sorted(SEEDS)), CHANGES, st.floats(0, 1), st.binary(max_size=40), st.sampled_from(FITS))
def read_changed(name: str, changes: list[tuple[float, int]], kept: float, more: bytes, fit: str) -> None:
    """A file in which some bytes are others, that is cut, and goes on otherwise."""
    harmed = bytearray(SEEDS[name])
    for where, value in changes:
        harmed[int(where * len(harmed))] = value
    content = bytes(harmed[: max(1, int((1 - kept**4) * len(harmed)))]) + more
    try:
        for picture in read_pictures(content, name, Fit(16, 3, fit)):
            assert picture.values.shape == (16, 16, 3) and np.isfinite(picture.values).all(), name
            json.dumps([picture.kind, picture.size, picture.levels, picture.note], allow_nan=False)
    except AssertionError:
        raise
    except Exception as error:  # what `Decoding` catches
        why = str(explain(error))
        assert why and "\n" not in why and "Error" not in why and why.isprintable(), (name, why)


@LONG
@given(found_by_chance())
def report_anything(found: dict) -> None:
    """A report of any numbers and names."""
    with tempfile.TemporaryDirectory() as folder:
        check_report(found, Path(folder))


def main() -> int:
    """Fuzz until the time is over, or something falls out; returns the exit code."""
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("--minutes", type=float, default=60)
    asked.add_argument("--seed", type=int, default=0)
    options = asked.parse_args()
    started, tried, number = time.process_time(), 0, options.seed  # a busy machine gives less of it in an hour
    while (spent := time.process_time() - started) < 60 * options.minutes:
        for target in (read_changed, report_anything):
            seeded(number)(target)()
            tried += ROUND
        number += 1
        print(f"{tried} tried, nothing fell out", flush=True)
    keep("fuzz", row("files and reports changed by Hypothesis: what no program can read", tried, 0,
                     seconds=round(spent)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
