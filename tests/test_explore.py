"""Figures, players and explorers: drawn whatever is chosen, and still the same without a kernel."""

import base64
import html
import io
import json
import re

import numpy as np
import pytest
import torch
from PIL import Image

from coldavg import Player, attempt, explorer, load, load_network, mixing_explorer, sampler_explorer
from coldavg.figures import lines, pixels, show

digits = load("digits")[:4]


def test_pixels_are_those_of_the_image():
    image = torch.tensor([[-1.0, 0.0, 1.0, 5.0]]).reshape(1, 1, 4)
    assert pixels(image).tolist() == [[0, 128, 255, 255]]
    assert pixels(image.expand(3, 1, 4)).shape == (1, 4, 3)


def test_a_table_of_pictures_holds_them_all():
    figure = show([digits, digits[:2]], ["a", "b", "c", "d"], ["first", "second"], [["1", "2", "3", "4"]])
    shown = [axis.get_images()[0].get_array() for axis in figure.axes if axis.get_images()]
    assert len(shown) == 6
    assert all(np.array_equal(a, pixels(d)) for a, d in zip(shown, [*digits, *digits[:2]]))


def test_lines_have_names_and_a_level():
    figure = lines({"one": ([1, 2], [3, 4])}, "calls", "PSNR", log=True, level=("average", 2.0))
    axis = figure.axes[0]
    assert axis.get_xscale() == "log"
    assert [text.get_text() for text in axis.get_legend().get_texts()] == ["one", "average"]


def test_a_player_carries_its_frames_and_labels():
    player = Player(digits, ["one", "two", "<three>", "four"], 'four "digits"', start=1)
    page = player._repr_html_()
    strip = base64.b64decode(re.search(r"base64,([^)]*)\)", page)[1])
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(strip))), np.concatenate([pixels(d) for d in digits], 1))
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
        *controls, picture = box.children
        for control in reversed(controls):  # steps before samplers: with one step all samplers are one
            before = bytes(picture.value)
            for value in [option[1] if isinstance(option, tuple) else option for option in control.options][-2:]:
                control.value = value
            assert bytes(picture.value[:4]) == b"\x89PNG" and picture.value != before, control.description


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
