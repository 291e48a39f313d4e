"""The settings say what they can not be."""

import pytest

from coldavg import Settings

WRONG = {
    "target": ({"target": "both"}, "original, remainder, difference, joint"),
    "order": ({"order": "darkest"}, "brightest, random"),
    "k": ({"k": 5}, "from 2 to 4"),
    "joint k": ({"k": 17, "target": "joint"}, "from 2 to 4, of a joint network to 16"),
    "published": ({"published": "gif", "target": "joint"}, "png, float, or one or more of"),
    "path": ({"published": "noise-1"}, "must be 'joint'"),
    "weights": ({"weights": (0.5, 0.6), "target": "joint"}, "sum to 1"),
    "pool": ({"pool": 2, "k": 3, "target": "joint"}, "at least k = 3"),
    "at_start": ({"at_start": 1.5}, r"at_start must be in \[0, 1\]"),
    "alpha_max": ({"alpha_max": 1.0}, r"alpha_max must be in"),
    "alpha_max below the mixture": ({"k": 4, "alpha_max": 0.7}, "for k = 4"),
    "mixtures": ({"mixtures": 0}, "mixtures, batch, channels and patch must be at least 1"),
    "learning_rate": ({"learning_rate": float("nan")}, "learning_rate must be above 0"),
    "infinite learning_rate": ({"learning_rate": float("inf")}, "learning_rate must be above 0"),
    "batch": ({"batch": 2.5}, "batch must be a whole number"),
    "ema": ({"ema": 1.0}, r"\[0, 1\)"),
    "loss": ({"loss": "absolute"}, "squared, log"),
    "patch": ({"patch": 0}, "at least 1"),
    "looks": ({"looks": -1, "target": "joint"}, "looks must be at least 0"),
    "looks of a path": ({"looks": 2}, "0 but for a joint network, got 2"),
    "half a look": ({"looks": 0.5, "target": "joint"}, "looks must be a whole number"),
    "widths": ({"widths": (10,)}, "multiple of 4"),
}


@pytest.mark.parametrize("case", WRONG)
def test_settings_that_can_not_be(case):
    arguments, words = WRONG[case]
    with pytest.raises((ValueError, TypeError), match=words):
        Settings(**arguments)
