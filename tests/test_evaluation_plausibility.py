"""What is no average of the kind that a network knows is told from right ones, and what was not measured is said."""

import json

import pytest
import torch
from scipy.stats import chi2

from coldavg import load, load_network
from coldavg.evaluation import plausibility
from coldavg.evaluation.averaging import PAIRS
from coldavg.evaluation.plausibility import (
    distance_from,
    fit_right,
    measure_figures,
    say_plausible,
    settle_threshold,
)
from coldavg.networks import manifest, network_file
from coldavg.support.files import fingerprint


def test_distance_is_that_of_standard_normal_figures():
    """In reaches of 9 and of 17 figures, of whose distances the distribution is known: chi."""
    figures = torch.randn(4000, 18, dtype=torch.float64, generator=torch.Generator().manual_seed(0)) * 5 + 2
    right, (few, all_but_one) = fit_right(figures), chi2.ppf(0.98, [9, 17]) ** 0.5
    assert [group["reach"] for group in right["groups"]] == pytest.approx([few, all_but_one], rel=0.02)
    apart = torch.full((2, 18), 2, dtype=torch.float64)
    apart[0, 0], apart[1, 17] = 52, 52  # ten standard deviations: in the first group alone, and in the second
    assert distance_from(apart, right).tolist() == pytest.approx([10 / few, 10 / all_but_one], rel=0.05)
    assert 0.02 < (distance_from(figures, right) > 1).double().mean() < 0.04, "2 % of each group"


@pytest.mark.parametrize("count", [228, 300, 1000])
def test_the_threshold_makes_sure_that_two_in_a_hundred_are_doubted_at_most(count):
    """Of uniform distances the share above a threshold is known: 1 less it.  In 1 of 100 sets it may exceed 2 %."""
    sets = torch.rand(2000, count, generator=torch.Generator().manual_seed(count))
    shares = torch.tensor([1 - settle_threshold(distances) for distances in sets])
    assert (shares > 0.02).double().mean() < 0.017
    with pytest.raises(ValueError, match="at least 228"):
        settle_threshold(sets[0, :227])


def test_noise_and_single_digits_are_doubted_and_right_averages_are_not(tmp_path, monkeypatch):
    network, file = load_network("digits-joint"), network_file("digits-joint")
    digits = load("digits")[:150]
    shown = PAIRS.publish(digits.unflatten(0, (75, 2)))
    monkeypatch.setattr(plausibility, "FILE", tmp_path / "plausibility.json")
    assert say_plausible(shown[0], network, file, 2)["doubted"] is None, "nothing was measured"
    figures = measure_figures(shown, network)
    right = fit_right(figures[:60])
    threshold = 1.01 * distance_from(figures[60:], right).max().item()
    entry = right | {"k": 2, "threshold": threshold, "right_doubted": 1.0, "right_doubted_interval": [0.4, 2.0],
                     "wrong_doubted": {},
                     "not_told": ["averages of 3"]}
    (tmp_path / "plausibility.json").write_text(json.dumps({fingerprint(file): entry}))
    told = say_plausible(shown[65], network, file, 2)
    assert not told["doubted"] and "averages of 3" in told["words"]
    noise = torch.rand(1, 28, 28, generator=torch.Generator().manual_seed(0)) * 2 - 1
    for wrong in (digits[0], noise):
        assert say_plausible(wrong, network, file, 2)["doubted"]
    assert say_plausible(shown[65], network, file, 4)["doubted"] is None


def test_what_is_stored_keeps_its_word():
    """At most 2 % of right averages are doubted; a wrong kind of which fewer than 80 % are, is named with its rate."""
    held = json.loads(plausibility.FILE.read_text())
    files = {fingerprint(network_file(name)): name for name in manifest()}
    assert {key: row["network"] for key, row in held.items()} == files, "renew it"
    for row in held.values():
        low, high = row["right_doubted_interval"]
        assert low <= row["right_doubted"] <= min(high, 2), row["network"]
        seldom = {kind: rate for kind, rate in row["wrong_doubted"].items() if rate < 80}
        assert row["not_told"] == [f"{kind} ({rate:.0f} % doubted)" for kind, rate in seldom.items()]
        assert len(row["wrong_doubted"]) == 6 and row["averages"] == 1000
