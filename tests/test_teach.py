"""What the chapters share: players and explorers, exercises, exact predictors, the sampler workshop."""

import base64
import html
import io
import json
import re

import numpy as np
import pytest
import torch
from PIL import Image

from coldavg import SAMPLERS, Sampler, load, load_network, mix, on_path, score
from coldavg.evaluation import protocol, recover
from coldavg.mixing import TARGETS
from coldavg.samplers import SAME_AS
from coldavg.support.figures import show
from coldavg.support.pixels import picture
from coldavg.teach import (
    Cards,
    FiniteWorld,
    GaussianWorld,
    Known,
    Player,
    Table,
    attempt,
    explorer,
    half_difference,
    mixing_explorer,
    rank_correlation,
    sampler_explorer,
    tile,
)
from coldavg.teach.workshop import BUILT_IN, compare, inspect, tabulate

digits = load("digits")[:4]


def test_a_player_carries_its_frames_and_labels():
    player = Player(digits, ["one", "two", "<three>", "four"], 'four "digits"', start=1)
    page = player._repr_html_()
    strip = base64.b64decode(re.search(r"base64,([^)]*)\)", page)[1])
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(strip))), np.concatenate([picture(d) for d in digits], 1))
    labels = json.loads(html.unescape(re.search(r'data-labels="([^"]*)"', page)[1]))
    assert labels == ["one", "two", "<three>", "four"]
    assert 'max="3" value="1"' in page and "<three>" not in page and "<script" not in page
    assert "http" not in page, "nothing is fetched"
    assert page == Player(digits, labels, 'four "digits"', start=1)._repr_html_(), "no random ids"


def test_a_player_of_figures_and_wrong_players():
    assert "data:image/png" in Player([show([digits])] * 2, ["a", "b"], "alt", scale=1)._repr_html_()
    with pytest.raises(ValueError, match="one for each of the 4 frames"):
        Player(digits, ["a"], "alt")
    with pytest.raises(ValueError, match="one for each of the 0 frames"):
        Player([], [], "alt")
    with pytest.raises(ValueError, match="start must be"):
        Player(digits, list("abcd"), "alt", start=4)


def test_every_choice_of_the_explorers_draws_a_new_picture():
    pairs = digits.reshape(2, 2, 1, 28, 28)
    for box in (mixing_explorer(pairs), sampler_explorer(pairs, load_network("digits-original"))):
        *controls, drawn = box.children
        for control in reversed(controls):  # steps before samplers: with one step all samplers are one
            before = bytes(drawn.value)
            for value in [option[1] if isinstance(option, tuple) else option for option in control.options][-2:]:
                control.value = value
            assert bytes(drawn.value[:4]) == b"\x89PNG" and drawn.value != before, control.description


def test_an_error_while_drawing_is_an_error_at_once():
    with pytest.raises(ZeroDivisionError):
        explorer(lambda pair: 1 / pair, pair=[0, 1])


def test_attempts_at_exercises(capsys):
    def check(answer):
        assert answer() == 4, "2 + 2 is not that"

    def unwritten():
        raise NotImplementedError

    for answer in (lambda: 4, lambda: 5, unwritten, lambda: 1 / 0):
        attempt(check, answer)
    right, wrong, empty, broken = capsys.readouterr().out.splitlines()
    assert right == "Right." and "not that" in wrong and "NotImplementedError" in empty and "division" in broken


def test_tiles_halves_and_ranks_by_hand():
    tiled = tile([digits[:2], digits[2:] * 7])
    assert tiled.shape == (1, 60, 60) and (tiled[:, [0, 29, 30, 59]] == 1).all() and (tiled[..., [0, 29]] == 1).all()
    assert torch.equal(tiled[:, 31:59, 1:29], (digits[2] * 7).clamp(-1, 1)), "clamped, as pictures are"
    pairs = digits.unflatten(0, (2, 2))
    torch.testing.assert_close(mix(pairs) + half_difference(pairs), pairs[:, 0])
    torch.testing.assert_close(mix(pairs) - half_difference(pairs), pairs[:, 1])
    one = torch.tensor([0.1, 0.5, 0.2, 0.9])
    assert rank_correlation(one, one.exp()) == pytest.approx(1) and rank_correlation(one, -one) == pytest.approx(-1)
    assert rank_correlation(one, torch.tensor([1.0, 2, 3, 4])) == pytest.approx(0.8)  # 1 - 6 (0 + 1 + 1 + 0) / (4 15)


def world(n=5, seed=0):
    return torch.rand(n, 1, 3, 3, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) * 2 - 1


@pytest.mark.parametrize("order", ["random", "brightest"])
@pytest.mark.parametrize("alpha", [0.2, 0.5, 0.7])
def test_finite_world_is_the_posterior_mean_over_all_pairs(order, alpha):
    images, noise = world(), 0.6
    x = on_path(images[1], images[3], alpha)[None] + 0.1
    mass = original = remainder = 0
    for i in range(5):
        for j in range(5):
            if i == j or (order == "brightest" and images[i].mean() < images[j].mean()):
                continue
            density = torch.exp(-(x - on_path(images[i], images[j], alpha)).square().sum() / (2 * noise**2))
            mass, original, remainder = mass + density, original + density * images[i], remainder + density * images[j]
    alphas = torch.tensor([alpha], dtype=torch.float64)
    expected = {"original": original, "remainder": remainder, "difference": remainder - original}
    for target in TARGETS:
        answer = FiniteWorld(images, noise, order, target)(x, alphas)
        torch.testing.assert_close(answer[0], expected[target] / mass, rtol=0, atol=1e-12)


def test_the_brightness_order_decides_between_a_pair_and_its_swap():
    images, half = world(), torch.tensor([0.5])
    bright, dark = sorted(images[:2], key=lambda image: -image.mean())
    answer = FiniteWorld(images, 1e-3, "brightest")(mix(images[:2])[None], half)
    torch.testing.assert_close(answer[0], bright, rtol=0, atol=1e-9)
    rest = FiniteWorld(images, 1e-3, "brightest", "remainder")(mix(images[:2])[None], half)
    torch.testing.assert_close(rest[0], dark, rtol=0, atol=1e-9)


def test_one_gaussian_is_linear_regression():
    """x_alpha = (1-a) x_1 + a r, all Gaussian: E[x_1 | x_alpha] = c + (1-a) s^2 / v (x - c), by hand."""
    centre = torch.tensor([0.2, -0.1]).double().reshape(1, 1, 1, 2)
    spread, noise, a = 0.3, 0.1, 0.4
    variance = ((1 - a) ** 2 + a**2) * spread**2 + noise**2
    x = torch.tensor([0.5, 0.5]).double().reshape(1, 1, 1, 2)
    alpha = torch.tensor([a]).double()
    original = GaussianWorld(centre, spread, noise=noise)(x, alpha)
    torch.testing.assert_close(original, centre + (1 - a) * spread**2 / variance * (x - centre))
    remainder = GaussianWorld(centre, spread, noise=noise, target="remainder")(x, alpha)
    torch.testing.assert_close(remainder, centre + a * spread**2 / variance * (x - centre))


def test_gaussian_mixture_is_the_mean_of_what_is_drawn_near_x():
    """Draw many pairs, keep those whose x_alpha falls near x: their mean is the posterior mean."""
    centres = torch.tensor([[-0.6, 0.0], [0.6, 0.0], [0.0, 0.7]]).double().reshape(3, 1, 1, 2)
    chances = torch.tensor([0.5, 0.3, 0.2]).double()
    oracle, generator = GaussianWorld(centres, 0.15, chances), torch.Generator().manual_seed(0)
    first, second = oracle.sample(400_000, generator), oracle.sample(400_000, generator)
    x = torch.tensor([0.1, 0.1]).double().reshape(1, 1, 1, 2)
    near = (on_path(first, second, 0.35) - x).flatten(1).norm(dim=1) < 0.04
    assert near.sum() > 1000
    answer = oracle(x, torch.tensor([0.35]).double())
    torch.testing.assert_close(answer[0], first[near].mean(0), rtol=0, atol=0.03)


def test_the_bias_is_added_to_the_answer():
    images = world()
    x, alpha = images[:1], torch.tensor([0.5])
    for kind in (lambda bias: FiniteWorld(images, 0.5, bias=bias), lambda bias: GaussianWorld(images, 0.5, bias=bias),
                 lambda bias: Known(images[0], images[1], bias=bias)):
        torch.testing.assert_close(kind(0.25)(x, alpha), kind(0.0)(x, alpha) + 0.25)


def test_worlds_that_can_not_be():
    with pytest.raises(ValueError, match="noise must be above 0"):
        FiniteWorld(world(), 0)
    with pytest.raises(ValueError, match="spread must be above 0"):
        GaussianWorld(world(), 0)


RETURNS = {"one_step": "first guess", "naive": "last guess", "cold": "mean of its guesses",
           "without_error_removal": "last guess", "with_error_removal": "first guess", "difference": "last guess",
           "resolve": "neither"}


@pytest.mark.parametrize("name", SAMPLERS)
def test_what_is_proved_of_the_built_in_samplers_is_found(name):
    runs, truth, seed, batch, new, calls, returned = inspect(SAMPLERS[name])
    assert all(finding.holds for finding in (runs, truth, seed, batch))
    assert new.holds is (name not in SAME_AS)
    if name in SAME_AS:
        assert SAME_AS[name] in new.words
    else:
        assert new.words.startswith("It is built in")
    assert calls.words.startswith("1 " if name == "one_step" else "5 ") and RETURNS[name] in returned.words


def planted(step, partner="state"):
    return [finding.holds for finding in inspect(Sampler("planted", step, partner))]


def test_a_planted_fault_is_found():
    shared = torch.Generator().manual_seed(0)
    assert planted(lambda s: s.x[0]) == [False], "the wrong shape is the one finding"
    assert planted(lambda s: 1 / 0) == [False] and planted(lambda s: s.nothing) == [False]
    assert planted(lambda s: s.x / 0)[0] is False, "no numbers"
    assert planted(lambda s: 0.9 * s.original)[:2] == [True, False], "misses the truth"
    noise = planted(lambda s: s.original + torch.randn(s.x.shape, generator=shared, dtype=s.x.dtype))
    assert noise[2] is False, "its own generator does not follow the seed"
    assert planted(lambda s: s.original + s.x.mean(0) - s.x.mean(0, keepdim=True).roll(1, 0))[3] is True
    assert planted(lambda s: s.original - 0.1 * (s.original - s.original.mean(0)))[3] is False, "neighbours count"
    assert planted(lambda s: on_path(s.original, s.remainder, s.b))[4] is False, "an old sampler in disguise"


def test_a_stub_stays_a_stub():
    def stub(s):
        raise NotImplementedError

    with pytest.raises(NotImplementedError):
        inspect(Sampler("stub", stub, "state"))


def test_the_comparison_is_that_of_the_protocol():
    tuples, mixture = protocol("digits", count=6)
    network = load_network("digits-original")
    twice = Sampler("twice", lambda s: (s.predict(s.x, s.a), s.original)[1], "mixture")
    scores = compare(twice, network, tuples, mixture, calls=4)
    assert list(scores) == [*BUILT_IN, "twice"] and all(psnrs.shape == (6,) for psnrs in scores.values())
    for name in BUILT_IN:
        again = score(recover(mixture, network, name, 4)[0], tuples, mixture)["psnr"].mean(1)
        torch.testing.assert_close(scores[name], again)
    assert twice.step is not None and recover(mixture, network, twice, 2)[1] == 4, "two steps of two calls"


def test_the_table_says_who_is_ahead():
    scores = {"cold": torch.tensor([20.0, 21.0, 25.0]), "mine": torch.tensor([21.0, 22.0, 24.0])}
    first, second = tabulate(scores, "mine").rows
    assert first == ["mine", "22.33", "–", "–", "–"]
    assert second[:3] == ["cold", "22.00", "+0.33 dB"] and second[4] == "67 %"


def test_a_table_reads_well_in_a_page_and_in_text():
    table = Table("what & who", ["name", "PSNR"], [["a<b", "9.5 dB"], ["long name", "–"]])
    assert repr(table) == "what & who\nname         PSNR\na<b        9.5 dB\nlong name       –"
    page = table._repr_html_()
    assert page.count("text-align: right") == 3 and "a&lt;b" in page and 'aria-label="what &amp; who"' in page
    wide = repr(Table("c", ["x" * 50, "y" * 50], [["1", "2"]]))
    assert max(map(len, wide.splitlines())) <= 80 and "1 | 2" in wide
    assert repr(Table("empty", ["a", "b"], [])) == "empty\na  b"
    with pytest.raises(ValueError, match="2 cells"):
        Table("c", ["a", "b"], [["1"]])


def test_cards_fold_the_evidence_and_no_more():
    cards = Cards("what & who", [("a < b", "holds", "one: 1\ntwo: 2"), ("c", "fails", "–")])
    assert repr(cards) == "what & who\na < b | holds | one: 1; two: 2\nc | fails | –"
    page = cards._repr_html_()
    folded = re.sub(r"<summary>.*?</summary>", "", page, flags=re.S)
    assert page.count("<details") == 2 and "open" not in page, "closed at first"
    assert "one: 1\ntwo: 2" in folded and "holds" not in folded and "a &lt; b" in page and "what &amp; who" in folded
    assert max(map(len, repr(Cards("c", [("x" * 50, "y" * 50, "z" * 50)])).splitlines())) <= 80
    with pytest.raises(ValueError, match="3 texts"):
        Cards("c", [("a", "b")])
